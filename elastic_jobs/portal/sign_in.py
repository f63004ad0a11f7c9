"""Signing in with a token (local mode), and out. With Easy Auth in front the platform does both."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from elastic_jobs.api.auth import bearer_token, caller_of
from elastic_jobs.api.errors import ApiError
from elastic_jobs.errors import NotFoundError
from elastic_jobs.portal import csrf
from elastic_jobs.portal.page import Form, html, safe_address, set_cookie
from elastic_jobs.portal.rendering import render
from elastic_jobs.portal.visitors import SESSION_COOKIE, SIGN_IN_PATH, Visitors

router = APIRouter()


@router.get("/sign-in")
def get_sign_in(request: Request, page: str = "") -> Response:
    """The field for the token."""
    _check_local(request)
    return _page(request, safe_address(page), "", 200)


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Keep a token that is taken in a cookie and go on to the page that was wanted."""
    visitors = _check_local(request)
    form: Form = request.state.form
    page = safe_address(form.text("page"))
    try:
        token = bearer_token([f"Bearer {form.text('token').removeprefix('Bearer ').strip()}"])
        await visitors.check(token)
    except ApiError as refusal:
        if refusal.status != 401:
            raise
        expired = refusal.code == "ExpiredAuthenticationToken"
        said = "This token has expired; get a new one." if expired else "This is not a token that is taken here."
        return _page(request, page, said, 401)
    answer = RedirectResponse(page, 303)
    set_cookie(answer, request, SESSION_COOKIE, token)
    return answer


@router.post("/sign-out")
def sign_out(request: Request) -> Response:
    """Forget the token; with Easy Auth in front, end its session."""
    caller_of(request)
    visitors: Visitors = request.app.state.visitors
    if not visitors.local:
        return RedirectResponse("/.auth/logout", 303)
    answer = RedirectResponse(SIGN_IN_PATH, 303)
    set_cookie(answer, request, SESSION_COOKIE, "", seconds=0)
    return answer


def _check_local(request: Request) -> Visitors:
    visitors: Visitors = request.app.state.visitors
    if not visitors.local:
        raise NotFoundError("page", SIGN_IN_PATH)
    return visitors


def _page(request: Request, page: str, error: str, status: int) -> Response:
    key: str = request.state.csrf_key
    values = {"title": "Sign in", "page": page, "error": error, "csrf_token": csrf.token_for(key, "")}
    answer = html(render("sign_in.html", values), status)
    if csrf.key_of(request.cookies) is None:
        set_cookie(answer, request, csrf.COOKIE, key)
    return answer

"""In front of every page: who may see it, whether a form came from one of our pages, and how errors look."""

from __future__ import annotations

import logging
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from elastic_jobs.api.auth import Caller, Role
from elastic_jobs.api.errors import ApiError, ErrorAnswer, to_answer
from elastic_jobs.api.paths import PORTAL_PREFIX
from elastic_jobs.errors import NotFoundError
from elastic_jobs.portal import csrf
from elastic_jobs.portal.assets import PREFIX as ASSETS
from elastic_jobs.portal.page import Form, html, safe_address, set_cookie
from elastic_jobs.portal.rendering import render
from elastic_jobs.portal.visitors import SIGN_IN_PATH, Visitors

_log = logging.getLogger(__name__)

HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    ("Cache-Control", "no-store"),
    # Not "no-referrer": with that, browsers send forms with the origin "null".
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
)
GUARD_COOKIE = "elastic_jobs_signing_in"
_GUARD_SECONDS = 60
_MOST_FIELDS = 2000
_FORM_TYPE = "application/x-www-form-urlencoded"


class Portal:
    """ASGI middleware between the API's gate and the API: requests for pages go to ``pages``, all others on."""

    def __init__(self, app: ASGIApp, pages: ASGIApp, visitors: Visitors) -> None:
        self._app, self._pages, self._visitors = app, pages, visitors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._visitors.owns(scope):
            scope["state"]["api"] = self._app
            scope["state"]["api_app"] = scope["app"]
            await self._pages(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class Door:
    """ASGI middleware around the pages.

    The gate has authenticated before: ``state.caller``, or ``state.refusal`` why there is none.
    """

    def __init__(self, app: ASGIApp, visitors: Visitors) -> None:
        self._app, self._visitors = app, visitors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        key = csrf.key_of(request.cookies)
        request.state.csrf_key = key or csrf.new_key()
        out = _Out(send)
        try:
            answer = self._turned_away(request)
            if answer is None:
                request.state.form = await _form(request, key)
                await self._app(scope, receive, out.send)
                return
        except Exception as error:
            if out.started:
                raise
            answer = _error_page(request, error)
        if key is None and "set-cookie" not in answer.headers:
            set_cookie(answer, request, csrf.COOKIE, request.state.csrf_key)
        await answer(scope, receive, out.send)

    def _turned_away(self, request: Request) -> Response | None:
        """What to answer instead of the page; None for who may see it."""
        path = request.scope["path"]
        if path == "/":
            return RedirectResponse(PORTAL_PREFIX, 302)
        if path == SIGN_IN_PATH or path.startswith(f"{ASSETS}/"):
            return None
        refusal: ApiError | None = getattr(request.state, "refusal", None)
        if refusal is not None and refusal.status != 401:
            raise refusal
        if refusal is not None:
            return self._to_sign_in(request, refusal)
        caller: Caller = request.state.caller
        if not caller.roles and path != f"{PORTAL_PREFIX}/sign-out":
            return _no_role(request, caller, local=self._visitors.local)
        return None

    def _to_sign_in(self, request: Request, refusal: ApiError) -> Response:
        page = request.scope["path"]
        if request.url.query:
            page += f"?{request.url.query}"
        if request.headers.get("hx-request") == "true":
            # A part of a page: the page itself is what to come back to.
            shown = urlsplit(request.headers.get("hx-current-url", ""))
            page = shown.path + (f"?{shown.query}" if shown.query else "")
            where = self._sign_in_address(safe_address(page))
            return Response(status_code=401, headers={"HX-Redirect": where})
        if request.method not in csrf.READING:
            return _plain_page(request, 401, "You are signed out", "Open the page anew, sign in, and send it again.")
        if self._visitors.local:
            return RedirectResponse(self._sign_in_address(safe_address(page)), 302)
        tried = request.cookies.get(GUARD_COOKIE, "")
        if tried == "2":
            _log.warning("A sign-in through Easy Auth brought no token that is taken: %s", refusal)
            return _plain_page(
                request,
                401,
                "The sign-in did not work",
                "You were sent to sign in, but what came back is not taken here. An administrator can look into the "
                "log of the app, and whether Easy Auth keeps its tokens (token store) and signs in to the app "
                "registration that ENTRA_AUDIENCE names.",
            )
        answer = RedirectResponse(self._sign_in_address(safe_address(page)), 302)
        set_cookie(answer, request, GUARD_COOKIE, "2" if tried else "1", seconds=_GUARD_SECONDS)
        return answer

    def _sign_in_address(self, page: str) -> str:
        if self._visitors.local:
            return f"{SIGN_IN_PATH}?page={quote(page, safe='')}"
        return f"/.auth/login/aad?post_login_redirect_uri={quote(page, safe='')}"


class _Out:
    """Sends an answer with the headers of all pages, and knows whether it has begun."""

    def __init__(self, send: Send) -> None:
        self._send, self.started = send, False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS:
                headers.setdefault(name, value)
        await self._send(message)


async def _form(request: Request, key: str | None) -> Form:
    """The fields that were sent, when one of our pages sent them.

    Raises:
        ApiError: 403, it was another; 400 or 415, it is no form.
    """
    if request.method in csrf.READING:
        return Form([])
    csrf.check_origin(request)
    body = await request.body()
    if body and request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
        raise ApiError(415, "UnsupportedMediaType", f"Forms are sent as {_FORM_TYPE}.")
    try:
        form = Form(
            parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
        )
    except ValueError:
        raise ApiError(400, "InvalidResourceRequestBody", "The form cannot be read; open the page anew.") from None
    caller = getattr(request.state, "caller", None)
    # The page to sign in has no caller yet, whatever old token the browser still holds.
    known = "" if caller is None or request.scope["path"] == SIGN_IN_PATH else caller.id
    csrf.check_token(form.text(csrf.FIELD) or request.headers.get(csrf.HEADER, ""), key, known)
    return form


def _error_page(request: Request, error: Exception) -> Response:
    said = to_answer(error, request.state.request_id)
    if isinstance(error, NotFoundError):
        text = f"There is no {error.kind} '{error.name}'." if error.name else f"There is no {error.kind}."
        said = ErrorAnswer(status=404, code=said.code, message=f"{text} It may have been deleted, or purged by age.")
    titles = {403: "Not allowed", 404: "Not found", 429: "Too many requests", 503: "Not available right now"}
    answer = _plain_page(request, said.status, titles.get(said.status, "That did not work"), said.message)
    for name, value in said.headers.items():
        answer.headers.setdefault(name, value)
    return answer


def _no_role(request: Request, caller: Caller, *, local: bool) -> Response:
    return _plain_page(
        request,
        403,
        "You have no role here",
        f"You are signed in as {caller.name}, but nobody has given you a role in this deployment. Ask its owner for "
        f"one of the app roles: {Role.READER} looks at everything, {Role.OPERATOR} starts and cancels, "
        f"{Role.CONTRIBUTOR} edits jobs and target groups, {Role.CREDENTIAL_ADMIN} keeps credentials.",
        sign_out=True,
        local=local,
    )


def _plain_page(
    request: Request, status: int, title: str, text: str, *, sign_out: bool = False, local: bool = False
) -> Response:
    caller = getattr(request.state, "caller", None)
    values = {
        "title": title,
        "text": text,
        "status": status,
        "sign_out": sign_out,
        "local": local,
        "csrf_token": csrf.token_for(request.state.csrf_key, "" if caller is None else caller.id),
        "request_id": request.state.request_id,
    }
    return html(render("error.html", values), status)

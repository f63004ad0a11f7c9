"""What a page works with: who looks, the deployment's parts, the form that was sent, and the ways to answer."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Depends
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from elastic_jobs.api.auth import Caller, Role, caller_of, require
from elastic_jobs.api.paths import PORTAL_PREFIX
from elastic_jobs.api.services import Services
from elastic_jobs.api.urls import public_base
from elastic_jobs.domain.model import Agent
from elastic_jobs.jobdb.definitions.agent import find_agent
from elastic_jobs.portal import csrf
from elastic_jobs.portal.rendering import render

READ = Depends(require(Role.READER))
OPERATE = Depends(require(Role.OPERATOR))
DEFINE = Depends(require(Role.CONTRIBUTOR))
FLASH_COOKIE = "elastic_jobs_notice"
_FLASH_SECONDS = 60
_LONGEST_FLASH = 1500
"""Characters: a cookie holds 4096 bytes, and an error may quote what was sent."""
_LONGEST_ADDRESS = 2000
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What the next page says once. kind: ``done`` or ``error``."""

    kind: str
    text: str


class Form:
    """The fields of a form that was sent; a field that is not there is empty."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """The last value of a field, without blanks around it."""
        return self.raw(name).strip()

    def raw(self, name: str) -> str:
        """The last value of a field as it was typed, with line ends as ``\\n`` (browsers send ``\\r\\n``)."""
        return next((value for key, value in reversed(self._fields) if key == name), "").replace("\r\n", "\n")

    def raw_of(self, names: Iterable[str]) -> dict[str, str]:
        """Several fields, each as ``raw``."""
        return {name: self.raw(name) for name in names}

    def all(self, name: str) -> list[str]:
        """All values of a field, in the order of the page."""
        return [value for key, value in self._fields if key == name]

    def on(self, name: str) -> bool:
        """Whether a checkbox was ticked."""
        return bool(self.text(name))


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One request for a page by a caller who may see pages."""

    request: Request
    services: Services
    caller: Caller

    @property
    def form(self) -> Form:
        """What was sent; its CSRF token has been checked. Empty for GET."""
        form: Form = self.request.state.form
        return form

    @property
    def live(self) -> bool:
        """Whether htmx asks for a part of a page."""
        return self.request.headers.get("hx-request") == "true"

    def may(self, role: Role) -> bool:
        """Whether to offer what needs this role. The action itself checks again."""
        return self.caller.may(role)

    def read(self) -> AbstractContextManager[Connection]:
        """A connection for queries; in threads only (handlers that are no coroutines)."""
        return self.services.database.read()

    async def reading(self, work: Callable[[Connection], _T]) -> _T:
        """Do queries from a handler that is a coroutine."""

        def run() -> _T:
            with self.services.database.read() as connection:
                return work(connection)

        return await run_in_threadpool(run)

    def agent(self, connection: Connection) -> Agent | None:
        """The agent; None while there is none, which pages say."""
        return find_agent(connection)

    def page(self, template: str, *, section: str, title: str, status: int = 200, **values: Any) -> Response:
        """A whole page. section: the word in the navigation; values: what the template shows."""
        notice = _read_notice(self.request.cookies.get(FLASH_COOKIE))
        values = self._always() | {"section": section, "title": title, "notice": notice} | values
        answer = html(render(template, values), status)
        if csrf.key_of(self.request.cookies) is None:
            set_cookie(answer, self.request, csrf.COOKIE, self.request.state.csrf_key)
        elif self.request.cookies.get(FLASH_COOKIE) is not None:
            set_cookie(answer, self.request, FLASH_COOKIE, "", seconds=0)
        return answer

    def part(self, template: str, **values: Any) -> Response:
        """A part of a page, for htmx."""
        return html(render(template, self._always() | values))

    def go(self, address: str, *, done: str = "", error: str = "") -> Response:
        """See another page of the portal next, which says what was done or why not."""
        answer = RedirectResponse(address, 303)
        if done or error:
            notice = Notice(kind="error" if error else "done", text=(error or done)[:_LONGEST_FLASH])
            set_cookie(answer, self.request, FLASH_COOKIE, _write_notice(notice), seconds=_FLASH_SECONDS)
        return answer

    def _always(self) -> dict[str, Any]:
        return {
            "viewer": self.caller,
            "may": {role.name.lower(): self.may(role) for role in Role},
            "csrf_token": csrf.token_for(self.request.state.csrf_key, self.caller.id),
            "now": self.services.clock.now(),
            "local_sign_in": self.services.settings.auth_mode == "local",
            "server_name": self.services.settings.server_name,
        }


async def _visit(request: Request) -> Visit:
    return Visit(request=request, services=request.app.state.services, caller=caller_of(request))


Page = Annotated[Visit, Depends(_visit)]


def address(*segments: object, **query: object) -> str:
    """The address of a page below /portal, with names encoded; parameters that are None or empty are left out."""
    path = "/".join((PORTAL_PREFIX, *(quote(str(segment), safe="") for segment in segments)))
    kept = {name: str(value) for name, value in query.items() if value is not None and value != ""}
    return f"{path}?{urlencode(kept)}" if kept else path


def safe_address(wanted: str | None) -> str:
    """An address of this portal to go on to; whatever else was asked for becomes its first page."""
    text = wanted or ""
    ours = text == PORTAL_PREFIX or text.startswith((f"{PORTAL_PREFIX}/", f"{PORTAL_PREFIX}?"))
    plain = text.isascii() and text.isprintable() and "\\" not in text and len(text) <= _LONGEST_ADDRESS
    return text if ours and plain else PORTAL_PREFIX


def html(text: str, status: int = 200) -> Response:
    """A page or a part of one."""
    return Response(text, status_code=status, media_type="text/html; charset=utf-8")


def set_cookie(answer: Response, request: Request, name: str, value: str, *, seconds: int | None = None) -> None:
    """A cookie for the portal's own pages that no script reads and no other site sends.

    At most one for an answer: the Functions host keeps one ``Set-Cookie`` header. seconds: None for as long as the
    browser runs; 0 deletes it.
    """
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path=PORTAL_PREFIX,
        secure=public_base(request).startswith("https://"),
        httponly=True,
        samesite="strict",
    )


def _write_notice(notice: Notice) -> str:
    # Without "=": the Functions host would encode it once more.
    return base64.urlsafe_b64encode(json.dumps([notice.kind, notice.text]).encode()).decode().rstrip("=")


def _read_notice(value: str | None) -> Notice | None:
    try:
        padded = (value or "") + "=" * (-len(value or "") % 4)
        kind, text = json.loads(base64.urlsafe_b64decode(padded))
    except (ValueError, binascii.Error, TypeError):
        return None
    return Notice(kind="error" if kind == "error" else "done", text=str(text))

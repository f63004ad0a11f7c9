"""What happens to every request before it is routed, and to every answer before it goes out.

Ids and headers, the bearer token, the limits, the rewriting of the path, and the last net: an exception that left the
app would lose its answer in the Functions worker, so none does.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Iterable
from typing import Any, Protocol
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from elastic_jobs.api.auth import Authenticator, Caller, bearer_token, check_any_role
from elastic_jobs.api.context import Json
from elastic_jobs.api.docs_page import DOCS_PATHS
from elastic_jobs.api.errors import ApiError, to_answer
from elastic_jobs.api.limits import Limits
from elastic_jobs.api.paths import route_path
from elastic_jobs.domain.ports import Ids

_log = logging.getLogger(__name__)

BODY_SECONDS = 60.0
"""How long a client may take to send its body."""
ANONYMOUS_PATHS = frozenset({"/health", "/metadata/endpoints"}) | DOCS_PATHS
_CLIENT_ID = re.compile(r"[\x21-\x7e]{1,128}")
_WITH_PORT = re.compile(r"\[?(?P<host>[0-9.]+|(?<=\[)[0-9A-Fa-f:.]+)\]?:\d+")
_SECURITY_HEADERS = (
    ("Cache-Control", "no-cache"),
    ("X-Content-Type-Options", "nosniff"),
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
    # Answers are data: nothing in them is to be run, framed or told to another site. Pages set their own.
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
)
_REMAINING = {"GET": "reads", "HEAD": "reads", "OPTIONS": "reads", "DELETE": "deletes"}


class Visitors(Protocol):
    """Tells who looks at a page. The portal's; without a portal there are no pages."""

    def owns(self, scope: Scope) -> bool:
        """Whether a request is for a page, and not for the API."""
        ...

    async def caller(self, headers: Headers) -> Caller:
        """The caller of a page.

        Raises:
            ApiError: 401 or 503.
        """
        ...


class Gate:
    """ASGI middleware around the whole app."""

    def __init__(
        self,
        app: ASGIApp,
        authenticator: Authenticator,
        ids: Ids,
        limits: Limits,
        body_seconds: float = BODY_SECONDS,
        visitors: Visitors | None = None,
    ) -> None:
        self._visitors = visitors
        self._app, self._authenticator, self._ids = app, authenticator, ids
        self._limits, self._body_seconds = limits, body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # There are no web sockets; what is not expected is not let through.
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        request_id = str(self._ids())
        answer = _Answer(send, _answer_headers(headers, request_id))
        try:
            inner = self._prepared(scope)
            inner["state"]["request_id"] = request_id
            if self._visitors is not None and self._visitors.owns(inner):
                await self._visited(self._visitors, inner, headers)
            elif inner["path"] in ANONYMOUS_PATHS:
                self._limits.stranger(_address(scope, headers))
            else:
                inner["state"]["caller"] = await self._admitted(scope, headers, answer)
            body = await self._body(headers, receive)
            await self._app(inner, _replay(body, receive), answer.send)
        except Exception as error:
            if answer.started:
                _log.error("Request %s failed after its answer had begun.", request_id, exc_info=error)
                return
            said = to_answer(error, request_id)
            await Json(said.body, said.status, dict(said.headers))(scope, receive, answer.send)

    def _prepared(self, scope: Scope) -> dict[str, Any]:
        inner = dict(scope)
        inner["path"] = route_path(_raw_path(scope))
        inner["raw_path"] = inner["path"].encode("ascii")
        inner["root_path"] = ""
        # The Functions worker hands a scope whose state may be None.
        inner["state"] = dict(scope.get("state") or {})
        return inner

    async def _admitted(self, scope: Scope, headers: Headers, answer: _Answer) -> Caller:
        """Who calls, when the caller may call now.

        Raises:
            ApiError: 401, 403, 429 or 503.
        """
        caller, remaining = await self._counted(self._bearer(headers), scope, headers)
        if remaining is not None:
            kind = _REMAINING.get(scope["method"], "writes")
            answer.add(f"x-ms-ratelimit-remaining-subscription-{kind}", str(remaining))
        check_any_role(caller)
        return caller

    async def _visited(self, visitors: Visitors, inner: dict[str, Any], headers: Headers) -> None:
        """Note who looks at a page, or why nobody may: the portal says so in a page of its own."""
        try:
            inner["state"]["caller"], _ = await self._counted(visitors.caller(headers), inner, headers)
        except ApiError as refusal:
            inner["state"]["refusal"] = refusal

    async def _bearer(self, headers: Headers) -> Caller:
        return await self._authenticator.authenticate(bearer_token(headers.getlist("authorization")))

    async def _counted(self, finding: Awaitable[Caller], scope: Scope, headers: Headers) -> tuple[Caller, int | None]:
        """The caller whom ``finding`` finds, and how many requests are left to them; strangers are counted as well.

        Raises:
            ApiError: 401, 429 or 503.
        """
        try:
            caller = await finding
        except ApiError as refusal:
            if refusal.status == 401:
                self._limits.stranger(_address(scope, headers))
            raise
        return caller, self._limits.caller(caller.id)

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        """The whole body.

        Raises:
            ApiError: 413, it is too large; 415, it is packed; 408, it does not come.
        """
        if headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
            raise ApiError(415, "UnsupportedMediaType", "Send the body of the request as it is, without compression.")
        try:
            async with asyncio.timeout(self._body_seconds):
                return await _read_body(headers, receive, self._limits.body)
        except TimeoutError:
            raise ApiError(408, "RequestTimeout", "The body of the request did not arrive in time.") from None


class _Answer:
    """Sends an answer with the headers that all answers have, and knows whether it has begun."""

    def __init__(self, send: Send, headers: Iterable[tuple[str, str]]) -> None:
        self._send, self._headers, self.started = send, list(headers), False

    def add(self, name: str, value: str) -> None:
        """Give the answer another header."""
        self._headers.append((name, value))

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in self._headers:
                headers.setdefault(name, value)
        await self._send(message)


def _address(scope: Scope, headers: Headers) -> str:
    """Where a request comes from: the peer, or, under the Functions host, whom its front end says (the last hop)."""
    client = scope.get("client")
    if client:
        return str(client[0])
    last = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    with_port = _WITH_PORT.fullmatch(last)  # as Azure's front end writes it; each connection has another port
    return (with_port["host"] if with_port else last)[:64]


def _raw_path(scope: Scope) -> str:
    """The path as it was sent, percent-encoded."""
    if "azure_functions.function_name" in scope:
        # AsgiMiddleware of azure-functions decodes the path, also in raw_path; ``functions.answer`` does not.
        return quote(scope["path"], safe="/")
    raw = scope.get("raw_path")
    return raw.decode("latin-1") if raw else quote(scope["path"], safe="/")


def _answer_headers(headers: Headers, request_id: str) -> list[tuple[str, str]]:
    correlation = headers.get("x-ms-correlation-request-id", "")
    found = [
        ("x-ms-request-id", request_id),
        ("x-ms-correlation-request-id", correlation if _CLIENT_ID.fullmatch(correlation) else request_id),
        *_SECURITY_HEADERS,
    ]
    client = headers.get("x-ms-client-request-id", "")
    if _CLIENT_ID.fullmatch(client):
        found.append(("x-ms-client-request-id", client))
    return found


async def _read_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    announced = headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ApiError(400, "InvalidResourceRequestBody", "The request ended before its body was complete.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
        if size > limit:
            raise _too_large(limit)
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again


def _too_large(limit: int) -> ApiError:
    return ApiError(
        413,
        "RequestEntityTooLarge",
        f"The body of the request is larger than {limit} bytes; shorten the script or the list of members.",
    )

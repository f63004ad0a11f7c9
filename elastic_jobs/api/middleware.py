"""What happens to every request before it is routed, and to every answer before it goes out.

Ids and headers, the size limit, the bearer token, the rewriting of the path, and the last net: an exception that left
the app would lose its answer in the Functions worker, so none does.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from elastic_jobs.api.auth import Authenticator, bearer_token
from elastic_jobs.api.context import Json
from elastic_jobs.api.errors import ApiError, to_answer
from elastic_jobs.api.paths import route_path
from elastic_jobs.domain.ports import Ids

_log = logging.getLogger(__name__)

BODY_LIMIT = 1024 * 1024
"""Bytes. Scripts are text; a body of 5 MB was never answered by the Functions proxy worker of Python 3.13."""
ANONYMOUS_PATHS = frozenset({"/health"})
_CLIENT_ID = re.compile(r"[\x21-\x7e]{1,128}")


class Gate:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator, ids: Ids) -> None:
        self._app, self._authenticator, self._ids = app, authenticator, ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = str(self._ids())
        answer = _Answer(send, _answer_headers(headers, request_id))
        try:
            inner = self._prepared(scope)
            if inner["path"] not in ANONYMOUS_PATHS:
                token = bearer_token(headers.get("authorization"))
                inner["state"]["caller"] = self._authenticator.authenticate(token)
            body = await _read_body(headers, receive)
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


class _Answer:
    """Sends an answer with the headers that all answers have, and knows whether it has begun."""

    def __init__(self, send: Send, headers: Iterable[tuple[str, str]]) -> None:
        self._send, self._headers, self.started = send, list(headers), False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in self._headers:
                headers.setdefault(name, value)
        await self._send(message)


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
        ("Cache-Control", "no-cache"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    client = headers.get("x-ms-client-request-id", "")
    if _CLIENT_ID.fullmatch(client):
        found.append(("x-ms-client-request-id", client))
    return found


async def _read_body(headers: Headers, receive: Receive) -> bytes:
    """The whole body.

    Raises:
        ApiError: 413, it is larger than ``BODY_LIMIT``.
    """
    announced = headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > BODY_LIMIT:
        raise _too_large()
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ApiError(400, "InvalidResourceRequestBody", "The request ended before its body was complete.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
        if size > BODY_LIMIT:
            raise _too_large()
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again


def _too_large() -> ApiError:
    return ApiError(
        413,
        "RequestEntityTooLarge",
        f"The body of the request is larger than {BODY_LIMIT} bytes; shorten the script or the list of members.",
    )

"""Actions of pages: requests to the management API, made inside the process in the caller's name.

A page does what the API does by asking the API itself, behind its authentication and in front of everything else:
roles, validation, idempotent repetition, audit trail and the wake-up of the agent cannot differ between the two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from starlette.types import Message

from elastic_jobs.api.errors import ApiError, to_answer
from elastic_jobs.api.paths import SHORT_PREFIX
from elastic_jobs.errors import ElasticJobsError
from elastic_jobs.portal.page import Visit

_REFUSALS = frozenset({400, 404, 409, 429})


class Refusal(ApiError):  # noqa: N818  # what the API said, not what went wrong here
    """The API refused, for a reason that the person who looks at the page can do something about: a sentence."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What the API answered. body: decoded JSON, None when there is none."""

    status: int
    body: Any


async def act(
    visit: Visit,
    method: str,
    *segments: str,
    body: Any = None,
    query: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
    request_id: str = "",
) -> Done:
    """Ask the API below ``/agent``, e.g. ``act(visit, "POST", "jobs", name, "start")``; names as they are.

    request_id: makes a repeated start or rerun (a double click) the same one.

    Raises:
        Refusal: 400, 404, 409, 429, or 503 for a service that the job needs, with the API's sentence.
        Exception: everything else as the API's handler raised it; the portal's door makes a page of it.
    """
    path = "/".join((SHORT_PREFIX, *(quote(segment, safe="") for segment in segments)))
    sent = b"" if body is None else json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(sent)).encode())]
    if request_id:
        headers.append((b"x-ms-client-request-id", request_id.encode("ascii", "replace")))
    outer = visit.request.scope
    scope = {
        "type": "http",
        "asgi": outer["asgi"],
        "http_version": "1.1",
        "method": method,
        "scheme": outer["scheme"],
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": urlencode(query or ()).encode(),
        "headers": [*headers, (b"host", visit.request.headers.get("host", "localhost").encode())],
        "server": outer.get("server"),
        "client": outer.get("client"),
        "app": visit.request.state.api_app,
        "state": {"caller": visit.caller},
    }
    api = visit.request.state.api
    try:
        status, content = await _asked(api, scope, sent)
    except Exception as error:
        said = to_answer(error, visit.request.state.request_id)
        if said.status in _REFUSALS or (isinstance(error, ElasticJobsError) and error.passing):
            raise Refusal(said.status, said.code, said.message) from error
        raise
    return Done(status=status, body=json.loads(content) if content else None)


async def _asked(api: Any, scope: dict[str, Any], sent: bytes) -> tuple[int, bytes]:
    waiting: list[Message] = [{"type": "http.request", "body": sent, "more_body": False}]
    status, parts = 0, []

    async def receive() -> Message:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    await api(scope, receive, send)
    return status, b"".join(parts)

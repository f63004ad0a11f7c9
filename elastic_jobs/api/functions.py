"""The HTTP function of the Functions app, around the management API.

``azure.functions.AsgiMiddleware`` hands the path decoded, so that a ``/`` inside a name could no longer be told from
one between names. Here it is handed as it was sent.
"""

from __future__ import annotations

import string
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import azure.functions as func
from starlette.types import ASGIApp, Message

_DEFAULT_PORTS = {"http": 80, "https": 443}
_AS_IT_IS = string.ascii_letters + string.digits + string.punctuation


def functions_app(app: ASGIApp) -> func.AsgiFunctionApp:
    """The Functions app whose one HTTP function is ``app``; other functions are added to it.

    Anonymous for the host: the API checks every caller's bearer token itself and fails closed.
    """
    functions = func.AsgiFunctionApp(app=app, http_auth_level=func.AuthLevel.ANONYMOUS)

    async def handle(request: func.HttpRequest, context: func.Context | None = None) -> func.HttpResponse:
        del context
        return await answer(app, request)

    functions.middleware.handle_async = handle  # type: ignore[assignment]  # the one step that loses the path
    return functions


async def answer(app: ASGIApp, request: func.HttpRequest) -> func.HttpResponse:
    """The app's answer to a request. The app maps its own exceptions; one that leaves it fails the invocation."""
    waiting = [request.get_body()]
    started: dict[str, Any] = {}
    parts: list[bytes] = []

    async def receive() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    await app(_scope(request), receive, send)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in started["headers"]}
    return func.HttpResponse(
        body=b"".join(parts),
        status_code=started["status"],
        headers=headers,
        mimetype=headers.get("content-type"),
    )


def _scope(request: func.HttpRequest) -> dict[str, Any]:
    url = urlsplit(request.url)
    # The host decodes what it can outside the query, but leaves %2F; what is not ASCII is encoded again.
    raw_path = quote(url.path, safe=_AS_IT_IS)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method.upper(),
        "scheme": url.scheme,
        "path": unquote(raw_path),
        "raw_path": raw_path.encode("ascii"),
        "query_string": quote(url.query, safe=_AS_IT_IS).encode("ascii"),
        "root_path": "",
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in request.headers.items()
        ],
        "server": (url.hostname or "localhost", url.port or _DEFAULT_PORTS.get(url.scheme, 80)),
        "client": None,
        "state": {},
    }

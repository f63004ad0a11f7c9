"""The HTTP trigger: an ASGI app that hands each request to the function of its route, in the shape the host gives."""

import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

from azure.functions.meta import Datum

from local.functions_host.bindings import BoundFunction, HttpTrigger
from local.functions_host.converters import decode, encode
from local.functions_host.invocation import InvocationFailedError, Invoker
from local.functions_host.routing import Router

MAXIMUM_BODY = 100 * 1024 * 1024  # bytes; the limit of the real host
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]
_PLAIN = [(b"content-type", b"text/plain; charset=utf-8")]
_log = logging.getLogger("functions_host.http")


class HttpFront:
    """All HTTP functions of the app. Function keys are not asked for, as with the Functions Core Tools."""

    def __init__(self, functions: Iterable[BoundFunction], prefix: str, invoker: Invoker) -> None:
        routes = [
            (function.trigger.route, function.trigger.methods, function)
            for function in functions
            if isinstance(function.trigger, HttpTrigger)
        ]
        self._router: Router[BoundFunction] = Router(prefix, routes)
        self._invoker = invoker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status, headers, body = await self._answer(scope, receive)
        headers = [(name, value) for name, value in headers if name.lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode("ascii")))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        raw_path = scope["raw_path"].decode("latin-1")
        found = self._router.find(scope["method"], raw_path)
        if found is None:
            return 404, _PLAIN, b"No function has this route."
        function, route_values = found
        body = await _read_body(receive)
        if body is None:
            return 413, _PLAIN, b"The request body is longer than 100 MB."
        datum = _request_datum(scope, raw_path, route_values, body)
        try:
            returned = await self._invoker.invoke(function, lambda: decode("httpTrigger", datum))
            return _response(encode("http", returned))
        except InvocationFailedError:
            return 500, [], b""  # as the real host: the exception stays in the log
        except NotImplementedError:
            _log.error("Function %s returned no HttpResponse and no string.", function.name)
            return 500, [], b""


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body, or None when it is too long."""
    parts: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)  # the client is gone; the function runs nevertheless
        part: bytes = message.get("body", b"")
        length += len(part)
        if length > MAXIMUM_BODY:
            return None
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


def _request_datum(scope: Scope, raw_path: str, route_values: dict[str, str], body: bytes) -> Datum:
    headers = _joined((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])
    query = scope["query_string"].decode("latin-1")
    host = headers.get("host") or "{}:{}".format(*scope["server"])
    url = f"{scope['scheme']}://{host}{raw_path}" + (f"?{query}" if query else "")
    return Datum(
        {
            "method": Datum(scope["method"], "string"),
            "url": Datum(url, "string"),
            "headers": _data(headers),
            "query": _data(_joined(parse_qsl(query))),
            "params": _data(route_values),
            "body": Datum(body, "bytes"),
        },
        "http",
    )


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """One value per name: the host joins repeated ones with commas, and leaves empty ones out."""
    values: dict[str, str] = {}
    for name, value in pairs:
        if value:
            values[name] = f"{values[name]},{value}" if name in values else value
    return values


def _data(values: dict[str, str]) -> dict[str, Datum]:
    return {name: Datum(value, "string") for name, value in values.items()}


def _response(datum: Datum) -> Answer:
    if datum.type == "string":
        return 200, _PLAIN, str(datum.value).encode("utf-8")
    value = datum.value
    headers = [(name.encode("latin-1"), header.value.encode("latin-1")) for name, header in value["headers"].items()]
    cookies: list[SimpleCookie] = value["cookies"] or []
    for cookie in cookies:
        headers += [(b"set-cookie", morsel.OutputString().encode("latin-1")) for morsel in cookie.values()]
    return int(value["status_code"].value), headers, bytes(value["body"].value)

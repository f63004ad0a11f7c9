"""A small HTTP server in a thread, over TLS or not, that a stand-in answers requests with."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from local.sqlserver.certificates import CertificateFiles

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Request:
    """method, path (decoded, without query), query (first value of each name), headers (lower-case names), body."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; empty when it is none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class Answer:
    """What goes back; ``body`` is sent as JSON, None as nothing."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)


def azure_error(status: int, code: str, message: str, inner: str | None = None) -> Answer:
    """An error in the shape that Azure services use."""
    error: dict[str, object] = {"code": code, "message": message}
    if inner is not None:
        error["innererror"] = {"code": inner}
    return Answer(status, {"error": error})


class HttpService:
    """Answers requests with ``answer``, each in a thread of its own. A context manager; ``start`` and ``stop`` else."""

    def __init__(self, *, port: int = 0, tls: CertificateFiles | None = None) -> None:
        """port: 0 takes a free one."""
        self._server = _Server((HOST, port), _handler(self))
        self._scheme = "http"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.certificate, tls.key)
            self._server.tls, self._scheme = context, "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Root URL, without a slash at its end."""
        return f"{self._scheme}://{HOST}:{self._server.server_address[1]}"

    def answer(self, request: Request) -> Answer:
        """The answer to a request; called from many threads."""
        raise NotImplementedError

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        # Here and not when accepting: a handshake that hangs must not hold up the others.
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
            if self.tls is not None:
                request.settimeout(10)
                request = self.tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)


def _handler(service: HttpService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            parts = urlsplit(self.path)
            request = Request(
                method=self.command,
                path=unquote(parts.path),
                query={name: values[0] for name, values in parse_qs(parts.query).items()},
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(length),
            )
            answer = service.answer(request)
            data = b"" if answer.body is None else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815  # the base class looks for these names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name is the base class's
            """Nothing: requests hold secrets."""

    return Handler

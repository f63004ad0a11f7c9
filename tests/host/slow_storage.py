"""A storage account whose answers to fetches can be held back: a network that stalls at the wrong moment."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

_PER_CONNECTION = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}


class SlowStorage:
    """Stands between the host and the queue service of an Azurite."""

    def __init__(self, queue_url: str, connection: str) -> None:
        """queue_url: of the queue service, as it stands in `connection`."""
        address = httpx.URL(queue_url)
        self._origin = f"http://{address.netloc.decode('ascii')}"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        here = f"http://127.0.0.1:{self._server.server_port}"
        self.connection = connection.replace(self._origin, here)
        self._open = threading.Event()
        self._open.set()
        self.holding = threading.Event()  # an answer with a message waits here, and the service has hidden the message

    @contextmanager
    def serving(self) -> Iterator[None]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            self.release()
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def hold_fetched(self) -> None:
        """From now on, fetches that bring a message get no answer until `release`."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        slow, service = self, httpx.Client(base_url=self._origin, timeout=30)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _forward(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = service.request(self.command, self.path, headers=dict(self.headers.items()), content=content)
                if self.command == "GET" and b"<MessageId>" in answer.content and not slow._open.is_set():
                    slow.holding.set()
                    slow._open.wait(30)
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name not in _PER_CONNECTION:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815  names that http.server asks for

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                """Nothing: the host's log is what a test reads."""

        return Handler

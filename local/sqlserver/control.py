"""The control API: a small HTTP server on the loopback interface through which tests and the demo steer the emulator.

========  ============================  ================================================================
method    path                          body or query -> answer
========  ============================  ================================================================
GET       /health                       -> {"status": "ok"}
GET       /servers                      -> [{"name", "port", "databases": count}]
GET       /journal                      after, kind, server, database, text, limit -> {"last", "records"}
GET       /running                      server, database, text -> [records of batches that execute now]
GET       /gauges                       server, database, text -> {"total", "servers", "matching"}
POST      /gauges/reset                 -> {}
GET       /faults                       -> [rules with id and hits]
POST      /faults                       a rule (see faults.py) -> {"id"}
DELETE    /faults, /faults/ID           all, or one
POST      /databases                    {"server", "name", "elastic_pool"?, "service_objective"?, "state"?}
PATCH     /databases/SERVER/NAME        {"state"}: ONLINE, OFFLINE, PAUSED ...
DELETE    /databases/SERVER/NAME
POST      /elastic_pools                {"server", "name"}
POST      /logins                       {"server", "name", "password"}
POST      /tokens                       {"token", "principal", "server"?}: for one server, or all
========  ============================  ================================================================

Errors are ``{"error": sentence}`` with status 400, 404 or 409.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from local.sqlserver.catalog import Estate, LogicalServer
from local.sqlserver.contract import SqlError
from local.sqlserver.faults import Fault, FaultBook
from local.sqlserver.journal import Filter, Journal
from local.sqlserver.server import PortInUseError

Answer = tuple[int, object]


@dataclass(frozen=True)
class Request:
    """path: the decoded segments after the first one."""

    path: tuple[str, ...]
    query: Mapping[str, str]
    body: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A string field of the body; BadRequestError when it is not there."""
        value = self.body.get(name)
        if not isinstance(value, str) or not value:
            raise BadRequestError(400, f"The request lacks the text field '{name}'.")
        return value


class BadRequestError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Controls:
    """What the control API can do, without HTTP."""

    def __init__(self, estate: Estate, ports: Mapping[str, int], faults: FaultBook, journal: Journal) -> None:
        self._estate, self._ports, self._faults, self._journal = estate, ports, faults, journal
        self._routes: dict[tuple[str, str, int], Callable[[Request], Answer]] = {
            ("GET", "health", 0): lambda _: (200, {"status": "ok"}),
            ("GET", "servers", 0): self._servers,
            ("GET", "journal", 0): self._read_journal,
            ("GET", "running", 0): self._running,
            ("GET", "gauges", 0): self._gauges,
            ("POST", "gauges", 1): self._reset_gauges,
            ("GET", "faults", 0): lambda _: (200, self._faults.as_json()),
            ("POST", "faults", 0): self._add_fault,
            ("DELETE", "faults", 0): self._clear_faults,
            ("DELETE", "faults", 1): self._remove_fault,
            ("POST", "databases", 0): self._create_database,
            ("PATCH", "databases", 2): self._change_database,
            ("DELETE", "databases", 2): self._drop_database,
            ("POST", "elastic_pools", 0): self._create_pool,
            ("POST", "logins", 0): self._create_login,
            ("POST", "tokens", 0): self._add_token,
        }

    def answer(self, method: str, first: str, request: Request) -> Answer:
        """Status and JSON value; never raises for what the caller did wrong."""
        route = self._routes.get((method, first, len(request.path)))
        if route is None:
            return 404, {"error": f"There is no {method} /{'/'.join((first, *request.path))}."}
        try:
            return route(request)
        except BadRequestError as error:
            return error.status, {"error": str(error)}
        except SqlError as error:
            return 409, {"error": error.text, "number": error.number}
        except ValueError as error:  # FaultError, and what the catalog finds wrong with a value
            return 400, {"error": str(error)}

    def _server(self, name: str) -> LogicalServer:
        server = self._estate.server(name)
        if server is None:
            raise BadRequestError(404, f"There is no logical server '{name}'.")
        return server

    def _servers(self, _: Request) -> Answer:
        return 200, [
            {"name": server.name, "port": self._ports[server.name], "databases": len(server.databases())}
            for server in self._estate.servers()
        ]

    def _filter(self, query: Mapping[str, str]) -> Filter:
        return Filter(*(query.get(name, "") for name in ("kind", "server", "database", "text")))

    def _read_journal(self, request: Request) -> Answer:
        after, limit = int(request.query.get("after", 0)), request.query.get("limit")
        last = self._journal.last_sequence
        records = self._journal.query(after, self._filter(request.query), None if limit is None else int(limit))
        return 200, {"last": last, "records": [record.as_json() for record in records]}

    def _running(self, request: Request) -> Answer:
        return 200, [record.as_json() for record in self._journal.running(self._filter(request.query))]

    def _gauges(self, request: Request) -> Answer:
        matching = self._journal.matching(self._filter(request.query))
        return 200, {**self._journal.gauges(), "matching": matching}

    def _reset_gauges(self, request: Request) -> Answer:
        if request.path != ("reset",):
            raise BadRequestError(404, "Only POST /gauges/reset exists.")
        self._journal.reset_gauges()
        return 200, {}

    def _add_fault(self, request: Request) -> Answer:
        return 201, {"id": self._faults.add(Fault.from_json(request.body))}

    def _clear_faults(self, _: Request) -> Answer:
        self._faults.clear()
        return 200, {}

    def _remove_fault(self, request: Request) -> Answer:
        if not request.path[0].isdecimal() or not self._faults.remove(int(request.path[0])):
            raise BadRequestError(404, f"There is no fault rule {request.path[0]}.")
        return 200, {}

    def _create_database(self, request: Request) -> Answer:
        server, name, pool = (
            self._server(request.text("server")),
            request.text("name"),
            request.body.get("elastic_pool"),
        )
        state, objective = request.body.get("state", "ONLINE"), request.body.get("service_objective", "S0")
        server.create_database(name, pool, state, objective)
        return 201, {}

    def _existing(self, request: Request) -> LogicalServer:
        server = self._server(request.path[0])
        if server.database(request.path[1]) is None:
            raise BadRequestError(404, f"Server '{server.name}' has no database '{request.path[1]}'.")
        return server

    def _change_database(self, request: Request) -> Answer:
        self._existing(request).set_state(request.path[1], request.text("state"))
        return 200, {}

    def _drop_database(self, request: Request) -> Answer:
        self._existing(request).drop_database(request.path[1])
        return 200, {}

    def _create_pool(self, request: Request) -> Answer:
        self._server(request.text("server")).create_elastic_pool(request.text("name"))
        return 201, {}

    def _create_login(self, request: Request) -> Answer:
        self._server(request.text("server")).create_login(request.text("name"), request.text("password"))
        return 201, {}

    def _add_token(self, request: Request) -> Answer:
        token, principal = request.text("token"), request.text("principal")
        servers = [self._server(request.text("server"))] if "server" in request.body else self._estate.servers()
        for server in servers:
            server.add_token(token, principal)
        return 201, {}


class ControlServer:
    """Serves Controls over HTTP on a thread of its own."""

    def __init__(self, controls: Controls, host: str = "127.0.0.1", port: int = 0) -> None:
        """PortInUseError when the port is taken."""
        handler = type("Handler", (_Handler,), {"controls": controls})
        try:
            self._http = _HttpServer((host, port), handler)
        except OSError as error:
            raise PortInUseError(f"Cannot listen on {host}:{port} for the control API: {error}.") from error
        self.port: int = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.1,), name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    controls: Controls
    protocol_version = "HTTP/1.1"
    # Two small writes per answer: without this, Nagle and delayed ACK cost 40 ms each time.
    wbufsize = -1

    def _serve(self) -> None:
        url = urlsplit(self.path)
        segments = [unquote(segment) for segment in url.path.strip("/").split("/")]
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(raw) if raw else {}
            if not isinstance(body, dict):
                raise ValueError("it must be an object")
            request = Request(tuple(segments[1:]), dict(parse_qsl(url.query)), body)
            status, value = self.controls.answer(self.command, segments[0], request)
        except ValueError as error:
            status, value = 400, {"error": f"The body is no JSON object: {error}."}
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = do_PATCH = _serve  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - signature of http.server
        """Silent: the emulator's own journal is what counts."""

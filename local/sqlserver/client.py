"""A client of the control API, and the emulator as a child process, for tests and the demo."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from local.processes import ChildProcess, ProcessError

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
STOP_SECONDS = 10.0


class ControlError(Exception):
    """The control API refused; status is that of HTTP."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class EmulatorClient:
    """One emulator's control API. Safe for many threads: each call has its own connection."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    def healthy(self) -> bool:
        try:
            return bool(self._call("GET", "/health") == {"status": "ok"})
        except OSError:
            return False

    def servers(self) -> list[dict[str, Any]]:
        """name, port and number of databases of each logical server."""
        answer: list[dict[str, Any]] = self._call("GET", "/servers")
        return answer

    def journal(self, after: int = 0, **filters: object) -> list[dict[str, Any]]:
        """Records above a sequence number, oldest first; filters: kind, server, database, text, limit."""
        answer: list[dict[str, Any]] = self._call("GET", "/journal", query={"after": after, **filters})["records"]
        return answer

    def last_sequence(self) -> int:
        """The newest record's sequence number: journal(after=...) of it gives only what comes later."""
        return int(self._call("GET", "/journal", query={"limit": 0})["last"])

    def running(self, **filters: object) -> list[dict[str, Any]]:
        """Batches that execute now; filters: server, database, text."""
        answer: list[dict[str, Any]] = self._call("GET", "/running", query=filters)
        return answer

    def gauges(self, **filters: object) -> dict[str, Any]:
        """total, servers, and matching: the batches that match the filters server, database, text."""
        answer: dict[str, Any] = self._call("GET", "/gauges", query=filters)
        return answer

    def reset_gauges(self) -> None:
        self._call("POST", "/gauges/reset")

    def faults(self) -> list[dict[str, Any]]:
        """Rules in force, with id and hits."""
        answer: list[dict[str, Any]] = self._call("GET", "/faults")
        return answer

    def add_fault(self, kind: str, at: str, **fields: object) -> int:
        """Put a rule in force (see faults.py for kinds, points and fields); the id removes it."""
        return int(self._call("POST", "/faults", {"kind": kind, "at": at, **fields})["id"])

    def refuse_logins(self, number: int, **fields: object) -> int:
        """Logins fail with this error number (18456, 40613, 4060 ...)."""
        return self.add_fault("error", "login", number=number, **fields)

    def throttle(self, number: int = 40501, *, at: str = "login", **fields: object) -> int:
        """40501 or 10928, at 'login' or 'before' a batch."""
        return self.add_fault("error", at, number=number, **fields)

    def pause(self, seconds: float, **fields: object) -> int:
        """Like serverless: logins fail with 40613 until ``seconds`` after the first attempt at each database."""
        return self.add_fault("pause", "login", seconds=seconds, **fields)

    def remove_fault(self, number: int) -> None:
        self._call("DELETE", f"/faults/{number}")

    def clear_faults(self) -> None:
        self._call("DELETE", "/faults")

    def create_database(self, server: str, name: str, elastic_pool: str | None = None, **fields: object) -> None:
        """fields: service_objective, state."""
        pool = {} if elastic_pool is None else {"elastic_pool": elastic_pool}
        self._call("POST", "/databases", {"server": server, "name": name, **pool, **fields})

    def set_database_state(self, server: str, name: str, state: str) -> None:
        """ONLINE, OFFLINE, PAUSED ...: logins to a database that is not ONLINE get 40613."""
        self._call("PATCH", f"/databases/{quote(server, safe='')}/{quote(name, safe='')}", {"state": state})

    def drop_database(self, server: str, name: str) -> None:
        self._call("DELETE", f"/databases/{quote(server, safe='')}/{quote(name, safe='')}")

    def create_elastic_pool(self, server: str, name: str) -> None:
        self._call("POST", "/elastic_pools", {"server": server, "name": name})

    def create_login(self, server: str, name: str, password: str) -> None:
        self._call("POST", "/logins", {"server": server, "name": name, "password": password})

    def add_token(self, token: str, principal: str, server: str | None = None) -> None:
        """Accept an access token as this principal, on one server or on all."""
        where = {} if server is None else {"server": server}
        self._call("POST", "/tokens", {"token": token, "principal": principal, **where})

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, object] | None = None,
    ) -> Any:
        if query:
            path += "?" + urlencode(query)
        connection = http.client.HTTPConnection(self._host, self._port, timeout=30)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            value = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= 400:
            raise ControlError(response.status, value["error"])
        return value


@dataclass(frozen=True)
class Emulator:
    """A running emulator. ports: by logical server name. ca: what SSL_CERT_FILE must name."""

    process: ChildProcess
    control: EmulatorClient
    host: str
    ports: Mapping[str, int]
    ca: Path


@contextlib.contextmanager
def running_emulator(config: Mapping[str, object], folder: Path | None = None) -> Iterator[Emulator]:
    """Start ``python -m local.sqlserver`` with this configuration, wait until healthy, end it afterwards.

    folder: for configuration, certificates and ready file (default: a temporary one). ProcessError when it does not
    start, with what it wrote.
    """
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sqlserver-")))
        emulator = start_emulator(config, folder)
        try:
            yield emulator
        finally:
            stop_emulator(emulator)


def start_emulator(config: Mapping[str, object], folder: Path) -> Emulator:
    """As running_emulator, for callers with a lifetime of their own; end it with stop_emulator."""
    folder.mkdir(parents=True, exist_ok=True)
    ready = Path(str(config.get("ready_file") or folder / "ready.json"))
    ready.unlink(missing_ok=True)
    full = {"certificates": str(folder / "tls"), **config, "ready_file": str(ready)}
    path = folder / "emulator.json"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # it holds passwords
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(full, file)
    process = ChildProcess.start(
        "The SQL Server emulator",
        [sys.executable, "-m", "local.sqlserver", "--config", str(path)],
        folder / "emulator.log",
        cwd=ROOT,
    )
    try:
        process.wait_until(ready.exists, START_SECONDS)
    except ProcessError:
        process.kill()
        raise
    facts = json.loads(ready.read_text(encoding="utf-8"))
    control = EmulatorClient(facts["host"], facts["control_port"])
    if not control.healthy():
        raise RuntimeError("The SQL emulator wrote its ready file, but its control API does not answer.")
    return Emulator(process, control, facts["host"], facts["ports"], Path(facts["ca"]))


def stop_emulator(emulator: Emulator) -> None:
    """SIGTERM, and SIGKILL when that does not help in time; nothing when it is dead already."""
    emulator.process.stop(STOP_SECONDS)

"""A scripted engine, so that the wire can be tested by itself, and a wire server on a thread of its own."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import re
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyodbc

from local.sqlserver.certificates import CertificateFiles, write_certificates
from local.sqlserver.contract import Column, Columns, Done, Event, Message, Parameter, Row, SqlError, SqlType
from local.sqlserver.faults import FaultBook
from local.sqlserver.journal import Journal
from local.sqlserver.server import WireServer
from local.sqlserver.tds.tls import TlsContexts

Script = Callable[["FakeSession", str, Sequence[Parameter]], Iterable[Event]]

USER, PASSWORD, TOKEN, PRINCIPAL = "sqladmin", "Pässword;}1", "eyJ0.token-of-the-agent.sig", "agent@contoso"


_CHILD_PRELUDE = "import datetime, os, pyodbc\nfrom decimal import Decimal\nfrom uuid import UUID"


def one(value: object, declared: SqlType, name: str = "v") -> list[Event]:
    """A result set of one row with one column."""
    return [Columns((Column(name, declared),)), Row((value,)), Done(1, is_select=True)]


@dataclass
class FakeSession:
    server: FakeServer
    spid: int
    database: str
    login: str
    depth: int = 0
    closed: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    running: bool = False

    def execute(self, batch: str, parameters: Sequence[Parameter] = ()) -> Iterator[Event]:
        self.server.executed.append((batch, tuple(parameters)))
        script = self.server.scripts.get(batch)
        if script is None:
            raise SqlError(208, 16, f"Invalid object name '{batch[:40]}'.")
        self.running = True
        try:
            yield from script(self, batch, parameters)
        finally:
            self.running = False
            self.stop.clear()

    def sleep(self, seconds: float) -> bool:
        """WAITFOR: True when it was cancelled."""
        return self.stop.wait(seconds)

    def cancel(self) -> None:
        if self.running:
            self.stop.set()

    def begin(self) -> None:
        self.depth += 1

    def commit(self) -> None:
        if not self.depth:
            raise SqlError(3902, 16, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        self.depth -= 1

    def rollback(self) -> None:
        if not self.depth:
            raise SqlError(3903, 16, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        self.depth = 0

    @property
    def transaction_depth(self) -> int:
        return self.depth

    def close(self) -> None:
        self.closed = True


# Classes of their own: whether a class satisfies a runtime protocol is cached per class, so a method
# that is patched in for one test would be believed, or missed, by another.
@dataclass
class ResettingSession(FakeSession):
    """An engine that resets its own sessions."""

    def reset(self) -> None:
        self.server.resets.append(self.spid)


@dataclass
class DescribingSession(FakeSession):
    """An engine that knows the types of its parameters."""

    def describe_parameters(self, statement: str, names: Sequence[str]) -> Sequence[SqlType]:
        self.server.described.append((statement, list(names)))
        return self.server.parameter_types


class FakeServer:
    """scripts: what a statement answers, by its exact text. session_type: what the engine can do besides."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.scripts: dict[str, Script] = {}
        self.executed: list[tuple[str, tuple[Parameter, ...]]] = []
        self.sessions: list[FakeSession] = []
        self.session_type: type[FakeSession] = FakeSession
        self.resets: list[int] = []
        self.parameter_types: list[SqlType] = []
        self.described: list[tuple[str, list[str]]] = []
        self._spids = itertools.count(51)
        self.on("select 1", one(1, SqlType("int")))

    def on(self, statement: str, script: Script | list[Event]) -> str:
        self.scripts[statement] = script if callable(script) else lambda *_: script
        return statement

    def describes(self, *types: SqlType) -> None:
        """From now on sessions tell these types of parameters."""
        self.session_type, self.parameter_types = DescribingSession, list(types)

    def login(self, user: str, password: str, database: str) -> FakeSession:
        if (user, password) != (USER, PASSWORD):
            raise SqlError(18456, 14, f"Login failed for user '{user}'.")
        return self._open(user, database)

    def login_with_token(self, token: str, database: str) -> FakeSession:
        if token != TOKEN:
            raise SqlError(18456, 14, "Login failed for user '<token-identified principal>'.")
        return self._open(PRINCIPAL, database)

    def _open(self, user: str, database: str) -> FakeSession:
        if database == "missing":
            raise SqlError(4060, 11, f'Cannot open database "{database}" requested by the login. The login failed.')
        session = self.session_type(self, next(self._spids), database or "master", user)
        self.sessions.append(session)
        return session


class Wire:
    """A WireServer on its own thread with two fake logical servers; connect() uses the real driver."""

    def __init__(self, driver: str, folder: Path, *, require_encryption: bool = False) -> None:
        self.driver = driver
        self.first = FakeServer("server1.database.windows.net")
        self.second = FakeServer("server2.database.windows.net")
        self.faults, self.journal = FaultBook(), Journal(folder / "journal.jsonl")
        self.files: CertificateFiles = write_certificates(
            folder, [self.first.name, self.second.name], dt.datetime.now(dt.UTC)
        )
        self._require_encryption = require_encryption
        self.ports: list[int] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        tls = TlsContexts(self.files.certificate, self.files.key)
        server = WireServer(tls, self.faults, self.journal, require_encryption=self._require_encryption)
        self.ports = [await server.listen(logical) for logical in (self.first, self.second)]
        self._ready.set()
        await self._stop.wait()
        await server.stop()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.journal.close()

    def string(self, database: str = "db1", *, port: int = 0, encrypt: str = "no", more: str = "") -> str:
        address = f"Driver={self.driver};Server=127.0.0.1,{port or self.ports[0]};Database={database};"
        return f"{address}Encrypt={encrypt};ConnectRetryCount=0;APP=wire tests;{more}"

    def connect(self, database: str = "db1", **options: object) -> pyodbc.Connection:
        """Options of string(), and user, password, autocommit, timeout."""
        user, password = options.pop("user", USER), str(options.pop("password", PASSWORD)).replace("}", "}}")
        autocommit, timeout = bool(options.pop("autocommit", True)), int(str(options.pop("timeout", 10)))
        text = self.string(database, **options) + f"UID={user};PWD={{{password}}}"  # type: ignore[arg-type]  # checked by the call
        return pyodbc.connect(text, autocommit=autocommit, timeout=timeout)

    def in_child(self, code: str, **options: object) -> subprocess.CompletedProcess[str]:
        """Run client code in a process of its own, with ``connection`` open.

        For calls in which pyodbc keeps the interpreter lock (fast_executemany's SQLDescribeParam, the end of a cursor
        that was not closed): in this process they would wait for our own server for ever.
        """
        text = self.string(**options) + f"UID={USER};PWD={{{PASSWORD.replace('}', '}}')}}}"  # type: ignore[arg-type]  # checked by the call
        full = f"{_CHILD_PRELUDE}\nconnection = pyodbc.connect({text!r}, autocommit=True, timeout=10)\n{code}"
        return subprocess.run([sys.executable, "-c", full], capture_output=True, text=True, timeout=30)

    def connect_with_token(self, token: str = TOKEN, **options: object) -> pyodbc.Connection:
        raw = token.encode("utf-16-le")
        attribute = {1256: struct.pack("<I", len(raw)) + raw}
        text = self.string(**options)  # type: ignore[arg-type]  # checked by the call
        return pyodbc.connect(text, autocommit=True, timeout=10, attrs_before=attribute)


def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for a condition; fails when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


def message(number: int, severity: int = 16, text: str = "text", state: int = 1) -> Message:
    return Message(number, severity, state, 1, text)


def number_of(error: pyodbc.Error) -> int:
    """The native error number, from the only place where pyodbc leaves it."""
    found = re.search(r"\((-?\d+)\) \(SQL\w+", str(error.args[1]))
    assert found, error.args
    return int(found[1])


def select_one(connection: pyodbc.Connection) -> object:
    return connection.execute("select 1").fetchval()


def rows(cursor: pyodbc.Cursor) -> list[tuple[object, ...]]:
    """All rows as tuples (a pyodbc.Row in a list equals no tuple)."""
    return [tuple(row) for row in cursor.fetchall()]


def drain(client: pyodbc.Connection | pyodbc.Cursor, statement: str, *parameters: object) -> None:
    """Execute and walk through every result, as a client must that wants to hear of every error."""
    cursor = client.execute(statement, *parameters)
    while True:
        if cursor.description:
            cursor.fetchall()
        if not cursor.nextset():
            return

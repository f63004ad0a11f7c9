"""A laboratory for target tests: the real driver, and the emulator (or a real SQL Server) behind it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

import pyodbc
import pytest

from elastic_jobs.domain.model import Output
from elastic_jobs.domain.outcome import AttemptResult, MessageKind, StopReason
from elastic_jobs.domain.script import split
from elastic_jobs.targets.attempt import Attempt, TargetTask
from elastic_jobs.targets.authentication import Login, PasswordLogin
from elastic_jobs.targets.connect import ConnectOptions, Connector
from elastic_jobs.targets.output import OutputTask
from local.sqlserver.client import EmulatorClient

SERVER = "server1.database.windows.net"
OTHER_SERVER = "server2.database.windows.net"
QUICK_RETRIES = (0.05, 0.1, 0.2, 0.4, 0.8)


@dataclass
class Lab:
    """One database of one server, and what is needed to run attempts on it."""

    options: ConnectOptions
    login: PasswordLogin
    database: str
    client: EmulatorClient | None
    opened: list[pyodbc.Connection] = field(default_factory=list)

    @property
    def control(self) -> EmulatorClient:
        """The emulator's control API; a test that needs it is skipped on a real server."""
        if self.client is None:
            pytest.skip("A real server cannot be told to misbehave.")
        return self.client

    def connector(self, **changes: object) -> Connector:
        return Connector(replace(self.options, **changes))  # type: ignore[arg-type]  # the caller names real fields

    def task(self, script: str, **changes: object) -> TargetTask:
        task = TargetTask(
            server_name=SERVER,
            database_name=self.database,
            login=self.login,
            batches=split(script),
            lock_resource="elastic-jobs step 1",
            internal_execution_id=uuid4(),
            timeout_seconds=30,
        )
        return replace(task, **changes)  # type: ignore[arg-type]  # the caller names real fields

    def attempt(self, script: str, *, stop_grace_seconds: float = 5.0, **changes: object) -> Attempt:
        return Attempt(
            self.connector(),
            self.task(script, **changes),
            stop_grace_seconds=stop_grace_seconds,
            lock_timeout_milliseconds=200,
        )

    def run(self, script: str, **changes: object) -> AttemptResult:
        return self.attempt(script, **changes).run()  # type: ignore[arg-type]  # the caller names real fields

    def output(self, table: str = "results", login: Login | None = None, **changes: object) -> OutputTask:
        output = Output(server_name=SERVER, database_name=self.database, table_name=table)
        return OutputTask(
            output=replace(output, **changes),  # type: ignore[arg-type]  # the caller names real fields
            login=login or self.login,
        )

    def connect(self) -> pyodbc.Connection:
        """A session of the test's own, closed after the test."""
        connection = self.connector().connect(SERVER, self.database, self.login)
        self.opened.append(connection)
        return connection

    def query(self, sql: str, *parameters: object) -> list[tuple[object, ...]]:
        connection = self.connector().connect(SERVER, self.database, self.login)
        try:
            cursor = connection.execute(sql, *parameters)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        finally:
            connection.close()

    def running(self, text: str) -> bool:
        """Whether a batch with this text executes on the server now."""
        return bool(self.control.running(text=text))


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition; fails when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


@contextmanager
def in_background(attempt: Attempt) -> Iterator[Callable[[], AttemptResult]]:
    """Run an attempt in a thread; the call in the block waits for its result."""
    results: list[AttemptResult] = []
    thread = threading.Thread(target=lambda: results.append(attempt.run()))
    thread.start()

    def result() -> AttemptResult:
        thread.join(30)
        assert results, "the attempt did not come back"
        return results[0]

    try:
        yield result
    finally:
        attempt.stop(StopReason.LEASE_LOST)
        thread.join(30)
        assert not thread.is_alive()


def said(result: AttemptResult) -> list[tuple[str, object]]:
    """Kind and content of all that was captured, without the agent's notes."""
    return [
        (message.kind.value, message.row_count if message.kind is MessageKind.ROW_COUNT else message.text)
        for message in result.messages
        if message.kind is not MessageKind.NOTE
    ]


def notes(result: AttemptResult) -> list[str]:
    return [message.text or "" for message in result.messages if message.kind is MessageKind.NOTE]


def new_id() -> UUID:
    return uuid4()

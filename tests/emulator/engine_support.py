"""Helpers of the engine tests: one server per test, and short ways to run a batch and look at what came of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from local.sqlserver.catalog import LogicalServer
from local.sqlserver.contract import Column, Columns, Done, Event, Message, Parameter, Row
from local.sqlserver.engine.session import EngineSession

ADMIN, PASSWORD = "sqladmin", "Secret-1"
NOW = datetime(2026, 3, 14, 15, 9, 26, 535000, tzinfo=UTC)
DEADLINE = 20.0


@dataclass
class Result:
    """What a batch gave: result sets, counts and messages, in order."""

    events: list[Event]
    sets: list[list[tuple[object, ...]]] = field(default_factory=list)
    headers: list[tuple[Column, ...]] = field(default_factory=list)
    counts: list[int | None] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    @property
    def errors(self) -> list[int]:
        return [message.number for message in self.messages if message.severity > 10]

    @property
    def prints(self) -> list[str]:
        return [message.text for message in self.messages if message.severity <= 10]

    @property
    def rows(self) -> list[tuple[object, ...]]:
        assert not self.errors, self.messages
        assert len(self.sets) == 1, self.events
        return self.sets[0]

    @property
    def value(self) -> object:
        assert len(self.rows) == 1, self.rows
        return self.rows[0][0]

    def declared(self) -> list[str]:
        from local.sqlserver.engine import types

        return [types.declaration(column.type) for column in self.headers[0]]


def collect(events: Iterator[Event]) -> Result:
    result = Result(list(events))
    for event in result.events:
        if isinstance(event, Columns):
            result.sets.append([])
            result.headers.append(event.columns)
        elif isinstance(event, Row):
            result.sets[-1].append(event.values)
        elif isinstance(event, Done):
            result.counts.append(event.count)
        elif isinstance(event, Message):
            result.messages.append(event)
    return result


def run(session: EngineSession, batch: str, parameters: Sequence[Parameter] = ()) -> Result:
    return collect(session.execute(batch, parameters))


def ok(session: EngineSession, batch: str, parameters: Sequence[Parameter] = ()) -> Result:
    """Run a batch that must not fail."""
    result = run(session, batch, parameters)
    assert not result.errors, result.messages
    return result


@contextmanager
def server() -> Iterator[LogicalServer]:
    emulator = LogicalServer("server1", ADMIN, PASSWORD, clock=lambda: NOW)
    emulator.create_database("db1")
    try:
        yield emulator
    finally:
        emulator.close()


def admin(emulator: LogicalServer, database: str = "db1") -> EngineSession:
    return emulator.login(ADMIN, PASSWORD, database)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail with a sentence when the deadline passes."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.002)


class Background:
    """A batch that runs in a thread of its own."""

    def __init__(self, session: EngineSession, batch: str) -> None:
        self.result: Result | None = None
        self._thread = threading.Thread(target=self._work, args=(session, batch))
        self._thread.start()

    def _work(self, session: EngineSession, batch: str) -> None:
        self.result = run(session, batch)

    def wait(self) -> Result:
        self._thread.join(DEADLINE)
        assert self.result is not None, "the batch did not end in time"
        return self.result

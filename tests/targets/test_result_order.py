"""Orders of rows, messages and errors on the wire that a server may choose; the real driver, a scripted engine.

A server sends rows as it finds them, so an error may come after the description of a result set, amid its rows, or
after later results. Going on to the next result without reading the rows would lose it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from elastic_jobs.domain.outcome import AttemptResult, MessageKind, Outcome
from elastic_jobs.domain.script import Batch
from elastic_jobs.domain.targets import ServerNames
from elastic_jobs.targets.attempt import Attempt, TargetTask
from elastic_jobs.targets.authentication import PasswordLogin
from elastic_jobs.targets.connect import ConnectOptions, Connector, find_driver
from elastic_jobs.targets.servers import TargetServers
from local.sqlserver.contract import Column, Columns, Done, Event, Message, Row, SqlType
from tests.emulator.wire_fake import PASSWORD, USER, FakeServer, FakeSession, Script, Wire
from tests.targets.lab import said

HEAD = Columns((Column("v", SqlType("int")),))
ERROR = Message(8134, 16, 1, 3, "Divide by zero error encountered.")


class _WithLocks(dict[str, Script]):
    """Grants every application lock."""

    def get(self, statement: str, default: Script | None = None) -> Script | None:  # type: ignore[override]  # as used
        if "sp_getapplock" in statement:
            return _grant
        return super().get(statement, default)


def _grant(session: FakeSession, batch: str, parameters: object) -> list[Event]:
    return [HEAD, Row((0,)), Done(1, is_select=True)]


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    server = Wire(find_driver(), tmp_path)
    server.first.scripts = _WithLocks(server.first.scripts)
    yield server
    server.close()


def run(wire: Wire, events: list[Event]) -> AttemptResult:
    server: FakeServer = wire.first
    server.on("the script", events)
    servers = TargetServers(ServerNames(".x.y"), ["s"], {"s": f"127.0.0.1,{wire.ports[0]}"})
    task = TargetTask(
        server_name="s",
        database_name="db1",
        login=PasswordLogin(USER, PASSWORD),
        batches=(Batch(text="the script", line=10),),
        lock_resource="step",
        internal_execution_id=uuid4(),
        timeout_seconds=30,
    )
    return Attempt(Connector(ConnectOptions(servers=servers, trust_certificates=True)), task).run()


def rows(count: int) -> list[Event]:
    return [HEAD, *(Row((index,)) for index in range(count))]


@pytest.mark.parametrize(
    "events",
    [
        [HEAD, ERROR, Done()],
        [*rows(2), ERROR, Done(2)],
        [*rows(2), ERROR, Done(2), Done(7)],
        [*rows(1700), ERROR, Done(1700), *rows(1), Done(1, is_select=True)],
        [Done(1), *rows(3), Done(3, is_select=True), *rows(2), ERROR, Done(2)],
        [Done(1), ERROR, Done(5), *rows(2), Done(2, is_select=True)],
        [Message(0, 0, 1, 1, "hello"), *rows(1), Done(1, is_select=True), Message(0, 0, 1, 1, "bye"), ERROR, Done()],
    ],
)
def test_an_error_is_found_wherever_it_comes(wire: Wire, events: list[Event]) -> None:
    result = run(wire, events)
    assert (result.outcome, result.error_number) == (Outcome.FAILED, 8134)
    errors = [m.text for m in result.messages if m.kind is MessageKind.ERROR]
    assert errors == ["Msg 8134, Level 16, State 1, Line 12: Divide by zero error encountered."]


def test_what_follows_an_error_is_still_heard(wire: Wire) -> None:
    second = Message(2627, 14, 1, 4, "Violation of a key.")
    after = Message(0, 0, 1, 5, "after")
    result = run(
        wire, [Done(1), *rows(2), ERROR, Done(2), Done(4), second, Done(), after, *rows(3), Done(3, is_select=True)]
    )
    assert result.message == "Command failed: Divide by zero error encountered. (Msg 8134)"
    assert said(result) == [
        ("rowcount", 1),
        ("error", "Msg 8134, Level 16, State 1, Line 12: Divide by zero error encountered."),
        ("rowcount", 4),
        ("error", "Msg 2627, Level 14, State 1, Line 13: Violation of a key."),
        ("message", "after"),
        ("rowcount", 3),
    ]


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1000, 1234])
def test_rows_are_counted_to_the_end(wire: Wire, count: int) -> None:
    result = run(wire, [*rows(count), Done(count, is_select=True), *rows(2), Done(2, is_select=True)])
    assert said(result) == [("rowcount", count), ("rowcount", 2)]

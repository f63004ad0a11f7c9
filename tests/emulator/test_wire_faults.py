"""Faults as the real driver meets them, and the rules by themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pyodbc
import pytest

from local.sqlserver.contract import Done, Event, SqlType
from local.sqlserver.faults import Fault, FaultBook, FaultError
from tests.emulator.wire_fake import FakeSession, Wire, drain, message, number_of, one, select_one, until

INT = SqlType("int")


def batches(wire: Wire) -> list[str]:
    until(lambda: not wire.journal.running())
    return [record.outcome for record in wire.journal.query() if record.kind == "batch"]


@pytest.mark.parametrize(
    ("number", "state"), [(18456, "28000"), (40613, "HY000"), (4060, "42000"), (40501, "HY000"), (10928, "HY000")]
)
def test_a_login_is_refused_as_often_as_asked(wire: Wire, number: int, state: str) -> None:
    wire.faults.add(Fault("error", "login", number=number, count=2))
    for _ in range(2):
        with pytest.raises(pyodbc.Error) as caught:
            wire.connect()
        assert (number_of(caught.value), caught.value.args[0]) == (number, state)
    assert select_one(wire.connect()) == 1
    assert [r.error_number for r in wire.journal.query() if r.kind == "login"] == [number, number, None]


def test_a_rule_is_for_one_server_database_and_login(wire: Wire) -> None:
    wire.faults.add(Fault("error", "login", server="SERVER1.*", database="db[12]", login="sqladmin", number=40613))
    for database in ("db1", "DB2"):
        with pytest.raises(pyodbc.Error, match="40613"):
            wire.connect(database)
    wire.connect("db3").close()
    wire.connect("db1", port=wire.ports[1]).close()


def test_text_severity_and_state_may_be_given(wire: Wire) -> None:
    wire.faults.add(Fault("error", "login", number=40613, severity=16, message="gone fishing"))
    with pytest.raises(pyodbc.ProgrammingError, match="gone fishing"):
        wire.connect()


def test_a_paused_database_resumes_some_seconds_after_the_first_attempt(wire: Wire) -> None:
    wire.faults.add(Fault("pause", "login", database="db1", seconds=0.6))
    started = time.monotonic()
    with pytest.raises(pyodbc.Error, match="40613"):
        wire.connect()
    wire.connect("db2").close()

    def resumed() -> bool:
        try:
            wire.connect().close()
        except pyodbc.Error as error:
            return number_of(error) != 40613
        return True

    until(resumed)
    assert time.monotonic() - started >= 0.6


@pytest.mark.parametrize("number", [40501, 10928])
def test_throttling_at_a_batch_ends_the_connection(wire: Wire, number: int) -> None:
    wire.faults.add(Fault("error", "before", number=number, count=1))
    connection = wire.connect()
    with pytest.raises(pyodbc.Error) as caught:
        select_one(connection)
    assert number_of(caught.value) == number
    assert not wire.first.executed
    with pytest.raises(pyodbc.OperationalError):
        select_one(connection)
    assert select_one(wire.connect()) == 1


def test_an_error_instead_of_a_statement_found_by_its_text(wire: Wire) -> None:
    wire.first.on("update x", [Done(1)])
    wire.faults.add(Fault("error", "before", text="pdate", number=1205, skip=1, count=1))
    connection = wire.connect()
    assert connection.execute("update x").rowcount == 1
    assert select_one(connection) == 1
    with pytest.raises(pyodbc.Error) as caught:
        connection.execute("update x")
    assert caught.value.args[0] == "40001"
    assert connection.execute("update x").rowcount == 1
    assert batches(wire) == ["ok", "ok", "error", "ok"]


def test_an_error_after_the_statement_was_executed(wire: Wire) -> None:
    wire.first.on("q", [Done(1)])
    wire.faults.add(Fault("error", "after", number=40197, count=1))
    with pytest.raises(pyodbc.ProgrammingError, match="40197"):
        drain(wire.connect(), "q")
    assert [text for text, _ in wire.first.executed] == ["q"]


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize(("at", "executed"), [("before", 0), ("during", 1), ("after", 1)])
def test_the_connection_drops_around_a_statement(wire: Wire, at: str, executed: int, reset: bool) -> None:
    finished: list[bool] = []

    def script(*_: object) -> Iterator[Event]:
        yield from one(1, INT)
        yield Done(1)
        finished.append(True)

    wire.first.on("q", script)
    wire.faults.add(Fault("drop", at, count=1, reset=reset))
    connection = wire.connect()
    with pytest.raises(pyodbc.OperationalError) as caught:
        drain(connection, "q")
    assert caught.value.args[0] == "08S01"
    assert batches(wire) == ["dropped"]
    assert len(wire.first.executed) == executed
    assert finished == ([True] if at == "after" else [])
    until(lambda: wire.first.sessions[0].closed)
    assert select_one(wire.connect()) == 1


def test_the_connection_drops_in_the_middle_of_a_silent_statement(wire: Wire) -> None:
    def waitfor(session: FakeSession, *_: object) -> Iterator[Event]:
        session.sleep(30)
        yield Done(1)

    wire.first.on("q", waitfor)
    wire.faults.add(Fault("drop", "during", seconds=0.2))
    with pytest.raises(pyodbc.OperationalError) as caught:
        wire.connect().execute("q")
    assert caught.value.args[0] == "08S01"
    assert batches(wire) == ["dropped"]


def test_a_drop_after_some_seconds_spares_a_statement_that_is_faster(wire: Wire) -> None:
    wire.faults.add(Fault("drop", "during", seconds=0.1, count=1))
    connection = wire.connect()
    assert select_one(connection) == 1
    time.sleep(0.2)  # longer than the fault's delay
    assert select_one(connection) == 1


@pytest.mark.parametrize("at", ["connect", "login"])
def test_the_connection_drops_at_login(wire: Wire, at: str) -> None:
    wire.faults.add(Fault("drop", at, count=1))
    with pytest.raises(pyodbc.OperationalError) as caught:
        wire.connect()
    assert caught.value.args[0] in ("08001", "08S01")
    wire.connect().close()


@pytest.mark.parametrize("at", ["connect", "login", "before", "after"])
def test_a_slow_answer(wire: Wire, at: str) -> None:
    wire.faults.add(Fault("slow", at, seconds=0.5, count=1))
    started = time.monotonic()
    connection = wire.connect()
    assert (time.monotonic() - started >= 0.5) == (at in ("connect", "login"))
    assert select_one(connection) == 1
    assert time.monotonic() - started >= 0.5


def test_a_slow_answer_can_be_cancelled(wire: Wire) -> None:
    wire.faults.add(Fault("slow", "before", seconds=30, count=1))
    connection = wire.connect()
    connection.timeout = 1
    with pytest.raises(pyodbc.OperationalError) as caught:
        select_one(connection)
    assert caught.value.args[0] == "HYT00"
    assert select_one(connection) == 1
    assert batches(wire) == ["cancelled", "ok"]


@pytest.mark.parametrize("at", ["connect", "login"])
def test_a_stalled_login_times_out(wire: Wire, at: str) -> None:
    wire.faults.add(Fault("stall", at, count=1))
    with pytest.raises(pyodbc.OperationalError) as caught:
        wire.connect(timeout=1)
    assert caught.value.args[0] == "HYT00"
    assert not wire.first.sessions


@pytest.mark.parametrize(("at", "executed"), [("before", 0), ("after", 1)])
def test_a_stalled_statement_answers_not_even_a_cancel(wire: Wire, at: str, executed: int) -> None:
    wire.faults.add(Fault("stall", at, count=1))
    connection = wire.connect()
    connection.timeout = 1
    started = time.monotonic()
    with pytest.raises(pyodbc.OperationalError) as caught:
        select_one(connection)
    assert caught.value.args[0] == "HYT00"
    assert time.monotonic() - started > 2  # the driver gives up waiting for the acknowledgement after 2 s
    with pytest.raises(pyodbc.OperationalError):
        select_one(connection)
    assert len(wire.first.executed) == executed
    connection.close()
    assert batches(wire) == ["dropped"]


def test_faults_strike_parameterised_statements_too(wire: Wire) -> None:
    wire.first.on("update t @P1", [message(0, 0, "ran"), Done(1)])
    wire.faults.add(Fault("drop", "after", text="update t", count=1))
    with pytest.raises(pyodbc.OperationalError):
        wire.connect().execute("update t ?", 1)
    assert len(wire.first.executed) == 1
    assert wire.connect().execute("update t ?", 1).rowcount == 1


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kind": "explode", "at": "login"}, "no fault kind 'explode'"),
        ({"kind": "pause", "at": "before", "seconds": 1}, "strikes at login, not 'before'"),
        ({"kind": "error", "at": "login", "number": 1, "text": "x"}, "no statement yet"),
        ({"kind": "error", "at": "login"}, "needs an error number"),
        ({"kind": "slow", "at": "login"}, "needs seconds"),
        ({"kind": "drop", "at": "login", "colour": "red"}, "no field 'colour'"),
        ({"at": "login"}, "cannot be read"),
        ({"kind": "drop", "at": "login", "count": "2"}, "'count' must be"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(FaultError, match=sentence):
        Fault.from_json(fields)


def test_counts_hold_when_many_threads_strike() -> None:
    book = FaultBook()
    number = book.add(Fault("drop", "login", count=50))
    struck: list[int] = []
    threads = [
        threading.Thread(target=lambda: struck.extend(len(book.strike(("login",), "s")) for _ in range(20)))
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(struck) == 50
    assert book.as_json()[0]["hits"] == 50
    assert book.remove(number)
    assert not book.remove(number)

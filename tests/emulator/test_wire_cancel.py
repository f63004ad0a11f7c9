"""ATTENTION: cancel from another thread, timeouts, closing while a batch runs, clients that vanish."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pyodbc
import pytest

from local.sqlserver.contract import Column, Columns, Done, Event, Row, SqlType
from tests.emulator.wire_fake import FakeSession, Wire, message, one, rows, select_one, until

INT = SqlType("int")


def waitfor(session: FakeSession, *_: object) -> Iterator[Event]:
    yield message(0, 0, "before")
    if session.sleep(30):
        return
    yield from one(1, INT)


def silent(session: FakeSession, *_: object) -> Iterator[Event]:
    if not session.sleep(30):
        yield from one(1, INT)


def endless(*_: object) -> Iterator[Event]:
    """Rows without end: stopped by the wire, without help from the engine."""
    yield Columns((Column("v", SqlType("nvarchar", length=100)),))
    while True:
        yield Row(("x" * 100,))


def last_batch(wire: Wire) -> str:
    until(lambda: not wire.journal.running() and [r for r in wire.journal.query() if r.kind == "batch"])
    return [r for r in wire.journal.query() if r.kind == "batch"][-1].outcome


@pytest.mark.parametrize("script", [waitfor, silent])
@pytest.mark.parametrize("parameters", [(), (1,)], ids=["batch", "rpc"])
def test_cancel_from_another_thread_is_hy008(wire: Wire, script: object, parameters: tuple[int, ...]) -> None:
    wire.first.on("q" + " @P1" * len(parameters), script)  # type: ignore[arg-type]  # a Script
    connection = wire.connect()
    cursor = connection.cursor()

    def cancel_when_running() -> None:
        until(lambda: wire.first.sessions[0].running)
        cursor.cancel()

    thread = threading.Thread(target=cancel_when_running)
    thread.start()
    with pytest.raises(pyodbc.Error) as caught:
        cursor.execute("q" + " ?" * len(parameters), *parameters)
    thread.join()
    assert caught.value.args[0] == "HY008"
    assert last_batch(wire) == "cancelled"
    assert select_one(connection) == 1


def test_cancel_while_the_second_result_is_awaited(wire: Wire) -> None:
    def script(session: FakeSession, *_: object) -> Iterator[Event]:
        yield from one(1, INT)
        session.sleep(30)
        yield Done(3)

    wire.first.on("q", script)
    connection = wire.connect()
    cursor = connection.execute("q")
    assert rows(cursor) == [(1,)]
    # The driver tells nobody that it waits, so the cancel comes a moment later.
    timer = threading.Timer(0.3, cursor.cancel)
    timer.start()
    with pytest.raises(pyodbc.Error) as caught:
        cursor.nextset()
    timer.join()
    assert caught.value.args[0] == "HY008"
    assert last_batch(wire) == "cancelled"
    assert select_one(connection) == 1


def test_cancel_while_rows_stream(wire: Wire) -> None:
    wire.first.on("q", endless)
    connection = wire.connect()
    cursor = connection.execute("q")
    assert cursor.fetchone()
    cursor.cancel()
    assert last_batch(wire) == "cancelled"
    assert select_one(connection) == 1


def test_a_timeout_is_hyt00_and_the_connection_stays_usable(wire: Wire) -> None:
    wire.first.on("q", silent)
    connection = wire.connect()
    connection.timeout = 1
    with pytest.raises(pyodbc.OperationalError) as caught:
        connection.execute("q")
    assert caught.value.args[0] == "HYT00"
    assert last_batch(wire) == "cancelled"
    assert select_one(connection) == 1


def test_a_timeout_of_a_parameterised_batch(wire: Wire) -> None:
    wire.first.on("q @P1", silent)
    connection = wire.connect()
    connection.timeout = 1
    with pytest.raises(pyodbc.OperationalError) as caught:
        connection.execute("q ?", 1)
    assert caught.value.args[0] == "HYT00"
    assert select_one(connection) == 1


def test_an_engine_that_starts_late_is_cancelled_all_the_same(wire: Wire) -> None:
    """The first cancel() finds nothing to stop; it is repeated until the batch ends."""
    may_start = threading.Event()

    def late(session: FakeSession, *_: object) -> Iterator[Event]:
        session.running = False
        may_start.wait(10)
        session.running = True
        session.sleep(30)
        yield Done()

    wire.first.on("q", late)
    connection = wire.connect()
    connection.timeout = 1
    threading.Timer(1.3, may_start.set).start()
    with pytest.raises(pyodbc.OperationalError) as caught:
        connection.execute("q")
    assert caught.value.args[0] == "HYT00"
    assert select_one(connection) == 1


@pytest.mark.parametrize("end", ["cursor", "commit", "rollback"])
def test_closing_or_committing_while_a_batch_runs_cancels_the_rest(wire: Wire, end: str) -> None:
    def script(session: FakeSession, *_: object) -> Iterator[Event]:
        yield from one(1, INT)
        yield from waitfor(session)

    wire.first.on("q", script)
    connection = wire.connect(autocommit=False)
    cursor = connection.execute("q")
    assert rows(cursor) == [(1,)]
    {"cursor": cursor.close, "commit": connection.commit, "rollback": connection.rollback}[end]()
    assert last_batch(wire) == "cancelled"
    assert select_one(connection) == 1


def test_closing_the_connection_ends_its_batch_and_its_session(wire: Wire) -> None:
    def script(session: FakeSession, *_: object) -> Iterator[Event]:
        yield from one(1, INT)
        yield from waitfor(session)

    wire.first.on("q", script)
    connection = wire.connect()
    connection.execute("q")
    connection.close()
    until(lambda: wire.first.sessions[0].closed)
    assert not wire.journal.running()


@pytest.mark.parametrize("script", [endless, waitfor])
def test_a_client_that_vanishes_ends_its_batch_and_its_session(wire: Wire, script: object) -> None:
    """The process dies while its batch streams rows, or waits in silence."""

    def first_a_row(session: FakeSession, *_: object) -> Iterator[Event]:
        yield from one(1, INT)
        yield from script(session)  # type: ignore[operator]  # a Script

    wire.first.on("q", first_a_row)
    child = wire.in_child("cursor = connection.execute('q')\nos._exit(7)")
    assert child.returncode == 7, child.stderr
    until(lambda: wire.first.sessions[0].closed)
    assert last_batch(wire) == "dropped"
    until(lambda: wire.journal.query()[-1].kind == "logout")


def test_cancel_when_nothing_runs_is_harmless(wire: Wire) -> None:
    connection = wire.connect()
    cursor = connection.cursor()
    cursor.cancel()
    assert cursor.execute("select 1").fetchval() == 1
    cursor.cancel()
    assert select_one(connection) == 1


def test_many_cancels_in_a_row(wire: Wire) -> None:
    """Cancels that race with the end of a batch: each batch either answers or says HY008, never hangs."""

    def short(session: FakeSession, *_: object) -> Iterator[Event]:
        session.sleep(0.005)
        yield from one(1, INT)

    wire.first.on("q", short)
    connection = wire.connect()
    outcomes: set[object] = set()
    for number in range(60):
        cursor = connection.cursor()
        timer = threading.Timer(0.002 + number % 10 * 0.001, cursor.cancel)
        timer.start()
        try:
            outcomes.add(cursor.execute("q").fetchval())
        except pyodbc.Error as error:
            outcomes.add(error.args[0])
        timer.join()
    # Beside a row and HY008: the cancel came between two calls of the driver, and took the result away from the second.
    assert outcomes <= {1, None, "HY008", "HY007", "HY010", "24000", "07005"}
    assert select_one(connection) == 1

"""Results, messages and errors as pyodbc shows them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pyodbc
import pytest

from local.sqlserver.contract import Column, Columns, DatabaseChanged, Done, Event, Row, SqlType
from tests.emulator.wire_fake import FakeSession, Wire, message, number_of, one, rows, select_one, until

INT, TEXT = SqlType("int"), SqlType("nvarchar", length=100)

PROG, INTG, DATA, OPER, BASE = (
    pyodbc.ProgrammingError, pyodbc.IntegrityError, pyodbc.DataError, pyodbc.OperationalError, pyodbc.Error
)  # fmt: skip
CLASSES: list[tuple[int, int, str, type[pyodbc.Error]]] = [
    *((n, 16, "42000", PROG) for n in (102, 105, 156, 201, 229, 262, 1222, 2628, 2812, 3609, 3960, 4060, 8179, 10929,
                                    40143, 40532, 40544, 40549, 40615, 49918, 49920, 50000, 51000)),
    (40197, 17, "42000", PROG), (40613, 17, "42000", PROG), (207, 16, "42S22", PROG), (208, 16, "42S02", PROG),
    (3701, 11, "42S02", PROG), (2714, 16, "42S01", PROG), (266, 16, "25000", PROG), (3902, 16, "25000", PROG),
    (3903, 16, "25000", PROG), (515, 16, "23000", INTG), (547, 16, "23000", INTG),
    (2601, 14, "23000", INTG),
    (2627, 14, "23000", INTG),
    (245, 16, "22018", DATA), (8134, 16, "22012", DATA), (8152, 16, "22001", DATA), (8115, 16, "22003", DATA),
    (911, 16, "08004", OPER), (1205, 13, "40001", BASE), (10928, 20, "HY000", BASE), (40501, 20, "HY000", BASE),
]  # fmt: skip


@pytest.mark.parametrize(("number", "severity", "state", "kind"), CLASSES)
def test_an_error_has_the_sqlstate_and_class_of_the_real_server(
    wire: Wire, number: int, severity: int, state: str, kind: type[pyodbc.Error]
) -> None:
    wire.first.on("q", [message(number, severity, "the text"), Done()])
    with pytest.raises(pyodbc.Error) as caught:
        wire.connect().execute("q")
    assert (caught.value.args[0], type(caught.value), number_of(caught.value)) == (state, kind, number)
    assert "[SQL Server]the text" in caught.value.args[1]
    (batch,) = [r for r in wire.journal.query() if r.kind == "batch"]
    assert (batch.outcome, batch.error_number) == ("error", number)


def test_an_error_raised_by_the_engine_is_the_same_as_one_in_the_stream(wire: Wire) -> None:
    connection = wire.connect()
    with pytest.raises(pyodbc.ProgrammingError) as caught:
        connection.execute("select * from nowhere")
    assert number_of(caught.value) == 208
    assert connection.execute("select 1").fetchval() == 1


def test_a_crash_of_the_engine_is_told_and_survived(wire: Wire) -> None:
    def crash(*_: object) -> Iterator[Event]:
        yield from one(1, INT)
        raise ZeroDivisionError("engine bug")

    wire.first.on("q", crash)
    connection = wire.connect()
    cursor = connection.execute("q")
    assert cursor.fetchval() == 1
    with pytest.raises(pyodbc.ProgrammingError, match="engine bug"):
        cursor.nextset()
    assert connection.execute("select 1").fetchval() == 1


def test_an_error_of_severity_20_ends_the_connection(wire: Wire) -> None:
    wire.first.on("q", [message(40501, 20, "busy"), Done()])
    connection = wire.connect()
    with pytest.raises(pyodbc.Error, match="40501"):
        connection.execute("q")
    with pytest.raises(pyodbc.OperationalError) as caught:
        connection.execute("select 1")
    assert caught.value.args[0] == "08S01"
    until(lambda: wire.first.sessions[0].closed)


def test_a_batch_goes_on_after_an_error(wire: Wire) -> None:
    """pyodbc itself drops what follows an error; the statements after it run all the same, as on the server."""
    went_on = threading.Event()

    def script(*_: object) -> Iterator[Event]:
        yield from (*one(1, INT), message(547, 16, "conflict"), Done(), Done(3))
        went_on.set()

    wire.first.on("q", script)
    connection = wire.connect()
    cursor = connection.execute("q")
    assert rows(cursor) == [(1,)]
    with pytest.raises(pyodbc.IntegrityError):
        cursor.nextset()
    assert went_on.wait(5)
    assert not cursor.nextset()
    assert select_one(connection) == 1


def test_an_error_without_its_own_done_before_a_result_set(wire: Wire) -> None:
    wire.first.on("q", [message(547, 16, "conflict"), *one(2, INT)])
    connection = wire.connect()
    with pytest.raises(pyodbc.IntegrityError):
        connection.execute("q")
    assert select_one(connection) == 1


@pytest.mark.parametrize("done", [[Done()], []], ids=["with DONE", "without DONE"])
def test_an_error_between_rows_surfaces_at_fetch(wire: Wire, done: list[Event]) -> None:
    columns = Columns((Column("v", INT),))
    wire.first.on("q", [columns, Row((1,)), Row((2,)), message(8134, 16, "Divide by zero"), *done])
    cursor = wire.connect().execute("q")
    assert tuple(cursor.fetchone() or ()) == (1,)
    with pytest.raises(pyodbc.DataError):
        cursor.fetchall()


def test_row_counts(wire: Wire) -> None:
    wire.first.on("dml", [Done(7)])
    wire.first.on("nocount", [Done()])
    wire.first.on("none", [])
    wire.first.on("many", [Done(1), Done(2), *one(5, INT), Done(3)])
    connection = wire.connect()
    assert connection.execute("dml").rowcount == 7
    assert connection.execute("nocount").rowcount == -1
    assert connection.execute("none").rowcount == -1
    cursor = connection.execute("many")
    seen: list[object] = []
    while True:
        seen.append(rows(cursor) if cursor.description else cursor.rowcount)
        if not cursor.nextset():
            break
    assert seen == [1, 2, [(5,)], 3]


def test_print_and_low_severity_messages(wire: Wire) -> None:
    wire.first.on(
        "q", [message(0, 0, "hello"), message(50000, 10, "warn 中文"), Done(4), message(0, 0, "later"), Done()]
    )
    cursor = wire.connect().execute("q")
    collected = list(cursor.messages or [])
    while cursor.nextset():
        collected += cursor.messages or []
    prefix = "[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]"
    assert collected == [
        ("[01000] (0)", prefix + "hello"),
        ("[01000] (50000)", prefix + "warn 中文"),
        ("[01000] (0)", prefix + "later"),
    ]


def test_use_changes_the_database(wire: Wire) -> None:
    def use(session: FakeSession, *_: object) -> list[Event]:
        session.database = "db2"
        return [DatabaseChanged("db2"), Done()]

    wire.first.on("use db2", use)
    connection = wire.connect()
    connection.execute("use db2")
    assert connection.getinfo(pyodbc.SQL_DATABASE_NAME) == "db2"
    connection.execute("select 1")
    assert [r.database for r in wire.journal.query() if r.kind == "batch"] == ["db1", "db2"]


def test_results_stream_while_the_batch_still_runs(wire: Wire) -> None:
    """A PRINT, a row count and rows arrive before a WAITFOR that follows them ends."""
    release = threading.Event()

    def slow(session: FakeSession, *_: object) -> Iterator[Event]:
        yield from one(1, INT)
        release.wait(20)
        yield message(0, 0, "after")
        yield Done(5)

    wire.first.on("q", slow)
    cursor = wire.connect().execute("q")
    assert rows(cursor) == [(1,)]
    assert not release.is_set()
    release.set()
    assert cursor.nextset()
    assert cursor.rowcount == 5
    assert not cursor.nextset()


@pytest.mark.parametrize("count", [1_000, 50_000])
def test_many_rows(wire: Wire, count: int) -> None:
    columns = Columns((Column("id", INT), Column("name", TEXT), Column("more", SqlType("nvarchar", length=-1))))

    def script(*_: object) -> Iterator[Event]:
        yield columns
        for number in range(count):
            yield Row((number, f"name {number}", None if number % 3 else "x" * 30))
        yield Done(count, is_select=True)

    wire.first.on("q", script)
    got = wire.connect().execute("q").fetchall()
    assert len(got) == count
    assert tuple(got[-1]) == (count - 1, f"name {count - 1}", None if (count - 1) % 3 else "x" * 30)


def test_a_slow_reader_holds_the_batch_back(wire: Wire) -> None:
    """Back-pressure: the engine must not run far ahead of a client that does not read."""
    produced = 0

    def script(*_: object) -> Iterator[Event]:
        nonlocal produced
        yield Columns((Column("v", SqlType("varchar", length=-1)),))
        for _row in range(1_000):
            produced += 1
            yield Row(("x" * 100_000,))
        yield Done(1_000, is_select=True)

    wire.first.on("q", script)
    cursor = wire.connect().execute("q")
    seen = -1
    while produced != seen:  # until it stands still
        seen = produced
        time.sleep(0.2)
    assert produced < 500
    assert sum(1 for _ in cursor) == 1_000


def test_a_batch_of_50_kilobytes(wire: Wire) -> None:
    text = "select 1 /* " + "grün 中文 " * 5_000 + "*/"
    wire.first.on(text, one(1, INT))
    assert wire.connect().execute(text).fetchval() == 1
    assert wire.first.executed[-1][0] == text


def test_a_wide_result_of_many_columns(wire: Wire) -> None:
    columns = Columns(tuple(Column(f"column_{number}", TEXT) for number in range(1_024)))
    wire.first.on("q", [columns, Row(tuple(f"v{n}" for n in range(1_024))), Done(1, is_select=True)])
    row = wire.connect().execute("q").fetchone()
    assert row is not None
    assert row[1_023] == "v1023"

"""Parameters as the driver sends them: sp_prepexec, sp_prepare and sp_execute, executemany, procedures."""

from __future__ import annotations

import datetime as dt
import subprocess
import uuid
from collections.abc import Sequence
from decimal import Decimal

import pyodbc
import pytest

from local.sqlserver.contract import Column, Columns, Done, Event, Parameter, Row, SqlType
from tests.emulator.wire_fake import FakeServer, FakeSession, Wire, message, number_of, one, rows, select_one

TEXT = SqlType("nvarchar", length=-1)
STATEMENT = "insert into t values (@P1)"
GUID = uuid.UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")
NOON = dt.datetime(2024, 2, 29, 12, 34, 56, 789123, tzinfo=None)  # noqa: DTZ001 - datetime2 has no time zone


def echo(session: FakeSession, text: str, parameters: Sequence[Parameter]) -> list[Event]:
    """Every parameter as one column: its name, type and value."""
    columns = Columns(tuple(Column(parameter.name, TEXT) for parameter in parameters))
    shown = tuple(f"{p.type.name}({p.type.length or p.type.precision},{p.type.scale})={p.value!r}" for p in parameters)
    return [columns, Row(shown), Done(1, is_select=True)]


def received(server: FakeServer) -> list[tuple[object, ...]]:
    """The parameter values of each execution of STATEMENT."""
    return [tuple(p.value for p in parameters) for text, parameters in server.executed if text == STATEMENT]


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        (7, "int(0,0)"), (-(2**40), "bigint(0,0)"), (1.5, "float(53,0)"), (True, "bit(0,0)"),
        (Decimal("-12345.678"), "numeric(8,3)"), (Decimal("9" * 38), "numeric(38,0)"), (b"\0\1", "varbinary(2,0)"),
        (NOON, "datetime2(0,7)"), (dt.date(2024, 2, 29), "date(0,0)"), (GUID, "uniqueidentifier(0,0)"),
        ("grün 中文 😀", "nvarchar"), ("x" * 4000, "nvarchar"), ("y" * 100_000, "nvarchar(-1,0)"),
        (b"z" * 100_000, "varbinary(-1,0)"), ("", "nvarchar"), (b"", "varbinary"),
    ],
    ids=lambda item: str(item)[:20],
)  # fmt: skip
def test_a_value_arrives_with_its_type(wire: Wire, value: object, declared: str) -> None:
    wire.first.on("select @P1", echo)
    cursor = wire.connect().execute("select ?", value)
    assert cursor.description is not None
    assert cursor.description[0][0] == "@P1"
    shown = cursor.fetchval()
    assert shown.startswith(declared)
    assert shown.endswith(f"={value!r}")


def test_a_time_loses_its_fraction_in_the_driver(wire: Wire) -> None:
    wire.first.on("select @P1", echo)
    shown = wire.connect().execute("select ?", dt.time(1, 2, 3, 456789)).fetchval()
    assert shown == "time(0,0)=datetime.time(1, 2, 3)"


def test_several_parameters_keep_their_order_and_names(wire: Wire) -> None:
    wire.first.on("select @P1,@P2,@P3,@P4", echo)
    cursor = wire.connect().execute("select ?,?,?,?", 1, "b", None, Decimal("1.50"))
    assert cursor.description is not None
    assert [c[0] for c in cursor.description] == ["@P1", "@P2", "@P3", "@P4"]
    row = cursor.fetchone()
    assert row is not None
    assert [value.split("=")[1] for value in row] == ["1", "'b'", "None", "Decimal('1.50')"]


def test_null_is_described_first_and_arrives_as_null(wire: Wire) -> None:
    wire.first.on(STATEMENT, [Done(1)])
    connection = wire.connect()
    assert connection.execute("insert into t values (?)", None).rowcount == 1
    assert received(wire.first) == [(None,)]
    assert wire.first.executed[0][1][0].type.name == "nvarchar"


def test_an_engine_may_tell_the_types_of_parameters(wire: Wire) -> None:
    wire.first.describes(SqlType("varbinary", length=16))
    wire.first.on(STATEMENT, [Done(1)])
    wire.connect().execute("insert into t values (?)", None)
    assert wire.first.described == [(STATEMENT, ["@P1"])]
    assert wire.first.executed[0][1][0].type.name == "varbinary"


def test_the_same_statement_again_and_again_on_one_cursor(wire: Wire) -> None:
    wire.first.on(STATEMENT, [Done(1)])
    connection = wire.connect()
    cursor = connection.cursor()
    for number in range(5):
        assert cursor.execute("insert into t values (?)", number).rowcount == 1
    cursor.close()
    assert received(wire.first) == [(0,), (1,), (2,), (3,), (4,)]
    assert select_one(connection) == 1


def test_executemany_row_by_row(wire: Wire) -> None:
    wire.first.on(STATEMENT, [Done(1)])
    wire.connect().cursor().executemany("insert into t values (?)", [(1,), (None,), ("x",)])
    assert received(wire.first) == [(1,), (None,), ("x",)]


def fast_executemany(wire: Wire, values: list[object]) -> subprocess.CompletedProcess[str]:
    """One message with one sp_execute per row; afterwards the connection must still answer."""
    return wire.in_child(
        f"""
cursor = connection.cursor()
cursor.fast_executemany = True
try:
    cursor.executemany("insert into t values (?)", [(value,) for value in {values!r}])
finally:
    assert connection.execute("select 1").fetchval() == 1
"""
    )


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        (SqlType("int"), [1, None, 3]), (SqlType("nvarchar", length=50), ["a", "中", None]),
        (SqlType("decimal", precision=9, scale=2), [Decimal("1.50"), None, Decimal("-2.25")]),
        (SqlType("datetime2", scale=7), [NOON, None]), (SqlType("bigint"), list(range(1_000))),
        (SqlType("bit"), [True, False]), (SqlType("varbinary", length=10), [b"\1", b"\2\3"]),
        (SqlType("date"), [dt.date(2024, 2, 29), None]), (SqlType("float"), [0.5, None]),
        (SqlType("uniqueidentifier"), [GUID, None]), (SqlType("nvarchar", length=-1), ["q" * 5_000, None]),
    ],
    ids=lambda item: str(item)[:30],
)  # fmt: skip
def test_fast_executemany(wire: Wire, declared: SqlType, values: list[object]) -> None:
    """Rows arrive typed as sp_describe_undeclared_parameters said."""
    wire.first.describes(declared)
    wire.first.on(STATEMENT, [Done(1)])
    child = fast_executemany(wire, values)
    assert child.returncode == 0, child.stderr
    assert received(wire.first) == [(value,) for value in values]
    assert wire.first.executed[0][1][0].type.name in (declared.name, "numeric")


def test_fast_executemany_without_type_information(wire: Wire) -> None:
    wire.first.on(STATEMENT, [Done(1)])
    child = fast_executemany(wire, ["a", "中文", None])
    assert child.returncode == 0, child.stderr
    assert received(wire.first) == [("a",), ("中文",), (None,)]


def test_fast_executemany_stops_at_an_error(wire: Wire) -> None:
    def script(_: FakeSession, _text: str, parameters: Sequence[Parameter]) -> list[Event]:
        return [message(2627, 14, "duplicate"), Done()] if parameters[0].value == "b" else [Done(1)]

    wire.first.on(STATEMENT, script)
    child = fast_executemany(wire, ["a", "b", "c"])
    assert child.returncode == 1
    assert "pyodbc.IntegrityError" in child.stderr


def test_a_procedure_call_becomes_exec(wire: Wire) -> None:
    wire.first.on("EXEC dbo.p @P1, @P2", echo)
    cursor = wire.connect().execute("{call dbo.p (?,?)}", 5, "x")
    assert rows(cursor) == [("int(0,0)=5", "nvarchar(2,0)='x'")]


def test_results_messages_and_counts_of_a_parameterised_batch(wire: Wire) -> None:
    wire.first.on("q @P1", [message(0, 0, "hello"), *one(1, SqlType("int")), Done(4), *one(2, SqlType("int"))])
    cursor = wire.connect().execute("q ?", 1)
    assert [text for _, text in cursor.messages or []] == [
        "[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]hello"
    ]
    seen: list[object] = []
    while True:
        if cursor.description:
            seen.append(rows(cursor))
        elif cursor.rowcount >= 0:
            seen.append(cursor.rowcount)
        if not cursor.nextset():
            break
    assert seen == [[(1,)], 4, [(2,)]]


@pytest.mark.parametrize(("number", "kind"), [(2627, pyodbc.IntegrityError), (50000, pyodbc.ProgrammingError)])
@pytest.mark.parametrize("done", [[Done()], []], ids=["with DONE", "without DONE"])
def test_an_error_of_a_parameterised_batch(
    wire: Wire, number: int, kind: type[pyodbc.Error], done: list[Event]
) -> None:
    wire.first.on("q @P1", [message(number, 14, "no"), *done])
    connection = wire.connect()
    with pytest.raises(pyodbc.Error) as caught:
        connection.execute("q ?", 1)
    assert (type(caught.value), number_of(caught.value)) == (kind, number)
    assert select_one(connection) == 1
    (failed, _) = [r for r in wire.journal.query() if r.kind == "batch"]
    assert (failed.parameters, failed.outcome, failed.error_number) == (1, "error", number)


def test_an_error_raised_by_the_engine_in_a_parameterised_batch(wire: Wire) -> None:
    connection = wire.connect()
    with pytest.raises(pyodbc.ProgrammingError) as caught:
        connection.execute("select * from nowhere where x = ?", 1)
    assert number_of(caught.value) == 208
    assert select_one(connection) == 1


def test_catalogue_procedures_reach_the_engine_as_exec(wire: Wire) -> None:
    connection = wire.connect()
    with pytest.raises(pyodbc.ProgrammingError):
        connection.cursor().tables()
    assert wire.first.executed[-1][0].startswith("EXEC [sys].sp_tables ")


def test_datetime_parameters_with_fractions_work_from_the_first_connection_on(wire: Wire) -> None:
    """They fail with HY104 when sp_datatype_info_100 was not answered."""
    wire.first.on("select @P1", echo)
    wire.connect().close()
    shown = wire.connect().execute("select ?", NOON).fetchval()
    assert repr(NOON) in shown

# ruff: noqa: DTZ001 - datetime, datetime2 and smalldatetime have no time zone
"""Every result type of the contract, as the real driver reads it: values, NULLs, limits."""

from __future__ import annotations

import datetime as dt
import struct
import uuid
from decimal import Decimal

import pyodbc
import pytest

from local.sqlserver.contract import Column, Columns, Done, Row, SqlType
from tests.emulator.wire_fake import Wire, number_of, one

D, NOON = Decimal, dt.datetime(2024, 2, 29, 12, 34, 56, 789123)
GUID = uuid.UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")

CASES: list[tuple[SqlType, object, object]] = [
    (SqlType("tinyint"), 255, 255), (SqlType("smallint"), -32768, -32768), (SqlType("int"), -(2**31), -(2**31)),
    (SqlType("bigint"), 2**63 - 1, 2**63 - 1), (SqlType("bit"), True, True), (SqlType("bit"), 0, False),
    (SqlType("float"), 1.5e300, 1.5e300), (SqlType("float", precision=24), 0.5, 0.5), (SqlType("real"), -0.25, -0.25),
    (SqlType("decimal", precision=38, scale=10), D("-1234567890123456789012345678.0123456789"),
     D("-1234567890123456789012345678.0123456789")),
    (SqlType("decimal", precision=9, scale=2), D("1.005"), D("1.01")), (SqlType("numeric", precision=18), 7, D(7)),
    (SqlType("numeric", precision=19, scale=4), 0.5, D("0.5000")),
    (SqlType("money"), D("-922337203685477.5808"), D("-922337203685477.5808")),
    (SqlType("smallmoney"), D("214748.3647"), D("214748.3647")),
    (SqlType("char", length=5), "abc", "abc  "), (SqlType("varchar", length=10), "grün", "grün"),
    (SqlType("varchar", length=3), "中文x", "??x"), (SqlType("nchar", length=4), "中", "中   "),
    (SqlType("nvarchar", length=8), "😀 中文", "😀 中文"), (SqlType("nvarchar", length=1), "", ""),
    (SqlType("nvarchar", length=4000), "x" * 4000, "x" * 4000),
    (SqlType("varchar", length=8000), "y" * 8000, "y" * 8000),
    (SqlType("nvarchar", length=-1), "中" * 100_000, "中" * 100_000), (SqlType("nvarchar", length=-1), "", ""),
    (SqlType("varchar", length=-1), "z" * 1_000_000, "z" * 1_000_000), (SqlType("text"), "old", "old"),
    (SqlType("ntext"), "old", "old"), (SqlType("xml"), "<a>ü</a>", "<a>ü</a>"), (SqlType("sysname"), "dbo", "dbo"),
    (SqlType("sql_variant"), "v", "v"), (SqlType("json"), "{}", "{}"),
    (SqlType("binary", length=4), b"\1\2", b"\1\2\0\0"),
    (SqlType("varbinary", length=8000), b"\xff" * 8000, b"\xff" * 8000),
    (SqlType("varbinary", length=-1), bytes(range(256)) * 1000, bytes(range(256)) * 1000),
    (SqlType("image"), b"i", b"i"), (SqlType("rowversion"), bytes(8), bytes(8)),
    (SqlType("date"), dt.date(1, 1, 1), dt.date(1, 1, 1)),
    (SqlType("date"), dt.date(9999, 12, 31), dt.date(9999, 12, 31)),
    (SqlType("time", scale=7), dt.time(23, 59, 59, 999999), dt.time(23, 59, 59, 999999)),
    (SqlType("time", scale=0), dt.time(1, 2, 3, 600000), dt.time(1, 2, 4)),
    (SqlType("datetime"), NOON, NOON.replace(microsecond=790000)),
    (SqlType("datetime"), dt.datetime(1753, 1, 1), dt.datetime(1753, 1, 1)),
    (SqlType("smalldatetime"), NOON, dt.datetime(2024, 2, 29, 12, 35)),
    (SqlType("datetime2", scale=7), NOON, NOON),
    (SqlType("datetime2", scale=3), NOON, NOON.replace(microsecond=789000)),
    (SqlType("datetime2", scale=0), dt.datetime(2023, 12, 31, 23, 59, 59, 500000), dt.datetime(2024, 1, 1)),
    (SqlType("uniqueidentifier"), GUID, str(GUID).upper()),
]  # fmt: skip


@pytest.mark.parametrize(("declared", "value", "seen"), CASES, ids=lambda case: str(case)[:40])
def test_a_value_arrives(wire: Wire, declared: SqlType, value: object, seen: object) -> None:
    wire.first.on("q", [*one(value, declared)])
    got = wire.connect().execute("q").fetchval()
    assert got == seen
    assert type(got) is type(seen)


def test_null_of_every_type_in_one_row_and_a_thousand_rows(wire: Wire) -> None:
    types = [case[0] for case in CASES]
    columns = tuple(Column(f"c{i}", declared) for i, declared in enumerate(types))
    values = tuple(case[1] for case in CASES)
    nulls = tuple(None for _ in CASES)
    wire.first.on("q", [Columns(columns), Row(nulls), Row(values), Row(nulls), Done(3, is_select=True)])
    rows = wire.connect().execute("q").fetchall()
    assert [len(row) for row in rows] == [len(CASES)] * 3
    assert tuple(rows[0]) == tuple(rows[2]) == nulls
    assert tuple(rows[1]) == tuple(case[2] for case in CASES)


def test_datetimeoffset_arrives_as_the_driver_s_struct(wire: Wire) -> None:
    """pyodbc has no type for it: the 20-byte struct of the driver reaches the converter."""
    offset = dt.timezone(dt.timedelta(hours=5, minutes=30))
    wire.first.on("q", one(NOON.replace(tzinfo=offset), SqlType("datetimeoffset", scale=7)))
    connection = wire.connect()
    connection.add_output_converter(-155, lambda raw: struct.unpack("<6hI2h", raw))
    assert connection.execute("q").fetchval() == (2024, 2, 29, 12, 34, 56, 789123000, 5, 30)


def test_the_description_tells_type_and_size(wire: Wire) -> None:
    """Nullability is not told: the driver calls every column of these TDS types nullable, whatever its flag says."""
    columns = Columns(
        (Column("id", SqlType("int"), nullable=False), Column("größe", SqlType("decimal", precision=10, scale=2)),
         Column("text", SqlType("nvarchar", length=30)), Column("", SqlType("nvarchar", length=-1)))
    )  # fmt: skip
    wire.first.on("q", [columns, Done(0, is_select=True)])
    cursor = wire.connect().execute("q")
    assert cursor.description is not None
    assert [(c[0], c[1], c[3], c[5]) for c in cursor.description] == [
        ("id", int, 10, 0), ("größe", Decimal, 10, 2), ("text", str, 30, 0), ("", str, 0, 0)
    ]  # fmt: skip
    assert cursor.fetchall() == []
    assert cursor.rowcount == 0


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (SqlType("nvarchar", length=3), "four"), (SqlType("varbinary", length=1), b"two"), (SqlType("tinyint"), 256),
        (SqlType("int"), "text"), (SqlType("decimal", precision=3, scale=1), D(100)), (SqlType("date"), "2024-01-01"),
        (SqlType("uniqueidentifier"), "no guid"), (SqlType("nvarchar", length=9), 7), (SqlType("time"), 1),
        (SqlType("datetime"), dt.time(1)), (SqlType("decimal", precision=3), "x"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_an_error_that_names_the_column(
    wire: Wire, declared: SqlType, value: object
) -> None:
    """Sent as it is it would be a protocol error in the driver that says nothing."""
    wire.first.on("q", one(value, declared, "amount"))
    connection = wire.connect()
    with pytest.raises(pyodbc.Error, match="Column 'amount' is declared") as caught:
        connection.execute("q").fetchall()
    assert number_of(caught.value) == 50000
    assert connection.execute("select 1").fetchval() == 1


def test_an_unknown_type_is_an_error_that_names_it(wire: Wire) -> None:
    wire.first.on("q", one("x", SqlType("geography")))
    with pytest.raises(pyodbc.ProgrammingError, match="'geography' is not supported"):
        wire.connect().execute("q")

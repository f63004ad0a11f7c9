"""What is kept of a script's messages, columns and rows, without a server."""

from __future__ import annotations

import struct
import threading
from decimal import Decimal
from uuid import UUID

import pyodbc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jobs.domain.outcome import MessageKind, StopReason
from elastic_jobs.targets.capture import MessageLog
from elastic_jobs.targets.columns import EXECUTION_COLUMN, output_columns
from elastic_jobs.targets.connect import datetimeoffset_text, quote
from elastic_jobs.targets.errors import TargetError
from elastic_jobs.targets.odbc import ColumnType
from elastic_jobs.targets.output import quote_identifier
from elastic_jobs.targets.spool import RowSpool
from elastic_jobs.targets.stop import Stopped, StopSignal


def test_the_log_keeps_the_order_and_the_batch() -> None:
    log = MessageLog()
    log.message("hello")
    log.begin_batch(2)
    log.row_count(3)
    log.error("bad", 8134)
    log.note("remark")
    assert [(m.batch, m.kind.value, m.text, m.number, m.row_count) for m in log.messages()] == [
        (1, "message", "hello", 0, None),
        (2, "rowcount", None, None, 3),
        (2, "error", "bad", 8134, None),
        (2, "note", "remark", None, None),
    ]


def test_over_the_number_of_messages() -> None:
    log = MessageLog(maximum_messages=2)
    for text in ("a", "b", "c", "d"):
        log.message(text)
    log.error("kept anyway", 50000)
    kept = log.messages()
    assert [m.text for m in kept[:3]] == ["a", "b", "kept anyway"]
    assert kept[3].kind is MessageKind.NOTE
    assert (kept[3].text or "").startswith("2 more messages were not kept")


def test_over_the_amount_of_text() -> None:
    log = MessageLog(maximum_bytes=10)
    log.message("éééé")
    log.message("abc")
    log.message("z")
    assert [m.text for m in log.messages()[:-1]] == ["éééé"]
    assert (log.messages()[-1].text or "").startswith("2 more")


def test_secrets_are_blotted_out_everywhere() -> None:
    log = MessageLog(["s3cret"])
    log.message("pw s3cret")
    log.error("pw s3cret", 1)
    log.note("pw s3cret")
    assert "s3cret" not in repr(log.messages())


@pytest.mark.parametrize(
    ("sql_type", "size", "scale", "declaration"),
    [
        (pyodbc.SQL_INTEGER, 10, 0, "int"),
        (pyodbc.SQL_BIT, 1, 0, "bit"),
        (pyodbc.SQL_FLOAT, 53, 0, "float"),
        (pyodbc.SQL_DECIMAL, 38, 10, "decimal(38, 10)"),
        (pyodbc.SQL_WVARCHAR, 4000, 0, "nvarchar(4000)"),
        (pyodbc.SQL_WVARCHAR, 0, 0, "nvarchar(max)"),
        (pyodbc.SQL_VARCHAR, 8000, 0, "nvarchar(max)"),
        (pyodbc.SQL_CHAR, 10, 0, "nvarchar(10)"),
        (-152, 0, 0, "xml"),
        (-150, 8000, 0, "nvarchar(max)"),
        (-151, 892, 0, "varbinary(max)"),
        (pyodbc.SQL_BINARY, 8, 0, "varbinary(8)"),
        (pyodbc.SQL_VARBINARY, 0, 0, "varbinary(max)"),
        (pyodbc.SQL_TYPE_TIMESTAMP, 23, 3, "datetime2(3)"),
        (pyodbc.SQL_TYPE_TIMESTAMP, 16, 0, "datetime2(0)"),
        (pyodbc.SQL_TYPE_DATE, 10, 0, "date"),
        (-154, 16, 7, "time(7)"),
        (-155, 34, 7, "datetimeoffset(7)"),
        (pyodbc.SQL_GUID, 36, 0, "uniqueidentifier"),
    ],
)
def test_declarations(sql_type: int, size: int, scale: int, declaration: str) -> None:
    (column,) = output_columns([ColumnType("c", sql_type, size, scale)])
    assert (column.name, column.declaration) == ("c", declaration)


def test_an_unknown_type_is_refused_by_name() -> None:
    with pytest.raises(TargetError, match=r"Column 'vector' .*CAST it"):
        output_columns([ColumnType("vector", -999, 0, 0)])


def test_names_of_columns() -> None:
    columns = [ColumnType(name, pyodbc.SQL_INTEGER, 10, 0) for name in ("", "b", "")]
    assert [column.name for column in output_columns(columns)] == ["Column1", "b", "Column3"]
    for names in (["a", "A"], ["", "column1"], [EXECUTION_COLUMN.upper()]):
        with pytest.raises(TargetError):
            output_columns([ColumnType(name, pyodbc.SQL_INTEGER, 10, 0) for name in names])


@given(st.text())
def test_a_quoted_name_cannot_end_early(name: str) -> None:
    quoted = quote_identifier(name)
    assert quoted[0] + quoted[-1] == "[]"
    assert quoted[1:-1].replace("]]", "").count("]") == 0
    assert quoted[1:-1].replace("]]", "]") == name


@given(st.text())
def test_a_quoted_value_of_a_connection_string_cannot_end_early(value: str) -> None:
    quoted = quote(value)
    assert quoted[0] + quoted[-1] == "{}"
    assert quoted[1:-1].replace("}}", "").count("}") == 0


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ((2024, 2, 29, 13, 14, 15, 123456700, 2, 0), "2024-02-29 13:14:15.1234567 +02:00"),
        ((1, 1, 1, 0, 0, 0, 0, -5, -30), "0001-01-01 00:00:00.0000000 -05:30"),
        ((9999, 12, 31, 23, 59, 59, 999999900, 0, -30), "9999-12-31 23:59:59.9999999 -00:30"),
    ],
)
def test_datetimeoffset(fields: tuple[int, ...], text: str) -> None:
    assert datetimeoffset_text(struct.pack("<6hI2h", *fields)) == text


def test_the_spool_gives_back_what_went_in_also_from_its_file() -> None:
    spool = RowSpool(memory_bytes=100)
    chunks = [[[index, "x" * 50, Decimal("1.5"), None, UUID(int=index)]] * 3 for index in range(20)]
    for chunk in chunks:
        spool.add(chunk)
    assert spool.rows == 60
    assert list(spool.chunks()) == chunks
    assert list(spool.chunks()) == chunks
    spool.close()


def test_a_stop_is_given_once_and_wakes() -> None:
    signal, woken = StopSignal(), threading.Event()
    signal.check()
    signal.on_stop(woken.set)
    assert signal.set(StopReason.CANCELED)
    assert not signal.set(StopReason.TIMED_OUT)
    assert woken.is_set()
    assert signal.reason is StopReason.CANCELED
    assert signal.wait(60)
    late = threading.Event()
    signal.on_stop(late.set)
    assert late.is_set()
    with pytest.raises(Stopped):
        signal.check()

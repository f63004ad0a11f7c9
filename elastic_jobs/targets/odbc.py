"""What the driver knows and pyodbc does not pass on: column types, all diagnostic records, errors amid rows.

pyodbc shows a column's Python type only, so uniqueidentifier looks like nvarchar(36); of several errors it shows the
first, without its line; and after an error it gives up the rest of the results. All of it is had from the driver
manager that pyodbc itself is linked to, through the cursor's statement handle. Numbers are those of sql.h, sqlext.h
and msodbcsql.h.
"""

from __future__ import annotations

import ctypes
import functools
import os
from dataclasses import dataclass

import pyodbc

_SQL_HANDLE_STMT = 3
_SQL_SUCCESS, _SQL_SUCCESS_WITH_INFO, _SQL_NO_DATA = 0, 1, 100
_SQL_ATTR_ROWS_FETCHED_PTR, _SQL_ATTR_ROW_ARRAY_SIZE = 26, 27
_SQL_DIAG_SS_MSGSTATE, _SQL_DIAG_SS_SEVERITY, _SQL_DIAG_SS_LINE = -1150, -1151, -1154
_SQL_IS_INTEGER = -6
_MAXIMUM_RECORDS = 1000
_MESSAGE_CHARACTERS = 4096
_DRAINED_AT_ONCE = 500
"""Rows per call while a result set is read without looking at it."""


@dataclass(frozen=True)
class ColumnType:
    """A result column as the driver describes it. ``sql_type`` is ODBC's concise type; size in characters or digits."""

    name: str
    sql_type: int
    size: int
    scale: int


@dataclass(frozen=True)
class Diagnostic:
    """One error or message of the last call. ``line`` is counted within the batch; the text has the driver's prefix."""

    sqlstate: str
    number: int
    text: str
    severity: int
    state: int
    line: int

    @property
    def is_error(self) -> bool:
        """Not just a message; class 01 of SQLSTATE is "completed with a warning"."""
        return not self.sqlstate.startswith(("00", "01"))


@dataclass(frozen=True)
class Step:
    """How a call went: what it said, and whether it failed."""

    diagnostics: tuple[Diagnostic, ...] = ()
    failed: bool = False


@functools.cache
def _library() -> ctypes.CDLL:
    # Looking up a symbol searches a library's dependencies too, so this is exactly pyodbc's own driver manager.
    return ctypes.CDLL("odbc32" if os.name == "nt" else pyodbc.__file__)


def next_result(cursor: pyodbc.Cursor) -> Step | None:
    """Go on to the next result of the batch, None behind the last. pyodbc's own fetching is out of step after it."""
    code = _call("SQLMoreResults", cursor.hstmt)
    return None if code == _SQL_NO_DATA else _step(cursor, code)


def has_columns(cursor: pyodbc.Cursor) -> bool:
    """Whether the current result is a result set."""
    count = ctypes.c_short()
    _call("SQLNumResultCols", cursor.hstmt, ctypes.byref(count))
    return count.value > 0


def row_count(cursor: pyodbc.Cursor) -> int:
    """The rows that the current statement changed or, once they were read to the end, returned; -1 when unknown."""
    count = ctypes.c_ssize_t(-1)
    return count.value if _succeeded(_call("SQLRowCount", cursor.hstmt, ctypes.byref(count))) else -1


def drain(cursor: pyodbc.Cursor) -> Step:
    """Read the current result set to its end and drop the rows.

    Going on to the next result without this would drop an error that the server sent amid the rows.
    """
    fetched = ctypes.c_size_t()
    handle = cursor.hstmt
    _set_attribute(handle, _SQL_ATTR_ROW_ARRAY_SIZE, ctypes.c_void_p(_DRAINED_AT_ONCE))
    _set_attribute(handle, _SQL_ATTR_ROWS_FETCHED_PTR, ctypes.byref(fetched))
    said: list[Diagnostic] = []
    try:
        while True:
            code = _call("SQLFetch", handle)
            if code == _SQL_NO_DATA:
                return Step(tuple(said))
            step = _step(cursor, code)
            said.extend(step.diagnostics)
            if step.failed:
                return Step(tuple(said), failed=True)
    finally:
        _set_attribute(handle, _SQL_ATTR_ROWS_FETCHED_PTR, None)
        _set_attribute(handle, _SQL_ATTR_ROW_ARRAY_SIZE, ctypes.c_void_p(1))


def describe(cursor: pyodbc.Cursor) -> tuple[ColumnType, ...]:
    """The columns of the cursor's current result set.

    Raises:
        pyodbc.InterfaceError: the driver does not describe a column.
    """
    return tuple(_describe(cursor, index + 1) for index in range(len(cursor.description or ())))


def diagnostics(cursor: pyodbc.Cursor) -> tuple[Diagnostic, ...]:
    """All records of the cursor's last call, in the driver's order; to be asked before any other call on it."""
    records: list[Diagnostic] = []
    handle = cursor.hstmt
    while handle and len(records) < _MAXIMUM_RECORDS:
        record = _record(handle, len(records) + 1)
        if record is None:
            break
        records.append(record)
    return tuple(records)


def _step(cursor: pyodbc.Cursor, code: int) -> Step:
    if code == _SQL_SUCCESS:
        return Step()
    said = diagnostics(cursor)
    # With several rows per call the driver may answer "success with info" although one record is an error.
    return Step(said, failed=code != _SQL_SUCCESS_WITH_INFO or any(record.is_error for record in said))


def _describe(cursor: pyodbc.Cursor, index: int) -> ColumnType:
    name = (ctypes.c_uint16 * 257)()
    length, sql_type, scale, nullable = (ctypes.c_short() for _ in range(4))
    size = ctypes.c_size_t()
    code = _call(
        "SQLDescribeColW",
        cursor.hstmt,
        ctypes.c_ushort(index),
        name,
        ctypes.c_short(len(name)),
        ctypes.byref(length),
        ctypes.byref(sql_type),
        ctypes.byref(size),
        ctypes.byref(scale),
        ctypes.byref(nullable),
    )
    if not _succeeded(code):
        raise pyodbc.InterfaceError("HY000", f"The driver did not describe column {index} of the result set.")
    return ColumnType(_text(name, length.value), sql_type.value, size.value, scale.value)


def _record(handle: ctypes.c_void_p, number: int) -> Diagnostic | None:
    state = (ctypes.c_uint16 * 6)()
    native = ctypes.c_int()
    text = (ctypes.c_uint16 * _MESSAGE_CHARACTERS)()
    length = ctypes.c_short()
    code = _call(
        "SQLGetDiagRecW",
        ctypes.c_short(_SQL_HANDLE_STMT),
        handle,
        ctypes.c_short(number),
        state,
        ctypes.byref(native),
        text,
        ctypes.c_short(len(text)),
        ctypes.byref(length),
    )
    if not _succeeded(code):
        return None
    return Diagnostic(
        _text(state, 5),
        native.value,
        _text(text, length.value),
        _field(handle, number, _SQL_DIAG_SS_SEVERITY),
        _field(handle, number, _SQL_DIAG_SS_MSGSTATE),
        _field(handle, number, _SQL_DIAG_SS_LINE),
    )


def _field(handle: ctypes.c_void_p, record: int, identifier: int) -> int:
    value = ctypes.c_int()
    code = _call(
        "SQLGetDiagFieldW",
        ctypes.c_short(_SQL_HANDLE_STMT),
        handle,
        ctypes.c_short(record),
        ctypes.c_short(identifier),
        ctypes.byref(value),
        ctypes.c_short(_SQL_IS_INTEGER),
        None,
    )
    return value.value if _succeeded(code) else 0


def _set_attribute(handle: ctypes.c_void_p | None, attribute: int, value: object) -> None:
    _call("SQLSetStmtAttrW", handle, ctypes.c_int(attribute), value, ctypes.c_int(_SQL_IS_INTEGER))


def _call(function: str, *arguments: object) -> int:
    # ctypes lets go of the interpreter's lock while the driver works.
    code = getattr(_library(), function)(*arguments)
    return ctypes.c_short(code).value


def _succeeded(code: int) -> bool:
    return code in {_SQL_SUCCESS, _SQL_SUCCESS_WITH_INFO}


def _text(characters: ctypes.Array[ctypes.c_uint16], length: int) -> str:
    count = max(0, min(length, len(characters) - 1))
    return bytes(characters)[: count * 2].decode("utf-16-le", errors="replace")

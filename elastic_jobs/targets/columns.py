"""How the columns of a result set are kept in an output table.

Limits, which come from pyodbc and not from this code: a time of day or timestamp keeps microseconds (not the seventh
digit) except in datetimeoffset; sql_variant is kept as text; geometry, geography and hierarchyid as their bytes.
money becomes decimal and varchar becomes nvarchar, so that no character depends on a code page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import pyodbc

from elastic_jobs.domain.outcome import ErrorClass
from elastic_jobs.targets.errors import TargetError
from elastic_jobs.targets.odbc import ColumnType

EXECUTION_COLUMN = "internal_execution_id"
"""The column that the agent adds (documented for Azure elastic jobs)."""

_MAXIMUM_NVARCHAR, _MAXIMUM_VARBINARY = 4000, 8000
_SS_TIME2, _SS_TIMESTAMPOFFSET, _SS_XML, _SS_UDT, _SS_VARIANT = -154, -155, -152, -151, -150
_INTEGERS = {
    pyodbc.SQL_BIT: "bit",
    pyodbc.SQL_TINYINT: "tinyint",
    pyodbc.SQL_SMALLINT: "smallint",
    pyodbc.SQL_INTEGER: "int",
    pyodbc.SQL_BIGINT: "bigint",
    pyodbc.SQL_REAL: "real",
    pyodbc.SQL_FLOAT: "float",
    pyodbc.SQL_DOUBLE: "float",
    pyodbc.SQL_TYPE_DATE: "date",
}
_TEXTS = frozenset(
    {
        pyodbc.SQL_CHAR,
        pyodbc.SQL_VARCHAR,
        pyodbc.SQL_LONGVARCHAR,
        pyodbc.SQL_WCHAR,
        pyodbc.SQL_WVARCHAR,
        pyodbc.SQL_WLONGVARCHAR,
        _SS_XML,
        _SS_VARIANT,
    }
)
_BINARIES = frozenset({pyodbc.SQL_BINARY, pyodbc.SQL_VARBINARY, pyodbc.SQL_LONGVARBINARY, _SS_UDT})

Binding = tuple[int, int, int]
"""What ``Cursor.setinputsizes`` takes: ODBC type, size, scale."""

EXECUTION_BINDING: Binding = (pyodbc.SQL_GUID, 16, 0)


@dataclass(frozen=True)
class OutputColumn:
    """A column of the output table: how it is declared, how its values are bound and, if need be, converted."""

    name: str
    declaration: str
    binding: Binding
    convert: Callable[[object], object] | None = None

    @property
    def bytes_per_value(self) -> int:
        """About what one bound value takes in the driver's memory; 0 for values without a bound."""
        kind, size, _ = self.binding
        return size * 2 if kind == pyodbc.SQL_WVARCHAR else max(size, 8) if size else 0


def output_columns(columns: Sequence[ColumnType]) -> tuple[OutputColumn, ...]:
    """The columns of the output table for a result set; one without a name is called by its place, ``Column1``.

    Raises:
        TargetError: two columns have one name, or a type cannot be kept; the sentence names the columns.
    """
    names = [column.name or f"Column{index + 1}" for index, column in enumerate(columns)]
    folded = [name.casefold() for name in names]
    twice = sorted({name for name in names if folded.count(name.casefold()) > 1})
    if twice:
        raise TargetError(
            f"The first result set names {_quoted(twice)} more than once; give each column of the output its own name.",
            error_class=ErrorClass.SCRIPT,
        )
    if EXECUTION_COLUMN in folded:
        raise TargetError(
            f"The first result set has a column '{EXECUTION_COLUMN}', which the agent adds itself; rename it.",
            error_class=ErrorClass.SCRIPT,
        )
    return tuple(_output_column(name, column) for name, column in zip(names, columns, strict=True))


def _output_column(name: str, column: ColumnType) -> OutputColumn:
    kind, size, scale = column.sql_type, column.size, column.scale
    if kind in _INTEGERS:
        return OutputColumn(name, _INTEGERS[kind], (kind, size, 0))
    if kind in {pyodbc.SQL_DECIMAL, pyodbc.SQL_NUMERIC}:
        return OutputColumn(name, f"decimal({size}, {scale})", (pyodbc.SQL_DECIMAL, size, scale))
    if kind in _TEXTS:
        return _text_column(name, kind, size)
    if kind in _BINARIES:
        bounded = kind != _SS_UDT and 0 < size <= _MAXIMUM_VARBINARY
        declaration = f"varbinary({size})" if bounded else "varbinary(max)"
        return OutputColumn(name, declaration, (pyodbc.SQL_VARBINARY, size if bounded else 0, 0))
    if kind == pyodbc.SQL_TYPE_TIMESTAMP:
        return OutputColumn(name, f"datetime2({scale})", (kind, 27, 7))
    if kind == pyodbc.SQL_GUID:
        return OutputColumn(name, "uniqueidentifier", EXECUTION_BINDING, _uuid)
    # pyodbc sends a time of day without its fraction, and cannot send an offset: both go as text.
    if kind == _SS_TIME2:
        return OutputColumn(name, f"time({scale})", (pyodbc.SQL_WVARCHAR, 16, 0), str)
    if kind == _SS_TIMESTAMPOFFSET:
        return OutputColumn(name, f"datetimeoffset({scale})", (pyodbc.SQL_WVARCHAR, 34, 0), str)
    raise TargetError(
        f"Column '{name}' of the first result set has a type that cannot be kept in an output table (ODBC type {kind});"
        " CAST it to nvarchar(max) in the script.",
        error_class=ErrorClass.SCRIPT,
    )


def _text_column(name: str, kind: int, size: int) -> OutputColumn:
    if kind == _SS_VARIANT:
        return OutputColumn(name, "nvarchar(max)", (pyodbc.SQL_WVARCHAR, 0, 0), _variant_text)
    if kind == _SS_XML:
        return OutputColumn(name, "xml", (pyodbc.SQL_WVARCHAR, 0, 0))
    bounded = 0 < size <= _MAXIMUM_NVARCHAR
    declaration = f"nvarchar({size})" if bounded else "nvarchar(max)"
    return OutputColumn(name, declaration, (pyodbc.SQL_WVARCHAR, size if bounded else 0, 0))


def _uuid(value: object) -> object:
    return value if isinstance(value, UUID) else UUID(str(value))


def _variant_text(value: object) -> object:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)

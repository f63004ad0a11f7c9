"""Column types and time expressions that mean the same on SQL Server and SQLite."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import DateTime, Float, Unicode, UnicodeText
from sqlalchemy.dialects.mssql import DATETIME2
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware and UTC in Python, without a zone in the database (elastic jobs knows no other zone)."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "mssql":
            return dialect.type_descriptor(DATETIME2(7))  # type: ignore[no-untyped-call]  # SQLAlchemy's own is untyped
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        return None if value is None else value.replace(tzinfo=UTC)


def name(length: int = 128) -> Unicode:
    """Names: unique and compared without case, as under Azure SQL's default collation."""
    return Unicode(length).with_variant(Unicode(length, collation="NOCASE"), "sqlite")


def text() -> UnicodeText:
    """Text of any length: nvarchar(max)."""
    return UnicodeText()


class DatabaseNow(FunctionElement[datetime]):
    """The job database's own clock, plus an offset: leases written by skewed instances stay comparable."""

    type = UtcDateTime()
    inherit_cache = True
    name = "database_now"

    def __init__(self, offset: timedelta = timedelta()) -> None:
        # A bound parameter, so that one compiled statement serves every offset.
        super().__init__(round(offset.total_seconds() * 1000))


@compiles(DatabaseNow, "sqlite")
def _now_in_sqlite(element: DatabaseNow, compiler: SQLCompiler, **kw: Any) -> str:
    milliseconds = compiler.process(element.clauses, **kw)
    # The trailing zeros make it the text form in which SQLAlchemy stores instants, so that text comparison is right.
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', ({milliseconds} / 1000.0) || ' seconds')"


@compiles(DatabaseNow, "mssql")
def _now_in_sql_server(element: DatabaseNow, compiler: SQLCompiler, **kw: Any) -> str:
    return f"DATEADD(millisecond, {compiler.process(element.clauses, **kw)}, SYSUTCDATETIME())"


class EpochSeconds(FunctionElement[float]):
    """An instant as seconds since 1970, to the millisecond: for thousands of rows, of which only distances count.

    As numbers they cost a tenth of what they cost as datetimes.
    """

    type = Float()
    inherit_cache = True
    name = "epoch_seconds"


@compiles(EpochSeconds, "sqlite")
def _seconds_in_sqlite(element: EpochSeconds, compiler: SQLCompiler, **kw: Any) -> str:
    return f"((julianday({compiler.process(element.clauses, **kw)}) - 2440587.5) * 86400.0)"


@compiles(EpochSeconds, "mssql")
def _seconds_in_sql_server(element: EpochSeconds, compiler: SQLCompiler, **kw: Any) -> str:
    instant = compiler.process(element.clauses, **kw)
    return f"(CAST(DATEDIFF_BIG(millisecond, '19700101', {instant}) AS float) / 1000)"

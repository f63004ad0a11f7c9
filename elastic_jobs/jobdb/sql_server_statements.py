"""How statements are sent to SQL Server so that each costs one plan and as few round trips as possible.

A parameter that is None has no type. The driver would ask the server for it, with another round trip and another
compilation, each time; so NULL is written into the statement. Texts are declared with one length, or each length
would get a plan of its own. Many new rows go as one JSON document in one statement: row by row, 10,000 targets would be
10,000 round trips under the lock of the slots. Changes of many rows, a handful at a time, go one by one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, event

_SHORT_TEXT = 4000
"""Longest nvarchar(n)."""


def listen(engine: Engine) -> None:
    """Send the statements of this engine so. Its dialect must neither set input sizes nor join rows itself."""
    event.listen(engine, "do_execute", _execute)
    event.listen(engine, "do_executemany", _execute_many)


def _execute(cursor: Any, statement: str, parameters: Sequence[Any], context: Any) -> bool:
    if parameters:
        statement, parameters = with_literal_nulls(statement, parameters)
        _declare(cursor, parameters, context.dialect.loaded_dbapi)
    cursor.execute(statement, parameters)
    return True


def with_literal_nulls(statement: str, parameters: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """The statement with NULL in the place of every parameter that is None, and the parameters that are left."""
    parts = statement.split("?")
    if None not in parameters or len(parts) != len(parameters) + 1:
        return statement, parameters  # a question mark in a literal: the driver has to find out itself
    texts = [parts[0]]
    for value, following in zip(parameters, parts[1:], strict=True):
        texts += ["NULL" if value is None else "?", following]
    return "".join(texts), [value for value in parameters if value is not None]


def _declare(cursor: Any, parameters: Sequence[Any], driver: Any) -> None:
    cursor.setinputsizes([_size(value, driver) for value in parameters])


def _size(value: Any, driver: Any) -> tuple[int, int, int] | None:
    if not isinstance(value, str):
        return None
    characters = len(value.encode("utf-16-le", "surrogatepass")) // 2
    return (driver.SQL_WVARCHAR, _SHORT_TEXT if characters <= _SHORT_TEXT else 0, 0)


def _execute_many(cursor: Any, statement: str, parameters: Sequence[Sequence[Any]], context: Any) -> bool:
    if context.isinsert:
        _insert_many(cursor, parameters, context)
    else:
        for row in parameters:
            _execute(cursor, statement, row, context)
    return True


def _insert_many(cursor: Any, parameters: Sequence[Sequence[Any]], context: Any) -> None:
    compiled = context.compiled
    table = compiled.statement.table
    names = [column.name for column in (table.c[key] for key in compiled.positiontup)]
    preparer = context.dialect.identifier_preparer
    columns = ", ".join(preparer.quote(name) for name in names)
    types = ", ".join(
        f"{preparer.quote(name)} {_json_type(table.c[name], context.dialect)} '$[{place}]'"
        for place, name in enumerate(names)
    )
    document = json.dumps([[_json_value(value) for value in row] for row in parameters])
    cursor.setinputsizes([(context.dialect.loaded_dbapi.SQL_WVARCHAR, 0, 0)])
    into = f"{preparer.format_table(table)} ({columns})"
    cursor.execute(
        f"INSERT INTO {into} SELECT {columns} FROM OPENJSON(?) WITH ({types})",  # noqa: S608  # names of our own tables
        (document,),
    )


def _json_type(column: Any, dialect: Any) -> str:
    return str(column.type.compile(dialect=dialect))


def _json_value(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat(sep="T", timespec="microseconds")
    return value

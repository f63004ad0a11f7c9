"""Reads what a .sql file declares: parameters, columns of a view; and takes modules apart for a parser."""

from __future__ import annotations

import re

from sqlalchemy import types as sa

from elastic_jobs.jobdb import execution_tables  # noqa: F401  # completes the metadata
from elastic_jobs.jobdb.tables import SCHEMA, metadata
from elastic_jobs.jobdb.types import UtcDateTime
from tests.tsql.contract import NULL, REQUIRED, Column, Parameter

_MODULE = re.compile(
    r"CREATE (PROCEDURE|FUNCTION) (\w+)\.(\w+)\s*(.*?)(?:RETURNS (\S+))?\s*\nAS\nBEGIN\n(.*)END\s*$", re.DOTALL
)
_PARAMETER = re.compile(r"(@\w+) (\w+(?:\(\w+\))?)(?: = (N?'[^']*'|[\w.]+))?( OUTPUT)?$")


def without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*", "", sql)


def module(sql: str) -> tuple[str, list[Parameter], str]:
    """Kind, parameters and body of a procedure or function."""
    found = _MODULE.search(without_comments(sql))
    assert found is not None, "not written as: CREATE PROCEDURE ... AS BEGIN ... END"
    kind, declared = found.group(1), found.group(4).strip()
    if kind == "FUNCTION":
        declared = declared.removeprefix("(").removesuffix(")")
    parts = [part.strip() for part in re.split(r",(?![^()]*\))", declared) if part.strip()]
    return kind, [_parameter(part) for part in parts], found.group(6)


def _parameter(text: str) -> Parameter:
    found = _PARAMETER.fullmatch(text)
    assert found is not None, f"not a parameter: {text}"
    name, kind, default, output = found.groups()
    return name, kind, default or REQUIRED, bool(output)


def as_batch(sql: str) -> str:
    """A procedure or function as a batch that a parser of batches reads: parameters become variables, calls of our
    own functions become calls of one that takes any arguments, and what a function returns becomes a query."""
    kind, parameters, body = module(sql)
    declared = "".join(f"DECLARE {name} {data_type};\n" for name, data_type, _, _ in parameters)
    if kind == "FUNCTION":
        body = re.sub(r"\bRETURN\b", "SELECT", body)
    return declared + re.sub(r"jobs_internal\.\w+\(", "CONCAT(N'', N'', ", body.replace("()", "(1)")).replace(
        "SYSUTCDATETIME(1)", "SYSUTCDATETIME()"
    )


def columns(sql: str) -> list[Column]:
    """Names and types of a view's columns, as the casts or the tables' own columns say."""
    sql = re.sub(r"/\*.*?\*/", "", without_comments(sql))
    select = sql.split("UNION ALL")[0]
    body, _, joined = select.partition("\nFROM ")
    aliases = {alias: table for table, alias in re.findall(rf"{SCHEMA}\.(\w+) AS (\w+)", joined)}
    items = re.split(r",\n", body.partition("SELECT\n")[2])
    return [_column(item.strip(), aliases) for item in items]


def expressions(sql: str) -> list[list[str]]:
    """The expressions of each SELECT of a view, without their names."""
    sql = re.sub(r"/\*.*?\*/", "", without_comments(sql))
    found = []
    for select in sql.split("UNION ALL"):
        body = select.partition("\nFROM ")[0].partition("SELECT\n")[2]
        found.append([re.sub(r"\s+AS \w+$", "", item.strip()) for item in re.split(r",\n", body)])
    return found


def type_of(expression: str, aliases: dict[str, str]) -> str:
    cast = re.fullmatch(r"CAST\(.* AS (\w+(?:\(\w+\))?)\)", expression, re.DOTALL)
    if cast is not None:
        return cast.group(1)
    alias, _, column = expression.partition(".")
    return _declared(metadata.tables[f"{SCHEMA}.{aliases[alias]}"].c[column].type)


def _column(item: str, aliases: dict[str, str]) -> Column:
    expression, _, name = item.rpartition(" AS ")
    return name, type_of(expression.strip(), aliases)


def _declared(kind: object) -> str:
    if isinstance(kind, UtcDateTime):
        return "datetime2(7)"
    for python, name in (
        (sa.Uuid, "uniqueidentifier"),
        (sa.Boolean, "bit"),
        (sa.Integer, "int"),
        (sa.UnicodeText, "nvarchar(max)"),
    ):
        if isinstance(kind, python):
            return name
    assert isinstance(kind, sa.Unicode)
    return f"nvarchar({kind.length})"


__all__ = ["NULL", "as_batch", "columns", "expressions", "module", "type_of", "without_comments"]

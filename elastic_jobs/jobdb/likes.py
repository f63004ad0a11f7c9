"""LIKE that takes what people type as plain text."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement

_ESCAPE = "~"


def contains(column: ColumnElement[Any], part: str) -> ColumnElement[bool]:
    """Whether a column has this in it, whatever characters it has; in any case, as far as the column's collation is."""
    return like(column, f"%{escaped(part)}%")


def like(value: ColumnElement[Any], pattern: str | ColumnElement[Any]) -> ColumnElement[bool]:
    """LIKE with a pattern whose plain parts went through ``escaped``."""
    return value.like(pattern, escape=_ESCAPE)


def escaped(text: str) -> str:
    """Plain text as a part of a pattern; ``[`` is special on SQL Server only, and escaped everywhere."""
    for special in f"{_ESCAPE}%_[":
        text = text.replace(special, f"{_ESCAPE}{special}")
    return text

"""Names and texts inside T-SQL that the product composes."""

from __future__ import annotations


def quote_identifier(name: str) -> str:
    """A name in brackets, as QUOTENAME does."""
    return "[" + name.replace("]", "]]") + "]"


def quote_literal(text: str) -> str:
    """A text as a literal: ``N'it''s'``."""
    return "N'" + text.replace("'", "''") + "'"

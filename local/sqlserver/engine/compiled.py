"""What the compiler produces, and the names it resolves: compiled expressions, scopes, plans."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..contract import Column, SqlError, SqlType
from . import convert, errors, nodes, runtime, schema, types


@dataclass(frozen=True)
class Code:
    """A compiled expression. value: of a constant. null: the bare NULL, which has no type of its own."""

    sql: str
    type: SqlType
    nullable: bool = True
    boolean: bool = False
    null: bool = False
    constant: bool = False
    value: Any = None
    collation: str = ""

    @property
    def collated(self) -> str:
        """The SQL with the collation that comparing, grouping and sorting must use."""
        suffix = self.collation or collation_of(self.type)
        return f"{self.sql} COLLATE {suffix}" if suffix and not self.boolean else self.sql


def collation_of(sql_type: SqlType) -> str:
    family = types.family(sql_type)
    return {"string": "t_ci", "decimal": "t_dec"}.get(family, "")


@dataclass(frozen=True)
class SourceColumn:
    name: str
    type: SqlType
    nullable: bool
    sql: str


@dataclass
class Source:
    """One table in a FROM clause. names: how a column may be qualified with it (lower case)."""

    names: frozenset[str]
    exposed: str
    columns: tuple[SourceColumn, ...]
    sql: str
    rowid: str = ""
    table: schema.Table | None = None

    def nullable(self) -> Source:
        """The same on the outer side of a join."""
        columns = tuple(SourceColumn(c.name, c.type, True, c.sql) for c in self.columns)
        return Source(self.names, self.exposed, columns, self.sql, self.rowid, self.table)


@dataclass
class Scope:
    """The tables that an expression can see; ``parent`` is the query around a subquery."""

    sources: list[Source] = field(default_factory=list)
    parent: Scope | None = None

    def resolve(self, reference: nodes.ColumnRef) -> SourceColumn:
        """Errors: 207 unknown column, 209 ambiguous, 4104 unknown qualifier."""
        qualifier = ".".join(part.lower() for part in reference.qualifier)
        scope: Scope | None = self
        qualifier_known = False
        while scope is not None:
            sources = [s for s in scope.sources if not qualifier or qualifier in s.names]
            qualifier_known = qualifier_known or bool(sources)
            found = [c for s in sources for c in s.columns if c.name.lower() == reference.name.lower()]
            if len(found) > 1:
                raise SqlError(209, 16, f"Ambiguous column name '{reference.name}'.")
            if found:
                return found[0]
            scope = scope.parent
        if qualifier and not qualifier_known:
            text = f'The multi-part identifier "{".".join((*reference.qualifier, reference.name))}" could not be bound.'
            raise SqlError(4104, 16, text)
        raise errors.invalid_column(reference.name)

    def expand(self, star: nodes.Star) -> list[SourceColumn]:
        """Errors: 107 when the prefix of ``x.*`` names no table."""
        if not star.qualifier:
            return [column for source in self.sources for column in source.columns]
        qualifier = ".".join(part.lower() for part in star.qualifier)
        for source in self.sources:
            if qualifier in source.names:
                return list(source.columns)
        text = (
            f"The column prefix '{'.'.join(star.qualifier)}' does not match with a table name or alias name used in "
            "the query."
        )
        raise SqlError(107, 15, text)


@dataclass(frozen=True)
class Need:
    """A permission that a statement needs: action on an object (schema.name, lower case)."""

    action: str
    schema: str
    name: str


@dataclass(frozen=True)
class QueryCode:
    """A compiled query: its columns are called c1, c2, ... in the SQL."""

    sql: str
    columns: tuple[Column, ...]
    variables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A statement ready to run. writes: the object ids of permanent tables that it changes."""

    sql: str
    columns: tuple[Column, ...] = ()
    needs: tuple[Need, ...] = ()
    variables: tuple[str, ...] = ()
    verb: str = "SELECT"
    table: schema.Table | None = None

    @property
    def decoders(self) -> tuple[tuple[int, convert.Converter], ...]:
        found = ((n, convert.from_stored(column.type)) for n, column in enumerate(self.columns))
        return tuple((n, decoder) for n, decoder in found if decoder is not None)


def sql_literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, str):
        if "\0" in value:
            return f"CAST(x'{value.encode().hex()}' AS TEXT)"
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "9e999" if value > 0 else "-9e999"
    return repr(value)


def constant(value: Any, sql_type: SqlType) -> Code:
    if value is None:
        return Code("NULL", sql_type, null=True, constant=True)
    return Code(sql_literal(value), sql_type, nullable=False, constant=True, value=value)


def parameter(name: str) -> str:
    """The SQLite name of a variable; signs that SQLite does not take are spelled out."""
    return ":v_" + "".join(sign if sign.isalnum() and sign.isascii() else f"_{ord(sign)}_" for sign in name.lstrip("@"))


def convert_code(code: Code, target: SqlType, style: int = 0, attempt: bool = False) -> Code:
    """The expression as another type. attempt: NULL instead of a failed conversion (TRY_CAST)."""
    if code.null or (code.constant and code.value is None):
        return Code("NULL", target, constant=True)
    change = convert.converter(code.type, target, style)
    if change is None:
        return Code(code.sql, target, code.nullable, constant=code.constant, value=code.value, collation=code.collation)
    if code.constant:
        try:
            return constant(change(code.value), target)
        except SqlError:
            pass  # it must fail when the statement runs, and only if the value is needed
    number = runtime.register(("convert", code.type, target, style), lambda: change)
    return Code(f"{'t_try' if attempt else 't_call'}({number}, {code.sql})", target, code.nullable or attempt)

"""Tables as the catalogue describes them, and the SQLite statements that make them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from ..contract import SqlError
from . import errors, nodes, schema
from .compiled import Scope, Source, SourceColumn, collation_of

if TYPE_CHECKING:
    from .compile_changes import ChangeCompiler
    from .session import EngineSession


def _suffix(*parts: str) -> str:
    """The hexadecimal tail of a generated constraint name; the same for the same table and columns."""
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest().upper()


def default_name(table: str, column: str) -> str:
    return f"DF__{table[:9]}__{column[:5]}__{_suffix(table, column)[:8]}"


def column_of(definition: nodes.ColumnDefinition, number: int, table: str) -> schema.TableColumn:
    named = definition.default_name or (default_name(table, definition.name) if definition.default is not None else "")
    return schema.TableColumn(
        definition.name,
        definition.type,
        definition.nullable is not False,
        definition.identity,
        definition.default,
        named,
        number,
    )


def build(node: nodes.CreateTable, owner: str, object_id: int, temporary: bool) -> schema.Table:
    """Errors: 2705 a column twice, 1911 a key column that is not there, 2744 two identities, 1779 two primary keys."""
    columns = tuple(column_of(definition, n, node.name.name) for n, definition in enumerate(node.columns, 1))
    seen: set[str] = set()
    for column in columns:
        if column.name.lower() in seen:
            text = (
                f"Column names in each table must be unique. Column name '{column.name}' in table '{node.name.name}' "
                "is "
                "specified more than once."
            )
            raise SqlError(2705, 16, text, 3)
        seen.add(column.name.lower())
    if sum(column.identity is not None for column in columns) > 1:
        raise SqlError(2744, 16, f"Multiple identity columns specified for table '{node.name.name}'.", 2)
    sql_name = schema.sql_name(owner, node.name.name, temporary)
    table = schema.Table(object_id, owner, node.name.name, sql_name, columns, temporary=temporary)
    checks, keys = [], []
    for constraint in node.constraints:
        if isinstance(constraint, nodes.KeyConstraint):
            index = key_index(table, constraint)
            table = primary_not_null(table, index)
            table = replace(table, indexes=(*table.indexes, index))
        elif isinstance(constraint, nodes.CheckConstraint):
            checks.append(
                (
                    constraint.name or f"CK__{table.name[:9]}__{_suffix(table.name, constraint.text)[:8]}",
                    constraint.text,
                )
            )
        else:
            name = constraint.name or f"FK__{table.name[:9]}__{_suffix(table.name, *constraint.columns)[:8]}"
            keys.append((name, f"{constraint.table.schema or 'dbo'}.{constraint.table.name}".lower()))
    return replace(table, checks=tuple(checks), foreign_keys=tuple(keys))


def primary_not_null(table: schema.Table, index: schema.Index) -> schema.Table:
    """Columns of a primary key hold no NULL."""
    if index.kind != "PK":
        return table
    names = {name.lower() for name, _ in index.columns}
    columns = tuple(replace(c, nullable=False) if c.name.lower() in names else c for c in table.columns)
    return replace(table, columns=columns)


def key_index(table: schema.Table, key: nodes.KeyConstraint) -> schema.Index:
    kind = "PK" if key.primary else "UQ"
    if key.primary and any(index.kind == "PK" for index in table.indexes):
        raise SqlError(1779, 16, f"Table '{table.name}' already has a primary key defined on it.")
    name = key.name or f"{kind}__{table.name[:9]}__{_suffix(table.name, *(column for column, _ in key.columns))}"
    has_clustered = any(index.clustered for index in table.indexes)
    clustered = key.clustered if key.clustered is not None else key.primary and not has_clustered
    _check_columns(table, [column for column, _ in key.columns])
    return schema.Index(name, key.columns, True, kind, clustered, index_id=_next_index_id(table, clustered))


def plain_index(table: schema.Table, node: nodes.CreateIndex) -> schema.Index:
    _check_columns(table, [*(column for column, _ in node.columns), *node.included])
    number = _next_index_id(table, node.clustered)
    filtered = node.where is not None
    return schema.Index(node.name, node.columns, node.unique, "", node.clustered, node.included, filtered, number)


def _next_index_id(table: schema.Table, clustered: bool) -> int:
    return 1 if clustered else max([1, *(index.index_id for index in table.indexes)]) + 1


def _check_columns(table: schema.Table, names: list[str]) -> None:
    for name in names:
        if table.column(name) is None:
            raise SqlError(1911, 16, f"Column name '{name}' does not exist in the target table or view.")


# ------------------------------------------------------------------------------------------------------ SQLite's side


def column_sql(column: schema.TableColumn) -> str:
    """A column without type: nothing is converted behind the engine's back; the collation serves indexes."""
    collation = collation_of(column.type)
    return schema.quote(column.name) + (f" COLLATE {collation}" if collation else "")


def create_sql(compiler: ChangeCompiler, table: schema.Table, node: nodes.CreateTable, session: EngineSession) -> str:
    """CREATE TABLE with its CHECK and FOREIGN KEY constraints; keys become indexes. Errors: 1767 unknown reference."""
    parts = [column_sql(column) for column in table.columns]
    checks, keys = iter(table.checks), iter(table.foreign_keys)
    for constraint in node.constraints:
        if isinstance(constraint, nodes.CheckConstraint):
            name = next(checks)[0]
            parts.append(
                f"CONSTRAINT {schema.quote(name)} CHECK ({condition_sql(compiler, table, constraint.condition)})"
            )
        elif isinstance(constraint, nodes.ForeignKey):
            parts.append(_foreign_key_sql(session, table, constraint, next(keys)[0]))
    return f"CREATE TABLE {table.sql_name} ({', '.join(parts)})"


def _foreign_key_sql(session: EngineSession, table: schema.Table, key: nodes.ForeignKey, name: str) -> str:
    if table.temporary:
        raise errors.unsupported("FOREIGN KEY on a temporary table")
    own = key.table.name.lower() == table.name.lower() and (key.table.schema or "dbo").lower() == table.schema.lower()
    target = table if own else session.find_object(key.table)
    if not isinstance(target, schema.Table):
        raise SqlError(1767, 16, f"Foreign key '{name}' references invalid table '{key.table.text}'.")
    primary = next((index for index in target.indexes if index.kind == "PK"), None)
    references = key.references or tuple(column for column, _ in (primary.columns if primary is not None else ()))
    wanted = sorted(column.lower() for column in references)
    if not any(index.unique and sorted(c.lower() for c, _ in index.columns) == wanted for index in target.indexes):
        text = (
            f"There are no primary or candidate keys in the referenced table '{key.table.text}' that match the "
            "referencing "
            f"column list in the foreign key '{name}'."
        )
        raise SqlError(1776, 16, text)
    _check_columns(table, list(key.columns))
    columns = ", ".join(schema.quote(column) for column in key.columns)
    referenced = ", ".join(schema.quote(column) for column in references)
    return f"FOREIGN KEY ({columns}) REFERENCES {target.sql_name.removeprefix('main.')} ({referenced}){key.actions}"


def condition_sql(compiler: ChangeCompiler, table: schema.Table, condition: nodes.Expr) -> str:
    """A condition on a row of the table itself (CHECK, filtered index)."""
    columns = tuple(SourceColumn(c.name, c.type, c.nullable, schema.quote(c.name)) for c in table.columns)
    compiler.scope = Scope([Source(frozenset({table.name.lower()}), table.name.lower(), columns, "")])
    return compiler.condition(condition)


def index_name(table: schema.Table, index: schema.Index) -> str:
    """SQLite's index names are one name space for the whole file."""
    prefix = "temp." if table.temporary else "main."
    return prefix + schema.quote(f"{table.object_id}.{index.name}".lower())


def index_sql(table: schema.Table, index: schema.Index, condition: str = "") -> str:
    """A unique index takes NULL for a value, as T-SQL does: nullable columns are indexed by an expression."""
    terms = []
    for name, descending in index.columns:
        column = table.column(name)
        assert column is not None  # noqa: S101 - checked when the index was described
        quoted = schema.quote(column.name)
        if index.unique and column.nullable:
            collation = collation_of(column.type)
            quoted = f"ifnull({quoted}, x'00')" + (f" COLLATE {collation}" if collation else "")
        terms.append(quoted + (" DESC" if descending else ""))
    unique = "UNIQUE " if index.unique else ""
    where = f" WHERE {condition}" if condition else ""
    owner = table.sql_name.partition(".")[2]
    return f"CREATE {unique}INDEX {index_name(table, index)} ON {owner} ({', '.join(terms)}){where}"


def index_named_by_sqlite(table: schema.Table, where: str) -> schema.Index | None:
    """The index that SQLite's "UNIQUE constraint failed: .." speaks of: by name, or by its columns."""
    if where.startswith("index "):
        name = where.removeprefix("index ").strip("'").partition(".")[2]
        return next((index for index in table.indexes if index.name.lower() == name), None)
    prefix = table.sql_name.partition(".")[2].strip('"') + "."
    columns = [part.removeprefix(prefix).lower() for part in where.split(", ")]
    for index in table.indexes:
        if index.unique and [column.lower() for column, _ in index.columns] == columns:
            return index
    return None

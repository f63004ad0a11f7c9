"""Statements that define things: tables, indexes, views, procedures, schemas, principals, permissions, databases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..contract import Column, SqlError
from . import errors, nodes, principals, schema, security, tables
from .compile_changes import ChangeCompiler
from .frame import Frame

if TYPE_CHECKING:
    from .session import EngineSession

index_named_by_sqlite = tables.index_named_by_sqlite


def define(session: EngineSession, node: nodes.Statement, _frame: Frame) -> None:
    """Errors: those of the statement, e.g. 2714 exists already, 3701 does not exist, 262 not allowed."""
    handler = _HANDLERS[type(node)]
    if _only_temporary(node):
        with session.transactions.writing(temporary_only=True):
            handler(session, node)
        return
    if isinstance(node, nodes.CreatePrincipal | nodes.Drop) and node.kind in ("LOGIN", "DATABASE"):
        principals.on_server(session, node)
        return
    with session.transactions.writing():
        handler(session, node)


def _only_temporary(node: nodes.Statement) -> bool:
    names: list[nodes.ObjectName] = []
    if isinstance(node, nodes.CreateTable | nodes.AlterTableAdd | nodes.AlterTableDrop | nodes.AlterColumn):
        names = [node.name]
    elif isinstance(node, nodes.CreateIndex):
        names = [node.table]
    elif isinstance(node, nodes.Drop):
        names = [node.table] if node.table is not None else list(node.names)
    return bool(names) and all(name.name.startswith(("#", "@")) for name in names)


def _run(session: EngineSession, text: str, table: schema.Table | None = None) -> None:
    from .session import Environment
    from .statements import translated

    handle = session.transactions.handle
    handle.context.session, handle.context.error = session, None
    frame = Frame(nodes.Batch((), (), ()), {})
    with translated(session, table, "ALTER TABLE"):
        handle.connection.execute(text, Environment(session, frame))


def _owner(session: EngineSession, name: nodes.ObjectName) -> str:
    """The schema in which an object is made, as it is written in the catalogue. Errors: 2760 unknown schema."""
    wanted = (name.schema or "dbo").lower()
    found = session.catalog.schemas.get(wanted)
    if found is None or wanted in ("sys", "information_schema"):
        text = (
            f'The specified schema name "{name.schema}" either does not exist or you do not have permission to use it.'
        )
        raise SqlError(2760, 16, text)
    if name.database and name.database.lower() != session.database.lower():
        session.find_object(name)
    return found[0]


def _stamp(session: EngineSession) -> str:
    from .session import Environment

    value: str = Environment(session, Frame(nodes.Batch((), (), ()), {}))["g_now"]
    return value


def _put(session: EngineSession, table: schema.Table) -> None:
    """Write a table into the catalogue, or among the session's temporary tables."""
    if table.temporary:
        session.transactions.temporary = {**session.transactions.temporary, table.name.lower(): table}
    else:
        session.transactions.catalog = session.catalog.with_object(table, _stamp(session))


def _existing(session: EngineSession, name: nodes.ObjectName, permission: str = "ALTER") -> schema.Table:
    """Errors: 4902 no such table, 1088 not allowed."""
    found = session.find_object(name)
    denied = isinstance(found, schema.Table) and not found.temporary and not security.allowed(
        session.catalog, session.principal.user, permission, found.schema, found.name
    )  # fmt: skip
    if not isinstance(found, schema.Table) or denied:
        text = f'Cannot find the object "{name.text}" because it does not exist or you do not have permissions.'
        raise SqlError(1088 if denied else 4902, 16, text)
    return found


# ----------------------------------------------------------------------------------------------------------- tables


def _create_table(session: EngineSession, node: nodes.CreateTable) -> None:
    temporary = node.name.name.startswith(("#", "@"))
    if temporary:
        if node.name.name.startswith("@") and node.name.name in session.transactions.temporary:
            return  # a DECLARE that is passed again
        owner, number = "dbo", session.temporary_id()
        if node.name.name.lower() in session.transactions.temporary:
            raise errors.already_exists(node.name.name)
    else:
        owner, number = _owner(session, node.name), session.catalog.next_object_id
        security.check_statement(session.catalog, session.principal.user, "CREATE TABLE", session.database, owner)
        if session.catalog.find(owner, node.name.name) is not None:
            raise errors.already_exists(node.name.name)
    table = tables.build(node, owner, number, temporary)
    compiler = ChangeCompiler(session, {})
    _run(session, tables.create_sql(compiler, table, node, session))
    session.identities(table).pop(table.object_id, None)
    for index in table.indexes:
        _run(session, tables.index_sql(table, index))
    _put(session, table)
    for extra in node.indexes:
        _create_index(session, extra)


def table_for(session: EngineSession, name: nodes.ObjectName, columns: tuple[Column, ...]) -> schema.Table:
    """The new table of SELECT INTO. Errors: 1038 a column without a name, 2705 a name twice, 2714."""
    if any(not column.name for column in columns):
        text = (
            "An object or column name is missing or empty. For SELECT INTO statements, verify each column has a name. "
            "For "
            'other statements, look for empty alias names. Aliases defined as "" or [] are not allowed.'
        )
        raise SqlError(1038, 15, text)
    defined = tuple(nodes.ColumnDefinition(column.name, column.type, column.nullable) for column in columns)
    node = nodes.CreateTable(name, defined, ())
    _create_table(session, node)
    found = session.find_object(name)
    assert isinstance(found, schema.Table)  # noqa: S101 - it was made above
    return found


def _alter_add(session: EngineSession, node: nodes.AlterTableAdd) -> None:
    table = _existing(session, node.name)
    if any(isinstance(constraint, nodes.CheckConstraint | nodes.ForeignKey) for constraint in node.constraints):
        raise errors.unsupported("ALTER TABLE .. ADD of CHECK and FOREIGN KEY constraints")
    for definition in node.columns:
        table = _add_column(session, table, definition)
    for name, column_name, expression in node.defaults:
        column = table.column(column_name)
        if column is None:
            raise errors.invalid_column(column_name)
        changed = replace(column, default=expression, default_name=name or tables.default_name(table.name, column.name))
        table = replace(table, columns=tuple(changed if c is column else c for c in table.columns))
    _put(session, table)
    for constraint in node.constraints:
        assert isinstance(constraint, nodes.KeyConstraint)  # noqa: S101 - the others were refused above
        index = tables.key_index(table, constraint)
        if constraint.primary:
            table = tables.primary_not_null(table, index)
        _run(session, tables.index_sql(table, index), table)
        table = replace(table, indexes=(*table.indexes, index))
        _put(session, table)


def _add_column(session: EngineSession, table: schema.Table, definition: nodes.ColumnDefinition) -> schema.Table:
    if table.column(definition.name) is not None:
        text = (
            f"Column names in each table must be unique. Column name '{definition.name}' in table '{table.name}' is "
            "specified more than once."
        )
        raise SqlError(2705, 16, text, 4)
    number = max((column.column_id for column in table.columns), default=0) + 1
    column = tables.column_of(definition, number, table.name)
    has_rows = session.row_count(table) > 0
    if has_rows and not column.nullable and column.default is None and column.identity is None:
        text = (
            "ALTER TABLE only allows columns to be added that can contain nulls, or have a DEFAULT definition "
            "specified, or "
            f"the column being added is an identity or timestamp column. Column '{column.name}' cannot be added to "
            f"non-empty table '{table.name}' because it does not satisfy these conditions."
        )
        raise SqlError(4901, 16, text)
    _run(session, f"ALTER TABLE {table.sql_name} ADD COLUMN {tables.column_sql(column)}")
    changed = replace(table, columns=(*table.columns, column))
    if has_rows and not column.nullable:
        compiler = ChangeCompiler(session, {})
        session.inserting_into(changed)
        value = compiler._filler(column, changed)
        _run(session, f"UPDATE {table.sql_name} SET {schema.quote(column.name)} = {value}")
    return changed


def _alter_drop(session: EngineSession, node: nodes.AlterTableDrop) -> None:
    table = _existing(session, node.name)
    for name in node.constraints:
        table = _drop_constraint(session, table, name, node.if_exists)
    for name in node.columns:
        column = table.column(name)
        if column is None:
            if node.if_exists:
                continue
            text = f"ALTER TABLE DROP COLUMN failed because column '{name}' does not exist in table '{table.name}'."
            raise SqlError(4924, 16, text)
        users = [i.name for i in table.indexes if name.lower() in {c.lower() for c, _ in i.columns}]
        users += [column.default_name] if column.default is not None else []
        if users:
            text = f"ALTER TABLE DROP COLUMN {name} failed because one or more objects access this column ({users[0]})."
            raise SqlError(4922, 16, text, 9)
        _run(session, f"ALTER TABLE {table.sql_name} DROP COLUMN {schema.quote(column.name)}", table)
        table = replace(table, columns=tuple(c for c in table.columns if c is not column))
    _put(session, table)


def _drop_constraint(session: EngineSession, table: schema.Table, name: str, if_exists: bool) -> schema.Table:
    index = table.index(name)
    if index is not None and index.kind:
        _run(session, f"DROP INDEX {tables.index_name(table, index)}")
        return replace(table, indexes=tuple(i for i in table.indexes if i is not index))
    column = next((c for c in table.columns if c.default is not None and c.default_name.lower() == name.lower()), None)
    if column is not None:
        changed = replace(column, default=None, default_name="")
        return replace(table, columns=tuple(changed if c is column else c for c in table.columns))
    if any(name.lower() == known.lower() for known, _ in (*table.checks, *table.foreign_keys)):
        raise errors.unsupported("dropping CHECK and FOREIGN KEY constraints")
    if if_exists:
        return table
    raise SqlError(3728, 16, f"'{name}' is not a constraint.")


def _alter_column(session: EngineSession, node: nodes.AlterColumn) -> None:
    from .compiled import Code

    table = _existing(session, node.name)
    column = table.column(node.column.name)
    if column is None:
        text = (
            f"ALTER TABLE ALTER COLUMN failed because column '{node.column.name}' does not exist in table "
            f"'{table.name}'."
        )
        raise SqlError(4924, 16, text)
    changed = replace(column, type=node.column.type, nullable=node.column.nullable is not False)
    quoted = schema.quote(column.name)
    stored = ChangeCompiler(session, {}).stored(Code(quoted, column.type), changed, table, "UPDATE")
    if stored != quoted:
        _run(session, f"UPDATE {table.sql_name} SET {quoted} = {stored}", table)
    _put(session, replace(table, columns=tuple(changed if c is column else c for c in table.columns)))


def _create_index(session: EngineSession, node: nodes.CreateIndex) -> None:
    table = _existing(session, node.table)
    if table.index(node.name) is not None:
        text = (
            f"The operation failed because an index or statistics with name '{node.name}' already exists on table "
            f"'{table.schema}.{table.name}'."
        )
        raise SqlError(1913, 16, text)
    if node.clustered and any(index.clustered for index in table.indexes):
        text = f"Cannot create more than one clustered index on table '{table.schema}.{table.name}'."
        raise SqlError(1902, 16, text)
    index = tables.plain_index(table, node)
    condition = tables.condition_sql(ChangeCompiler(session, {}), table, node.where) if node.where is not None else ""
    _run(session, tables.index_sql(table, index, condition), replace(table, indexes=(index,)))
    _put(session, replace(table, indexes=(*table.indexes, index)))


def _maintenance(session: EngineSession, node: nodes.Maintenance) -> None:
    _existing(session, node.table)


# ----------------------------------------------------------------------------------------------- views and procedures


def _create_view(session: EngineSession, node: nodes.CreateView) -> None:
    owner = _owner(session, node.name)
    security.check_statement(session.catalog, session.principal.user, "CREATE VIEW", session.database, owner)
    number = _replaceable(session, owner, node.name.name, node.replace, schema.View, "view")
    view = schema.View(number, owner, node.name.name, node.columns, node.query, node.text)
    compiler = ChangeCompiler(session, {})
    compiler.derived(nodes.DerivedTable(node.query, node.name.name, node.columns))  # names and columns must hold
    session.transactions.catalog = session.catalog.with_object(view, _stamp(session))


def _create_procedure(session: EngineSession, node: nodes.CreateProcedure) -> None:
    owner = _owner(session, node.name)
    security.check_statement(session.catalog, session.principal.user, "CREATE PROCEDURE", session.database, owner)
    number = _replaceable(session, owner, node.name.name, node.replace, schema.Procedure, "procedure")
    Frame(node.body, {parameter.name: parameter.type for parameter in node.parameters})  # 137 shows at once
    item = schema.Procedure(number, owner, node.name.name, node.parameters, node.body, node.text)
    session.transactions.catalog = session.catalog.with_object(item, _stamp(session))


def _replaceable(session: EngineSession, owner: str, name: str, how: str, kind: type, word: str) -> int:
    """The object id that CREATE, ALTER or CREATE OR ALTER leads to. Errors: 2714, 208."""
    found = session.catalog.find(owner, name)
    if found is not None and (how == "" or not isinstance(found, kind)):
        raise errors.already_exists(name)
    if found is None and how == "ALTER":
        raise errors.invalid_object(name) if word == "view" else SqlError(208, 16, f"Invalid object name '{name}'.", 6)
    return found.object_id if found is not None else session.catalog.next_object_id


# --------------------------------------------------------------------------------------------------------- dropping


def _drop(session: EngineSession, node: nodes.Drop) -> None:
    if node.kind == "INDEX":
        _drop_index(session, node)
    elif node.kind in ("USER", "ROLE", "SCHEMA"):
        principals.drop(session, node)
    else:
        for name in node.names:
            _drop_object(session, node, name)


def _drop_object(session: EngineSession, node: nodes.Drop, name: nodes.ObjectName) -> None:
    kinds: Mapping[str, type] = {"TABLE": schema.Table, "VIEW": schema.View, "PROCEDURE": schema.Procedure}
    found = session.find_object(name)
    hidden = found is not None and not (isinstance(found, schema.Table) and found.temporary) and not security.allowed(
        session.catalog, session.principal.user, "ALTER", found.schema
    )  # fmt: skip
    if found is None or not isinstance(found, kinds[node.kind]) or hidden:
        if node.if_exists and found is None:
            return
        raise errors.does_not_exist("drop", node.kind.lower(), name.text)
    if not isinstance(found, schema.Table):
        session.transactions.catalog = session.catalog.without_object(found)
        return
    if not found.temporary:
        _refuse_if_referenced(session, found)
    _run(session, f"DROP TABLE {found.sql_name}")
    if found.temporary:
        left = {key: table for key, table in session.transactions.temporary.items() if table is not found}
        session.transactions.temporary = left
    else:
        session.transactions.catalog = session.catalog.without_object(found)


def _refuse_if_referenced(session: EngineSession, table: schema.Table) -> None:
    name = f"{table.schema}.{table.name}".lower()
    for other in session.catalog.objects.values():
        if not isinstance(other, schema.Table) or other.object_id == table.object_id:
            continue
        if any(referenced == name for _, referenced in other.foreign_keys):
            text = f"Could not drop object '{table.name}' because it is referenced by a FOREIGN KEY constraint."
            raise SqlError(3726, 16, text)


def _drop_index(session: EngineSession, node: nodes.Drop) -> None:
    assert node.table is not None  # noqa: S101 - the parser gives one
    name = node.names[0].name
    found = session.find_object(node.table)
    index = found.index(name) if isinstance(found, schema.Table) else None
    if not isinstance(found, schema.Table) or index is None:
        if node.if_exists:
            return
        raise errors.does_not_exist("drop", "index", f"{node.table.text}.{name}")
    if index.kind:
        kind = "PRIMARY KEY" if index.kind == "PK" else "UNIQUE KEY"
        text = (
            f"An explicit DROP INDEX is not allowed on index '{node.table.text}.{name}'. It is being used for {kind} "
            "constraint enforcement."
        )
        raise SqlError(3723, 16, text, 4)
    table = _existing(session, node.table)
    _run(session, f"DROP INDEX {tables.index_name(table, index)}")
    _put(session, replace(table, indexes=tuple(i for i in table.indexes if i is not index)))


def drop_table_variables(session: EngineSession, frame: Frame) -> None:
    """Table variables end with their batch or procedure."""
    names = [name for name in session.transactions.temporary if name.startswith("@") and name not in frame.types]
    if frame.nesting == 0 and names:
        with session.transactions.writing(temporary_only=True):
            for name in names:
                _run(session, f"DROP TABLE {session.transactions.temporary[name].sql_name}")
            left = {key: table for key, table in session.transactions.temporary.items() if key not in names}
            session.transactions.temporary = left


_HANDLERS: dict[type[nodes.Statement], Callable[[EngineSession, Any], None]] = {
    nodes.CreateTable: _create_table, nodes.AlterTableAdd: _alter_add, nodes.AlterTableDrop: _alter_drop,
    nodes.AlterColumn: _alter_column, nodes.CreateIndex: _create_index, nodes.CreateView: _create_view,
    nodes.CreateProcedure: _create_procedure, nodes.Drop: _drop, nodes.Maintenance: _maintenance,
    nodes.CreatePrincipal: principals.create, nodes.AlterRole: principals.alter_role,
    nodes.Permission: principals.permission,
}  # fmt: skip

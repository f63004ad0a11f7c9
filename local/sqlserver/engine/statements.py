"""Runs compiled statements on SQLite: queries, changes, scalar values; and tells SQLite's errors in T-SQL's words."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..contract import Columns, Done, Event, Row, SqlError, SqlType
from . import convert, definitions, errors, nodes, schema, security
from .compile_changes import ChangeCompiler
from .compiled import Plan, convert_code
from .frame import Frame

if TYPE_CHECKING:
    from .session import EngineSession

_CHUNK = 100
_PLANS_PER_STATEMENT = 64
_RETRIES = 3
# How many steps of SQLite's machine pass between two looks at the cancel flag: well under a millisecond of work.
_STEPS = 20_000


def _compiler(session: EngineSession, frame: Frame) -> ChangeCompiler:
    compiler = ChangeCompiler(session, frame.types)
    compiler.identity_insert = session.identity_insert
    return compiler


def plan(
    session: EngineSession, owner: nodes.Statement, frame: Frame, key: Any, make: Callable[[ChangeCompiler], Plan]
) -> Plan:
    """The compiled statement, from its cache; checks the permissions that it needs. Errors: 229, and the compiler's."""
    place = (key, session.token(), frame.signature)
    found = owner.plans.get(place)
    if found is None:
        found = make(_compiler(session, frame))
        if len(owner.plans) >= _PLANS_PER_STATEMENT:
            owner.plans.clear()
        owner.plans[place] = found
    if found.needs and not session.principal.dbo:
        for need in found.needs:
            security.check(session.catalog, session.principal.user, need, session.database)
    return found


def _execute(
    session: EngineSession, text: str, frame: Frame, table: schema.Table | None = None, verb: str = "SELECT"
) -> sqlite3.Cursor:
    from .session import Environment

    handle = session.transactions.handle
    handle.context.session, handle.context.error = session, None
    handle.connection.set_progress_handler(session.owner.cancelled.is_set, _STEPS)
    with translated(session, table, verb):
        return handle.connection.execute(text, Environment(session, frame))


class translated:  # noqa: N801 - used like a function
    """Turns SQLite's errors inside the block into SqlError or CancelledError."""

    def __init__(self, session: EngineSession, table: schema.Table | None = None, verb: str = "SELECT") -> None:
        self.session, self.table, self.verb = session, table, verb

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, sqlite3.Error):
            return
        context = self.session.transactions.handle.context
        cause, context.error = context.error, None
        if isinstance(cause, SqlError):
            raise SqlError(cause.number, cause.severity, cause.text, cause.state, cause.line) from None
        if self.session.owner.cancelled.is_set():
            raise errors.CancelledError from None
        if cause is not None:
            raise cause from None
        raise self._translate(str(error)) from error

    def _translate(self, text: str) -> SqlError:
        if text.startswith("no such table: "):
            return errors.invalid_object(text.rpartition(": ")[2].removeprefix("main."))
        if text.startswith("no such column: "):
            return errors.invalid_column(text.rpartition(".")[2])
        if text.startswith("UNIQUE constraint failed"):
            return self._duplicate(text.partition(": ")[2])
        if text.startswith("CHECK constraint failed"):
            return self._conflict("CHECK", text.partition(": ")[2])
        if text.startswith("FOREIGN KEY constraint failed"):
            return self._foreign_key()
        if text == "integer overflow":
            return errors.overflow("bigint")
        if "too many" in text or "too big" in text or "too large" in text:
            return SqlError(8623, 16, f"The query processor ran out of internal resources ({text}).")
        return errors.unsupported(f"this statement (SQLite: {text})")

    def _duplicate(self, where: str) -> SqlError:
        table = self.table
        if table is None:
            return SqlError(2627, 14, f"Violation of a unique key ({where}).")
        index = definitions.index_named_by_sqlite(table, where)
        name = f"{table.schema}.{table.name}"
        if index is not None and not index.kind:
            text = f"Cannot insert duplicate key row in object '{name}' with unique index '{index.name}'."
            return SqlError(2601, 14, text)
        kind = "PRIMARY KEY" if index is None or index.kind == "PK" else "UNIQUE KEY"
        shown = index.name if index is not None else where
        return SqlError(
            2627, 14, f"Violation of {kind} constraint '{shown}'. Cannot insert duplicate key in object '{name}'."
        )

    def _conflict(self, kind: str, name: str) -> SqlError:
        table = self.table
        place = f'table "{table.schema}.{table.name}"' if table is not None else "a table"
        text = (
            f'The {self.verb} statement conflicted with the {kind} constraint "{name}". The conflict occurred in '
            "database "
            f'"{self.session.database}", {place}.'
        )
        return SqlError(547, 16, text)

    def _foreign_key(self) -> SqlError:
        keys = self.table.foreign_keys if self.table is not None else ()
        if self.verb in ("INSERT", "UPDATE") and keys:
            return self._conflict("FOREIGN KEY", keys[0][0])
        return self._conflict("REFERENCE", "of another table")


# ---------------------------------------------------------------------------------------------------- single values


def _scalar_plan(session: EngineSession, expression: nodes.Expr, owner: nodes.Statement, frame: Frame,
                 target: SqlType | None) -> Plan:  # fmt: skip
    def make(compiler: ChangeCompiler) -> Plan:
        from ..contract import Column

        code = compiler.value(expression)
        code = convert_code(code, target) if target is not None else code
        return Plan(f"SELECT {code.sql}", (Column("", code.type),), tuple(compiler.needs))

    return plan(session, owner, frame, (id(expression), target), make)


def scalar(
    session: EngineSession, expression: nodes.Expr, owner: nodes.Statement, frame: Frame, target: SqlType | None
) -> Any:
    """Errors: whatever the expression raises."""
    found = _scalar_plan(session, expression, owner, frame, target)
    cursor = _execute(session, found.sql, frame)
    with translated(session):
        return cursor.fetchall()[0][0]


def typed(session: EngineSession, expression: nodes.Expr, owner: nodes.Statement, frame: Frame) -> tuple[Any, SqlType]:
    """The stored value and the type of an expression."""
    found = _scalar_plan(session, expression, owner, frame, None)
    return scalar(session, expression, owner, frame, None), found.columns[0].type


def truth(session: EngineSession, condition: nodes.Expr, owner: nodes.Statement, frame: Frame) -> bool:
    def make(compiler: ChangeCompiler) -> Plan:
        # In WHERE, unlike in a SELECT list, SQLite does not evaluate the second part of AND and OR needlessly.
        return Plan(f"SELECT 1 WHERE {compiler.condition(condition)}", (), tuple(compiler.needs))

    for attempt in range(_RETRIES):
        found = plan(session, owner, frame, id(condition), make)
        try:
            cursor = _execute(session, found.sql, frame)
            with translated(session):
                return bool(cursor.fetchall())
        except SqlError as error:
            if not _stale(error, attempt):
                raise
    raise AssertionError("unreachable")


def _stale(error: SqlError, attempt: int) -> bool:
    """Whether a name vanished between compiling and running, because another session committed in between."""
    return error.number in (207, 208) and attempt + 1 < _RETRIES and error.__cause__ is not None


# ---------------------------------------------------------------------------------------------------------- queries


def select(session: EngineSession, node: nodes.SelectStatement, frame: Frame) -> Iterator[Event]:
    into = node.query.body.into if isinstance(node.query.body, nodes.Select) else None
    if into is not None:
        yield from _select_into(session, node, into, frame)
        return
    found, cursor = _open(session, node, frame)
    if found.variables:
        yield from _assign(session, found, cursor, frame)
        return
    yield Columns(found.columns)
    count = 0
    for row in _rows(session, found, cursor):
        count += 1
        yield row
    session.rowcount, session.error = count, 0
    yield Done(None if session.options.get("nocount") == "ON" else count, is_select=True)


def _open(session: EngineSession, node: nodes.SelectStatement, frame: Frame) -> tuple[Plan, sqlite3.Cursor | SqlError]:
    """The plan and its open cursor. An error while SQLite starts is given back, as the column names go out first."""

    def make(compiler: ChangeCompiler) -> Plan:
        code = compiler.compile_query(node.query, top_level=True)
        return Plan(code.sql, code.columns, tuple(compiler.needs), code.variables)

    for attempt in range(_RETRIES):
        found = plan(session, node, frame, "select", make)
        try:
            return found, _execute(session, found.sql, frame)
        except SqlError as error:
            if not _stale(error, attempt):
                return found, error
    raise AssertionError("unreachable")


def _rows(
    session: EngineSession, found: Plan, cursor: sqlite3.Cursor | SqlError, table: schema.Table | None = None
) -> Iterator[Row]:
    if isinstance(cursor, SqlError):
        raise cursor
    decoders = found.decoders
    try:
        while True:
            with translated(session, table, found.verb):
                chunk = cursor.fetchmany(_CHUNK)
            if not chunk:
                return
            for values in chunk:
                yield Row(_decoded(values, decoders) if decoders else values)
    finally:
        cursor.close()


def _decoded(values: tuple[Any, ...], decoders: tuple[tuple[int, convert.Converter], ...]) -> tuple[Any, ...]:
    cells = list(values)
    for position, decoder in decoders:
        if cells[position] is not None:
            cells[position] = decoder(cells[position])
    return tuple(cells)


def _assign(session: EngineSession, found: Plan, cursor: sqlite3.Cursor | SqlError, frame: Frame) -> Iterator[Event]:
    """SELECT @v = ..: the last row counts, and no row changes nothing."""
    if isinstance(cursor, SqlError):
        raise cursor
    with translated(session):
        rows = cursor.fetchall()
    if rows:
        for name, value, column in zip(found.variables, rows[-1], found.columns, strict=True):
            change = convert.converter(column.type, frame.types[name])
            frame.values[name] = value if value is None or change is None else change(value)
    session.rowcount, session.error = len(rows), 0
    return
    yield


def _select_into(
    session: EngineSession, node: nodes.SelectStatement, into: nodes.ObjectName, frame: Frame
) -> Iterator[Event]:
    temporary = into.name.startswith("#")
    with session.transactions.writing(temporary):
        compiler = _compiler(session, frame)
        code = compiler.compile_query(node.query, top_level=True)
        for need in compiler.needs:
            if not session.principal.dbo:
                security.check(session.catalog, session.principal.user, need, session.database)
        table = definitions.table_for(session, into, code.columns)
        cursor = _execute(session, f"INSERT INTO {table.sql_name} {code.sql}", frame, table, "INSERT")
    yield from _counted(session, cursor.rowcount)


def _counted(session: EngineSession, count: int) -> Iterator[Event]:
    session.rowcount, session.error = count, 0
    yield Done(None if session.options.get("nocount") == "ON" else count)


# ---------------------------------------------------------------------------------------------------------- changes


def change(session: EngineSession, node: nodes.Statement, frame: Frame) -> Iterator[Event]:
    """INSERT, UPDATE, DELETE, TRUNCATE: compiled under the writer lock, so that the names hold."""
    rows: list[Row] = []
    with session.transactions.writing(_only_temporary(node)):
        found = plan(session, node, frame, "change", lambda compiler: _compile_change(compiler, node))
        session.inserting_into(found.table)
        cursor = _execute(session, found.sql, frame, found.table, found.verb)
        if found.columns:
            rows = list(_rows(session, found, cursor, found.table))
        count = len(rows) if found.columns else cursor.rowcount
        _after_insert(session, node, found, frame)
    if found.columns:
        from ..contract import Columns as Header

        yield Header(found.columns)
        yield from rows
    if found.verb == "TRUNCATE":
        session.rowcount, session.error = 0, 0
        yield Done()
        return
    yield from _counted(session, max(0, count))


def _compile_change(compiler: ChangeCompiler, node: nodes.Statement) -> Plan:
    if isinstance(node, nodes.Insert):
        return compiler.insert(node)
    if isinstance(node, nodes.Update):
        return compiler.update(node)
    if isinstance(node, nodes.Delete):
        return compiler.delete(node)
    assert isinstance(node, nodes.Truncate)  # noqa: S101 - the interpreter sends no other
    return compiler.truncate(node)


def _only_temporary(node: Any) -> bool:
    return str(node.target.name).startswith(("#", "@"))


def _after_insert(session: EngineSession, node: nodes.Statement, found: Plan, frame: Frame) -> None:
    """Identity values: what SCOPE_IDENTITY() says, what comes next, and TRUNCATE's new start."""
    table = found.table
    if table is None or table.identity is None:
        return
    values = session.identities(table)
    if found.verb == "TRUNCATE":
        values.pop(table.object_id, None)
    if not isinstance(node, nodes.Insert):
        return
    if session.identity_insert == table.object_id:
        column = schema.quote(table.identity.name)
        highest = session.transactions.connection.execute(f"SELECT max({column}) FROM {table.sql_name}").fetchone()[0]
        values[table.object_id] = session.last_identity = max(int(highest), values.get(table.object_id, int(highest)))
    frame.scope_identity = values.get(table.object_id)


def set_identity_insert(session: EngineSession, name: nodes.ObjectName, on: bool) -> None:
    """Errors: 1088 unknown table, 8106 a table without identity."""
    table = session.find_object(name)
    if not isinstance(table, schema.Table):
        raise SqlError(
            1088,
            16,
            f'Cannot find the object "{name.text}" because it does not exist or you do not have permissions.',
            11,
        )
    if table.identity is None:
        raise SqlError(
            8106, 16, f"Table '{name.text}' does not have the identity property. Cannot perform SET operation."
        )
    session.identity_insert = table.object_id if on else 0

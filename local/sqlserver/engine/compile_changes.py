"""Lowering of INSERT, UPDATE, DELETE and TRUNCATE, with the checks that storing a value brings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ..contract import Column, SqlError, SqlType
from . import convert, errors, nodes, runtime, schema, types
from .compile_queries import QueryCompiler
from .compiled import Code, Plan, Scope, Source, SourceColumn, constant, convert_code

_MAX_ROWS = 1000  # of one VALUES list, as in SQL Server


class ChangeCompiler(QueryCompiler):
    """identity_insert: object id of the table for which SET IDENTITY_INSERT is ON, or 0."""

    identity_insert = 0

    def target_table(self, name: nodes.ObjectName, action: str) -> schema.Table:
        found = self.names.find_object(name)
        if isinstance(found, schema.View):
            raise errors.unsupported(f"{action} through a view ({name.text})")
        if not isinstance(found, schema.Table):
            raise errors.invalid_object(name.text)
        if not found.temporary:
            self.need(action, found)
        return found

    # Values on their way into a column

    def stored(self, code: Code, column: schema.TableColumn, table: schema.Table, verb: str) -> str:
        """The SQL of a value as the column keeps it. It fails with 2628 when cut, 515 when NULL where it may not."""
        target = column.type
        if code.null:
            sql = "NULL"
        elif _may_be_cut(code, column):
            loose = convert_code(code, _unlimited(target))
            key = ("store", table.schema, table.name, column.name, target)
            number = runtime.register(key, lambda: _length_check(table, column))
            sql = f"t_call({number}, {loose.sql})"
        else:
            sql = convert_code(code, target).sql
        if column.nullable or (not code.nullable and not code.null):
            return sql
        place = ("null", self.names.database, table.schema, table.name, column.name, verb)
        number = runtime.register(place, lambda: _null_check(self.names.database, table, column, verb))
        return f"t_notnull({number}, {sql})"

    def _default(self, column: schema.TableColumn) -> Code:
        if column.default is None:
            return constant(None, column.type)
        return self.value(column.default)

    # INSERT

    def insert(self, node: nodes.Insert) -> Plan:
        """Errors: 207, 208, 213, 109, 110, 120, 121 for names and counts, 544 and 545 about identity values."""
        self._ctes.append({})
        head = self._with(node.ctes)
        table = self.target_table(node.target, "INSERT")
        named = self._named_columns(node, table)
        rest = [column for column in table.columns if column not in named]
        self._check_identity(table, named)
        if node.source is None:
            sql = f"SELECT {', '.join(self._filler(column, table) for column in rest)}"
        elif isinstance(node.source.body, nodes.Values) and not node.source.ctes:
            sql = self._insert_values(node.source.body, named, rest, table, bool(node.columns))
        else:
            sql = self._insert_query(node.source, named, rest, table, bool(node.columns))
        columns = ", ".join(schema.quote(column.name) for column in (*named, *rest))
        returning, shown = self._output(node.output, table, "inserted")
        text = f"{head}INSERT INTO {table.sql_name} ({columns}) {sql}{returning}"
        return Plan(text, shown, tuple(self.needs), verb="INSERT", table=table)

    def _named_columns(self, node: nodes.Insert, table: schema.Table) -> list[schema.TableColumn]:
        if node.source is None:
            return []
        if not node.columns:
            return [c for c in table.columns if c.identity is None or self.identity_insert == table.object_id]
        named = []
        for name in node.columns:
            column = table.column(name)
            if column is None:
                raise errors.invalid_column(name)
            if column in named:
                text = (
                    f"The column name '{name}' is specified more than once in the SET clause or column list of an "
                    "INSERT."
                )
                raise SqlError(264, 16, text)
            named.append(column)
        return named

    def _check_identity(self, table: schema.Table, named: Sequence[schema.TableColumn]) -> None:
        identity = table.identity
        if identity is None:
            return
        allowed = self.identity_insert == table.object_id
        if identity in named and not allowed:
            text = (
                f"Cannot insert explicit value for identity column in table '{table.name}' when IDENTITY_INSERT is set "
                "to OFF."
            )
            raise SqlError(544, 16, text)
        if allowed and identity not in named:
            text = (
                f"Explicit value must be specified for identity column in table '{table.name}' either when "
                "IDENTITY_INSERT "
                "is set to ON or when a replication user is inserting into a NOT FOR REPLICATION identity column."
            )
            raise SqlError(545, 16, text)

    def _filler(self, column: schema.TableColumn, table: schema.Table) -> str:
        """What a column gets that the statement does not name."""
        if column.identity is not None:
            number = f"t_identity({table.object_id})"
            return number if types.family(column.type) == "integer" else f"CAST({number} AS TEXT)"
        return self.stored(self._default(column), column, table, "INSERT")

    def _insert_values(self, body: nodes.Values, named: list[schema.TableColumn], rest: list[schema.TableColumn],
                       table: schema.Table, listed: bool) -> str:  # fmt: skip
        if len(body.rows) > _MAX_ROWS:
            text = (
                "The number of row value expressions in the INSERT statement exceeds the maximum allowed number of "
                "1000 row values."
            )
            raise SqlError(10738, 15, text)
        lines = []
        for row in body.rows:
            if len(row) != len(named):
                raise _wrong_count(len(row) < len(named), listed, values=True)
            cells = [
                self.stored(self._default(column) if cell is None else self.value(cell), column, table, "INSERT")
                for cell, column in zip(row, named, strict=True)
            ]
            lines.append(f"({', '.join([*cells, *(self._filler(column, table) for column in rest)])})")
        return f"VALUES {', '.join(lines)}"

    def _insert_query(self, query: nodes.Query, named: list[schema.TableColumn], rest: list[schema.TableColumn],
                      table: schema.Table, listed: bool) -> str:  # fmt: skip
        code = self.compile_query(query, top_level=True)
        if len(code.columns) != len(named):
            raise _wrong_count(len(code.columns) < len(named), listed, values=False)
        cells = [
            self.stored(Code(f"q.c{n}", source.type, source.nullable), column, table, "INSERT")
            for n, (source, column) in enumerate(zip(code.columns, named, strict=True), 1)
        ]
        cells += [self._filler(column, table) for column in rest]
        # "WHERE true" tells SQLite's parser that what follows is no ON CONFLICT clause of a join.
        return f"SELECT {', '.join(cells)} FROM ({code.sql}) AS q WHERE true"

    def _output(
        self, items: Sequence[nodes.SelectItem], table: schema.Table, row: str
    ) -> tuple[str, tuple[Column, ...]]:
        """OUTPUT inserted.* or deleted.* as SQLite's RETURNING. Errors: refuses the other row of an UPDATE."""
        if not items:
            return "", ()
        columns = tuple(SourceColumn(c.name, c.type, c.nullable, schema.quote(c.name)) for c in table.columns)
        outer, self.scope = self.scope, Scope([Source(frozenset({row}), row, columns, "")])
        try:
            expanded = [item for raw in items for item in self._expanded(raw)]
            codes = [self.value(item.expression) for item in expanded]
        except SqlError as error:
            if error.number in (4104, 107):
                raise errors.unsupported("OUTPUT of the row before the UPDATE, or of other tables") from None
            raise
        finally:
            self.scope = outer
        shown = tuple(
            Column(item.alias or getattr(item.expression, "name", ""), code.type, code.nullable)
            for item, code in zip(expanded, codes, strict=True)
        )
        return f" RETURNING {', '.join(code.sql for code in codes)}", shown

    # UPDATE and DELETE

    def update(self, node: nodes.Update) -> Plan:
        """Errors: 207, 208, 8102 for an identity column, 4104."""
        self._ctes.append({})
        head = self._with(node.ctes)
        self._refuse_cte_target(node.target)
        source_sql, target = self._change_sources(node.target, node.source, "UPDATE")
        table = target.table
        assert table is not None  # noqa: S101 - _change_sources looked
        cells = [self._assigned(name, value, table) for name, value in node.assignments]
        where = self.condition(node.where) if node.where is not None else ""
        returning, shown = self._output(node.output, table, "inserted")
        if node.source is None and node.top is None:
            assigned = ", ".join(f"{schema.quote(column.name)} = {sql}" for column, sql in cells)
            sql = f"{head}UPDATE {target.sql} SET {assigned}{' WHERE ' + where if where else ''}{returning}"
            return Plan(sql, shown, tuple(self.needs), verb="UPDATE", table=table)
        values = ", ".join(f"{sql} AS __v{n}" for n, (_, sql) in enumerate(cells))
        inner = self._change_query(f"{target.rowid} AS __rid, {values}", source_sql, where, node.top)
        assigned = ", ".join(f"{schema.quote(column.name)} = u.__v{n}" for n, (column, _) in enumerate(cells))
        sql = f"{head}UPDATE {table.sql_name} AS tgt SET {assigned} FROM ({inner}) AS u WHERE tgt.rowid = u.__rid"
        return Plan(sql + returning, shown, tuple(self.needs), verb="UPDATE", table=table)

    def _assigned(self, name: str, value: nodes.Expr, table: schema.Table) -> tuple[schema.TableColumn, str]:
        column = table.column(name)
        if column is None:
            raise errors.invalid_column(name)
        if column.identity is not None:
            raise SqlError(8102, 16, f"Cannot update identity column '{column.name}'.")
        return column, self.stored(self.value(value), column, table, "UPDATE")

    def delete(self, node: nodes.Delete) -> Plan:
        """Errors: 208, 207, 4104."""
        self._ctes.append({})
        head = self._with(node.ctes)
        self._refuse_cte_target(node.target)
        source_sql, target = self._change_sources(node.target, node.source, "DELETE")
        table = target.table
        assert table is not None  # noqa: S101 - _change_sources looked
        where = self.condition(node.where) if node.where is not None else ""
        returning, shown = self._output(node.output, table, "deleted")
        if node.source is None and node.top is None:
            sql = f"{head}DELETE FROM {target.sql}{' WHERE ' + where if where else ''}{returning}"
        else:
            inner = self._change_query(f"{target.rowid} AS __rid", source_sql, where, node.top)
            sql = f"{head}DELETE FROM {table.sql_name} WHERE rowid IN (SELECT __rid FROM ({inner})){returning}"
        return Plan(sql, shown, tuple(self.needs), verb="DELETE", table=table)

    def _refuse_cte_target(self, target: nodes.ObjectName) -> None:
        if not target.schema and any(target.name.lower() in ctes for ctes in self._ctes):
            raise errors.unsupported("changing rows through a common table expression")

    def _change_sources(
        self, target: nodes.ObjectName, source: nodes.TableSource | None, action: str
    ) -> tuple[str, Source]:
        """The FROM clause of a change and its target in it, found by alias or by name."""
        self.scope = Scope()
        if source is None:
            table = self.target_table(target, action)
            names = frozenset({table.name.lower(), f"{table.schema}.{table.name}".lower()})
            found = self.table(table, table.name, names)
            self.scope.sources.append(found)
            return found.sql, found
        sql = self._sources(source)
        wanted = target.text.lower()
        for found in self.scope.sources:
            if found.table is not None and (wanted in found.names or target.name.lower() == found.exposed):
                if not found.table.temporary:
                    self.need(action, found.table)
                return sql, found
        table = self.target_table(target, action)  # UPDATE t ... FROM t AS x: the same table under another name
        for found in self.scope.sources:
            if found.table is not None and found.table.object_id == table.object_id:
                return sql, found
        raise errors.unsupported(f"{action} of a table that its FROM clause does not name")

    def _change_query(self, columns: str, source: str, where: str, top: nodes.Top | None) -> str:
        limit = self._limit(top, nodes.Query(nodes.Values(()))) if top is not None else ""
        return f"SELECT {columns} FROM {source}{' WHERE ' + where if where else ''}{limit}"

    def truncate(self, node: nodes.Truncate) -> Plan:
        """TRUNCATE needs ALTER on the table."""
        table = self.target_table(node.target, "ALTER")
        return Plan(f"DELETE FROM {table.sql_name}", (), tuple(self.needs), verb="TRUNCATE", table=table)


def _may_be_cut(code: Code, column: schema.TableColumn) -> bool:
    target = column.type
    if types.family(target) not in ("string", "binary") or target.length == types.MAX:
        return False
    if types.family(code.type) == types.family(target):
        return code.type.length == types.MAX or code.type.length > target.length
    return types.family(target) == "string" and types.family(code.type) in ("temporal", "guid", "binary")


def _unlimited(target: SqlType) -> SqlType:
    variable = {"char": "varchar", "nchar": "nvarchar", "binary": "varbinary"}
    return SqlType(variable.get(target.name, target.name), length=types.MAX)


def _length_check(table: schema.Table, column: schema.TableColumn) -> Callable[[Any], Any]:
    length, target = column.type.length, column.type
    pad = convert.converter(_unlimited(target), target)

    def check(value: Any) -> Any:
        if len(value) <= length or (isinstance(value, str) and len(value.rstrip(" ")) <= length):
            return value if pad is None else pad(value)
        shown = value if isinstance(value, str) else "0x" + value.hex().upper()
        text = (
            f"String or binary data would be truncated in table '{table.schema}.{table.name}', column '{column.name}'. "
            f"Truncated value: '{shown[:length]}'."
        )
        raise SqlError(2628, 16, text)

    return check


def _null_check(database: str, table: schema.Table, column: schema.TableColumn, verb: str) -> Callable[[Any], NoReturn]:
    owner = "tempdb" if table.temporary else database
    text = (
        f"Cannot insert the value NULL into column '{column.name}', table '{owner}.{table.schema}.{table.name}'; "
        f"column does not allow nulls. {verb} fails."
    )

    def fail(_: Any) -> NoReturn:
        raise SqlError(515, 16, text, 2)

    return fail


def _wrong_count(too_few: bool, listed: bool, values: bool) -> SqlError:
    if not listed:
        return SqlError(213, 16, "Column name or number of supplied values does not match table definition.")
    part = "values specified in the VALUES clause" if values else "columns in the select list"
    if values:
        number = 109 if too_few else 110
        more = "more" if too_few else "fewer"
        text = (
            f"There are {more} columns in the INSERT statement than {part}. The number of values in the VALUES clause "
            "must "
            "match the number of columns specified in the INSERT statement."
        )
        return SqlError(number, 15, text)
    number, less = (120, "fewer") if too_few else (121, "more")
    text = (
        f"The select list for the INSERT statement contains {less} items than the insert list. The number of SELECT "
        "values "
        "must match the number of INSERT columns."
    )
    return SqlError(number, 15, text)

"""Lowering of queries to SQLite's SQL: sources, grouping, ordering, set operations, common table expressions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ..contract import Column, SqlError, SqlType
from . import errors, nodes, schema, system_views, types
from .compile_expressions import ExpressionCompiler, common_type, has_aggregate
from .compiled import Code, Need, QueryCode, Scope, Source, SourceColumn, collation_of, convert_code

_MAX_VIEW_DEPTH = 32


class Names(Protocol):
    """What the compiler asks of the session about names."""

    database: str

    def find_object(self, name: nodes.ObjectName) -> schema.Object | None: ...


class QueryCompiler(ExpressionCompiler):
    def __init__(self, names: Names, variables: dict[str, SqlType]) -> None:
        super().__init__(variables)
        self.names = names
        self._aliases = 0
        self._ctes: list[dict[str, tuple[str, tuple[Column, ...]]]] = []
        self._view_depth = 0

    def alias(self) -> str:
        self._aliases += 1
        return f"s{self._aliases}"

    # Queries

    def compile_query(self, query: nodes.Query, top_level: bool = False, exists: bool = False) -> QueryCode:
        """A query in the present scope. Errors: 1033 for ORDER BY where it means nothing."""
        outer_scope, outer_grouping = self.scope, self.grouping
        self.grouping = None
        self._ctes.append({})
        try:
            head = self._with(query.ctes)
            limited = query.offset is not None or (isinstance(query.body, nodes.Select) and query.body.top is not None)
            if query.order_by and not top_level and not limited:
                text = (
                    "The ORDER BY clause is invalid in views, inline functions, derived tables, subqueries, and common "
                    "table expressions, unless TOP, OFFSET or FOR XML is also specified."
                )
                raise SqlError(1033, 15, text)
            if isinstance(query.body, nodes.Select):
                code = self._select(query.body, query, exists)
            else:
                code = self._compound(query)
            return replace(code, sql=head + code.sql)
        finally:
            self._ctes.pop()
            self.scope, self.grouping = outer_scope, outer_grouping

    def _with(self, ctes: tuple[nodes.Cte, ...]) -> str:
        parts = []
        recursive = False
        for cte in ctes:
            name = f"w{self.alias()}"
            recursive = recursive or _mentions(cte)
            code = self._recursive(cte, name) if _mentions(cte) else self._separate(cte.query)
            columns = _renamed(code.columns, cte.columns, cte.name)
            self._ctes[-1][cte.name.lower()] = (name, columns)
            parts.append(f"{name}({_numbered(len(columns))}) AS ({code.sql})")
        return f"WITH {'RECURSIVE ' if recursive else ''}{', '.join(parts)} " if parts else ""

    def _outside(self, work: Callable[[], QueryCode]) -> QueryCode:
        """Compile without the tables of the query around (derived tables and CTEs do not see them)."""
        scope, self.scope = self.scope, Scope()
        try:
            return work()
        finally:
            self.scope = scope

    def _separate(self, query: nodes.Query) -> QueryCode:
        return self._outside(lambda: self.compile_query(query))

    def _recursive(self, cte: nodes.Cte, name: str) -> QueryCode:
        body = cte.query.body
        if not isinstance(body, nodes.SetOperation) or body.op != "UNION ALL":
            text = f"Recursive common table expression '{cte.name}' does not contain a top-level UNION ALL operator."
            raise SqlError(252, 16, text)
        anchor = self._outside(lambda: self.compile_query(nodes.Query(body.left)))
        self._ctes[-1][cte.name.lower()] = (name, _renamed(anchor.columns, cte.columns, cte.name))
        step = self._outside(lambda: self.compile_query(nodes.Query(body.right)))
        if len(step.columns) != len(anchor.columns):
            raise _column_counts_differ()
        targets = [column.type for column in anchor.columns]
        return QueryCode(f"{anchor.sql} UNION ALL {_as_types(step, targets)}", anchor.columns)

    def _compound(self, query: nodes.Query) -> QueryCode:
        code = self._body(query.body)
        order = []
        for item in query.order_by:
            position = self._ordinal(item.expression, code.columns)
            if position is None:
                text = (
                    "ORDER BY items must appear in the select list if the statement contains a UNION, INTERSECT or "
                    "EXCEPT operator."
                )
                raise SqlError(104, 16, text)
            order.append(_order_term(str(position), code.columns[position - 1].type, item.descending))
        sql = f"{code.sql} ORDER BY {', '.join(order)}" if order else code.sql
        return replace(code, sql=sql + self._limit(None, query))

    def _body(self, body: nodes.Body) -> QueryCode:
        if isinstance(body, nodes.Select):
            code = self.compile_query(nodes.Query(body))
            return replace(code, sql=f"SELECT * FROM ({code.sql})") if body.top is not None else code
        if isinstance(body, nodes.Values):
            return self._values(body)
        left, right = self._body(body.left), self._body(body.right)
        if len(left.columns) != len(right.columns):
            raise _column_counts_differ()
        targets = [types.common(a.type, b.type) for a, b in zip(left.columns, right.columns, strict=True)]
        one, two = (_as_types(side, targets, body.op != "UNION ALL") for side in (left, right))
        if isinstance(body.right, nodes.SetOperation):
            two = f"SELECT * FROM ({two})"
        columns = tuple(
            Column(a.name, kind, a.nullable or b.nullable)
            for a, b, kind in zip(left.columns, right.columns, targets, strict=True)
        )
        return QueryCode(f"{one} {body.op} {two}", columns)

    def _values(self, body: nodes.Values) -> QueryCode:
        rows = [[self.value(_given(cell)) for cell in row] for row in body.rows]
        if len({len(row) for row in rows}) != 1:
            raise SqlError(
                10709, 16, "The number of columns for each row in a table value constructor must be the same."
            )
        targets = [common_type([row[n] for row in rows]) for n in range(len(rows[0]))]
        lines = (", ".join(convert_code(c, t).sql for c, t in zip(row, targets, strict=True)) for row in rows)
        columns = tuple(Column("", kind, any(row[n].nullable for row in rows)) for n, kind in enumerate(targets))
        named = ", ".join(f"column{n} AS c{n}" for n in range(1, len(targets) + 1))
        return QueryCode(f"SELECT {named} FROM (VALUES {', '.join(f'({line})' for line in lines)})", columns)

    # SELECT

    def _select(self, select: nodes.Select, query: nodes.Query, exists: bool) -> QueryCode:
        self.scope = Scope(parent=self.scope)
        source = self._sources(select.source) if select.source is not None else ""
        where = self.condition(select.where) if select.where is not None else ""
        items = [item for raw in select.items for item in self._expanded(raw)]
        group_sql = self._enter_grouping(select, items)
        codes = [self.value(item.expression) for item in items]
        having = self.condition(select.having) if select.having is not None else ""
        order = self._order(query.order_by, items, codes, select.distinct)
        self.grouping = None
        shown = [(c.collated if select.distinct else c.sql) for c in codes]
        sql = f"SELECT {'DISTINCT ' if select.distinct else ''}" + ", ".join(
            f"{s} AS c{n}" for n, s in enumerate(shown, 1)
        )
        for keyword, part in (("FROM", source), ("WHERE", where), ("GROUP BY", group_sql), ("HAVING", having),
                              ("ORDER BY", order)):  # fmt: skip
            sql += f" {keyword} {part}" if part else ""
        if having and not group_sql and not any(has_aggregate(item.expression) for item in items):
            raise errors.unsupported("HAVING without GROUP BY and without aggregates")
        variables = tuple(item.variable for item in items if item.variable)
        if variables and len(variables) != len(items):
            text = (
                "A SELECT statement that assigns a value to a variable must not be combined with data-retrieval "
                "operations."
            )
            raise SqlError(141, 15, text)
        columns = tuple(Column(_item_name(i), c.type, c.nullable) for i, c in zip(items, codes, strict=True))
        limit = "" if exists and query.offset is None and select.top is None else self._limit(select.top, query)
        return QueryCode(sql + limit, columns, variables)

    def _expanded(self, item: nodes.SelectItem) -> list[nodes.SelectItem]:
        if not isinstance(item.expression, nodes.Star):
            return [item]
        if not self.scope.sources:
            raise SqlError(263, 16, "Must specify table to select from.")
        columns = self.scope.expand(item.expression)
        return [nodes.SelectItem(_Resolved(column), column.name) for column in columns]

    def code(self, node: nodes.Expr) -> Code:
        if isinstance(node, _Resolved):
            if self.grouping is not None and node.column.sql not in self.grouping[0]:
                text = (
                    f"Column '{node.column.name}' is invalid in the select list because it is not contained in either "
                    "an "
                    "aggregate function or the GROUP BY clause."
                )
                raise SqlError(8120, 16, text)
            return Code(node.column.sql, node.column.type, node.column.nullable)
        return super().code(node)

    def _enter_grouping(self, select: nodes.Select, items: list[nodes.SelectItem]) -> str:
        """Compile GROUP BY; from here on plain columns must be among what is grouped by."""
        codes = [self.value(expression) for expression in select.group_by]
        having = [select.having] if select.having is not None else []
        if not codes and not any(has_aggregate(e) for e in [*(item.expression for item in items), *having]):
            return ""
        self.grouping = ({code.sql for code in codes}, list(select.group_by))
        # A bare number after GROUP BY would be a column position to SQLite.
        return ", ".join(f"({code.sql})+0" if code.constant else code.collated for code in codes)

    def _order(self, order_by: tuple[nodes.OrderItem, ...], items: list[nodes.SelectItem], codes: list[Code],
               distinct: bool) -> str:  # fmt: skip
        columns = tuple(Column(_item_name(i, only_alias=True), c.type) for i, c in zip(items, codes, strict=True))
        terms = []
        for item in order_by:
            position = self._ordinal(item.expression, columns)
            if position is not None:
                terms.append(_order_term(str(position), columns[position - 1].type, item.descending))
                continue
            code = self.value(item.expression)
            if distinct and code.sql not in {shown.sql for shown in codes}:
                raise SqlError(
                    145, 15, "ORDER BY items must appear in the select list if SELECT DISTINCT is specified."
                )
            terms.append(code.collated + (" DESC" if item.descending else ""))
        return ", ".join(terms)

    @staticmethod
    def _ordinal(expression: nodes.Expr, columns: tuple[Column, ...]) -> int | None:
        """The position that an ORDER BY item names, by number or by alias."""
        if isinstance(expression, nodes.Literal) and isinstance(expression.value, int):
            if not 1 <= expression.value <= len(columns):
                text = (
                    f"The ORDER BY position number {expression.value} is out of range of the number of items in the "
                    "select list."
                )
                raise SqlError(108, 15, text)
            return expression.value
        if isinstance(expression, nodes.ColumnRef) and not expression.qualifier:
            for position, column in enumerate(columns, 1):
                if column.name.lower() == expression.name.lower():
                    return position
        return None

    def _limit(self, top: nodes.Top | None, query: nodes.Query) -> str:
        if top is not None:
            if top.percent:
                raise errors.unsupported("TOP .. PERCENT")
            return f" LIMIT {convert_code(self.value(top.count), types.BIGINT).sql}"
        if query.offset is None:
            return ""
        if not query.order_by:
            raise errors.syntax("OFFSET", 1)
        fetch = convert_code(self.value(query.fetch), types.BIGINT).sql if query.fetch is not None else "-1"
        return f" LIMIT {fetch} OFFSET {convert_code(self.value(query.offset), types.BIGINT).sql}"

    # Sources

    def _sources(self, source: nodes.TableSource) -> str:
        """The SQL of a FROM clause; its tables join the present scope. Errors: 1013 for a name used twice."""
        sql = self._source(source)
        seen: set[str] = set()
        for found in self.scope.sources:
            if found.exposed in seen:
                text = (
                    f'The objects "{found.exposed}" and "{found.exposed}" in the FROM clause have the same exposed '
                    "names. "
                    "Use correlation names to distinguish them."
                )
                raise SqlError(1013, 16, text)
            seen.add(found.exposed)
        return sql

    def _source(self, source: nodes.TableSource) -> str:
        if isinstance(source, nodes.Join):
            return self._join(source)
        found = self.derived(source) if isinstance(source, nodes.DerivedTable) else self.named(source)
        self.scope.sources.append(found)
        return found.sql

    def _join(self, join: nodes.Join) -> str:
        start = len(self.scope.sources)
        left = self._source(join.left)
        middle = len(self.scope.sources)
        right = self._source(join.right)
        on = f" ON {self.condition(join.on)}" if join.on is not None else ""
        sources = self.scope.sources
        if join.kind in ("LEFT", "FULL"):
            sources[middle:] = [source.nullable() for source in sources[middle:]]
        if join.kind in ("RIGHT", "FULL"):
            sources[start:middle] = [source.nullable() for source in sources[start:middle]]
        if isinstance(join.right, nodes.Join):
            right = f"({right})"
        return f"{left} {join.kind} JOIN {right}{on}"

    def derived(self, source: nodes.DerivedTable) -> Source:
        code = self._separate(source.query)
        columns = _renamed(code.columns, source.columns, source.alias)
        return self._wrapped(f"({code.sql})", columns, source.alias, frozenset({source.alias.lower()}))

    def _wrapped(self, sql: str, columns: tuple[Column, ...], exposed: str, names: frozenset[str]) -> Source:
        alias = self.alias()
        shown = tuple(SourceColumn(c.name, c.type, c.nullable, f"{alias}.c{n}") for n, c in enumerate(columns, 1))
        return Source(names, exposed.lower(), shown, f"{sql} AS {alias}")

    def named(self, source: nodes.NamedTable) -> Source:
        """Errors: 208 when there is no such table, view or common table expression."""
        name = source.name
        exposed = source.alias or name.name
        names = frozenset({source.alias.lower()}) if source.alias else _qualifiers(name)
        if not name.schema:
            for ctes in reversed(self._ctes):
                if name.name.lower() in ctes:
                    sql, columns = ctes[name.name.lower()]
                    return self._wrapped(sql, columns, exposed, names)
        view = system_views.find(name, self.names.database)
        if view is not None:
            return self._wrapped(view.sql, view.columns, exposed, names)
        found = self.names.find_object(name)
        if isinstance(found, schema.View):
            return self._view(found, exposed, names)
        if not isinstance(found, schema.Table):
            raise errors.invalid_object(name.text)
        if not found.temporary:
            self.need("SELECT", found)
        return self.table(found, exposed, names)

    def need(self, action: str, item: schema.Object) -> None:
        if self._view_depth == 0:  # a view lends its owner's rights to what it reads
            self.needs.append(Need(action, item.schema, item.name))

    def table(self, table: schema.Table, exposed: str, names: frozenset[str]) -> Source:
        alias = self.alias()
        columns = tuple(
            SourceColumn(c.name, c.type, c.nullable, f"{alias}.{schema.quote(c.name)}") for c in table.columns
        )
        return Source(names, exposed.lower(), columns, f"{table.sql_name} AS {alias}", f"{alias}.rowid", table)

    def _view(self, view: schema.View, exposed: str, names: frozenset[str]) -> Source:
        self.need("SELECT", view)
        if self._view_depth >= _MAX_VIEW_DEPTH:
            text = "Maximum stored procedure, function, trigger, or view nesting level exceeded (limit 32)."
            raise SqlError(217, 16, text)
        self._view_depth += 1
        ctes, self._ctes = self._ctes, []
        try:
            code = self._separate(view.query)
        finally:
            self._view_depth -= 1
            self._ctes = ctes
        return self._wrapped(f"({code.sql})", _renamed(code.columns, view.columns, view.name), exposed, names)


class _Resolved(nodes.Expr):
    """A column that ``*`` stands for."""

    def __init__(self, column: SourceColumn) -> None:
        object.__setattr__(self, "column", column)

    column: SourceColumn


def _given(cell: nodes.Expr | None) -> nodes.Expr:
    if cell is None:
        raise errors.syntax("DEFAULT", 1, keyword=True)
    return cell


def _qualifiers(name: nodes.ObjectName) -> frozenset[str]:
    parts = [part.lower() for part in (name.database, name.schema or "dbo", name.name) if part]
    return frozenset(".".join(parts[start:]) for start in range(len(parts)))


def _item_name(item: nodes.SelectItem, only_alias: bool = False) -> str:
    if item.alias or only_alias:
        return item.alias
    return item.expression.name if isinstance(item.expression, nodes.ColumnRef) else ""


def _numbered(count: int) -> str:
    return ", ".join(f"c{n}" for n in range(1, count + 1))


def _renamed(columns: tuple[Column, ...], names: tuple[str, ...], owner: str) -> tuple[Column, ...]:
    """Errors: 8158, 8159 wrong number of names, 8155 a column without a name, 8156 a name twice."""
    if names and len(names) != len(columns):
        more, number = ("more", 8158) if len(columns) > len(names) else ("fewer", 8159)
        raise SqlError(number, 16, f"'{owner}' has {more} columns than were specified in the column list.")
    renamed = (
        tuple(Column(name, c.type, c.nullable) for name, c in zip(names, columns, strict=True)) if names else columns
    )
    seen: set[str] = set()
    for number, column in enumerate(renamed, 1):
        if not column.name:
            raise SqlError(8155, 16, f"No column name was specified for column {number} of '{owner}'.", 2)
        if column.name.lower() in seen:
            raise SqlError(8156, 16, f"The column '{column.name}' was specified multiple times for '{owner}'.")
        seen.add(column.name.lower())
    return renamed


def _as_types(code: QueryCode, targets: list[SqlType], collated: bool = False) -> str:
    """The query with its columns converted, and with the collations that UNION compares by."""
    shown, changed = [], False
    for number, (column, target) in enumerate(zip(code.columns, targets, strict=True), 1):
        part = convert_code(Code(f"c{number}", column.type), target).sql
        changed = changed or part != f"c{number}" or (collated and collation_of(target) != "")
        suffix = f" COLLATE {collation_of(target)}" if collated and collation_of(target) else ""
        shown.append(f"{part}{suffix} AS c{number}")
    return f"SELECT {', '.join(shown)} FROM ({code.sql})" if changed else code.sql


def _order_term(position: str, sql_type: SqlType, descending: bool) -> str:
    collation = collation_of(sql_type)
    return position + (f" COLLATE {collation}" if collation else "") + (" DESC" if descending else "")


def _mentions(cte: nodes.Cte) -> bool:
    """Whether a common table expression reads itself."""
    return _reads(cte.query.body, cte.name.lower())


def _reads(node: object, name: str) -> bool:
    if isinstance(node, nodes.NamedTable):
        return not node.name.schema and node.name.name.lower() == name
    if isinstance(node, nodes.Join):
        return _reads(node.left, name) or _reads(node.right, name)
    if isinstance(node, nodes.SetOperation):
        return _reads(node.left, name) or _reads(node.right, name)
    if isinstance(node, nodes.Select):
        return node.source is not None and _reads(node.source, name)
    return isinstance(node, nodes.DerivedTable) and _reads(node.query.body, name)


def _column_counts_differ() -> SqlError:
    text = (
        "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number of expressions in "
        "their target lists."
    )
    return SqlError(205, 16, text)

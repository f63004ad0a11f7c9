"""The parser of queries and of INSERT, UPDATE, DELETE."""

from __future__ import annotations

from . import nodes
from .parser_expressions import ExpressionParser

_JOIN_WORDS = ("join", "inner", "left", "right", "full", "cross", "outer")
_HINTS = {"nolock", "readpast", "rowlock", "tablock", "tablockx", "updlock", "holdlock", "serializable",
    "repeatableread",
          "readcommitted", "readuncommitted", "paglock", "xlock", "nowait", "forceseek"}  # fmt: skip


class QueryParser(ExpressionParser):
    def query(self) -> nodes.Query:
        """A query with its WITH and ORDER BY, as it stands as a statement, in parentheses or in a view."""
        ctes = self.common_tables() if self.at("with") else ()
        return self.query_tail(ctes)

    def query_tail(self, ctes: tuple[nodes.Cte, ...]) -> nodes.Query:
        body = self._set_operations()
        order_by = self.order_by() if self.at("order") else ()
        offset = fetch = None
        if self.take("offset"):
            offset = self.expression()
            if not self.take("rows"):
                self.expect("row")
            if self.take("fetch"):
                fetch = self._fetch()
        if self.at("for"):
            self.refuse(f"FOR {self.peek().text.upper()}")
        if self.at_words("option", "("):
            self._skip_parentheses()
        return nodes.Query(body, ctes, order_by, offset, fetch)

    def _fetch(self) -> nodes.Expr:
        if not self.take("first"):
            self.expect("next")
        count = self.expression()
        if not self.take("rows"):
            self.expect("row")
        self.expect("only")
        return count

    def _skip_parentheses(self) -> None:
        while not self.at("("):
            self.advance()
        depth = 0
        while True:
            depth += self.at("(") - self.at(")")
            if self.token.kind == "end":
                self.fail()
            self.advance()
            if depth == 0:
                return

    def common_tables(self) -> tuple[nodes.Cte, ...]:
        self.expect("with")
        ctes = []
        while True:
            name = self.identifier()
            columns = self.name_list() if self.at("(") else ()
            self.expect("as", "(")
            ctes.append(nodes.Cte(name, columns, self.query()))
            self.expect(")")
            if not self.take(","):
                return tuple(ctes)

    def name_list(self) -> tuple[str, ...]:
        self.expect("(")
        names = [self.identifier()]
        while self.take(","):
            names.append(self.identifier())
        self.expect(")")
        return tuple(names)

    def _set_operations(self) -> nodes.Body:
        left = self._intersections()
        while self.at("union", "except"):
            op = self.advance().key.upper()
            if op == "UNION" and self.take("all"):
                op = "UNION ALL"
            left = nodes.SetOperation(op, left, self._intersections())
        return left

    def _intersections(self) -> nodes.Body:
        left = self._body()
        while self.take("intersect"):
            left = nodes.SetOperation("INTERSECT", left, self._body())
        return left

    def _body(self) -> nodes.Body:
        if self.take("("):
            inner = self._set_operations()
            self.expect(")")
            return inner
        if self.at("values"):
            return self.values()
        return self._select()

    def values(self) -> nodes.Values:
        self.expect("values")
        rows = [self._row()]
        while self.take(","):
            rows.append(self._row())
        return nodes.Values(tuple(rows))

    def _row(self) -> tuple[nodes.Expr | None, ...]:
        self.expect("(")
        row: list[nodes.Expr | None] = []
        while True:
            row.append(None if self.take("default") else self.expression())
            if not self.take(","):
                break
        self.expect(")")
        return tuple(row)

    def _select(self) -> nodes.Select:
        self.expect("select")
        distinct = self.take("distinct")
        if not distinct:
            self.take("all")
        top = self.top() if self.at("top") else None
        items = self.select_items()
        into = self.object_name() if self.take("into") else None
        source = self.table_sources() if self.take("from") else None
        where = self.condition() if self.take("where") else None
        group_by = self._group_by() if self.take("group", "by") else ()
        having = self.condition() if self.take("having") else None
        return nodes.Select(items, top, distinct, source, where, group_by, having, into)

    def _group_by(self) -> tuple[nodes.Expr, ...]:
        if (self.at("rollup", "cube", "grouping") and self.peek().key in ("(", "sets")) or self.at("all"):
            self.refuse(f"GROUP BY {self.token.text.upper()}")
        return self._list()

    def top(self) -> nodes.Top:
        self.expect("top")
        if self.take("("):
            count = self.expression()
            self.expect(")")
        else:
            count = self._primary()
        percent = self.take("percent")
        if self.at_words("with", "ties"):
            self.refuse("TOP .. WITH TIES")
        return nodes.Top(count, percent)

    def select_items(self) -> tuple[nodes.SelectItem, ...]:
        items = [self._select_item()]
        while self.take(","):
            items.append(self._select_item())
        return tuple(items)

    def _select_item(self) -> nodes.SelectItem:
        if self.at("*"):
            self.advance()
            return nodes.SelectItem(nodes.Star())
        if self.token.kind == "variable" and not self.token.value.startswith("@@"):
            name, sign = self.token, self.peek().key
            if sign == "=" or (sign.endswith("=") and sign[:-1] in "+-*/%&|^" and len(sign) == 2):
                self.advance()
                self.advance()
                value = self.expression()
                if sign != "=":
                    value = nodes.Binary(sign[0], nodes.Variable(name.value), value)
                return nodes.SelectItem(value, variable=self.use_variable(name))
        if self.at_identifier() and self.peek().key == "=":
            alias = self.identifier()
            self.advance()
            return nodes.SelectItem(self.expression(), alias)
        expression = self.expression()
        return nodes.SelectItem(expression, self._alias(strings=True))

    def _alias(self, strings: bool = False) -> str:
        wanted = self.take("as")
        if strings and self.token.kind in ("string", "nstring"):
            return self.advance().value
        if wanted or (self.at_identifier() and not self._starts_statement()):
            return self.identifier()
        return ""

    def _starts_statement(self) -> bool:
        """Words that T-SQL does not reserve, but that open a statement when they stand where an alias could."""
        if self.at("throw"):
            return self.peek().key in (";", "") or self.peek().kind in ("number", "variable", "end")
        if self.at("offset"):
            return self.peek().kind in ("number", "variable") or self.peek().key == "("
        return self.at("output") and self.peek(2).key in (".", "into")

    # Tables

    def table_sources(self) -> nodes.TableSource:
        source = self._joined()
        while self.take(","):
            source = nodes.Join("CROSS", source, self._joined(), None)
        return source

    def _joined(self) -> nodes.TableSource:
        left = self._table()
        while self.at(*_JOIN_WORDS):
            kind = self._join_kind()
            right = self._table() if kind == "CROSS" else self._joined_right()
            on = None
            if kind != "CROSS":
                self.expect("on")
                on = self.condition()
            left = nodes.Join(kind, left, right, on)
        return left

    def _joined_right(self) -> nodes.TableSource:
        right = self._table()
        # a JOIN b JOIN c ON .. ON ..: the inner join comes first.
        while self.at(*_JOIN_WORDS) and not self.at("on"):
            kind = self._join_kind()
            inner = self._joined_right()
            self.expect("on")
            right = nodes.Join(kind, right, inner, self.condition())
        return right

    def _join_kind(self) -> str:
        if (self.at("cross") or self.at("outer")) and self.peek().key == "apply":
            self.refuse(f"{self.token.text.upper()} APPLY")
        if self.take("join"):
            return "INNER"
        kind = self.advance().key.upper()
        self.take("outer")
        if self.at("loop", "hash", "merge"):
            self.advance()
        self.expect("join")
        return kind

    def _table(self) -> nodes.TableSource:
        if self.at("("):
            return self._derived()
        if self.at("openjson", "openrowset", "openquery", "string_split", "generate_series") and self.peek().key == "(":
            self.refuse(f"{self.token.text.upper()} as a table")
        name = self.object_name()
        if self.at("(") and not self._hint_list():
            self.refuse(f"the table-valued function {name.text}")
        if self.at_words("for", "system_time"):
            self.refuse("FOR SYSTEM_TIME")
        alias = self._alias()
        self.table_hints()
        if self.at("pivot", "unpivot", "tablesample"):
            self.refuse(self.token.text.upper())
        return nodes.NamedTable(name, alias)

    def _hint_list(self) -> bool:
        return self.peek().key in _HINTS

    def table_hints(self) -> None:
        """Lock and index hints change nothing in the emulator's answers, so they are read over."""
        if self.at_words("with", "(") or (self.at("(") and self._hint_list()):
            self._skip_parentheses()

    def _derived(self) -> nodes.TableSource:
        if self.peek().key not in ("select", "with", "values", "("):
            self.expect("(")
            inner = self._joined()
            self.expect(")")
            return inner
        self.expect("(")
        query = self.query()
        self.expect(")")
        alias = self._alias()
        if not alias:
            self.fail()
        columns = self.name_list() if self.at("(") else ()
        return nodes.DerivedTable(query, alias, columns)

    # Statements that change rows

    def insert(self, line: int, ctes: tuple[nodes.Cte, ...]) -> nodes.Insert:
        self.expect("insert")
        self.take("into")
        target = self.object_name()
        self.table_hints()
        columns = self.name_list() if self.at("(") and self.peek().key != "select" else ()
        output = self._output()
        if self.take("default", "values"):
            return nodes.Insert(target, columns, None, output, ctes, line=line)
        if self.at("exec", "execute"):
            self.refuse("INSERT .. EXEC")
        query = self.query_tail(()) if not self.at("with") else self.query()
        return nodes.Insert(target, columns, query, output, ctes, line=line)

    def update(self, line: int, ctes: tuple[nodes.Cte, ...]) -> nodes.Update:
        self.expect("update")
        top = self.top() if self.at("top") else None
        target = self.object_name()
        self.table_hints()
        self.expect("set")
        assignments = [self._assignment()]
        while self.take(","):
            assignments.append(self._assignment())
        output = self._output()
        source = self.table_sources() if self.take("from") else None
        where = self._where()
        return nodes.Update(target, tuple(assignments), source, where, top, output, ctes, line=line)

    def _assignment(self) -> tuple[str, nodes.Expr]:
        if self.token.kind == "variable":
            self.refuse("UPDATE .. SET @variable")
        column = self.object_name().name
        sign = self.token.key
        if sign != "=" and not (len(sign) == 2 and sign[1] == "=" and sign[0] in "+-*/%&|^"):
            self.fail()
        self.advance()
        if self.take("default"):
            self.refuse("UPDATE .. SET column = DEFAULT")
        value = self.expression()
        if sign != "=":
            value = nodes.Binary(sign[0], nodes.ColumnRef((), column), value)
        return column, value

    def delete(self, line: int, ctes: tuple[nodes.Cte, ...]) -> nodes.Delete:
        self.expect("delete")
        top = self.top() if self.at("top") else None
        self.take("from")
        target = self.object_name()
        self.table_hints()
        output = self._output()
        source = self.table_sources() if self.take("from") else None
        return nodes.Delete(target, source, self._where(), top, output, ctes, line=line)

    def _where(self) -> nodes.Expr | None:
        if not self.take("where"):
            return None
        if self.at_words("current", "of"):
            self.refuse("WHERE CURRENT OF")
        condition = self.condition()
        if self.at_words("option", "("):
            self._skip_parentheses()
        return condition

    def _output(self) -> tuple[nodes.SelectItem, ...]:
        if not self.take("output"):
            return ()
        items = self.select_items()
        if self.at("into"):
            self.refuse("OUTPUT .. INTO")
        return items

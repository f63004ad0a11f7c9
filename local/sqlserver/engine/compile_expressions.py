"""Lowering of expressions to SQLite's SQL, with the types that T-SQL gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any

from ..contract import SqlError, SqlType
from . import compile_functions, errors, nodes, types
from .compiled import Code, Need, QueryCode, Scope, constant, convert_code, parameter
from .functions import GLOBALS

AGGREGATES = {"count", "count_big", "sum", "avg", "min", "max", "string_agg", "stdev", "stdevp", "var", "varp"}


def children(node: Any) -> Iterator[Any]:
    """The expressions directly inside an expression; queries are not entered."""
    for item in fields(node):
        value = getattr(node, item.name)
        values = value if isinstance(value, tuple) else (value,)
        for inner in values:
            for leaf in inner if isinstance(inner, tuple) else (inner,):
                if isinstance(leaf, nodes.Expr):
                    yield leaf
                elif isinstance(leaf, nodes.OrderItem):
                    yield leaf.expression


def has_aggregate(node: nodes.Expr) -> bool:
    if isinstance(node, nodes.Function) and node.name in AGGREGATES and node.over is None:
        return True
    return any(has_aggregate(child) for child in children(node))


class ExpressionCompiler:
    """Compiles expressions in a scope. ``variables`` maps the names of the batch's variables to their types."""

    def __init__(self, variables: dict[str, SqlType]) -> None:
        self.variables = variables
        self.scope = Scope()
        self.needs: list[Need] = []
        # In a grouped query: the SQL of the grouping columns and the grouping expressions. None elsewhere.
        self.grouping: tuple[set[str], list[nodes.Expr]] | None = None
        self._dispatch: dict[type[nodes.Expr], Callable[[Any], Code]] = {
            nodes.Literal: self._literal, nodes.Variable: self._variable, nodes.Global: self._global,
            nodes.ColumnRef: self._column, nodes.Unary: self._unary, nodes.Binary: self._binary,
            nodes.Compare: self._compare, nodes.Logical: self._logical, nodes.Not: self._not,
            nodes.IsNull: self._is_null, nodes.InList: self._in_list, nodes.InQuery: self._in_query,
            nodes.Between: self._between, nodes.Like: self._like, nodes.Exists: self._exists, nodes.Case: self._case,
            nodes.Cast: self._cast, nodes.Function: self._function, nodes.Subquery: self._subquery,
            nodes.Collate: self._collate,
        }  # fmt: skip

    def compile_query(self, query: nodes.Query, top_level: bool = False, exists: bool = False) -> QueryCode:
        raise NotImplementedError  # pragma: no cover - given by the query compiler

    def code(self, node: nodes.Expr) -> Code:
        """The compiled expression, a condition or a value."""
        grouping = self.grouping
        if grouping is not None and node in grouping[1] and not isinstance(node, nodes.ColumnRef):
            self.grouping = None
            try:
                return self._dispatch[type(node)](node)
            finally:
                self.grouping = grouping
        handler = self._dispatch.get(type(node))
        if handler is None:
            raise errors.syntax("*", 1)
        return handler(node)

    def value(self, node: nodes.Expr) -> Code:
        """Errors: 102 when a condition stands where a value must stand."""
        code = self.code(node)
        if code.boolean:
            raise SqlError(102, 15, "Incorrect syntax: a condition stands where a value is expected.")
        return code

    def condition(self, node: nodes.Expr) -> str:
        """Errors: 4145 when a value stands where a condition must stand."""
        code = self.code(node)
        if not code.boolean:
            text = "An expression of non-boolean type specified in a context where a condition is expected."
            raise SqlError(4145, 15, text)
        return code.sql

    # Leaves

    def _literal(self, node: nodes.Literal) -> Code:
        return constant(node.value, node.type)

    def _variable(self, node: nodes.Variable) -> Code:
        sql_type = self.variables.get(node.name)
        if sql_type is None:
            raise SqlError(137, 15, f'Must declare the scalar variable "{node.name}".', 2)
        return Code(parameter(node.name), sql_type)

    def _global(self, node: nodes.Global) -> Code:
        found = GLOBALS.get(node.name)
        if found is None:
            raise errors.unsupported(node.name.upper())
        return Code(f":g_{found[0]}", found[1], nullable=node.name in ("@@identity",))

    def _column(self, node: nodes.ColumnRef) -> Code:
        column = self.scope.resolve(node)
        local = any(column in source.columns for source in self.scope.sources)
        if self.grouping is not None and local and column.sql not in self.grouping[0]:
            shown = ".".join((*node.qualifier, node.name))
            text = (
                f"Column '{shown}' is invalid in the select list because it is not contained in either an aggregate "
                "function or the GROUP BY clause."
            )
            raise SqlError(8120, 16, text)
        return Code(column.sql, column.type, column.nullable)

    # Operators

    def _unary(self, node: nodes.Unary) -> Code:
        operand = self.value(node.operand)
        family = types.family(operand.type)
        if node.op == "~":
            if family != "integer":
                raise _invalid_operand(operand.type, "'~'")
            inverted = f"(1 - {operand.sql})" if operand.type.name == "bit" else f"(~{operand.sql})"
            return Code(inverted, operand.type, operand.nullable)
        if family == "string":
            raise _invalid_operand(operand.type, "minus")
        zero = nodes.Literal("0" if family == "decimal" else 0, operand.type)
        return self._binary(nodes.Binary("-", zero, node.operand))

    def _binary(self, node: nodes.Binary) -> Code:
        left, right = self.value(node.left), self.value(node.right)
        if left.null or right.null:
            other = right if left.null else left
            return Code("NULL", other.type, null=True, constant=True)
        families = {types.family(left.type), types.family(right.type)}
        if "temporal" in families:
            return self._shift_date(node.op, left, right)
        if families <= {"string"}:
            return self._concatenate(node.op, left, right)
        if families <= {"binary"} and node.op == "+":
            joined = SqlType("varbinary", length=_joined_length(left.type, right.type, 8000))
            return Code(f"CAST({left.sql} || {right.sql} AS BLOB)", joined, left.nullable or right.nullable)
        if "guid" in families or (families & {"binary"} and not families & {"integer"}):
            raise _invalid_operand(left.type, f"'{node.op}'")
        return self._arithmetic(node.op, left, right)

    def _arithmetic(self, op: str, left: Code, right: Code) -> Code:
        target = types.common(left.type, right.type)
        nullable = left.nullable or right.nullable
        if op in "&|^":
            return self._bitwise(op, left, right, target, nullable)
        if types.family(target) == "integer":
            target = types.INT if target.name == "bit" else target
            one, two = convert_code(left, target), convert_code(right, target)
            sql = (
                f"t_{'div' if op == '/' else 'mod'}({one.sql}, {two.sql})"
                if op in "/%"
                else f"({one.sql} {op} {two.sql})"
            )
            return Code(f"t_{target.name}({sql})", target, nullable)
        if types.family(target) == "float":
            one, two = convert_code(left, types.FLOAT), convert_code(right, types.FLOAT)
            if op == "%":
                raise errors.unsupported("% on float")
            sql = f"t_fdiv({one.sql}, {two.sql})" if op == "/" else f"({one.sql} {op} {two.sql})"
            return Code(f"t_float({sql})", types.FLOAT, nullable)
        one, two = (convert_code(code, _operand_type(code, target)) for code in (left, right))
        result = (
            target
            if types.is_money(target)
            else decimal_result(op, types.as_decimal(one.type), types.as_decimal(two.type))
        )
        sql = f"t_dec('{op}', {one.sql}, {two.sql}, {result.precision}, {result.scale})"
        return Code(sql, result, nullable)

    @staticmethod
    def _bitwise(op: str, left: Code, right: Code, target: SqlType, nullable: bool) -> Code:
        if types.family(target) != "integer":
            raise _invalid_operand(target, f"'{op}'")
        one, two = convert_code(left, target).sql, convert_code(right, target).sql
        sql = f"(({one} | {two}) - ({one} & {two}))" if op == "^" else f"({one} {op} {two})"
        return Code(sql, target, nullable)

    @staticmethod
    def _concatenate(op: str, left: Code, right: Code) -> Code:
        if op != "+":
            raise _invalid_operand(
                left.type, {"-": "subtract", "*": "multiply", "/": "divide", "%": "modulo"}.get(op, op)
            )
        unicode = types.is_unicode(left.type) or types.is_unicode(right.type)
        limit = 4000 if unicode else 8000
        length = _joined_length(left.type, right.type, limit)
        target = types.nvarchar(length) if unicode else types.varchar(length)
        return Code(f"({left.sql} || {right.sql})", target, left.nullable or right.nullable)

    @staticmethod
    def _shift_date(op: str, left: Code, right: Code) -> Code:
        """datetime + days."""
        days, moment = (left, right) if types.family(right.type) == "temporal" else (right, left)
        if (
            op not in "+-"
            or moment.type.name not in ("datetime", "smalldatetime")
            or types.family(days.type) != "integer"
        ):
            first, second = left.type.name, right.type.name
            text = (
                f"The data types {first} and {second} are incompatible in the {'add' if op == '+' else 'subtract'} "
                "operator."
            )
            raise SqlError(402, 16, text)
        return compile_functions.date_add("day", Code(f"({'-' if op == '-' else ''}{days.sql})", types.INT), moment)

    # Conditions

    def _pair(self, first: nodes.Expr, second: nodes.Expr) -> tuple[Code, Code]:
        left, right = self.value(first), self.value(second)
        return comparable(left, right)

    def _compare(self, node: nodes.Compare) -> Code:
        left, right = self._pair(node.left, node.right)
        return Code(f"({left.collated} {node.op} {right.sql})", types.BIT, boolean=True)

    def _logical(self, node: nodes.Logical) -> Code:
        return Code(f"({self.condition(node.left)} {node.op} {self.condition(node.right)})", types.BIT, boolean=True)

    def _not(self, node: nodes.Not) -> Code:
        return Code(f"(NOT {self.condition(node.operand)})", types.BIT, boolean=True)

    def _is_null(self, node: nodes.IsNull) -> Code:
        return Code(
            f"({self.value(node.operand).sql} IS {'NOT ' if node.negated else ''}NULL)", types.BIT, boolean=True
        )

    def _in_list(self, node: nodes.InList) -> Code:
        operand = self.value(node.operand)
        items = [self.value(item) for item in node.items]
        target = common_type([operand, *items])
        left = convert_code(operand, target) if not operand.null else operand
        listed = ", ".join(convert_code(item, target).sql for item in items)
        return Code(f"({left.collated} {'NOT ' if node.negated else ''}IN ({listed}))", types.BIT, boolean=True)

    def _in_query(self, node: nodes.InQuery) -> Code:
        operand, query = self.value(node.operand), self.compile_query(node.query)
        if len(query.columns) != 1:
            raise _one_column()
        inner = Code("q.c1", query.columns[0].type)
        left, right = comparable(operand, inner)
        sql = query.sql if right.sql == inner.sql else f"SELECT {right.sql} FROM ({query.sql}) AS q"
        return Code(f"({left.collated} {'NOT ' if node.negated else ''}IN ({sql}))", types.BIT, boolean=True)

    def _between(self, node: nodes.Between) -> Code:
        low = nodes.Compare(">=", node.operand, node.low)
        both = nodes.Logical("AND", low, nodes.Compare("<=", node.operand, node.high))
        return self._not(nodes.Not(both)) if node.negated else self._logical(both)

    def _like(self, node: nodes.Like) -> Code:
        parts = [node.operand, node.pattern, *([node.escape] if node.escape is not None else [])]
        codes = [to_string(self.value(part)) for part in parts]
        call = f"f_like_({', '.join(code.sql for code in codes)})"
        return Code(f"(NOT {call})" if node.negated else call, types.BIT, boolean=True)

    def _exists(self, node: nodes.Exists) -> Code:
        return Code(f"EXISTS ({self.compile_query(node.query, exists=True).sql})", types.BIT, boolean=True)

    # Values made of others

    def _case(self, node: nodes.Case) -> Code:
        results = [self.value(result) for _, result in node.whens]
        otherwise = self.value(node.otherwise) if node.otherwise is not None else constant(None, types.INT)
        target = common_type([*results, otherwise])
        arms = []
        for (test, _), result in zip(node.whens, results, strict=True):
            condition = test if node.operand is None else nodes.Compare("=", node.operand, test)
            arms.append(f"WHEN {self.condition(condition)} THEN {convert_code(result, target).sql}")
        nullable = otherwise.nullable or any(result.nullable for result in results)
        return Code(f"CASE {' '.join(arms)} ELSE {convert_code(otherwise, target).sql} END", target, nullable)

    def _cast(self, node: nodes.Cast) -> Code:
        style = self.value(node.style) if node.style is not None else constant(0, types.INT)
        if not isinstance(style.value, int):
            raise errors.unsupported("CONVERT with a style that is not a constant")
        return convert_code(self.value(node.operand), node.type, style.value, node.attempt)

    def _function(self, node: nodes.Function) -> Code:
        if node.name in AGGREGATES or node.over is not None:
            grouping, self.grouping = self.grouping, None if node.over is None else self.grouping
            try:
                return compile_functions.aggregate(self, node)
            finally:
                self.grouping = grouping
        return compile_functions.call(self, node)

    def _subquery(self, node: nodes.Subquery) -> Code:
        query = self.compile_query(node.query)
        if len(query.columns) != 1:
            raise _one_column()
        body = node.query.body
        if isinstance(body, nodes.Select) and body.source is None:
            return Code(f"({query.sql})", query.columns[0].type)
        single = f"(SELECT CASE WHEN count(*) > 1 THEN f_many_() ELSE min(c1) END FROM ({query.sql}))"
        return Code(single, query.columns[0].type)

    def _collate(self, node: nodes.Collate) -> Code:
        operand = self.value(node.operand)
        if types.family(operand.type) != "string":
            raise SqlError(447, 16, f"Expression type {operand.type.name} is invalid for COLLATE clause.")
        exact = any(mark in node.collation.upper() for mark in ("_BIN", "_CS"))
        return Code(operand.sql, operand.type, operand.nullable, collation="BINARY" if exact else "t_ci")

    def order_sql(self, items: Sequence[nodes.OrderItem]) -> str:
        """``ORDER BY`` items compiled in the present scope, as in OVER."""
        return ", ".join(f"{self.value(i.expression).collated}{' DESC' if i.descending else ''}" for i in items)


def to_string(code: Code) -> Code:
    if types.family(code.type) == "string":
        return code
    return convert_code(code, types.varchar(8000))


def common_type(codes: Sequence[Code]) -> SqlType:
    """The type of several alternatives; a bare NULL has no say."""
    typed = [code.type for code in codes if not code.null]
    if not typed:
        return types.INT
    target = typed[0]
    for other in typed[1:]:
        target = types.common(target, other)
    return target


def comparable(left: Code, right: Code) -> tuple[Code, Code]:
    """Both in the type in which T-SQL compares them; decimals keep theirs, their collation compares by value."""
    if left.null or right.null:
        return left, right
    target = types.common(left.type, right.type)
    if types.family(target) == "string":
        collation = left.collation or right.collation
        return Code(left.sql, left.type, left.nullable, collation=collation), right
    if types.family(target) == "decimal":
        one, two = (
            c if types.family(c.type) == "decimal" else convert_code(c, _lossless(c, target)) for c in (left, right)
        )
        return one, two
    if types.family(target) == "integer" and types.family(left.type) == types.family(right.type):
        return left, right
    return convert_code(left, target), convert_code(right, target)


def _lossless(code: Code, target: SqlType) -> SqlType:
    return types.as_decimal(code.type) if types.family(code.type) == "integer" else target


def decimal_result(op: str, one: SqlType, two: SqlType) -> SqlType:
    """Precision and scale of a decimal operation, by the documented rules, cut to 38 digits."""
    p1, s1, p2, s2 = one.precision, one.scale, two.precision, two.scale
    if op in "+-":
        scale = max(s1, s2)
        precision = max(p1 - s1, p2 - s2) + scale + 1
    elif op == "*":
        precision, scale = p1 + p2 + 1, s1 + s2
    elif op == "/":
        scale = max(6, s1 + p2 + 1)
        precision = p1 - s1 + s2 + scale
    else:
        scale = max(s1, s2)
        precision = min(p1 - s1, p2 - s2) + scale
    if precision > 38:
        whole = precision - scale
        scale = max(38 - whole, 0) if op in "+-" else min(scale, max(38 - whole, min(scale, 6)))
        precision = 38
    return SqlType("numeric", precision=max(1, precision), scale=scale)


def _operand_type(code: Code, target: SqlType) -> SqlType:
    """The decimal type of an operand: text takes the result's, a whole constant has just as many digits as it needs."""
    if types.family(code.type) == "string":
        return types.as_decimal(target)
    if code.constant and isinstance(code.value, int):
        return SqlType("numeric", precision=len(str(abs(code.value))))
    return types.as_decimal(code.type)


def _joined_length(left: SqlType, right: SqlType, limit: int) -> int:
    return types.MAX if types.MAX in (left.length, right.length) else min(limit, left.length + right.length)


def _invalid_operand(sql_type: SqlType, operator: str) -> SqlError:
    return SqlError(8117, 16, f"Operand data type {sql_type.name} is invalid for {operator} operator.")


def _one_column() -> SqlError:
    text = "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS."
    return SqlError(116, 16, text)

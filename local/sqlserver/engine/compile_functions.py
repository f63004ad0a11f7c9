"""Lowering of function calls: scalar functions by their table, aggregates, windows, and the few special forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..contract import SqlError, SqlType
from . import dates, errors, nodes, runtime, types
from .compiled import Code, convert_code
from .functions import ENVIRONMENT, HIDDEN, INTEGER, LOOKUPS, REAL, SCALARS, STRING, TEMPORAL, Scalar

if TYPE_CHECKING:
    from .compile_expressions import ExpressionCompiler

_RANKING = {"row_number": types.BIGINT, "rank": types.BIGINT, "dense_rank": types.BIGINT, "ntile": types.BIGINT}
_OFFSETS = {"lag", "lead", "first_value", "last_value"}
_NOT_NULL_ENVIRONMENT = {"db_name", "db_id", "user_name", "login", "now", "now7", "nowoffset"}


def _wrong_count(name: str, count: int) -> SqlError:
    return SqlError(174, 15, f"The {name} function requires {count} argument(s).")


def call(compiler: ExpressionCompiler, node: nodes.Function) -> Code:
    """Errors: 195 for a function that T-SQL's table here does not have."""
    special = _SPECIAL.get(node.name)
    if special is not None:
        return special(compiler, node)
    if node.name in ENVIRONMENT and not node.arguments:
        name, sql_type = ENVIRONMENT[node.name]
        return Code(f":g_{name}", sql_type, nullable=name not in _NOT_NULL_ENVIRONMENT)
    if node.name in LOOKUPS:
        return _lookup(compiler, node)
    spec = SCALARS.get(node.name)
    if spec is None or node.name in HIDDEN:
        if node.name in _KNOWN_UNSUPPORTED:
            raise errors.unsupported(f"the function {node.name.upper()}")
        raise SqlError(195, 15, f"'{node.name}' is not a recognized built-in function name.", 10)
    if not spec.low <= len(node.arguments) <= spec.high:
        raise _wrong_count(node.name, spec.low)
    arguments = [compiler.value(argument) for argument in node.arguments]
    return _scalar(spec, arguments)


def _scalar(spec: Scalar, arguments: list[Code]) -> Code:
    shaped = [_shaped(argument, _takes(spec, position)) for position, argument in enumerate(arguments)]
    given = [argument.type for argument in shaped]
    result = spec.result(given)
    if spec.takes[:1] == ("any",) and shaped and types.family(shaped[0].type) != types.family(result):
        shaped[0] = convert_code(shaped[0], result)  # e.g. ABS('5')
    never_null = spec.never_null or (
        spec.strict and not any(argument.nullable for argument in shaped) and spec.name == "len"
    )
    sql = f"f_{spec.name}({', '.join(argument.sql for argument in shaped)})"
    if types.family(result) == "decimal":
        number = runtime.register(("fit", result), lambda: _fit(result))
        sql = f"t_call({number}, {sql})"
    elif types.family(result) == "integer":
        sql = f"t_{result.name}({sql})"
    return Code(sql, result, not never_null)


def _fit(target: SqlType) -> Callable[[str], str]:
    from decimal import Decimal

    from . import convert

    return lambda value: convert.fit_decimal(Decimal(value), target, "expression")


def _takes(spec: Scalar, position: int) -> str:
    return spec.takes[min(position, len(spec.takes) - 1)] if spec.takes else "any"


def _shaped(code: Code, family: str) -> Code:
    actual = types.family(code.type)
    if code.null or family in ("any", actual):
        return code
    targets = {STRING: types.nvarchar(4000) if actual == "guid" else types.varchar(8000), INTEGER: types.INT,
               REAL: types.FLOAT, TEMPORAL: types.DATETIME if actual != "string" else types.DATETIME2}  # fmt: skip
    return convert_code(code, targets[family])


def _lookup(compiler: ExpressionCompiler, node: nodes.Function) -> Code:
    template, low, high, sql_type = LOOKUPS[node.name]
    if not low <= len(node.arguments) <= high:
        raise _wrong_count(node.name, low)
    arguments = [compiler.value(argument).sql for argument in node.arguments]
    return Code(template.format(*arguments, *["NULL"] * (4 - len(arguments))), sql_type)


# --------------------------------------------------------------------------------------------------- special forms


def _is_null(compiler: ExpressionCompiler, node: nodes.Function) -> Code:
    """ISNULL: the type of the first argument decides, unlike COALESCE."""
    if len(node.arguments) != 2:
        raise _wrong_count("isnull", 2)
    first, second = (compiler.value(argument) for argument in node.arguments)
    if first.null:
        return second
    target = first.type
    if types.family(target) == "string" and types.family(second.type) == "string":
        target = types.common(target, SqlType(target.name, length=target.length))
    replacement = convert_code(second, target)
    return Code(f"ifnull({first.sql}, {replacement.sql})", target, second.nullable)


def _coalesce(compiler: ExpressionCompiler, node: nodes.Function) -> Code:
    from .compile_expressions import common_type

    codes = [compiler.value(argument) for argument in node.arguments]
    if len(codes) < 2:
        raise _wrong_count("coalesce", 2)
    target = common_type(codes)
    listed = ", ".join(convert_code(code, target).sql for code in codes)
    return Code(f"coalesce({listed})", target, all(code.nullable for code in codes))


def _null_if(compiler: ExpressionCompiler, node: nodes.Function) -> Code:
    if len(node.arguments) != 2:
        raise _wrong_count("nullif", 2)
    first = compiler.value(node.arguments[0])
    condition = compiler.condition(nodes.Compare("=", *node.arguments))
    return Code(f"CASE WHEN {condition} THEN NULL ELSE {first.sql} END", first.type)


def _choose(compiler: ExpressionCompiler, node: nodes.Function) -> Code:
    index, *items = node.arguments
    whens = tuple((nodes.Compare("=", index, nodes.Literal(n, types.INT)), item) for n, item in enumerate(items, 1))
    return compiler.code(nodes.Case(None, whens, None))


def date_add(part: str, number: Code, moment: Code) -> Code:
    """DATEADD; text counts as datetime, and a date keeps its type."""
    result = dates.datetime_type(moment.type)
    shaped = convert_code(moment, result)
    name = dates.part_name(part)
    key = runtime.register(("dateadd", name, result), lambda: _adder(name, result))
    pair = f"CAST({number.sql} AS TEXT) || ' ' || {shaped.sql}"
    return Code(f"t_call({key}, {pair})", result, number.nullable or moment.nullable)


def _adder(part: str, result: SqlType) -> Callable[[str], str]:
    def add(pair: str) -> str:
        number, _, stored = pair.partition(" ")
        return dates.add(part, int(number), stored, result)

    return add


def _date_add(compiler: ExpressionCompiler, node: nodes.Function) -> Code:
    if len(node.arguments) != 3:
        raise _wrong_count("dateadd", 3)
    part, number, moment = node.arguments
    assert isinstance(part, nodes.Literal)  # noqa: S101 - the parser made it
    return date_add(str(part.value), convert_code(compiler.value(number), types.INT), compiler.value(moment))


def _date_part(compiler: ExpressionCompiler, node: nodes.Function) -> Code:
    """DATEPART and the like: the date part is checked before the statement runs."""
    part = node.arguments[0]
    assert isinstance(part, nodes.Literal)  # noqa: S101 - the parser made it
    dates.part_name(str(part.value))
    spec = SCALARS[node.name]
    if len(node.arguments) != spec.low:
        raise _wrong_count(node.name, spec.low)
    return _scalar(spec, [compiler.value(argument) for argument in node.arguments])


def _data_length(compiler: ExpressionCompiler, node: nodes.Function) -> Code:
    operand = compiler.value(node.arguments[0])
    family = types.family(operand.type)
    if family == "string":
        factor = 2 if types.is_unicode(operand.type) else 1
        return Code(f"(length({operand.sql}) * {factor})", types.INT, operand.nullable)
    if family == "binary":
        return Code(f"length({operand.sql})", types.INT, operand.nullable)
    size = types.storage_facts(operand.type)[0]
    return Code(f"CASE WHEN {operand.sql} IS NULL THEN NULL ELSE {size} END", types.INT, operand.nullable)


def _object_definition(compiler: ExpressionCompiler, node: nodes.Function) -> Code:
    number = compiler.value(node.arguments[0])
    return Code(f"t_object_name({number.sql}, 'definition')", types.nvarchar(types.MAX))


_SPECIAL: dict[str, Callable[[ExpressionCompiler, nodes.Function], Code]] = {
    "isnull": _is_null, "coalesce": _coalesce, "nullif": _null_if, "choose": _choose, "dateadd": _date_add,
    "datepart": _date_part, "datename": _date_part, "datediff": _date_part, "datediff_big": _date_part,
    "datalength": _data_length, "object_definition": _object_definition,
}  # fmt: skip
_KNOWN_UNSUPPORTED = {
    "format", "json_value", "json_query", "isjson", "openjson", "checksum", "binary_checksum", "translate", "soundex",
    "difference", "compress", "decompress", "parse", "try_parse", "string_escape", "grouping", "cume_dist",
    "percent_rank", "switchoffset", "todatetimeoffset", "objectproperty", "columnproperty", "indexproperty",
    "datetrunc",
    "session_context", "connectionproperty", "fn_listextendedproperty", "sin", "cos", "tan", "radians", "degrees",
    "asin", "acos", "atan", "atn2", "cot", "checksum_agg", "approx_count_distinct", "identity", "str",
}  # fmt: skip


# ------------------------------------------------------------------------------------------- aggregates and windows


def aggregate(compiler: ExpressionCompiler, node: nodes.Function) -> Code:
    name = node.name
    if node.over is not None:
        return _windowed(compiler, node)
    if name in ("count", "count_big"):
        result = types.INT if name == "count" else types.BIGINT
        return Code(_count_sql(compiler, node), result, nullable=False)
    if name == "string_agg":
        return _string_agg(compiler, node)
    if len(node.arguments) != 1:
        raise _wrong_count(name, 1)
    operand = compiler.value(node.arguments[0])
    return _simple_aggregate(name, operand, "DISTINCT " if node.distinct else "")


def _count_sql(compiler: ExpressionCompiler, node: nodes.Function) -> str:
    if node.star:
        return "count(*)"
    if len(node.arguments) != 1:
        raise _wrong_count(node.name, 1)
    operand = compiler.value(node.arguments[0])
    return f"count(DISTINCT {operand.collated})" if node.distinct else f"count({operand.sql})"


def _simple_aggregate(name: str, operand: Code, distinct: str) -> Code:
    family = types.family(operand.type)
    if name in ("min", "max"):
        if operand.type.name == "bit":
            raise SqlError(8117, 16, f"Operand data type bit is invalid for {name} operator.")
        return Code(f"{name}({operand.collated})", operand.type)
    if name in ("stdev", "stdevp", "var", "varp"):
        return Code(f"a_{name}({distinct}{convert_code(operand, types.FLOAT).sql})", types.FLOAT)
    if family not in ("integer", "decimal", "float") or operand.type.name == "bit":
        raise SqlError(8117, 16, f"Operand data type {operand.type.name} is invalid for {name} operator.")
    if family == "float":
        return Code(f"{name}({distinct}{operand.sql})", types.FLOAT)
    if family == "integer":
        result = types.BIGINT if operand.type.name == "bigint" else types.INT
        inner = f"sum({distinct}{operand.sql})"
        if name == "avg":
            inner = f"({inner} / count({distinct}{operand.sql}))"
        return Code(f"t_{result.name}({inner})", result)
    scale = operand.type.scale if name == "sum" else max(6, operand.type.scale)
    result = operand.type if types.is_money(operand.type) else SqlType(operand.type.name, precision=38, scale=scale)
    number = runtime.register(("fit", result), lambda: _fit(result))
    return Code(f"t_call({number}, a_dec_{name}({distinct}{operand.sql}))", result)


def _string_agg(compiler: ExpressionCompiler, node: nodes.Function) -> Code:
    from .compile_expressions import to_string

    if len(node.arguments) != 2:
        raise _wrong_count("string_agg", 2)
    if len(node.within) > 1:
        raise errors.unsupported("STRING_AGG ordered by more than one expression")
    value, separator = (to_string(compiler.value(argument)) for argument in node.arguments)
    key = compiler.value(node.within[0].expression).sql if node.within else "NULL"
    descending = int(bool(node.within) and node.within[0].descending)
    unicode = types.is_unicode(value.type)
    result = types.nvarchar(types.MAX) if unicode else types.varchar(types.MAX)
    return Code(f"a_string_agg({value.sql}, {separator.sql}, {key}, {descending})", result)


def _windowed(compiler: ExpressionCompiler, node: nodes.Function) -> Code:
    assert node.over is not None  # noqa: S101 - the caller looked
    inner = _window_function(compiler, node)
    parts = []
    if node.over.partition:
        parts.append("PARTITION BY " + ", ".join(compiler.value(item).collated for item in node.over.partition))
    if node.over.order:
        parts.append("ORDER BY " + compiler.order_sql(node.over.order))
    elif node.name in _RANKING:
        raise SqlError(4112, 15, f"The function '{node.name}' must have an OVER clause with ORDER BY.")
    if node.over.frame:
        parts.append(node.over.frame)
    return Code(f"{inner.sql} OVER ({' '.join(parts)})", inner.type, inner.nullable)


def _window_function(compiler: ExpressionCompiler, node: nodes.Function) -> Code:
    if node.name in _RANKING:
        arguments = ", ".join(compiler.value(argument).sql for argument in node.arguments)
        return Code(f"{node.name}({arguments})", _RANKING[node.name], nullable=False)
    if node.name in _OFFSETS:
        first = compiler.value(node.arguments[0])
        rest = [
            convert_code(compiler.value(a), types.INT if n == 0 else first.type)
            for n, a in enumerate(node.arguments[1:])
        ]
        return Code(f"{node.name}({', '.join(code.sql for code in (first, *rest))})", first.type)
    if node.name in ("count", "count_big"):
        return Code(_count_sql(compiler, node), types.INT if node.name == "count" else types.BIGINT, nullable=False)
    operand = compiler.value(node.arguments[0]) if node.arguments else None
    if operand is None or node.name not in ("sum", "min", "max", "avg"):
        raise errors.unsupported(f"{node.name.upper()} OVER")
    if node.name in ("min", "max") or types.family(operand.type) == "float":
        return Code(f"{node.name}({operand.sql})", operand.type)
    if node.name == "sum" and types.family(operand.type) == "integer":
        return Code(f"sum({operand.sql})", types.BIGINT if operand.type.name == "bigint" else types.INT)
    raise errors.unsupported(f"{node.name.upper()} OVER on {operand.type.name}")

"""The scalar functions of T-SQL: arguments, result type, and what they compute (values in stored form)."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import random
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any

from ..contract import SqlError, SqlType
from . import convert, dates, errors, types

ResultType = Callable[[Sequence[SqlType]], SqlType]
STRING, INTEGER, REAL, ANY, TEMPORAL = "string", "integer", "float", "any", "temporal"


@dataclass(frozen=True)
class Scalar:
    """takes: families of the arguments, the last one for all that follow. call: None when ``template`` is SQL.

    template: ``{0}`` stands for the first argument. strict: NULL in, NULL out.
    """

    name: str
    low: int
    high: int
    takes: tuple[str, ...]
    result: ResultType
    call: Callable[..., Any] | None = None
    template: str = ""
    strict: bool = True
    deterministic: bool = True
    never_null: bool = False

    def guarded(self) -> Callable[..., Any]:
        call = self.call
        if not self.strict or call is None:
            return call or (lambda *_: None)
        return lambda *values: None if None in values else call(*values)


def _as(sql_type: SqlType) -> ResultType:
    return lambda _: sql_type


def _same(arguments: Sequence[SqlType]) -> SqlType:
    first = arguments[0]
    return {"char": types.varchar, "nchar": types.nvarchar}.get(first.name, lambda _: first)(first.length)


def _wide(arguments: Sequence[SqlType]) -> SqlType:
    """A string of the longest length that is not max, as REPLACE and STUFF give."""
    unicode = any(types.family(kind) == STRING and types.is_unicode(kind) for kind in arguments)
    if any(kind.length == types.MAX and types.family(kind) == STRING for kind in arguments):
        return types.nvarchar(types.MAX) if unicode else types.varchar(types.MAX)
    return types.nvarchar(4000) if unicode else types.varchar(8000)


def _concatenated(arguments: Sequence[SqlType]) -> SqlType:
    unicode = any(types.family(kind) == STRING and types.is_unicode(kind) for kind in arguments)
    lengths = [kind.length if types.family(kind) == STRING else 40 for kind in arguments]
    make = types.nvarchar if unicode else types.varchar
    if types.MAX in lengths:
        return make(types.MAX)
    return make(min(sum(lengths), 4000 if unicode else 8000))


def _numeric(arguments: Sequence[SqlType]) -> SqlType:
    first = arguments[0]
    if first.name in ("bit", "tinyint", "smallint"):
        return types.INT
    return types.FLOAT if types.family(first) in (STRING, REAL) else first


# --------------------------------------------------------------------------------------------------------- strings


def _length_error(name: str) -> SqlError:
    number = {"LEFT": 536, "RIGHT": 536, "SUBSTRING": 537}[name]
    return SqlError(number, 16, f"Invalid length parameter passed to the {name} function.", 2)


def _left(text: str, count: int) -> str:
    if count < 0:
        raise _length_error("LEFT")
    return text[:count]


def _right(text: str, count: int) -> str:
    if count < 0:
        raise _length_error("RIGHT")
    return text[-count:] if count else ""


def _substring(text: Any, start: int, count: int) -> Any:
    if count < 0:
        raise _length_error("SUBSTRING")
    return text[max(0, start - 1) : max(0, start - 1 + count)]


def _charindex(wanted: str, text: str, start: int = 1) -> int:
    return text.lower().find(wanted.lower(), max(0, start - 1)) + 1 if wanted else 0


def _replace(text: str, old: str, new: str) -> str:
    return re.sub(re.escape(old), lambda _: new, text, flags=re.IGNORECASE) if old else text


def _stuff(text: str, start: int, count: int, new: str | None) -> str | None:
    if start < 1 or start > len(text) or count < 0:
        return None
    return text[: start - 1] + (new or "") + text[start - 1 + count :]


def _quotename(text: str, mark: str = "[") -> str | None:
    pairs = {
        "[": "[]",
        "]": "[]",
        "'": "''",
        '"': '""',
        "(": "()",
        ")": "()",
        "<": "<>",
        ">": "<>",
        "{": "{}",
        "}": "{}",
    }
    if len(text) > 128 or mark[:1] not in pairs:
        return None
    opening, closing = pairs[mark[:1]][0], pairs[mark[:1]][1]
    return opening + text.replace(closing, closing * 2) + closing


@lru_cache(maxsize=512)
def like_pattern(pattern: str, escape: str = "") -> re.Pattern[str]:
    """A LIKE pattern as a regular expression: ``%``, ``_``, ``[a-z]``, ``[^a-z]``, and the escape character."""
    out, position = [], 0
    while position < len(pattern):
        sign = pattern[position]
        end = pattern.find("]", position + 2) if sign == "[" else -1
        if escape and sign == escape and position + 1 < len(pattern):
            position += 1
            out.append(re.escape(pattern[position]))
        elif sign == "%":
            out.append(".*")
        elif sign == "_":
            out.append(".")
        elif end > 0:
            inner = pattern[position + 1 : end]
            negated = inner.startswith("^")
            body = inner.removeprefix("^").replace("\\", r"\\").replace("[", r"\[").replace("^", r"\^")
            out.append(f"[{'^' if negated else ''}{body}]")
            position = end
        else:
            out.append(re.escape(sign))
        position += 1
    return re.compile("".join(out), re.IGNORECASE | re.DOTALL)


def _like(text: str, pattern: str, escape: str = "") -> int:
    compiled = like_pattern(pattern, escape)
    # The blanks at the end of the text do not keep it from matching.
    return int(compiled.fullmatch(text) is not None or compiled.fullmatch(text.rstrip(" ")) is not None)


def _patindex(pattern: str, text: str) -> int:
    core = pattern.strip("%")
    found = like_pattern(core).search(text) if pattern.startswith("%") else like_pattern(core).match(text)
    return 0 if found is None or (not pattern.endswith("%") and found.end() != len(text)) else found.start() + 1


def _concat_ws(separator: str | None, *values: str | None) -> str:
    return (separator or "").join(value for value in values if value is not None)


def _format_message(template: str, *values: Any) -> str:
    """FORMATMESSAGE and RAISERROR: %s %d %i %u %x %X %o with flags and width."""
    pending = list(values)

    def fill(match: re.Match[str]) -> str:
        flags, kind = match[1], match[2]
        if kind == "%":
            return "%"
        value = pending.pop(0) if pending else None
        if value is None:
            return "(null)"
        if kind == "s":
            return f"%{flags}s" % (value,)
        return f"%{flags}{'d' if kind in 'iu' else kind}" % int(value)

    return re.sub(r"%([-+0 #]*\d*(?:\.\d+)?)(?:I64|l|h)?([diouxXs%])", fill, template)


# --------------------------------------------------------------------------------------------------------- numbers


def _round(value: Any, digits: int, truncate: int = 0) -> Any:
    if isinstance(value, float):
        factor = 10.0**digits
        scaled = abs(value) * factor
        whole = math.floor(scaled if truncate else scaled + 0.5)
        return math.copysign(whole / factor, value) if whole else 0.0
    number = Decimal(value)
    rounding = ROUND_DOWN if truncate else ROUND_HALF_UP
    rounded = number.quantize(Decimal(1).scaleb(-digits), rounding=rounding, context=convert.WIDE)
    if isinstance(value, int):
        return int(rounded) if digits < 0 else value
    return convert.decimal_text(rounded, max(0, -int(number.as_tuple().exponent)))


def _whole(rounding: Callable[[Any], int]) -> Callable[[Any], Any]:
    def call(value: Any) -> Any:
        if isinstance(value, str):
            return str(rounding(Decimal(value)))
        return float(rounding(value)) if isinstance(value, float) else rounding(value)

    return call


def _whole_type(arguments: Sequence[SqlType]) -> SqlType:
    kind = _numeric(arguments)
    if kind.name in ("decimal", "numeric"):
        return SqlType(kind.name, precision=kind.precision, scale=0)
    return kind


def _abs(value: Any) -> Any:
    return value.lstrip("-") if isinstance(value, str) else abs(value)


def _sign(value: Any) -> Any:
    number = Decimal(value)
    sign = int(number > 0) - int(number < 0)
    if isinstance(value, str):
        return convert.decimal_text(Decimal(sign), max(0, -int(number.as_tuple().exponent)))
    return float(sign) if isinstance(value, float) else sign


def _power(base: Any, exponent: float) -> Any:
    try:
        raised = float(base) ** exponent if not isinstance(base, int) or exponent < 0 else base ** int(exponent)
        if isinstance(raised, complex) or math.isinf(raised):
            raise OverflowError
    except (OverflowError, ZeroDivisionError):
        raise SqlError(3623, 16, "An invalid floating point operation occurred.") from None
    if isinstance(base, str):
        return convert.decimal_text(Decimal(repr(raised)), max(0, -int(Decimal(base).as_tuple().exponent)))
    return convert.fit_integer(int(raised), types.BIGINT) if isinstance(base, int) else raised


def _math(function: Callable[..., float]) -> Callable[..., float]:
    def call(*values: float) -> float:
        try:
            return function(*values)
        except (ValueError, OverflowError, ZeroDivisionError):
            raise SqlError(3623, 16, "An invalid floating point operation occurred.") from None

    return call


def _is_numeric(value: Any) -> int:
    return int(re.fullmatch(r"\s*[-+$]?(\d[\d,]*\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", str(value)) is not None)


# ------------------------------------------------------------------------------------------------------------ other


def _hash_bytes(name: str, value: Any) -> bytes:
    algorithms = {"MD5": "md5", "SHA": "sha1", "SHA1": "sha1", "SHA2_256": "sha256", "SHA2_512": "sha512"}
    if name.upper() not in algorithms:
        raise errors.unsupported(f"HASHBYTES('{name}')")
    data = value if isinstance(value, bytes) else str(value).encode("cp1252", "replace")
    return hashlib.new(algorithms[name.upper()], data, usedforsecurity=False).digest()


def _date_from_parts(year: int, month: int, day: int) -> str:
    try:
        return dt.date(year, month, day).isoformat()
    except ValueError:
        text = "Cannot construct data type date, some of the arguments have values which are not valid."
        raise SqlError(289, 16, text) from None


def _datetime_from_parts(*parts: int) -> str:
    try:
        year, month, day, hour, minute, second, milliseconds = parts
        whole = dt.datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - T-SQL's datetime has no zone
        return dates.shape(whole + dt.timedelta(milliseconds=milliseconds), types.DATETIME)
    except ValueError:
        text = "Cannot construct data type datetime, some of the arguments have values which are not valid."
        raise SqlError(289, 16, text) from None


def _char(code: int) -> str | None:
    return bytes([code]).decode("cp1252", "replace") if 0 <= code <= 255 else None


def _many() -> None:
    text = (
        "Subquery returned more than 1 value. This is not permitted when the subquery follows =, !=, <, <= , >, >= or "
        "when the subquery is used as an expression."
    )
    raise SqlError(512, 16, text)


def _is_date(text: str) -> int:
    try:
        dates.parse(text, types.DATETIME, 0)
    except SqlError:
        return 0
    return 1


_N128 = types.SYSNAME
_TABLE: tuple[Scalar, ...] = (
    Scalar("len", 1, 1, (STRING,), _as(types.INT), lambda text: len(text.rstrip(" "))),
    Scalar("left", 2, 2, (STRING, INTEGER), _same, _left),
    Scalar("right", 2, 2, (STRING, INTEGER), _same, _right),
    Scalar("substring", 3, 3, (ANY, INTEGER), _same, _substring),
    Scalar("charindex", 2, 3, (STRING, STRING, INTEGER), _as(types.INT), _charindex),
    Scalar("patindex", 2, 2, (STRING,), _as(types.INT), _patindex),
    Scalar("replace", 3, 3, (STRING,), _wide, _replace),
    Scalar("stuff", 4, 4, (STRING, INTEGER, INTEGER, STRING), _wide, _stuff, strict=False),
    Scalar("upper", 1, 1, (STRING,), _same, str.upper),
    Scalar("lower", 1, 1, (STRING,), _same, str.lower),
    Scalar("ltrim", 1, 1, (STRING,), _same, lambda text: text.lstrip(" ")),
    Scalar("rtrim", 1, 1, (STRING,), _same, lambda text: text.rstrip(" ")),
    Scalar("trim", 1, 1, (STRING,), _same, lambda text: text.strip(" ")),
    Scalar("reverse", 1, 1, (STRING,), _same, lambda text: text[::-1]),
    Scalar("replicate", 2, 2, (STRING, INTEGER), _wide, lambda text, n: (text * n)[:8000] if n >= 0 else None),
    Scalar("space", 1, 1, (INTEGER,), _as(types.varchar(8000)), lambda n: " " * min(n, 8000) if n >= 0 else None),
    Scalar("concat", 2, 254, (STRING,), _concatenated, lambda *v: "".join(x or "" for x in v), strict=False,
    never_null=True),
    Scalar("concat_ws", 3, 254, (STRING,), _wide, _concat_ws, strict=False, never_null=True),
    Scalar("quotename", 1, 2, (STRING,), _as(types.nvarchar(258)), _quotename),
    Scalar("formatmessage", 1, 21, (STRING, ANY), _as(types.nvarchar(4000)), _format_message, strict=False),
    Scalar("ascii", 1, 1, (STRING,), _as(types.INT), lambda t: t[0].encode("cp1252", "replace")[0] if t else None),
    Scalar("unicode", 1, 1, (STRING,), _as(types.INT), lambda text: ord(text[0]) if text else None),
    Scalar("char", 1, 1, (INTEGER,), _as(SqlType("char", length=1)), _char),
    Scalar("nchar", 1, 1, (INTEGER,), _as(SqlType("nchar", length=1)), lambda n: chr(n) if 0 <= n < 65536 else None),
    Scalar("abs", 1, 1, (ANY,), _numeric, _abs),
    Scalar("sign", 1, 1, (ANY,), _numeric, _sign),
    Scalar("round", 2, 3, (ANY, INTEGER), _numeric, _round),
    Scalar("ceiling", 1, 1, (ANY,), _whole_type, _whole(math.ceil)),
    Scalar("floor", 1, 1, (ANY,), _whole_type, _whole(math.floor)),
    Scalar("power", 2, 2, (ANY, REAL), _numeric, _power),
    Scalar("square", 1, 1, (REAL,), _as(types.FLOAT), lambda x: x * x),
    Scalar("sqrt", 1, 1, (REAL,), _as(types.FLOAT), _math(math.sqrt)),
    Scalar("exp", 1, 1, (REAL,), _as(types.FLOAT), _math(math.exp)),
    Scalar("log", 1, 2, (REAL,), _as(types.FLOAT), _math(math.log)),
    Scalar("log10", 1, 1, (REAL,), _as(types.FLOAT), _math(math.log10)),
    Scalar("pi", 0, 0, (), _as(types.FLOAT), lambda: math.pi),
    Scalar("rand", 0, 1, (INTEGER,), _as(types.FLOAT), lambda *_: random.random(), deterministic=False),  # noqa: S311
    Scalar("isnumeric", 1, 1, (STRING,), _as(types.INT), _is_numeric),
    Scalar("isdate", 1, 1, (STRING,), _as(types.INT), _is_date),
    Scalar("newid", 0, 0, (), _as(types.GUID), lambda: str(uuid.uuid4()).upper(), deterministic=False, never_null=True),
    Scalar("hashbytes", 2, 2, (STRING, ANY), _as(SqlType("varbinary", length=64)), _hash_bytes),
    Scalar("year", 1, 1, (TEMPORAL,), _as(types.INT), lambda value: dates.part("year", value)),
    Scalar("month", 1, 1, (TEMPORAL,), _as(types.INT), lambda value: dates.part("month", value)),
    Scalar("day", 1, 1, (TEMPORAL,), _as(types.INT), lambda value: dates.part("day", value)),
    Scalar("datepart", 2, 2, (STRING, TEMPORAL), _as(types.INT), dates.part),
    Scalar("datename", 2, 2, (STRING, TEMPORAL), _as(types.nvarchar(30)), dates.part_text),
    Scalar("datediff", 3, 3, (STRING, TEMPORAL), _as(types.INT), dates.difference),
    Scalar("datediff_big", 3, 3, (STRING, TEMPORAL), _as(types.BIGINT), dates.difference),
    Scalar("eomonth", 1, 2, (TEMPORAL, INTEGER), _as(types.DATE), lambda v, months=0: dates.end_of_month(v, months)),
    Scalar("datefromparts", 3, 3, (INTEGER,), _as(types.DATE), _date_from_parts),
    Scalar("datetimefromparts", 7, 7, (INTEGER,), _as(types.DATETIME), _datetime_from_parts),
    # Used by the compiler, not callable by name: names with a blank cannot be written.
    Scalar("many_", 0, 0, (), _as(types.INT), _many, deterministic=False),
    Scalar("like_", 2, 3, (STRING,), _as(types.BIT), _like),
)  # fmt: skip
SCALARS = {spec.name: spec for spec in _TABLE}
HIDDEN = frozenset({"like_", "many_"})

# Functions of the session, passed as named values: name -> (parameter, type).
ENVIRONMENT: dict[str, tuple[str, SqlType]] = {
    "getdate": ("now", types.DATETIME), "getutcdate": ("now", types.DATETIME), "sysdatetime": ("now7", types.DATETIME2),
    "sysutcdatetime": ("now7", types.DATETIME2), "sysdatetimeoffset": ("nowoffset", SqlType("datetimeoffset", scale=7)),
    "db_name": ("db_name", _N128), "db_id": ("db_id", types.INT), "user_name": ("user_name", _N128),
    "suser_sname": ("login", _N128), "suser_name": ("login", _N128), "original_login": ("login", _N128),
    "host_name": ("host_name", _N128), "app_name": ("app_name", _N128), "schema_name": ("schema_name", _N128),
    "schema_id": ("schema_id", types.INT), "scope_identity": ("scope_identity", SqlType("numeric", precision=38)),
    "xact_state": ("xact_state", SqlType("smallint")), "error_number": ("error_number", types.INT),
    "error_message": ("error_message", types.nvarchar(4000)), "error_severity": ("error_severity", types.INT),
    "error_state": ("error_state", types.INT), "error_line": ("error_line", types.INT),
    "error_procedure": ("error_procedure", _N128), "rowcount_big": ("rowcount_big", types.BIGINT),
    "newsequentialid": ("newsequentialid", types.GUID),
}  # fmt: skip
GLOBALS: dict[str, tuple[str, SqlType]] = {
    "@@version": ("version", types.nvarchar(300)), "@@servername": ("server_name", _N128),
    "@@spid": ("spid", SqlType("smallint")), "@@trancount": ("trancount", types.INT), "@@rowcount": ("rowcount",
    types.INT),
    "@@error": ("error", types.INT), "@@identity": ("identity", SqlType("numeric", precision=38)),
    "@@lock_timeout": ("lock_timeout", types.INT), "@@nestlevel": ("nestlevel", types.INT),
    "@@datefirst": ("datefirst", SqlType("tinyint")), "@@language": ("language", _N128),
    "@@max_connections": ("max_connections", types.INT), "@@procid": ("procid", types.INT),
    "@@microsoftversion": ("microsoftversion", types.INT), "@@options": ("options", types.INT),
}  # fmt: skip
# Functions that look something up: name -> (SQL with its arguments, how many, result type).
LOOKUPS: dict[str, tuple[str, int, int, SqlType]] = {
    "object_id": ("t_object_id({0}, {1})", 1, 2, types.INT),
    "object_name": ("t_object_name({0}, 'name')", 1, 2, _N128),
    "object_schema_name": ("t_object_name({0}, 'schema')", 1, 2, _N128),
    "schema_name": ("t_property('schema_name', {0}, '')", 1, 1, _N128),
    "schema_id": ("t_property('schema_id', {0}, '')", 1, 1, types.INT),
    "db_name": ("t_property('db_name', {0}, '')", 1, 1, _N128),
    "db_id": ("t_property('db_id', {0}, '')", 1, 1, types.INT),
    "user_name": ("t_property('user_name', {0}, '')", 1, 1, _N128),
    "user_id": ("t_property('user_id', {0}, '')", 1, 1, types.INT),
    "database_principal_id": ("t_property('user_id', {0}, '')", 1, 1, types.INT),
    "type_name": ("t_property('type_name', {0}, '')", 1, 1, _N128),
    "type_id": ("t_property('type_id', {0}, '')", 1, 1, types.INT),
    "suser_sname": ("t_property('suser_sname', {0}, '')", 1, 1, _N128),
    "suser_id": ("t_property('suser_id', {0}, '')", 1, 1, types.INT),
    "is_member": ("t_property('is_member', {0}, '')", 1, 1, types.INT),
    "is_rolemember": ("t_property('is_member', {0}, '')", 1, 1, types.INT),
    "ident_current": ("t_property('ident_current', {0}, '')", 1, 1, SqlType("numeric", precision=38)),
    "serverproperty": ("t_property('server', '', {0})", 1, 1, types.nvarchar(128)),
    "databasepropertyex": ("t_property('database', {0}, {1})", 2, 2, types.nvarchar(128)),
    "col_length": ("t_property('col_length', {0}, {1})", 2, 2, SqlType("smallint")),
    "col_name": ("t_property('col_name', {0}, {1})", 2, 2, _N128),
    "has_perms_by_name": ("t_property('has_perms', {0}, {2})", 3, 3, types.INT),
    "applock_mode": ("t_property('applock_mode', {1}, {2})", 3, 3, types.nvarchar(32)),
    "applock_test": ("t_property('applock_test:' || {2}, {1}, {3})", 4, 4, SqlType("smallint")),
}

"""Conversions between T-SQL types, on values in stored form (see ``types``).

``converter(source, target, style)`` gives a function for values that are not NULL. ``to_stored`` and ``from_stored``
are the bridge to the Python values of the contract.
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from uuid import UUID

from ..contract import SqlError, SqlType
from . import dates, errors, types

Converter = Callable[[Any], Any]
# Wide enough for any product of two decimals of 38 digits.
WIDE = Context(prec=80, rounding=ROUND_HALF_UP)


def decimal_text(value: Decimal, scale: int, rounding: str = ROUND_HALF_UP) -> str:
    """Exactly ``scale`` digits, never an exponent, never a negative zero."""
    quantized = value.quantize(Decimal(1).scaleb(-scale), rounding=rounding, context=WIDE)
    return format(quantized if quantized else abs(quantized), "f")


def fit_decimal(value: Decimal, target: SqlType, source: str = "numeric", rounding: str = ROUND_HALF_UP) -> str:
    """Errors: 8115 when the value has more digits than the type."""
    try:
        text = decimal_text(value, target.scale, rounding)
    except InvalidOperation:
        raise errors.overflow(target.name, source) from None
    if len(text.lstrip("-").partition(".")[0].lstrip("0")) > target.precision - target.scale:
        raise errors.overflow("numeric" if target.name == "decimal" else target.name, source)
    return text


def fit_integer(value: int, target: SqlType, source: str = "expression") -> int:
    """Errors: 8115, or 220 for the small types."""
    low, high = types.INTEGERS[target.name]
    if low <= value <= high:
        return value
    if target.name in ("tinyint", "smallint") and source != "expression":
        text = f"Arithmetic overflow error for data type {target.name}, value = {value}."
        raise SqlError(220, 16, text, 2)
    raise errors.overflow(target.name, source)


@lru_cache(maxsize=4096)
def converter(source: SqlType, target: SqlType, style: int = 0) -> Converter | None:
    """None when a value needs no change. Errors: 529 for a pair that T-SQL does not convert."""
    if source == target:
        return None
    route = _ROUTES.get((types.family(source), types.family(target)))
    if route is None:
        text = f"Explicit conversion from data type {source.name} to {target.name} is not allowed."
        raise SqlError(529, 16, text, 2)
    return route(source, target, style)


# ------------------------------------------------------------------------------------------------------ to integer


def _integer_to_integer(source: SqlType, target: SqlType, _style: int) -> Converter | None:
    if target.name == "bit":
        return lambda value: int(value != 0)
    if types.RANK[source.name] <= types.RANK[target.name]:
        return None
    return lambda value: fit_integer(value, target, source.name)


def _string_to_integer(source: SqlType, target: SqlType, _style: int) -> Converter:
    kind = _variable_name(source)

    def convert(value: str) -> int:
        text = value.strip()
        if target.name == "bit" and text.lower() in ("true", "false"):
            return int(text.lower() == "true")
        try:
            number = int(text or "0") if "_" not in text else int("x")
        except ValueError:
            if target.name == "bigint":
                raise SqlError(8114, 16, f"Error converting data type {kind} to bigint.", 5) from None
            text = f"Conversion failed when converting the {kind} value '{value}' to data type {target.name}."
            raise SqlError(245, 16, text) from None
        if target.name == "bit":
            return int(number != 0)
        low, high = types.INTEGERS[target.name]
        if low <= number <= high:
            return number
        if target.name == "int":
            raise SqlError(248, 16, f"The conversion of the {kind} value '{value}' overflowed an int column.")
        if target.name == "bigint":
            raise errors.overflow("bigint", "expression")
        name = {"tinyint": "INT1", "smallint": "INT2"}[target.name]
        text = f"The conversion of the {kind} value '{value}' overflowed an {name} column. Use a larger integer column."
        raise SqlError(244, 16, text, 2)

    return convert


def _number_to_integer(source: SqlType, target: SqlType, _style: int) -> Converter:
    if target.name == "bit":
        return lambda value: int(Decimal(value) != 0)
    kind = "numeric" if source.name == "decimal" else source.name
    if types.is_money(source):
        return lambda value: fit_integer(int(Decimal(value).quantize(Decimal(1), ROUND_HALF_UP)), target, kind)
    return lambda value: fit_integer(int(Decimal(value)), target, kind)


def _binary_to_integer(_source: SqlType, target: SqlType, _style: int) -> Converter:
    size = types.storage_facts(target)[0]

    def convert(value: bytes) -> int:
        number = int.from_bytes(value[-size:].rjust(size, b"\0"), "big", signed=target.name not in ("tinyint", "bit"))
        return int(number != 0) if target.name == "bit" else number

    return convert


# ---------------------------------------------------------------------------------------------- to decimal and float


def _to_decimal(source: SqlType, target: SqlType, _style: int) -> Converter:
    kind = "numeric" if source.name == "decimal" else source.name
    text_source = types.family(source) == "string"

    def convert(value: Any) -> str:
        try:
            number = Decimal(repr(value) if isinstance(value, float) else _number_text(value))
        except (InvalidOperation, ValueError):
            goal = "numeric" if target.name == "decimal" else target.name
            if types.is_money(target):
                raise SqlError(
                    235, 16, "Cannot convert a char value to money. The char value has incorrect syntax."
                ) from None
            raise SqlError(8114, 16, f"Error converting data type {_variable_name(source)} to {goal}.", 5) from None
        return fit_decimal(number, target, _variable_name(source) if text_source else kind)

    def _number_text(value: Any) -> Any:
        if not text_source:
            return value
        text = value.strip()
        if types.is_money(target):
            text = text.replace(",", "").replace("$", "") or "0"
        if not text or text[-1:] in "eE" or not all(c in "0123456789.+-" for c in text):
            raise ValueError(text)
        return text

    return convert


def _to_float(source: SqlType, target: SqlType, _style: int) -> Converter:
    narrow = target.name == "real"

    def convert(value: Any) -> float:
        try:
            number = float(value.strip() or "0") if isinstance(value, str) else float(value)
        except ValueError:
            text = f"Error converting data type {_variable_name(source)} to {target.name}."
            raise SqlError(8114, 16, text, 5) from None
        return as_real(number) if narrow else number

    return convert


def as_real(value: float) -> float:
    """Errors: 232 when a real cannot hold it."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        raise SqlError(232, 16, f"Arithmetic overflow error for type real, value = {value:f}.", 3) from None


# -------------------------------------------------------------------------------------------------------- to string


def _variable_name(source: SqlType) -> str:
    return {"char": "varchar", "nchar": "nvarchar", "text": "varchar", "ntext": "nvarchar"}.get(
        source.name, source.name
    )


def _fitted(target: SqlType, produce: Converter, overflow: str = "") -> Converter:
    """Cut or pad to the length of the target. overflow: source type whose values may not be cut (numbers)."""
    length = target.length

    def convert(value: Any) -> str:
        text = str(produce(value))
        if length != types.MAX and len(text) > length:
            if overflow:
                if types.is_unicode(target) or overflow == "numeric":
                    raise errors.overflow(target.name, overflow)
                return "*"
            text = text[:length]
        return text.ljust(length) if target.name in ("char", "nchar") else text

    return convert


def _string_to_string(source: SqlType, target: SqlType, _style: int) -> Converter | None:
    fits = target.length == types.MAX or (source.length != types.MAX and source.length <= target.length)
    if target.name not in ("char", "nchar") and fits and (types.is_unicode(target) or not types.is_unicode(source)):
        return None
    if types.is_unicode(source) and not types.is_unicode(target):
        return _fitted(target, lambda value: value.encode("cp1252", "replace").decode("cp1252"))
    return _fitted(target, lambda value: value)


def _integer_to_string(source: SqlType, target: SqlType, _style: int) -> Converter:
    return _fitted(target, str, source.name)


def _decimal_to_string(source: SqlType, target: SqlType, style: int) -> Converter:
    if types.is_money(source):
        formats = {0: ".2f", 1: ",.2f", 2: ".4f"}
        return _fitted(target, lambda value: format(Decimal(value), formats.get(style, ".2f")), "money")
    return _fitted(target, lambda value: value, "numeric")


def _float_to_string(_source: SqlType, target: SqlType, style: int) -> Converter:
    def text(value: float) -> str:
        shown = f"{value:.{7 if style == 1 else 15}e}" if style in (1, 2) else f"{value:.6g}"
        mantissa, mark, exponent = shown.partition("e")
        return mantissa + (f"e{int(exponent):+04d}" if mark else "")

    return _fitted(target, text)


def _binary_to_string(_source: SqlType, target: SqlType, style: int) -> Converter:
    if style in (1, 2):
        return _fitted(target, lambda value: ("0x" if style == 1 else "") + value.hex().upper())
    codec = "utf-16-le" if types.is_unicode(target) else "cp1252"
    return _fitted(target, lambda value: value.decode(codec, "replace"))


def _guid_to_string(_source: SqlType, target: SqlType, _style: int) -> Converter:
    if target.length != types.MAX and target.length < 36:
        raise SqlError(8170, 16, "Insufficient result space to convert uniqueidentifier value to char.", 2)
    return _fitted(target, lambda value: value)


def _temporal_to_string(source: SqlType, target: SqlType, style: int) -> Converter:
    return _fitted(target, lambda value: dates.to_text(value, source, style))


# ---------------------------------------------------------------------------------------- to binary, guid and temporal


def _to_binary(source: SqlType, target: SqlType, style: int) -> Converter:
    family = types.family(source)

    def raw(value: Any) -> bytes:
        if family == "integer":
            size = types.storage_facts(source)[0]
            return int(value).to_bytes(size, "big", signed=source.name not in ("tinyint", "bit"))
        if family == "guid":
            return UUID(value).bytes_le
        if family == "string":
            if style in (1, 2):
                return bytes.fromhex(value.removeprefix("0x"))
            return bytes(value.encode("utf-16-le" if types.is_unicode(source) else "cp1252", "replace"))
        return bytes(value)

    def convert(value: Any) -> bytes:
        try:
            data = raw(value)
        except ValueError:
            raise SqlError(8114, 16, f"Error converting data type {_variable_name(source)} to varbinary.", 5) from None
        length = target.length
        if length == types.MAX:
            return data
        data = data[-length:] if family == "integer" else data[:length]
        return data.ljust(length, b"\0") if target.name == "binary" else data

    return convert


def _to_guid(_source: SqlType, _target: SqlType, _style: int) -> Converter:
    def convert(value: Any) -> str:
        if isinstance(value, bytes):
            return str(UUID(bytes_le=value[:16].ljust(16, b"\0"))).upper()
        try:
            text = value.strip("{}")[:36]
            if len(text) != 36:
                raise ValueError(text)
            return str(UUID(text)).upper()
        except ValueError:
            text = "Conversion failed when converting from a character string to uniqueidentifier."
            raise SqlError(8169, 16, text, 2) from None

    return convert


def _string_to_temporal(source: SqlType, target: SqlType, style: int) -> Converter:
    return lambda value: dates.parse(value, target, style, _variable_name(source))


def _temporal_to_temporal(source: SqlType, target: SqlType, _style: int) -> Converter:
    if (source.name, target.name) in (("date", "time"), ("time", "date")):
        text = f"Explicit conversion from data type {source.name} to {target.name} is not allowed."
        raise SqlError(529, 16, text, 2)
    return lambda value: dates.shape(dates.moment(value), target)


def _integer_to_temporal(_source: SqlType, target: SqlType, _style: int) -> Converter:
    if target.name not in ("datetime", "smalldatetime"):
        text = f"Explicit conversion from data type {_source.name} to {target.name} is not allowed."
        raise SqlError(529, 16, text, 2)
    return lambda value: dates.shape(dates.EPOCH + dt.timedelta(days=float(value)), target)


def _temporal_to_number(source: SqlType, target: SqlType, _style: int) -> Converter:
    if source.name not in ("datetime", "smalldatetime"):
        text = f"Explicit conversion from data type {source.name} to {target.name} is not allowed."
        raise SqlError(529, 16, text, 2)

    def days(value: str) -> float:
        return (dates.moment(value) - dates.EPOCH) / dt.timedelta(days=1)

    if types.family(target) == "float":
        return days
    return lambda value: int(Decimal(str(days(value))).quantize(Decimal(1), ROUND_HALF_UP))


_ROUTES: dict[tuple[str, str], Callable[[SqlType, SqlType, int], Converter | None]] = {
    ("integer", "integer"): _integer_to_integer, ("string", "integer"): _string_to_integer,
    ("decimal", "integer"): _number_to_integer, ("float", "integer"): _number_to_integer,
    ("binary", "integer"): _binary_to_integer, ("temporal", "integer"): _temporal_to_number,
    ("integer", "decimal"): _to_decimal, ("decimal", "decimal"): _to_decimal, ("float", "decimal"): _to_decimal,
    ("string", "decimal"): _to_decimal,
    ("integer", "float"): _to_float, ("decimal", "float"): _to_float, ("string", "float"): _to_float,
    ("float", "float"): _to_float, ("temporal", "float"): _temporal_to_number,
    ("string", "string"): _string_to_string, ("integer", "string"): _integer_to_string,
    ("decimal", "string"): _decimal_to_string, ("float", "string"): _float_to_string,
    ("binary", "string"): _binary_to_string, ("guid", "string"): _guid_to_string,
    ("temporal", "string"): _temporal_to_string,
    ("binary", "binary"): _to_binary, ("integer", "binary"): _to_binary, ("string", "binary"): _to_binary,
    ("guid", "binary"): _to_binary,
    ("string", "guid"): _to_guid, ("binary", "guid"): _to_guid, ("guid", "guid"): _to_guid,
    ("string", "temporal"): _string_to_temporal, ("temporal", "temporal"): _temporal_to_temporal,
    ("integer", "temporal"): _integer_to_temporal, ("float", "temporal"): _integer_to_temporal,
}  # fmt: skip


# ---------------------------------------------------------------------------------------------- the contract's values


def from_stored(sql_type: SqlType) -> Converter | None:
    """Stored form to the contract's Python value; None when they are the same."""
    return _FROM_STORED.get(sql_type.name)


_FROM_STORED: dict[str, Converter] = {
    "bit": bool, "decimal": Decimal, "numeric": Decimal, "money": Decimal, "smallmoney": Decimal, "float": float,
    "real": float, "uniqueidentifier": UUID, "date": dt.date.fromisoformat, "time": dt.time.fromisoformat,
    "datetime": dt.datetime.fromisoformat, "smalldatetime": dt.datetime.fromisoformat,
    "datetime2": dt.datetime.fromisoformat, "datetimeoffset": dates.offset_moment,
}  # fmt: skip


def to_stored(value: Any, sql_type: SqlType) -> Any:
    """A parameter's Python value in the stored form of its declared type. Errors: 8114 when it does not fit."""
    if value is None:
        return None
    natural = _natural(value)
    if natural is None:
        raise SqlError(8114, 16, f"Error converting data type {type(value).__name__} to {sql_type.name}.", 5)
    stored, source = natural
    change = converter(source, sql_type)
    return stored if change is None else change(stored)


def _natural(value: Any) -> tuple[Any, SqlType] | None:
    """The stored form and the closest type of a Python value."""
    if isinstance(value, bool | int):
        return int(value), types.BIGINT
    if isinstance(value, str):
        return value, types.nvarchar(types.MAX)
    if isinstance(value, float):
        return value, types.FLOAT
    if isinstance(value, Decimal):
        scale = max(0, -int(value.as_tuple().exponent))
        return decimal_text(value, scale), SqlType("numeric", precision=38, scale=scale)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value), SqlType("varbinary", length=types.MAX)
    if isinstance(value, UUID):
        return str(value).upper(), types.GUID
    return _natural_moment(value)


def _natural_moment(value: Any) -> tuple[Any, SqlType] | None:
    if isinstance(value, dt.datetime):
        sql_type = types.DATETIME2 if value.tzinfo is None else SqlType("datetimeoffset", scale=7)
        return dates.shape(value, sql_type), sql_type
    if isinstance(value, dt.date):
        return value.isoformat(), types.DATE
    if isinstance(value, dt.time):
        return value.isoformat("microseconds"), SqlType("time", scale=7)
    return None


def truncating(value: Decimal, target: SqlType) -> str:
    return fit_decimal(value, target, "expression", ROUND_DOWN)

"""Result columns: the TYPE_INFO of a declared type, and its values as bytes.

A column is prepared once per result set into a ``ColumnCodec``; rows then cost one call per value.
"""

from __future__ import annotations

import datetime as dt
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext

from local.sqlserver.contract import Column, SqlType
from local.sqlserver.tds import temporal

# Latin1_General_CI_AS-like default of Azure SQL: SQL_Latin1_General_CP1_CI_AS.
COLLATION = bytes((0x09, 0x04, 0xD0, 0x00, 0x34))
CODE_PAGE = "cp1252"

_PLP_MARK = b"\xff\xff"
_PLP_NULL = b"\xff" * 8
_MAX_VARIABLE_BYTES = 8000

_ENCODER = Callable[[object], bytes]

_INTEGERS = {"tinyint": (1, "<B"), "smallint": (2, "<h"), "int": (4, "<i"), "bigint": (8, "<q")}
_ALIASES = {"sysname": SqlType("nvarchar", length=128), "text": SqlType("varchar", length=-1),
            "ntext": SqlType("nvarchar", length=-1), "xml": SqlType("nvarchar", length=-1),
            "image": SqlType("varbinary", length=-1), "sql_variant": SqlType("nvarchar", length=4000),
            "rowversion": SqlType("binary", length=8), "timestamp": SqlType("binary", length=8),
            "json": SqlType("nvarchar", length=-1)}  # fmt: skip


class EncodeError(Exception):
    """A value does not fit the declared column; the sentence names the column and its type."""


@dataclass(frozen=True)
class ColumnCodec:
    """type_info: the TYPE_INFO bytes. encode: a non-NULL value with its length prefix. null: the NULL value."""

    type_info: bytes
    encode: _ENCODER
    null: bytes


def codec_for(column: Column) -> ColumnCodec:
    """EncodeError when the type is unknown."""
    codec = _codec(_ALIASES.get(column.type.name, column.type))
    if codec is None:
        raise EncodeError(f"Column '{column.name}': the type '{column.type.name}' is not supported by this emulator.")
    return codec


def encode_row(columns: tuple[Column, ...], codecs: list[ColumnCodec], values: tuple[object, ...]) -> bytes:
    """A ROW token; EncodeError when a value does not fit its column or the number of values is wrong."""
    if len(values) != len(codecs):
        raise EncodeError(f"A row has {len(values)} values for {len(codecs)} columns.")
    parts = [b"\xd1"]
    index = 0
    try:
        for index, codec in enumerate(codecs):
            value = values[index]
            parts.append(codec.null if value is None else codec.encode(value))
    except (EncodeError, struct.error, TypeError, ValueError, OverflowError, ArithmeticError, AttributeError) as error:
        column = columns[index]
        raise EncodeError(
            f"Column '{column.name}' is declared {describe(column.type)} and cannot carry a value of type "
            f"{type(values[index]).__name__}: {error}"
        ) from error
    return b"".join(parts)


def describe(declared: SqlType) -> str:
    """The type as T-SQL writes it, e.g. ``nvarchar(30)``, ``decimal(10,2)``."""
    if declared.name in ("decimal", "numeric"):
        return f"{declared.name}({declared.precision or 18},{declared.scale})"
    if declared.name in ("time", "datetime2", "datetimeoffset"):
        return f"{declared.name}({declared.scale})"
    if declared.length:
        return f"{declared.name}({'max' if declared.length < 0 else declared.length})"
    return declared.name


def _codec(declared: SqlType) -> ColumnCodec | None:
    name = declared.name
    if name in _INTEGERS:
        return _integer(*_INTEGERS[name])
    if name in _FIXED:
        return _FIXED[name]
    if name in ("float", "real"):
        single = name == "real" or 0 < declared.precision <= 24
        return _float(4, "<f") if single else _float(8, "<d")
    if name in ("decimal", "numeric"):
        return _decimal(declared.precision or 18, declared.scale, numeric=name == "numeric")
    if name in ("char", "varchar", "nchar", "nvarchar"):
        return _text(name, declared.length or 1)
    if name in ("binary", "varbinary"):
        return _binary(name, declared.length or 1)
    if name in _SCALED:
        return _SCALED[name](declared.scale)
    return None


def _prefixed(data: bytes) -> bytes:
    return bytes((len(data),)) + data


def _integer(size: int, layout: str) -> ColumnCodec:
    pack, head = struct.Struct(layout).pack, bytes((size,))
    return ColumnCodec(bytes((0x26, size)), lambda value: head + pack(int(value)), b"\x00")  # type: ignore[call-overload]  # a wrong value raises TypeError, which encode_row turns into a sentence


def _float(size: int, layout: str) -> ColumnCodec:
    pack, head = struct.Struct(layout).pack, bytes((size,))
    return ColumnCodec(bytes((0x6D, size)), lambda value: head + pack(float(value)), b"\x00")  # type: ignore[arg-type]  # as above


def _scaled_integer(value: object, precision: int, scale: int) -> int:
    """The value as an integer of 10**-scale units, rounded half away from zero, as SQL Server does."""
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    with localcontext() as context:
        context.prec = 80
        try:
            units = int(number.scaleb(scale).to_integral_value(rounding=ROUND_HALF_UP))
        except (InvalidOperation, ValueError) as error:
            raise EncodeError(f"{value!r} is no number.") from error
    if abs(units) >= 10**precision:
        raise EncodeError(f"{number} has more than {precision} digits.")
    return units


def _decimal(precision: int, scale: int, *, numeric: bool) -> ColumnCodec:
    size = 5 if precision <= 9 else 9 if precision <= 19 else 13 if precision <= 28 else 17

    def encode(value: object) -> bytes:
        units = _scaled_integer(value, precision, scale)
        return bytes((size, 0 if units < 0 else 1)) + abs(units).to_bytes(size - 1, "little")

    return ColumnCodec(bytes((0x6C if numeric else 0x6A, size, precision, scale)), encode, b"\x00")


def _money(value: object) -> bytes:
    units = _scaled_integer(value, 19, 4)
    return b"\x08" + struct.pack("<iI", units >> 32, units & 0xFFFFFFFF)


def _smallmoney(value: object) -> bytes:
    return b"\x04" + struct.pack("<i", _scaled_integer(value, 10, 4))


def _plp(data: bytes) -> bytes:
    """A max value: total length, one chunk, terminator."""
    if not data:
        return bytes(12)
    return len(data).to_bytes(8, "little") + len(data).to_bytes(4, "little") + data + bytes(4)


def _text(name: str, length: int) -> ColumnCodec:
    wide, fixed = name.startswith("n"), not name.endswith("varchar")
    encoding, unit = ("utf-16-le", 2) if wide else (CODE_PAGE, 1)
    errors = "surrogatepass" if wide else "replace"
    if length < 0 or length * unit > _MAX_VARIABLE_BYTES:
        code = 0xE7 if wide else 0xA7
        return ColumnCodec(
            bytes((code,)) + _PLP_MARK + COLLATION, lambda v: _plp(_as_text(v).encode(encoding, errors)), _PLP_NULL
        )
    limit = length * unit
    pad = " ".encode(encoding)

    def encode(value: object) -> bytes:
        data = _as_text(value).encode(encoding, errors)
        if len(data) > limit:
            raise EncodeError(f"it has {len(data) // unit} characters.")
        if fixed:
            data += pad * ((limit - len(data)) // unit)
        return len(data).to_bytes(2, "little") + data

    code = {"char": 0xAF, "varchar": 0xA7, "nchar": 0xEF, "nvarchar": 0xE7}[name]
    return ColumnCodec(bytes((code,)) + limit.to_bytes(2, "little") + COLLATION, encode, _PLP_MARK)


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise EncodeError("only str can be sent as text.")


def _binary(name: str, length: int) -> ColumnCodec:
    if length < 0 or length > _MAX_VARIABLE_BYTES:
        return ColumnCodec(b"\xa5" + _PLP_MARK, lambda value: _plp(_as_bytes(value)), _PLP_NULL)

    def encode(value: object) -> bytes:
        data = _as_bytes(value)
        if len(data) > length:
            raise EncodeError(f"it has {len(data)} bytes.")
        if name == "binary":
            data = data.ljust(length, b"\0")
        return len(data).to_bytes(2, "little") + data

    code = 0xAD if name == "binary" else 0xA5
    return ColumnCodec(bytes((code,)) + length.to_bytes(2, "little"), encode, _PLP_MARK)


def _as_bytes(value: object) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise EncodeError("only bytes can be sent as binary.")


def _as_datetime(value: object) -> dt.datetime:
    if isinstance(value, dt.datetime):
        return value
    if isinstance(value, dt.date):
        return dt.datetime.combine(value, dt.time())
    raise EncodeError("only datetime can be sent as a date and time.")


def _encode_date(value: object) -> bytes:
    if not isinstance(value, dt.date):
        raise EncodeError("only date can be sent as a date.")
    return _prefixed(temporal.encode_date(value))


def _time(scale: int) -> ColumnCodec:
    def encode(value: object) -> bytes:
        if not isinstance(value, dt.time):
            raise EncodeError("only time can be sent as a time.")
        return _prefixed(temporal.encode_time(value, scale))

    return ColumnCodec(bytes((0x29, scale)), encode, b"\x00")


def _datetime2(scale: int) -> ColumnCodec:
    return ColumnCodec(
        bytes((0x2A, scale)), lambda value: _prefixed(temporal.encode_datetime2(_as_datetime(value), scale)), b"\x00"
    )


def _datetimeoffset(scale: int) -> ColumnCodec:
    return ColumnCodec(
        bytes((0x2B, scale)),
        lambda value: _prefixed(temporal.encode_datetimeoffset(_as_datetime(value), scale)),
        b"\x00",
    )


def _guid(value: object) -> bytes:
    return _prefixed((value if isinstance(value, uuid.UUID) else uuid.UUID(str(value))).bytes_le)


_FIXED = {
    "bit": ColumnCodec(b"\x68\x01", lambda value: b"\x01\x01" if value else b"\x01\x00", b"\x00"),
    "money": ColumnCodec(b"\x6e\x08", _money, b"\x00"),
    "smallmoney": ColumnCodec(b"\x6e\x04", _smallmoney, b"\x00"),
    "date": ColumnCodec(b"\x28", _encode_date, b"\x00"),
    "datetime": ColumnCodec(b"\x6f\x08", lambda v: _prefixed(temporal.encode_datetime(_as_datetime(v))), b"\x00"),
    "smalldatetime": ColumnCodec(
        b"\x6f\x04", lambda v: _prefixed(temporal.encode_smalldatetime(_as_datetime(v))), b"\x00"
    ),
    "uniqueidentifier": ColumnCodec(b"\x24\x10", _guid, b"\x00"),
}
_SCALED: dict[str, Callable[[int], ColumnCodec]] = {
    "time": _time,
    "datetime2": _datetime2,
    "datetimeoffset": _datetimeoffset,
}

"""Parameters of an RPC: TYPE_INFO and value bytes into a declared type and a Python value."""

from __future__ import annotations

import struct
import uuid
from decimal import Decimal

from local.sqlserver.contract import SqlType
from local.sqlserver.tds import temporal
from local.sqlserver.tds.encode import CODE_PAGE
from local.sqlserver.tds.packets import ProtocolError

_PLP_NULL = 0xFFFFFFFFFFFFFFFF
_INTEGER_NAMES = {1: "tinyint", 2: "smallint", 4: "int", 8: "bigint"}
_INTEGER_LAYOUTS = {1: "<B", 2: "<h", 4: "<i", 8: "<q"}
_FIXED_NAMES = {0x30: ("tinyint", 1), 0x34: ("smallint", 2), 0x38: ("int", 4), 0x7F: ("bigint", 8)}


class Reader:
    """A cursor over a message body."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data, self.position = data, position

    @property
    def at_end(self) -> bool:
        return self.position >= len(self.data)

    def take(self, count: int) -> bytes:
        """The next bytes; ProtocolError when the message ends before them."""
        end = self.position + count
        if end > len(self.data):
            raise ProtocolError(f"The request ends {end - len(self.data)} bytes too early.")
        chunk = self.data[self.position : end]
        self.position = end
        return chunk

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def text(self, chars: int) -> str:
        return self.take(2 * chars).decode("utf-16-le", "surrogatepass")


def read_value(reader: Reader) -> tuple[SqlType, object]:
    """One TYPE_INFO with its value; ProtocolError for a type this server cannot read (table-valued, UDT)."""
    code = reader.number(1)
    if code in _FIXED_NAMES:
        name, size = _FIXED_NAMES[code]
        return SqlType(name), struct.unpack(_INTEGER_LAYOUTS[size], reader.take(size))[0]
    if code in (0xE7, 0xEF, 0xA7, 0xAF):
        return _read_text(reader, code)
    if code in (0xA5, 0xAD):
        return _read_binary(reader, code)
    if code in (0x63, 0x23, 0x22):
        return _read_long(reader, code)
    if code in (0x6A, 0x6C):
        return _read_decimal(reader, code)
    if code in (0x29, 0x2A, 0x2B):
        return _read_scaled(reader, code)
    if code == 0xF1:
        reader.take(1)
        data = _read_plp(reader)
        return SqlType("xml", length=-1), None if data is None else data.decode("utf-16-le")
    return _read_simple(reader, code)


def _read_simple(reader: Reader, code: int) -> tuple[SqlType, object]:
    """The types with a one-byte length before the value."""
    if code == 0x1F:
        return SqlType("int"), None
    size = 3 if code == 0x28 else reader.number(1)
    data = reader.take(reader.number(1))
    value: object = None
    if code == 0x26:
        if data:
            value = struct.unpack(_INTEGER_LAYOUTS[len(data)], data)[0]
        return SqlType(_INTEGER_NAMES[size]), value
    if code == 0x68:
        return SqlType("bit"), bool(data[0]) if data else None
    if code == 0x6D:
        if data:
            value = struct.unpack("<f" if len(data) == 4 else "<d", data)[0]
        return SqlType("real" if size == 4 else "float", precision=24 if size == 4 else 53), value
    if code == 0x24:
        return SqlType("uniqueidentifier"), uuid.UUID(bytes_le=data) if data else None
    if code == 0x28:
        return SqlType("date"), temporal.decode_date(data) if data else None
    if code == 0x6F:
        if data:
            value = temporal.decode_datetime(data) if len(data) == 8 else temporal.decode_smalldatetime(data)
        return SqlType("datetime" if size == 8 else "smalldatetime"), value
    if code == 0x6E:
        return SqlType("money" if size == 8 else "smallmoney"), _money(data) if data else None
    raise ProtocolError(f"Parameters of TDS type 0x{code:02X} are not supported by this emulator.")


def _money(data: bytes) -> Decimal:
    if len(data) == 4:
        (units,) = struct.unpack("<i", data)
    else:
        high, low = struct.unpack("<iI", data)
        units = (high << 32) | low
    return Decimal(units).scaleb(-4)


def _read_plp(reader: Reader) -> bytes | None:
    if reader.number(8) == _PLP_NULL:
        return None
    chunks = []
    while size := reader.number(4):
        chunks.append(reader.take(size))
    return b"".join(chunks)


def _read_sized(reader: Reader, size: int) -> bytes | None:
    """A value with a two-byte length, or in chunks when the declared size is max."""
    if size == 0xFFFF:
        return _read_plp(reader)
    length = reader.number(2)
    return None if length == 0xFFFF else reader.take(length)


def _read_text(reader: Reader, code: int) -> tuple[SqlType, object]:
    size = reader.number(2)
    reader.take(5)
    data = _read_sized(reader, size)
    wide = code in (0xE7, 0xEF)
    name = {0xE7: "nvarchar", 0xEF: "nchar", 0xA7: "varchar", 0xAF: "char"}[code]
    length = -1 if size == 0xFFFF else size // 2 if wide else size
    if data is None:
        return SqlType(name, length=length), None
    return SqlType(name, length=length), _decoded(data, wide=wide)


def _decoded(data: bytes, *, wide: bool) -> str:
    return data.decode("utf-16-le", "surrogatepass") if wide else data.decode(CODE_PAGE, "replace")


def _read_binary(reader: Reader, code: int) -> tuple[SqlType, object]:
    size = reader.number(2)
    length = -1 if size == 0xFFFF else size
    return SqlType("varbinary" if code == 0xA5 else "binary", length=length), _read_sized(reader, size)


def _read_long(reader: Reader, code: int) -> tuple[SqlType, object]:
    """text, ntext and image: a four-byte length, -1 for NULL."""
    reader.take(4 if code == 0x22 else 9)
    length = reader.number(4)
    data = None if length == 0xFFFFFFFF else reader.take(length)
    if code == 0x22:
        return SqlType("varbinary", length=-1), data
    wide = code == 0x63
    return SqlType("nvarchar" if wide else "varchar", length=-1), None if data is None else _decoded(data, wide=wide)


def _read_decimal(reader: Reader, code: int) -> tuple[SqlType, object]:
    reader.take(1)
    precision, scale = reader.number(1), reader.number(1)
    data = reader.take(reader.number(1))
    declared = SqlType("decimal" if code == 0x6A else "numeric", precision=precision, scale=scale)
    if not data:
        return declared, None
    units = int.from_bytes(data[1:], "little")
    # From digits, not by arithmetic: 38 digits are more than the default decimal context keeps.
    return declared, Decimal((0 if data[0] else 1, tuple(map(int, str(units))), -scale))


def _read_scaled(reader: Reader, code: int) -> tuple[SqlType, object]:
    scale = reader.number(1)
    data = reader.take(reader.number(1))
    name = {0x29: "time", 0x2A: "datetime2", 0x2B: "datetimeoffset"}[code]
    if not data:
        return SqlType(name, scale=scale), None
    decoder = {
        0x29: temporal.decode_time,
        0x2A: temporal.decode_datetime2,
        0x2B: temporal.decode_datetimeoffset,
    }[code]
    return SqlType(name, scale=scale), decoder(data, scale)

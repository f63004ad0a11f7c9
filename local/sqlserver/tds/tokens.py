"""The token stream of a reply, as bytes."""

from __future__ import annotations

import struct
from enum import IntFlag

from local.sqlserver.contract import Column, Message
from local.sqlserver.tds.encode import COLLATION, ColumnCodec
from local.sqlserver.tds.prelogin import SERVER_VERSION

TDS_7_4 = 0x74000004
PRODUCT = "Microsoft SQL Server"

_COLMETADATA, _RETURNSTATUS, _ERROR, _INFO = 0x81, 0x79, 0xAA, 0xAB
_RETURNVALUE, _LOGINACK, _FEATUREEXTACK, _ENVCHANGE = 0xAC, 0xAD, 0xAE, 0xE3
_DONE, _DONEPROC, _DONEINPROC = 0xFD, 0xFE, 0xFF

ENV_DATABASE, ENV_LANGUAGE, ENV_PACKET_SIZE, ENV_COLLATION = 1, 2, 4, 7
ENV_BEGIN_TRANSACTION, ENV_COMMIT_TRANSACTION, ENV_ROLLBACK_TRANSACTION, ENV_RESET_CONNECTION = 8, 9, 10, 18

COMMAND_SELECT = 0xC1
# Messages longer than this are cut: the token's own length field has 16 bits (RAISERROR stops at 2,047 anyway).
_MAX_MESSAGE_CHARS = 16_000


class DoneStatus(IntFlag):
    FINAL = 0x00
    MORE = 0x01
    ERROR = 0x02
    IN_TRANSACTION = 0x04
    COUNT = 0x10
    ATTENTION = 0x20


def b_varchar(text: str) -> bytes:
    """One length byte in characters (UTF-16 units), then UTF-16LE."""
    data = text.encode("utf-16-le", "surrogatepass")[: 2 * 255]
    return bytes((len(data) // 2,)) + data


def us_varchar(text: str) -> bytes:
    data = text.encode("utf-16-le", "surrogatepass")
    return (len(data) // 2).to_bytes(2, "little") + data


def colmetadata(columns: tuple[Column, ...], codecs: list[ColumnCodec]) -> bytes:
    parts = [bytes((_COLMETADATA,)), len(columns).to_bytes(2, "little")]
    for column, codec in zip(columns, codecs, strict=True):
        flags = 0x0009 if column.nullable else 0x0008
        parts.append(struct.pack("<IH", 0, flags) + codec.type_info + b_varchar(column.name))
    return b"".join(parts)


def _done(token: int, status: int, count: int | None, command: int) -> bytes:
    if count is not None:
        status |= DoneStatus.COUNT
    return struct.pack("<BHHQ", token, status, command, count or 0)


def done(status: int = DoneStatus.FINAL, count: int | None = None, command: int = 0) -> bytes:
    return _done(_DONE, status, count, command)


def done_in_proc(status: int = DoneStatus.MORE, count: int | None = None, command: int = 0) -> bytes:
    return _done(_DONEINPROC, status, count, command)


def done_proc(status: int = DoneStatus.FINAL) -> bytes:
    return _done(_DONEPROC, status, None, 0)


def message(item: Message, server: str, procedure: str = "") -> bytes:
    """INFO up to severity 10, ERROR above."""
    text = item.text[:_MAX_MESSAGE_CHARS]
    body = struct.pack("<iBB", item.number, item.state & 0xFF, item.severity)
    body += us_varchar(text) + b_varchar(server) + b_varchar(procedure) + struct.pack("<I", max(item.line, 0))
    token = _INFO if item.severity <= 10 else _ERROR
    return bytes((token,)) + len(body).to_bytes(2, "little") + body


def _env(kind: int, new: bytes, old: bytes) -> bytes:
    body = bytes((kind,)) + new + old
    return bytes((_ENVCHANGE,)) + len(body).to_bytes(2, "little") + body


def env_text(kind: int, new: str, old: str = "") -> bytes:
    return _env(kind, b_varchar(new), b_varchar(old))


def env_bytes(kind: int, new: bytes = b"", old: bytes = b"") -> bytes:
    return _env(kind, bytes((len(new),)) + new, bytes((len(old),)) + old)


def database_changed(new: str, old: str, server: str) -> bytes:
    """What USE answers: the change, and INFO 5701, which clients show."""
    info = Message(5701, 0, 2, 1, f"Changed database context to '{new}'.")
    return env_text(ENV_DATABASE, new, old) + message(info, server)


def login_reply(server: str, database: str, packet_bytes: int, *, fed_auth: bool) -> bytes:
    """Everything a successful login is answered with, DONE included."""
    major, minor, build = SERVER_VERSION
    ack = b"\x01" + TDS_7_4.to_bytes(4, "big") + b_varchar(PRODUCT) + bytes((major, minor)) + build.to_bytes(2, "big")
    language = Message(5703, 0, 1, 1, "Changed language setting to us_english.")
    parts = [
        database_changed(database, "master", server),
        env_bytes(ENV_COLLATION, COLLATION),
        env_text(ENV_LANGUAGE, "us_english"),
        message(language, server),
        bytes((_LOGINACK,)) + len(ack).to_bytes(2, "little") + ack,
        env_text(ENV_PACKET_SIZE, str(packet_bytes), "4096"),
    ]
    if fed_auth:
        parts.append(bytes((_FEATUREEXTACK, 0x02)) + bytes(4) + b"\xff")
    parts.append(done())
    return b"".join(parts)


def return_status(value: int) -> bytes:
    return struct.pack("<Bi", _RETURNSTATUS, value)


def return_handle(handle: int) -> bytes:
    """RETURNVALUE of the @handle OUT parameter of sp_prepare and sp_prepexec."""
    head = struct.pack("<BHBBIH", _RETURNVALUE, 0, 0, 1, 0, 0)
    return head + b"\x26\x04" + b"\x04" + struct.pack("<i", handle)

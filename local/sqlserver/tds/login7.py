"""LOGIN7: who logs in, to which database, with a password or with an access token."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from local.sqlserver.tds.packets import ProtocolError

FEATURE_FED_AUTH = 0x02
FEATURE_END = 0xFF
FED_AUTH_SECURITY_TOKEN = 1

_FIXED_BYTES = 36
_EXTENSION_USED = 0x10
_READ_ONLY_INTENT = 0x20


@dataclass(frozen=True)
class Login7:
    """The readable part of a login. Secrets are left out of repr."""

    tds_version: int
    packet_bytes: int
    client_host: str
    user: str
    password: str = field(repr=False)
    app_name: str
    server: str
    database: str
    read_only: bool
    features: frozenset[int]
    token: str | None = field(default=None, repr=False)


def parse_login7(body: bytes) -> Login7:
    """ProtocolError when the packet is cut off or asks for a login this server has not (Windows, ADAL)."""
    try:
        return _parse(body)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ProtocolError(f"The LOGIN7 packet cannot be read: {error}.") from error


def _parse(body: bytes) -> Login7:
    _, version, packet_bytes = struct.unpack_from("<III", body, 0)
    type_flags, flags3 = body[26], body[27]

    def raw(index: int) -> bytes:
        offset, chars = struct.unpack_from("<HH", body, _FIXED_BYTES + 4 * index)
        return body[offset : offset + 2 * chars]

    def text(index: int) -> str:
        return raw(index).decode("utf-16-le")

    features = _features(body) if flags3 & _EXTENSION_USED else {}
    return Login7(
        tds_version=version,
        packet_bytes=packet_bytes,
        client_host=text(0),
        user=text(1),
        password=_unscramble(raw(2)).decode("utf-16-le"),
        app_name=text(3),
        server=text(4),
        database=text(8),
        read_only=bool(type_flags & _READ_ONLY_INTENT),
        features=frozenset(features),
        token=_token(features[FEATURE_FED_AUTH]) if FEATURE_FED_AUTH in features else None,
    )


def _unscramble(data: bytes) -> bytes:
    """Undo the nibble swap and XOR that LOGIN7 applies to passwords (an obfuscation, not a protection)."""
    return bytes(((x << 4) | (x >> 4)) & 0xFF for x in (b ^ 0xA5 for b in data))


def _features(body: bytes) -> dict[int, bytes]:
    (pointer,) = struct.unpack_from("<H", body, _FIXED_BYTES + 4 * 5)
    (position,) = struct.unpack_from("<I", body, pointer)
    found: dict[int, bytes] = {}
    while body[position] != FEATURE_END:
        (length,) = struct.unpack_from("<I", body, position + 1)
        found[body[position]] = body[position + 5 : position + 5 + length]
        position += 5 + length
    return found


def _token(data: bytes) -> str:
    """The access token of a FEDAUTH feature; the driver sends the bytes that it was given, so ASCII happens too."""
    library = data[0] >> 1
    if library != FED_AUTH_SECURITY_TOKEN:
        raise ProtocolError(
            f"Federated authentication library {library} is not supported by this emulator: "
            "pass an access token (SQL_COPT_SS_ACCESS_TOKEN) instead of an Authentication keyword."
        )
    (length,) = struct.unpack_from("<I", data, 1)
    raw = data[5 : 5 + length]
    if len(raw) % 2 == 0 and raw[1::2].count(0) == len(raw) // 2:
        return raw.decode("utf-16-le")
    return raw.decode("utf-8", errors="replace")

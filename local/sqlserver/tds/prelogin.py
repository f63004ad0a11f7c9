"""PRELOGIN: the option list that both sides exchange before anything else, and the encryption bargain."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from local.sqlserver.tds.packets import ProtocolError

VERSION, ENCRYPTION, FED_AUTH_REQUIRED, TERMINATOR = 0, 1, 6, 0xFF

# What Azure SQL Database reports as its version.
SERVER_VERSION = (12, 0, 2000)


class Encryption(IntEnum):
    OFF = 0
    ON = 1
    NOT_SUPPORTED = 2
    REQUIRED = 3


@dataclass(frozen=True)
class Prelogin:
    encryption: int
    fed_auth_required: bool


def parse_prelogin(body: bytes) -> Prelogin:
    """The client's options that matter; ProtocolError when the list is cut off."""
    options: dict[int, bytes] = {}
    position = 0
    while True:
        if position >= len(body):
            raise ProtocolError("The PRELOGIN option list has no end.")
        token = body[position]
        if token == TERMINATOR:
            break
        offset = int.from_bytes(body[position + 1 : position + 3], "big")
        length = int.from_bytes(body[position + 3 : position + 5], "big")
        options[token] = body[offset : offset + length]
        position += 5
    encryption = options.get(ENCRYPTION, b"\x02")
    return Prelogin(
        encryption=encryption[0] if encryption else Encryption.NOT_SUPPORTED,
        fed_auth_required=options.get(FED_AUTH_REQUIRED, b"\x00")[:1] == b"\x01",
    )


def choose_encryption(client: int, *, in_tls: bool, require: bool) -> int:
    """The reply to the client's encryption byte.

    Only two outcomes are offered: TLS throughout or none. OFF (TLS for the login packet alone) is never chosen,
    because Azure SQL never chooses it either.
    """
    if in_tls:
        return client
    if client == Encryption.ON or client == Encryption.REQUIRED:
        return Encryption.ON
    return Encryption.REQUIRED if require else Encryption.NOT_SUPPORTED


def prelogin_reply(encryption: int, *, fed_auth: bool) -> bytes:
    """VERSION, ENCRYPTION and, when the client asked for a token login, FEDAUTHREQUIRED."""
    major, minor, build = SERVER_VERSION
    values = [
        (VERSION, bytes((major, minor)) + build.to_bytes(2, "big") + b"\x00\x00"),
        (ENCRYPTION, bytes((encryption,))),
    ]
    if fed_auth:
        values.append((FED_AUTH_REQUIRED, b"\x01"))
    offset = 5 * len(values) + 1
    head, data = bytearray(), bytearray()
    for token, value in values:
        head += bytes((token,)) + (offset + len(data)).to_bytes(2, "big") + len(value).to_bytes(2, "big")
        data += value
    return bytes(head) + bytes((TERMINATOR,)) + bytes(data)

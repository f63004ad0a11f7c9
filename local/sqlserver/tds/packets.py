"""TDS framing: 8-byte packet headers, and messages cut into packets.

Header: type, status, length (big-endian, with the header), spid (big-endian), packet id, window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

HEADER_BYTES = 8
DEFAULT_PACKET_BYTES = 4096
MIN_PACKET_BYTES = 512
MAX_PACKET_BYTES = 32767

STATUS_END_OF_MESSAGE = 0x01
STATUS_IGNORE = 0x02
STATUS_RESET_CONNECTION = 0x08
STATUS_RESET_CONNECTION_SKIP_TRANSACTION = 0x10

# A request of more than this is refused: nothing sane sends a quarter of a gigabyte of T-SQL.
MAX_MESSAGE_BYTES = 256 * 1024 * 1024


class PacketType(IntEnum):
    SQL_BATCH = 0x01
    RPC = 0x03
    REPLY = 0x04
    ATTENTION = 0x06
    BULK_LOAD = 0x07
    FEDAUTH_TOKEN = 0x08
    TRANSACTION_MANAGER = 0x0E
    LOGIN7 = 0x10
    SSPI = 0x11
    PRELOGIN = 0x12


_CLIENT_TYPES = frozenset(PacketType) - {PacketType.REPLY}


class ProtocolError(Exception):
    """The client sent what TDS 7.4 does not allow; the connection cannot go on."""


@dataclass(frozen=True)
class Packet:
    type: int
    status: int
    payload: bytes

    @property
    def is_last(self) -> bool:
        return bool(self.status & STATUS_END_OF_MESSAGE)


@dataclass(frozen=True)
class Message:
    """A whole request. status is that of its first packet, where the reset bits are."""

    type: int
    status: int
    body: bytes


class PacketReader:
    """Cuts a stream of bytes into packets, wherever the chunks begin and end."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets completed by these bytes; ProtocolError for what cannot be TDS."""
        self._buffer += data
        while len(self._buffer) >= HEADER_BYTES:
            length = int.from_bytes(self._buffer[2:4], "big")
            if self._buffer[0] not in _CLIENT_TYPES:
                raise ProtocolError(
                    f"There is no TDS packet of type 0x{self._buffer[0]:02X}: the client does not speak TDS."
                )
            if length < HEADER_BYTES:
                raise ProtocolError(f"A packet header says {length} bytes, which is less than the header itself.")
            if len(self._buffer) < length:
                return
            packet = Packet(self._buffer[0], self._buffer[1], bytes(self._buffer[HEADER_BYTES:length]))
            del self._buffer[:length]
            yield packet

    def take_rest(self) -> bytes:
        """Hand over bytes that belong to no packet yet (the stream changes to TLS records here)."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest


class MessageAssembler:
    """Joins packets into messages."""

    def __init__(self) -> None:
        self._body = bytearray()
        self._status: int | None = None

    def add(self, packet: Packet) -> Message | None:
        """The message that this packet completes, if it does; a message the client took back (IGNORE) is dropped."""
        if self._status is None:
            self._status = packet.status
        self._body += packet.payload
        if len(self._body) > MAX_MESSAGE_BYTES:
            raise ProtocolError(f"A request is longer than {MAX_MESSAGE_BYTES} bytes.")
        if not packet.is_last:
            return None
        message = Message(packet.type, self._status, bytes(self._body))
        self._body = bytearray()
        self._status = None
        return None if packet.status & STATUS_IGNORE else message


class PacketWriter:
    """Cuts reply bytes into packets; a message may be written in several goes, of which the last says so."""

    def __init__(self) -> None:
        self.packet_bytes = DEFAULT_PACKET_BYTES
        self.spid = 0
        self._packet_id = 0

    def message(self, body: bytes, packet_type: int = PacketType.REPLY) -> bytes:
        """A whole message, framed."""
        return self.part(body, last=True, packet_type=packet_type)

    def part(self, body: bytes, *, last: bool, packet_type: int = PacketType.REPLY) -> bytes:
        """The next piece of a message, framed; nothing is held back, so the final packet of a piece may be short."""
        if not body and not last:
            return b""
        room = self.packet_bytes - HEADER_BYTES
        framed = bytearray()
        for start in range(0, max(len(body), 1), room):
            chunk = body[start : start + room]
            end = last and start + room >= len(body)
            self._packet_id = self._packet_id % 255 + 1
            framed += bytes((packet_type, STATUS_END_OF_MESSAGE if end else 0))
            framed += (len(chunk) + HEADER_BYTES).to_bytes(2, "big") + self.spid.to_bytes(2, "big")
            framed += bytes((self._packet_id, 0))
            framed += chunk
        if last:
            self._packet_id = 0
        return bytes(framed)

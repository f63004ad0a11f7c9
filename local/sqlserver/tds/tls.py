"""TLS inside TDS: handshake records wrapped in PRELOGIN packets (7.4), or TLS from the first byte (strict)."""

from __future__ import annotations

import ssl
from enum import Enum, auto
from pathlib import Path

from local.sqlserver.tds.packets import HEADER_BYTES, PacketReader, PacketType, PacketWriter

_READ_BYTES = 65536


class Mode(Enum):
    CLEAR = auto()
    TUNNEL_HANDSHAKE = auto()
    DIRECT_HANDSHAKE = auto()
    ENCRYPTED = auto()


class TlsContexts:
    """The two server contexts, made once: building one per connection costs 4-6 ms of CPU."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.tunnel = _context(certificate, key)
        # With 1.3 the client stops framing after its Finished while OpenSSL still sends tickets: the login hangs.
        self.tunnel.maximum_version = ssl.TLSVersion.TLSv1_2
        self.direct = _context(certificate, key)
        self.direct.set_alpn_protocols(["tds/8.0"])


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET
    context.load_cert_chain(certificate, key)
    return context


class Channel:
    """Turns bytes of the socket into TDS bytes and back. No I/O: the caller moves the bytes.

    After each call of ``received`` the caller sends ``take_pending()``, which holds handshake records if any.
    """

    def __init__(self, contexts: TlsContexts) -> None:
        self._contexts = contexts
        self.mode = Mode.CLEAR
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._packets = PacketReader()
        self._writer = PacketWriter()
        self._pending = bytearray()

    @property
    def encrypted(self) -> bool:
        return self.mode is Mode.ENCRYPTED

    def start_direct(self) -> None:
        """The first byte of the socket was a TLS record: strict encryption."""
        self._begin(self._contexts.direct, Mode.DIRECT_HANDSHAKE)

    def start_tunnel(self) -> None:
        """PRELOGIN was answered with encryption on: the handshake comes in PRELOGIN packets."""
        self._begin(self._contexts.tunnel, Mode.TUNNEL_HANDSHAKE)

    def _begin(self, context: ssl.SSLContext, mode: Mode) -> None:
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.mode = mode

    def received(self, data: bytes) -> bytes:
        """TDS bytes out of socket bytes; ssl.SSLError when the handshake or a record is broken."""
        if self._tls is None:
            return data
        if self.mode is Mode.TUNNEL_HANDSHAKE:
            for packet in self._packets.feed(data):
                self._incoming.write(packet.payload)
            self._handshake()
            if not self.encrypted:
                return b""
            self._incoming.write(self._packets.take_rest())
        else:
            self._incoming.write(data)
            if self.mode is Mode.DIRECT_HANDSHAKE:
                self._handshake()
        return self._decrypted() if self.encrypted else b""

    def _handshake(self) -> None:
        assert self._tls is not None  # noqa: S101 - callers hold a TLS object; tells mypy so
        framed = self.mode is Mode.TUNNEL_HANDSHAKE
        try:
            self._tls.do_handshake()
            self.mode = Mode.ENCRYPTED
        except ssl.SSLWantReadError:
            pass
        records = self._outgoing.read()
        if records and framed:
            self._writer.packet_bytes = len(records) + HEADER_BYTES
            records = self._writer.message(records, PacketType.PRELOGIN)
        self._pending += records

    def _decrypted(self) -> bytes:
        assert self._tls is not None  # noqa: S101 - as above
        chunks = []
        try:
            while chunk := self._tls.read(_READ_BYTES):
                chunks.append(chunk)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            pass  # The client said goodbye; its FIN follows.
        self._pending += self._outgoing.read()
        return b"".join(chunks)

    def take_pending(self) -> bytes:
        pending = bytes(self._pending)
        self._pending.clear()
        return pending

    def wrap(self, data: bytes) -> bytes:
        """Socket bytes for TDS bytes."""
        if self._tls is None or not self.encrypted:
            return data
        self._tls.write(data)
        return self._outgoing.read()

"""Speaks to a SQL server as far as the end of the TLS handshake, and says whose certificate it is not.

The driver reports DNS, TCP, TLS and login as one error; people who set up networks need to know which it was. TDS wraps
the handshake's records into its own packets (MS-TDS, PRELOGIN); no login follows, so nothing secret is sent.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time

_PRELOGIN, _END_OF_MESSAGE = 0x12, 0x01
_HEADER = struct.Struct(">BBHHBB")
_VERSION, _ENCRYPTION, _INSTANCE, _THREAD, _MARS, _TERMINATOR = 0, 1, 2, 3, 4, 0xFF
_ENCRYPT_ON = 1
_ENCRYPTING = frozenset({1, 3})
"""Answers by which the server agrees to encrypt everything: ON and REQUIRED."""
_MAXIMUM_PACKET = 32768


class NotEncryptedError(Exception):
    """The other side does not speak TDS, or not over TLS."""


def trusting(any_certificate: bool) -> ssl.SSLContext:
    """The trust of the driver: the same file of roots, and the same switch for local mode."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Inside PRELOGIN packets TLS 1.3 does not work: its tickets arrive when the server no longer wraps.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_default_verify_paths()
    if any_certificate:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class _Line:
    """A connection that is over at a certain moment, however slowly the other side goes on sending bytes."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection, self._until = connection, time.monotonic() + seconds

    def send(self, data: bytes) -> None:
        self._wait_no_longer()
        head = _HEADER.pack(_PRELOGIN, _END_OF_MESSAGE, _HEADER.size + len(data), 0, 1, 0)
        self._connection.sendall(head + data)

    def receive(self) -> bytes:
        """The contents of the next packet."""
        _, _, length, _, _, _ = _HEADER.unpack(self._exactly(_HEADER.size))
        if not _HEADER.size < length <= _MAXIMUM_PACKET:
            raise NotEncryptedError("What answers is no SQL server.")
        return self._exactly(length - _HEADER.size)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            self._wait_no_longer()
            part = self._connection.recv(count - len(data))
            if not part:
                raise ConnectionResetError("The server closed the connection.")
            data += part
        return data

    def _wait_no_longer(self) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("The handshake took too long.")
        self._connection.settimeout(left)


def handshake(connection: socket.socket, host_name: str, context: ssl.SSLContext, *, seconds: float) -> None:
    """Agree on encryption and go through the TLS handshake on a fresh connection.

    seconds: for all of it.

    Raises:
        ssl.SSLError: the certificate is not trusted, or not this host's.
        NotEncryptedError: what answers is no SQL server, or does not encrypt.
        OSError: the connection was lost or the time is over.
    """
    line = _Line(connection, seconds)
    line.send(_prelogin())
    if _encryption(line.receive()) not in _ENCRYPTING:
        raise NotEncryptedError("The server does not encrypt.")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=host_name)
    while True:
        try:
            tls.do_handshake()
            return
        except ssl.SSLWantReadError:
            line.send(outgoing.read())
            incoming.write(line.receive())


def _prelogin() -> bytes:
    options = (
        (_VERSION, bytes(6)),
        (_ENCRYPTION, bytes([_ENCRYPT_ON])),
        (_INSTANCE, b"\0"),
        (_THREAD, bytes(4)),
        (_MARS, b"\0"),
    )
    offset = 5 * len(options) + 1
    head, data = b"", b""
    for token, value in options:
        head += struct.pack(">BHH", token, offset + len(data), len(value))
        data += value
    return head + bytes([_TERMINATOR]) + data


def _encryption(reply: bytes) -> int | None:
    """The value of option ENCRYPTION in a PRELOGIN reply."""
    position = 0
    while position + 5 <= len(reply) and reply[position] != _TERMINATOR:
        token, offset, length = struct.unpack_from(">BHH", reply, position)
        if token == _ENCRYPTION and length and offset < len(reply):
            return int(reply[offset])
        position += 5
    return None

"""The handshake of a preflight is over in its time, whatever the other side does."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from elastic_jobs.targets.tls_probe import handshake, trusting


@contextlib.contextmanager
def dripping(interval: float) -> Iterator[socket.socket]:
    """A connection to somebody who announces a large packet and sends a byte of it now and then."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        peer, _ = listener.accept()
        with peer, contextlib.suppress(OSError):
            peer.recv(4096)
            peer.sendall(bytes((0x04, 0x01, 0x7F, 0xFF, 0, 0, 1, 0)))
            while not over.wait(interval):
                peer.sendall(b"\0")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    connection = socket.create_connection(listener.getsockname()[:2], 5)
    try:
        yield connection
    finally:
        over.set()
        connection.close()
        thread.join(5)
        listener.close()


def test_a_server_that_sends_byte_after_byte_does_not_keep_its_caller() -> None:
    with dripping(0.02) as connection:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            handshake(connection, "server1.database.windows.net", trusting(any_certificate=True), seconds=0.3)
        # Sent to its end the packet would take eleven minutes.
        assert time.monotonic() - began < 5

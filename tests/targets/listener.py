"""A socket of somebody else: keeps what arrives, and answers as a SQL server would just long enough to be told more."""

from __future__ import annotations

import socket
import threading


class Listener:
    """Listens on loopback under every address family there is. ``received``: all bytes of all connections."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.accepted: list[socket.socket] = []
        self.received = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.accepted.append(connection)
            self.received += connection.recv(4096)

    def close(self) -> None:
        # Closing alone would not wake the thread.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)
        for connection in self.accepted:
            connection.close()

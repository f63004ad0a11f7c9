"""The listening ports of a process: one per logical server."""

from __future__ import annotations

import asyncio
import logging
import socket
from concurrent.futures import ThreadPoolExecutor

from local.sqlserver.contract import LogicalServer
from local.sqlserver.faults import FaultBook
from local.sqlserver.journal import Journal
from local.sqlserver.tds.connection import Connection
from local.sqlserver.tds.host import Endpoint, Shared
from local.sqlserver.tds.tls import TlsContexts

log = logging.getLogger(__name__)

# Threads are made when needed and kept; each batch that runs or waits holds one.
MAX_WORKERS = 8192
_BACKLOG = 4096
# How long a stop waits for statements to notice that their connection is gone.
STOP_SECONDS = 5.0


class PortInUseError(Exception):
    """A port is taken; the sentence names it."""


class WireServer:
    """Serves logical servers until stop(). Make and use it on one running event loop."""

    def __init__(
        self, tls: TlsContexts, faults: FaultBook, journal: Journal, *, require_encryption: bool = False
    ) -> None:
        self._workers = ThreadPoolExecutor(MAX_WORKERS, thread_name_prefix="tds")
        self._shared = Shared(faults, journal, tls, self._workers, require_encryption)
        self._listeners: list[asyncio.Server] = []
        self._connections: set[Connection] = set()

    async def listen(self, logical: LogicalServer, host: str = "127.0.0.1", port: int = 0) -> int:
        """Open a port (0: a free one) for a logical server and return it; PortInUseError when it is taken."""
        endpoint = Endpoint(logical, self._shared)
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(
                lambda: Connection(endpoint, self._connections), host, port, family=socket.AF_INET, backlog=_BACKLOG
            )
        except OSError as error:
            raise PortInUseError(f"Cannot listen on {host}:{port} for server '{logical.name}': {error}.") from error
        self._listeners.append(listener)
        bound: int = listener.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Close the ports, cut the connections, cancel what runs and wait a little for it."""
        for listener in self._listeners:
            listener.close()
        connections = list(self._connections)
        for connection in connections:
            connection.stop()
        tasks = [connection.finished for connection in connections if connection.finished is not None]
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            if pending:
                log.warning("%d connections still had work running when the emulator stopped", len(pending))
        self._workers.shutdown(wait=False, cancel_futures=True)

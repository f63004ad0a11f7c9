"""The reply to one request: written by a worker thread, sent by the event loop, with back-pressure between them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from local.sqlserver.tds import tokens
from local.sqlserver.tds.tokens import DoneStatus

# Bytes that may wait for the client before the statement waits too, and how long a few bytes may wait for company.
HIGH_WATER_BYTES = 256 * 1024
FLUSH_AFTER_SECONDS = 0.003


class Interrupted(Exception):  # noqa: N818 - a control-flow signal, not an error
    """The client sent ATTENTION, or is gone: the rest of the work is pointless."""


class ReplyStream:
    """Worker side: write, hold_done, finish, wait. Loop side: take, cancel, close.

    The last DONE of a batch must say that nothing follows, but whether something follows is only known later. So a
    DONE is held until the next token, the end, or the flush timer, whichever comes first; after the timer the reply
    ends with a DONE of its own.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, flush: Callable[[], None]) -> None:
        self._loop, self._flush = loop, flush
        self._condition = threading.Condition()
        self._buffer = bytearray()
        self._held: tuple[int, int | None, int] | None = None
        self._wake = threading.Event()
        self._flush_asked = False
        self._on_hold = False
        self.final = b""
        self.cancelled = False
        self.closed = False
        self.close_after = False

    # -- worker side

    def check(self) -> None:
        """Interrupted when the client does not want the rest."""
        if self.cancelled or self.closed:
            raise Interrupted

    def write(self, data: bytes) -> None:
        """Append tokens; waits while the client is slow."""
        self.check()
        with self._condition:
            self._release_done()
            self._buffer += data
            self._ask_flush()
            while len(self._buffer) > HIGH_WATER_BYTES and not self._on_hold and not self._wake.is_set():
                self._condition.wait()
        self.check()

    def hold_done(self, status: int, count: int | None, command: int) -> None:
        """A statement ended; whether it was the last is not known yet."""
        self.check()
        with self._condition:
            self._release_done()
            self._held = (status, count, command)
            self._ask_flush()

    def finish(self, before: bytes, status: int) -> None:
        """The batch ended: these tokens, then the held DONE as the last one (or one of its own)."""
        with self._condition:
            held, self._held = self._held, None
            if held is None:
                self.final = before + tokens.done(status)
            else:
                self.final = before + tokens.done(held[0] | status, held[1], held[2])

    def hold(self) -> None:
        """Send nothing until release(): the statement runs, its reply waits (faults use this)."""
        self._on_hold = True

    def release(self) -> None:
        with self._condition:
            self._on_hold = False
            self._ask_flush()

    def wait(self, seconds: float) -> None:
        """Sleep; Interrupted as soon as the client cancels or leaves."""
        self._wake.wait(seconds)
        self.check()

    def wait_closed(self) -> None:
        """Answer nothing, not even ATTENTION, until the client is gone."""
        with self._condition:
            while not self.closed:
                self._condition.wait()
        raise Interrupted

    def _release_done(self) -> None:
        if self._held is not None:
            status, count, command = self._held
            self._buffer += tokens.done(status | DoneStatus.MORE, count, command)
            self._held = None

    def _ask_flush(self) -> None:
        if not self._flush_asked and not self._on_hold:
            self._flush_asked = True
            self._loop.call_soon_threadsafe(self._arm)

    # -- loop side

    def _arm(self) -> None:
        if len(self._buffer) >= HIGH_WATER_BYTES // 8:
            self._flush()
        else:
            self._loop.call_later(FLUSH_AFTER_SECONDS, self._flush)

    def take(self, *, at_end: bool = False) -> bytes:
        """What can be sent now; wakes a waiting worker."""
        with self._condition:
            self._flush_asked = False
            if self._on_hold and not at_end:
                return b""
            if not at_end:
                self._release_done()
            data = bytes(self._buffer)
            self._buffer.clear()
            self._condition.notify_all()
        return data

    def cancel(self) -> None:
        """ATTENTION came."""
        self.cancelled = True
        self._rouse()

    def close(self) -> None:
        """The connection is gone."""
        self.closed = True
        self._rouse()

    def _rouse(self) -> None:
        self._wake.set()
        with self._condition:
            self._condition.notify_all()

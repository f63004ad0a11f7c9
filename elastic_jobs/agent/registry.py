"""What this instance is working on, and the two watches over it: the heartbeat and the watchdog.

The heartbeat renews the claims that are being worked on, in one statement, and learns of cancellations. The watchdog
needs no database: it stops scripts that ran too long, and scripts whose claim could not be renewed, before their lease
ends.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from elastic_jobs.domain.lifecycle import Level
from elastic_jobs.domain.outcome import StopReason
from elastic_jobs.errors import ElasticJobsError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.executions.claims import Holder, Renewed, renew

_log = logging.getLogger(__name__)

WATCH_INTERVAL_SECONDS = 0.2
"""How late a timeout may be noticed."""
LARGEST_MARGIN_SECONDS = 8.0
"""Time to stop a statement on its server and still be within the lease; more than an attempt's grace for stopping."""


class TooLateError(Exception):
    """The claim is so old that its work could not be stopped within the lease: it must not begin."""


@dataclass
class Work:
    """One claim of this instance. Times are of the monotonic clock, in seconds."""

    level: Level
    token: UUID
    stop: Callable[[StopReason], object]
    timeout_at: float
    lease_ends_at: float


class Registry:
    """The claims that this instance holds, and the threads that watch over them while there are any.

    Args:
        monotonic: seconds of a clock that never goes back, e.g. ``time.monotonic``.
        heartbeat_seconds: how often claims are renewed.
    """

    def __init__(
        self, database: JobDatabase, holder: Holder, *, monotonic: Callable[[], float], heartbeat_seconds: float
    ) -> None:
        self._database, self.holder = database, holder
        self._monotonic, self._heartbeat_seconds = monotonic, heartbeat_seconds
        self._lease = holder.lease.total_seconds()
        self._margin = min(LARGEST_MARGIN_SECONDS, self._lease / 3)
        self._lock = threading.Lock()
        # By token: after a loss the same row can be claimed again here while its old work is still being stopped.
        self._work: dict[UUID, Work] = {}
        self._wake = threading.Event()
        self._threads: list[threading.Thread] = []

    @contextmanager
    def watching(
        self,
        level: Level,
        token: UUID,
        *,
        claimed_at: float,
        timeout_seconds: float = float("inf"),
        stop: Callable[[StopReason], object] = lambda _: None,
    ) -> Iterator[Work]:
        """Keep a claim alive for the time of the block.

        claimed_at: the monotonic time before the claim was asked for; the lease counts from then.
        stop: called (once or more) from another thread when the work has to stop.

        Raises:
            TooLateError: too little of the lease is left to begin.
        """
        now = self._monotonic()
        work = Work(level, token, stop, now + timeout_seconds, claimed_at + self._lease)
        if now >= work.lease_ends_at - self._margin:
            raise TooLateError
        with self._lock:
            self._work[token] = work
            self._start_threads()
        self._wake.set()
        try:
            yield work
        finally:
            with self._lock:
                self._work.pop(token, None)

    def heartbeat(self) -> None:
        """Renew all claims once, and stop work that was canceled or whose claim is gone."""
        with self._lock:
            held = list(self._work.values())
        for level in sorted({work.level for work in held}):
            of_level = [work for work in held if work.level is level]
            asked_at = self._monotonic()
            with self._database.write() as connection:
                renewed = renew(connection, self._database, level, [work.token for work in of_level], self.holder.lease)
            self._apply({claim.token: claim for claim in renewed}, of_level, asked_at)

    def _apply(self, renewed: dict[UUID, Renewed], works: list[Work], asked_at: float) -> None:
        for work in works:
            claim = renewed.get(work.token)
            if claim is None:
                # A claim that was recorded while the statement ran is missing from its answer rightly.
                with self._lock:
                    lost = self._work.get(work.token) is work
                if lost:
                    _stop(work, StopReason.LEASE_LOST)
                continue
            work.lease_ends_at = asked_at + self._lease
            if claim.cancel_requested:
                _stop(work, StopReason.CANCELED)

    def watch(self) -> None:
        """Stop what ran too long or could not be renewed, once."""
        now = self._monotonic()
        with self._lock:
            works = list(self._work.values())
        for work in works:
            if now >= work.lease_ends_at - self._margin:
                _stop(work, StopReason.LEASE_LOST)
            elif now >= work.timeout_at:
                _stop(work, StopReason.TIMED_OUT)

    def is_idle(self) -> bool:
        """Whether nothing is being worked on."""
        with self._lock:
            return not self._work

    def _start_threads(self) -> None:
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._repeat, args=(self.heartbeat, self._heartbeat_seconds), daemon=True),
                threading.Thread(target=self._repeat, args=(self.watch, WATCH_INTERVAL_SECONDS), daemon=True),
            ]
            for thread, name in zip(self._threads, ("heartbeat", "watchdog"), strict=True):
                thread.name = name
                thread.start()

    def _repeat(self, duty: Callable[[], None], interval: float) -> None:
        pause = threading.Event()
        while True:
            if self.is_idle():
                self._wake.clear()
                if self.is_idle():
                    self._wake.wait()
            try:
                duty()
            except ElasticJobsError as error:
                # The claims run out if this lasts; the watchdog stops the scripts before that.
                _log.warning("Claims could not be renewed: %s", error, extra={"action": "heartbeat_failed"})
            except Exception:
                _log.exception("A watch over running targets failed.", extra={"action": "watch_failed"})
            pause.wait(interval)


def _stop(work: Work, reason: StopReason) -> None:
    try:
        work.stop(reason)
    except Exception:
        # One attempt that cannot be stopped must not keep the others from being watched.
        _log.exception("Work could not be told to stop.", extra={"action": "stop_failed"})

"""What this instance is working on, and the two watches over it: the heartbeat and the watchdog.

The heartbeat renews all claims of the instance in one statement and learns of cancellations. The watchdog needs no
database: it stops scripts that ran too long, and scripts whose claim could not be renewed, before their lease ends.
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
from elastic_jobs.jobdb.executions.claims import Holder, renew

_log = logging.getLogger(__name__)

WATCH_INTERVAL_SECONDS = 0.2
"""How late a timeout may be noticed."""


@dataclass
class Work:
    """One claim of this instance. Times are of the monotonic clock, in seconds."""

    level: Level
    row_id: UUID
    token: UUID
    stop: Callable[[StopReason], None]
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
        lease = holder.lease.total_seconds()
        # Time to stop a statement on its server and still be within the lease.
        self._margin = min(5.0, lease / 4)
        self._lease = lease
        self._lock = threading.Lock()
        self._work: dict[UUID, Work] = {}
        self._wake = threading.Event()
        self._threads: list[threading.Thread] = []

    @contextmanager
    def watching(
        self,
        level: Level,
        row_id: UUID,
        token: UUID,
        *,
        claimed_at: float,
        timeout_seconds: float = float("inf"),
        stop: Callable[[StopReason], None] = lambda _: None,
    ) -> Iterator[Work]:
        """Keep a claim alive for the time of the block.

        claimed_at: the monotonic time before the claim was asked for; the lease counts from then.
        stop: called (once or more) from another thread when the work has to stop.
        """
        now = self._monotonic()
        work = Work(level, row_id, token, stop, now + timeout_seconds, claimed_at + self._lease)
        with self._lock:
            self._work[row_id] = work
            self._start_threads()
        self._wake.set()
        try:
            yield work
        finally:
            with self._lock:
                self._work.pop(row_id, None)

    def heartbeat(self) -> None:
        """Renew all claims once, and stop work that was canceled or whose claim is gone."""
        with self._lock:
            before = dict(self._work)
        for level in {work.level for work in before.values()}:
            asked_at = self._monotonic()
            with self._database.write() as connection:
                renewed = {claim.row_id: claim for claim in renew(connection, self._database, level, self.holder)}
            for work in before.values():
                if work.level is not level:
                    continue
                claim = renewed.get(work.row_id)
                if claim is None or claim.token != work.token:
                    self._stop_if_held(work, StopReason.LEASE_LOST)
                    continue
                work.lease_ends_at = asked_at + self._lease
                if claim.cancel_requested:
                    work.stop(StopReason.CANCELED)

    def watch(self) -> None:
        """Stop what ran too long or could not be renewed, once."""
        now = self._monotonic()
        with self._lock:
            works = list(self._work.values())
        for work in works:
            if now >= work.lease_ends_at - self._margin:
                work.stop(StopReason.LEASE_LOST)
            elif now >= work.timeout_at:
                work.stop(StopReason.TIMED_OUT)

    def is_idle(self) -> bool:
        """Whether nothing is being worked on."""
        with self._lock:
            return not self._work

    def _stop_if_held(self, work: Work, reason: StopReason) -> None:
        # A claim that was recorded while the heartbeat's statement ran is missing from its answer rightly.
        with self._lock:
            held = self._work.get(work.row_id) is work
        if held:
            work.stop(reason)

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

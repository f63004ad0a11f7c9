"""What happened: logins, logouts and batches, in memory with sequence numbers and, when asked, as JSON lines in a file.

Also the gauges: how many batches execute and how many sessions are open, now and at most, per server and in total.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

# Records kept in memory; the file keeps all of them.
DEFAULT_CAPACITY = 200_000
# Characters of a statement that are kept. Equal texts are kept once.
TEXT_LIMIT = 16_000
_SHARED_TEXTS = 4_096
# Kinds that have a statement text and count as executing.
EXECUTED = ("batch", "transaction")


@dataclass(slots=True)
class Record:
    """One event. started/ended are POSIX seconds (UTC), the monotonic pair serves durations and overlaps.

    kind: login, logout, batch or transaction (begin, commit, rollback of the driver).
    outcome: ok, error (with error_number), cancelled, dropped or killed.
    user: the SQL login, or the principal of an access token; never a secret.
    """

    sequence: int
    kind: str
    server: str
    database: str
    user: str
    app_name: str
    spid: int
    started: float
    started_monotonic: float
    ended: float = 0.0
    ended_monotonic: float = 0.0
    text: str = ""
    parameters: int = 0
    outcome: str = ""
    error_number: int | None = None

    def as_json(self) -> dict[str, object]:
        """A JSON object; times as ISO 8601 in UTC with microseconds."""
        item: dict[str, object] = {
            "sequence": self.sequence, "kind": self.kind, "server": self.server, "database": self.database,
            "user": self.user, "app_name": self.app_name, "spid": self.spid, "started": _iso(self.started),
            "started_monotonic": self.started_monotonic, "ended": _iso(self.ended) if self.ended else None,
            "ended_monotonic": self.ended_monotonic or None, "outcome": self.outcome,
            "error_number": self.error_number,
        }  # fmt: skip
        if self.kind in EXECUTED:
            item["text"], item["parameters"] = self.text, self.parameters
        return item


def _iso(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="microseconds")


@dataclass(slots=True)
class Gauge:
    """A number that goes up and down, and the highest it has been since the last reset."""

    current: int = 0
    high_water: int = 0

    def add(self, change: int) -> None:
        self.current += change
        self.high_water = max(self.high_water, self.current)

    def reset(self) -> None:
        self.high_water = self.current


@dataclass
class ServerGauges:
    executing: Gauge = field(default_factory=Gauge)
    sessions: Gauge = field(default_factory=Gauge)

    def as_json(self) -> dict[str, int]:
        return {
            "executing": self.executing.current, "executing_high_water": self.executing.high_water,
            "sessions": self.sessions.current, "sessions_high_water": self.sessions.high_water,
        }  # fmt: skip


@dataclass(frozen=True)
class Filter:
    """Empty fields match everything. Names are compared without case; text is a substring of the statement."""

    kind: str = ""
    server: str = ""
    database: str = ""
    text: str = ""

    def matches(self, record: Record) -> bool:
        return (
            (not self.kind or record.kind == self.kind)
            and (not self.server or record.server.lower() == self.server.lower())
            and (not self.database or record.database.lower() == self.database.lower())
            and (not self.text or self.text in record.text)
        )


def peak_overlap(intervals: Iterable[tuple[float, float]]) -> int:
    """The largest number of intervals open at one instant; one that ends when another begins does not overlap it."""
    edges = sorted(edge for start, end in intervals for edge in ((start, 1), (end, -1)))
    return max(itertools.accumulate((change for _, change in edges), initial=0))


class Journal:
    """Safe to use from any thread."""

    def __init__(
        self,
        file: Path | None = None,
        capacity: int = DEFAULT_CAPACITY,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._monotonic = clock, monotonic
        self._lock = threading.Lock()
        self._records: deque[Record] = deque(maxlen=capacity)
        self._running: dict[int, Record] = {}
        self._sequence = 0
        self._run = itertools.count(1)
        self._texts: dict[str, str] = {}
        self._servers: dict[str, ServerGauges] = {}
        self._total = ServerGauges()
        self._reset_at = monotonic()
        self._file = file.open("a", encoding="utf-8") if file else None

    def login(self, record_of: Connection, outcome: str, error_number: int | None = None) -> None:
        """A login was answered (or dropped)."""
        record = self._new("login", record_of)
        record.outcome, record.error_number = outcome, error_number
        with self._lock:
            if outcome == "ok":
                self._count(record.server, sessions=1)
            self._append(record)

    def logout(self, record_of: Connection) -> None:
        """A session that had logged in is closed."""
        record = self._new("logout", record_of)
        record.outcome = "ok"
        with self._lock:
            self._count(record.server, sessions=-1)
            self._append(record)

    def batch_started(self, record_of: Connection, text: str, parameters: int, kind: str = "batch") -> Record:
        """A batch (or a transaction request) begins to execute; hand the record to batch_ended."""
        record = self._new(kind, record_of)
        record.parameters = parameters
        with self._lock:
            record.text = self._shared(text[:TEXT_LIMIT])
            record.sequence = -next(self._run)
            self._running[record.sequence] = record
            if kind == "batch":
                self._count(record.server, executing=1)
        return record

    def batch_ended(self, record: Record, outcome: str, error_number: int | None = None) -> None:
        """The batch ended; it gets its sequence number and becomes visible to query()."""
        record.ended, record.ended_monotonic = self._clock(), self._monotonic()
        record.outcome, record.error_number = outcome, error_number
        with self._lock:
            del self._running[record.sequence]
            if record.kind == "batch":
                self._count(record.server, executing=-1)
            self._append(record)

    def query(self, after: int = 0, wanted: Filter | None = None, limit: int | None = None) -> list[Record]:
        """Records with a sequence above ``after``, oldest first."""
        wanted = wanted or Filter()
        with self._lock:
            newest_first = list(itertools.takewhile(lambda r: r.sequence > after, reversed(self._records)))
        found = (record for record in reversed(newest_first) if wanted.matches(record))
        return list(itertools.islice(found, limit))

    def running(self, wanted: Filter | None = None) -> list[Record]:
        """Batches that execute now; they have no sequence number yet (it reads 0 or below)."""
        wanted = wanted or Filter()
        with self._lock:
            return [record for record in self._running.values() if wanted.matches(record)]

    @property
    def last_sequence(self) -> int:
        return self._sequence

    def gauges(self) -> dict[str, object]:
        """``{"total": {...}, "servers": {name: {...}}}`` with current values and high-water marks."""
        with self._lock:
            servers = {name: gauges.as_json() for name, gauges in self._servers.items()}
            return {"total": self._total.as_json(), "servers": servers}

    def reset_gauges(self) -> None:
        """High-water marks start again at the current values; matching() looks only at what runs from now on."""
        with self._lock:
            self._reset_at = self._monotonic()
            for gauges in (self._total, *self._servers.values()):
                gauges.executing.reset()
                gauges.sessions.reset()

    def matching(self, wanted: Filter) -> dict[str, int]:
        """Gauges of the batches that match, computed from their intervals since the last reset."""
        wanted = replace(wanted, kind="batch")
        running = self.running(wanted)
        intervals = list(self._intervals_since_reset(wanted, running))
        return {
            "executing": len(running), "executing_high_water": peak_overlap(intervals), "batches": len(intervals)
        }  # fmt: skip

    def _intervals_since_reset(self, wanted: Filter, running: list[Record]) -> Iterator[tuple[float, float]]:
        now = self._monotonic()
        for record in running:
            yield max(record.started_monotonic, self._reset_at), now
        for record in self.query(0, wanted):
            if record.ended_monotonic > self._reset_at:
                yield max(record.started_monotonic, self._reset_at), record.ended_monotonic

    def close(self) -> None:
        with self._lock:
            if self._file:
                self._file.close()
                self._file = None

    def _new(self, kind: str, of: Connection) -> Record:
        return Record(
            0, kind, of.server, of.database, of.user, of.app_name, of.spid, self._clock(), self._monotonic()
        )  # fmt: skip

    def _shared(self, text: str) -> str:
        known = self._texts.get(text)
        if known is None:
            if len(self._texts) >= _SHARED_TEXTS:
                self._texts.clear()
            known = self._texts[text] = text
        return known

    def _count(self, server: str, executing: int = 0, sessions: int = 0) -> None:
        of_server = self._servers.get(server)
        if of_server is None:
            of_server = self._servers[server] = ServerGauges()
        for gauges in (of_server, self._total):
            gauges.executing.add(executing)
            gauges.sessions.add(sessions)

    def _append(self, record: Record) -> None:
        self._sequence += 1
        record.sequence = self._sequence
        self._records.append(record)
        if self._file:
            self._file.write(json.dumps(record.as_json()) + "\n")
            self._file.flush()


@dataclass
class Connection:
    """Whom a record is about."""

    server: str
    database: str = ""
    user: str = ""
    app_name: str = ""
    spid: int = 0

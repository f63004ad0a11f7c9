"""Records the ends of attempts, many at a time when many come together.

Whoever comes while nobody records does it at once; whoever comes meanwhile waits, and the next transaction takes all
that wait. Nothing is delayed in order to be gathered, so that a single end is recorded as fast as ever.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from elastic_jobs.errors import JobDatabaseUnavailableError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.executions import outcomes, recording
from elastic_jobs.jobdb.executions.recording import Ending

LARGEST_BATCH = 32
"""Ends in one transaction: beyond that the statements' share per end hardly falls, and all wait for the slowest."""
_RECORDERS_ON_SQL_SERVER, _BATCH_ON_SQL_SERVER = 8, 8
"""There every row of a batch is a round trip of some milliseconds, and transactions do run beside each other."""


@dataclass(frozen=True)
class Answer:
    """recorded: see ``outcomes.record``. asked_at: the monotonic time before the transaction began."""

    recorded: outcomes.Recorded | None
    asked_at: float


@dataclass(eq=False)
class _Entry:
    ending: Ending
    turn: threading.Event = field(default_factory=threading.Event)
    """Set when there is an answer, or when this entry's thread is to record the next batch."""
    answer: Answer | Exception | None = None


class Recorder:
    """Safe to use from many threads.

    Args:
        monotonic: seconds of a clock that never goes back.
    """

    def __init__(self, database: JobDatabase, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database, self._monotonic = database, monotonic
        self._free = 1 if database.is_sqlite else _RECORDERS_ON_SQL_SERVER
        self._largest = LARGEST_BATCH if database.is_sqlite else _BATCH_ON_SQL_SERVER
        self._lock = threading.Lock()
        self._waiting: list[_Entry] = []

    def record(self, ending: Ending) -> Answer:
        """Record one end, together with those of others that wait.

        Raises:
            JobDatabaseUnavailableError: as ``JobDatabase.write``.
        """
        entry = _Entry(ending)
        with self._lock:
            self._waiting.append(entry)
            leads = self._free > 0
            if leads:
                self._free -= 1
        if not leads:
            entry.turn.wait()
        answer = entry.answer or self._lead(entry)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _lead(self, own: _Entry) -> Answer | Exception:
        """Record the own entry and what waits with it; then let the next one lead. The own answer."""
        with self._lock:
            others = [entry for entry in self._waiting if entry is not own][: self._largest - 1]
            batch = [own, *others]
            self._waiting = [entry for entry in self._waiting if entry not in batch]
        answers = self._record([entry.ending for entry in batch])
        with self._lock:
            following = next(iter(self._waiting), None)
            if following is None:
                self._free += 1
        for entry, answer in zip(others, answers[1:], strict=True):
            entry.answer = answer
            entry.turn.set()
        if following is not None:
            following.turn.set()
        return answers[0]

    def _record(self, endings: Sequence[Ending]) -> Sequence[Answer | Exception]:
        asked_at = self._monotonic()
        try:
            with self._database.write() as connection:
                recorded = recording.record_all(connection, self._database, endings)
        except Exception as error:
            if isinstance(error, JobDatabaseUnavailableError) or len(endings) == 1:
                return [error] * len(endings)
            # One that cannot be recorded must not take the others with it.
            return [answer for ending in endings for answer in self._record([ending])]
        return [Answer(one, asked_at) for one in recorded]

"""The tick: starts the jobs whose schedule is due and lets the caretaker mend what is broken.

An idle agent sends the job database one statement per tick. Ticks may come late, twice or at the same time. The start
of a job does not depend on when the tick comes: an alarm, a delayed message, calls the scheduler at the due instant.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError

from elastic_jobs.agent.caretaker import Caretaker
from elastic_jobs.agent.outbox import Outbox
from elastic_jobs.domain.ports import Clock, Ids
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.executions.due import Duties, find_duties
from elastic_jobs.jobdb.executions.schedules import start_due_jobs

_log = logging.getLogger(__name__)

BATCH = 100
"""Jobs started per transaction, so that a thousand due at once do not keep others from the job database."""
LONGEST_ALARM = timedelta(days=7)
"""The longest time for which Azure Storage hides a message."""
EARLIEST = timedelta(seconds=2)
"""How much too early an alarm may come and be waited for: Azure Storage counts whole seconds."""


class Scheduler:
    """The service behind the timer trigger, and behind alarms."""

    def __init__(
        self,
        database: JobDatabase,
        outbox: Outbox,
        caretaker: Caretaker,
        clock: Clock,
        ids: Ids,
        *,
        pause: Callable[[float], None],
    ) -> None:
        self._database, self._outbox, self._caretaker = database, outbox, caretaker
        self._clock, self._ids, self._pause = clock, ids, pause
        self._alarm: datetime | None = None

    def run_once(self, now: datetime) -> Duties:
        """Do everything that is due at ``now``; what was found to do."""
        duties = self._find(now)
        if duties.schedules:
            self._start_due_jobs(now)
        if duties.any:
            self._caretaker.run_once(duties)
        self._set_alarm(self._find(now).next_run_time if duties.schedules else duties.next_run_time)
        return duties

    def alarm(self, due: datetime) -> None:
        """An alarm came, on the second or a little early: start what is due at that instant."""
        early = due - self._clock.now()
        if timedelta() < early <= EARLIEST:
            self._pause(early.total_seconds())
        self.run_once(self._clock.now())

    def _find(self, now: datetime) -> Duties:
        with self._database.read() as connection:
            return find_duties(connection, self._database, now, self._caretaker.oldest())

    def _set_alarm(self, due: datetime | None) -> None:
        """Have a message come at the next due instant; once per instant and instance, doubled ones are harmless."""
        if due is None or due == self._alarm:
            return
        delay = due - self._clock.now()
        if delay > LONGEST_ALARM:
            return
        self._alarm = due
        self._outbox.alarm(due, max(timedelta(), delay))

    def _start_due_jobs(self, now: datetime) -> None:
        while True:
            try:
                with self._database.write() as connection:
                    started = start_due_jobs(connection, self._database, now, self._ids, limit=BATCH)
            except IntegrityError:
                # Another tick started the same jobs at this moment; it moved their schedules on as well.
                _log.info("Another tick was faster.", extra={"action": "tick_lost"})
                return
            self._outbox.wake_steps(run.step_execution_id for run in started if run.step_execution_id is not None)
            for run in started:
                _log.info(
                    "Started execution %s by schedule.",
                    run.execution_id,
                    extra={"action": "job_started", "execution": str(run.execution_id)},
                )
            if len(started) < BATCH:
                return

"""The tick: starts the jobs whose schedule is due and lets the caretaker mend what is broken.

An idle agent sends the job database one statement per tick. Ticks may come late, twice or at the same time. The start
of a job does not depend on when the tick comes: an alarm, a delayed message, calls the scheduler at the due instant.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import IntegrityError

from elastic_jobs.agent.caretaker import Caretaker
from elastic_jobs.agent.outbox import Outbox
from elastic_jobs.agent.rest import Rest
from elastic_jobs.domain.ports import Clock, Ids
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions.schedule_edits import arm_edited_jobs
from elastic_jobs.jobdb.executions.due import Duties, find_duties
from elastic_jobs.jobdb.executions.schedules import start_due_jobs
from elastic_jobs.telemetry import SILENT, Telemetry

_log = logging.getLogger(__name__)

BATCH = 100
"""Jobs started per transaction, so that a thousand due at once do not keep others from the job database."""
LONGEST_ALARM = timedelta(days=7)
"""The longest time for which Azure Storage hides a message."""
EARLIEST = timedelta(seconds=2)
"""How much too early an alarm may come and be waited for: Azure Storage counts whole seconds."""


WATCH = timedelta(seconds=30)
"""How often somebody looks while a run is active and the tick may be resting; as long as a lease."""


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
        telemetry: Telemetry = SILENT,
        longest_rest: timedelta = timedelta(),
    ) -> None:
        self._database, self._outbox, self._caretaker = database, outbox, caretaker
        self._clock, self._ids, self._pause, self._telemetry = clock, ids, pause, telemetry
        self._alarm: datetime | None = None
        self._rest = Rest(longest_rest)
        self._last_capacity = 0

    def tick(self, now: datetime) -> Duties | None:
        """Do everything that is due, unless it is known that nothing is; None when the job database was left alone."""
        if self._rest.lasts(now):
            self._telemetry.tick(used_slots=0, capacity=self._last_capacity, oldest_wait_seconds=0.0)
            return None
        return self.run_once(now)

    def run_once(self, now: datetime) -> Duties:
        """Do everything that is due at ``now``; what was found to do."""
        duties = self._find(now)
        self._rest.looked(now, duties)
        self._last_capacity = duties.capacity
        self._telemetry.tick(
            used_slots=duties.used_slots,
            capacity=duties.capacity,
            oldest_wait_seconds=duties.oldest_wait.total_seconds(),
        )
        if duties.edits:
            self._arm_edited_jobs()
        if duties.schedules or duties.edits:
            self._start_due_jobs(now)
        if duties.any:
            self._caretaker.run_once(duties)
        self._set_alarm(self._find(now).next_run_time if duties.schedules or duties.edits else duties.next_run_time)
        return duties

    def alarm(self, due: datetime) -> None:
        """An alarm came, on the second or a little early: start what is due at that instant."""
        early = due - self._clock.now()
        if timedelta() < early <= EARLIEST:
            self._pause(early.total_seconds())
        now = self._clock.now()
        duties = self.run_once(now)
        if self._rest.allowed and (duties.any or duties.active):
            # The instance that ticks may be resting and know nothing of this: somebody looks until it is over.
            self._set_alarm(_next_watch(now))

    def stir(self) -> None:
        """This instance changed something: whoever gets the message looks, and this instance's tick looks again."""
        if self._rest.allowed:
            self._rest.end()
            self._outbox.alarm(self._clock.now(), timedelta())

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

    def _arm_edited_jobs(self) -> None:
        with self._database.write() as connection:
            armed = arm_edited_jobs(connection)
        _log.info("Armed %s job(s) that were edited in T-SQL.", armed, extra={"action": "jobs_armed"})

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


def _next_watch(now: datetime) -> datetime:
    """An instant that all instances agree on, so that their alarms for it become one."""
    return datetime.fromtimestamp((now.timestamp() // WATCH.total_seconds() + 1) * WATCH.total_seconds(), UTC)

"""The tick: starts the jobs whose schedule is due and lets the caretaker mend what is broken.

An idle agent sends the job database one statement per tick. Ticks may come late, twice or at the same time.
"""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy.exc import IntegrityError

from elastic_jobs.agent.caretaker import Caretaker
from elastic_jobs.agent.outbox import Outbox
from elastic_jobs.domain.ports import Ids
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.executions.due import Duties, find_duties
from elastic_jobs.jobdb.executions.schedules import start_due_jobs

_log = logging.getLogger(__name__)

BATCH = 100
"""Jobs started per transaction, so that a thousand due at once do not keep others from the job database."""


class Scheduler:
    """The service behind the timer trigger."""

    def __init__(self, database: JobDatabase, outbox: Outbox, caretaker: Caretaker, ids: Ids) -> None:
        self._database, self._outbox, self._caretaker, self._ids = database, outbox, caretaker, ids

    def run_once(self, now: datetime) -> Duties:
        """Do everything that is due at ``now``; what was found to do."""
        with self._database.read() as connection:
            duties = find_duties(connection, self._database, now)
        if duties.schedules:
            self._start_due_jobs(now)
        if duties.any:
            self._caretaker.run_once(duties)
        return duties

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

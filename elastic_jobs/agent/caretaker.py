"""Mends what crashes leave behind: claims of lost workers, lost messages, runs that nobody moved on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from elastic_jobs.agent.flow import Flow
from elastic_jobs.agent.outbox import Outbox
from elastic_jobs.domain.lifecycle import Level
from elastic_jobs.domain.ports import Clock
from elastic_jobs.errors import JobDatabaseUnavailableError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.executions import canceling, repairs
from elastic_jobs.jobdb.executions.due import Duties
from elastic_jobs.jobdb.executions.purging import purge_some
from elastic_jobs.telemetry import SILENT, Telemetry

PURGE_TRANSACTIONS = 200
"""Transactions of purging per tick; what is left over is for the next one."""

_log = logging.getLogger(__name__)


class Caretaker:
    """Called by the tick with the duties that have work."""

    def __init__(
        self,
        database: JobDatabase,
        outbox: Outbox,
        flow: Flow,
        clock: Clock,
        *,
        keep_history: timedelta,
        telemetry: Telemetry = SILENT,
    ) -> None:
        self._database, self._outbox, self._flow, self._clock = database, outbox, flow, clock
        self._keep_history, self._telemetry = keep_history, telemetry

    def run_once(self, duties: Duties) -> None:
        """Do what is due, in the order in which one thing can lead to the next."""
        plan: list[tuple[bool, Callable[[], None]]] = [
            (duties.claims, self._take_back_claims),
            (duties.deletions, self._cancel_runs_of_deleted_jobs),
            (duties.slots or duties.claims, self._flow.fill_slots),
            (duties.messages or duties.claims, self._send_again),
            (duties.runs or duties.claims, self._move_on),
            (duties.deletions, self._delete_jobs),
            (duties.history, lambda: self._purge(self.oldest(), None)),
        ]
        for needed, duty in plan:
            if needed:
                self._do(duty)

    def _do(self, duty: Callable[[], None]) -> None:
        try:
            duty()
        except JobDatabaseUnavailableError:
            raise  # the other duties would fail as well
        except Exception:
            # One row that cannot be mended must not keep the others from being mended.
            _log.exception("A duty of the caretaker failed.", extra={"action": "duty_failed"})

    def _move_on(self) -> None:
        with self._database.read() as connection:
            stranded = repairs.stranded_runs(connection)
        self._flow.advance(stranded)

    def _cancel_runs_of_deleted_jobs(self) -> None:
        with self._database.write() as connection:
            for run in canceling.runs_of_deleted_jobs(connection):
                canceling.request_cancel(connection, self._database, run)

    def oldest(self) -> datetime:
        """History from before this instant may go."""
        return self._clock.now() - self._keep_history

    def _delete_jobs(self) -> None:
        with self._database.read() as connection:
            gone = repairs.jobs_to_delete(connection)
        for job_id in gone:
            self._purge(datetime.max.replace(tzinfo=UTC), job_id)
            with self._database.write() as connection:
                repairs.delete_job(connection, job_id)

    def _purge(self, day: datetime, job_id: UUID | None) -> None:
        for _ in range(PURGE_TRANSACTIONS):
            with self._database.write() as connection:
                if not purge_some(connection, day, job_id):
                    return

    def _take_back_claims(self) -> None:
        for level in (Level.TARGET, Level.STEP):
            with self._database.write() as connection:
                lost = repairs.expire_claims(connection, self._database, level)
            if lost:
                self._telemetry.claims_lost(len(lost))
            for row in lost:
                _log.warning(
                    "The worker of %s execution %s was lost; it is now %s.",
                    level,
                    row.row_id,
                    row.lifecycle,
                    extra={"action": "claim_lost", "execution": str(row.job_execution_id)},
                )

    def _send_again(self) -> None:
        with self._database.write() as connection:
            steps = repairs.unsent(connection, self._database, Level.STEP)
            targets = repairs.unsent(connection, self._database, Level.TARGET)
        self._outbox.wake_steps(steps)
        self._outbox.wake_targets(targets)

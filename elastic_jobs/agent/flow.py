"""Moves runs on: between the end of one thing and the wake-up message of the next."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from uuid import UUID

from sqlalchemy import Connection

from elastic_jobs.agent.outbox import Outbox
from elastic_jobs.domain.ports import Ids
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.executions import advancing, slots
from elastic_jobs.jobdb.executions.ends import Moved
from elastic_jobs.telemetry import SILENT, Telemetry


class Flow:
    """What every service does after its own commit."""

    def __init__(self, database: JobDatabase, outbox: Outbox, ids: Ids, telemetry: Telemetry = SILENT) -> None:
        self._database, self._outbox, self._ids, self._telemetry = database, outbox, ids, telemetry

    def target_ended(self, step_execution_id: UUID, job_execution_id: UUID) -> None:
        """A target ended: if it was its step's last one, the run goes on."""
        with self._database.read() as connection:
            waits = advancing.has_active_targets(connection, step_execution_id)
        if not waits:
            self.advance([job_execution_id])

    def advance(self, job_execution_ids: Iterable[UUID]) -> None:
        """Move runs on as far as they can go."""
        for job_execution_id in job_execution_ids:
            moved = self._database.transact(partial(self._advance, job_execution_id))
            if moved.following is not None:
                self._outbox.wake_steps([moved.following])
            self._telemetry.run_moved(moved)

    def _advance(self, job_execution_id: UUID, connection: Connection) -> Moved:
        return advancing.advance(connection, self._database, job_execution_id, self._ids)

    def fill_slots(self) -> None:
        """Give free slots to waiting targets and wake somebody up for each."""
        dispatched = self._database.transact(lambda connection: slots.take(connection, self._database))
        self._outbox.wake_targets(dispatched)

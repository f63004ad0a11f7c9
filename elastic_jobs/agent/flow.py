"""Moves runs on: between the end of one thing and the wake-up message of the next."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from elastic_jobs.agent.outbox import Outbox
from elastic_jobs.domain.ports import Ids
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.executions import advancing, slots


class Flow:
    """What every service does after its own commit."""

    def __init__(self, database: JobDatabase, outbox: Outbox, ids: Ids) -> None:
        self._database, self._outbox, self._ids = database, outbox, ids

    def target_ended(self, step_execution_id: UUID, job_execution_id: UUID) -> None:
        """A target ended: if it was its step's last one, the run goes on."""
        with self._database.read() as connection:
            waits = advancing.has_active_targets(connection, step_execution_id)
        if not waits:
            self.advance([job_execution_id])

    def advance(self, job_execution_ids: Iterable[UUID]) -> None:
        """Move runs on as far as they can go."""
        for job_execution_id in job_execution_ids:
            with self._database.write() as connection:
                following = advancing.advance(connection, self._database, job_execution_id, self._ids)
            if following is not None:
                self._outbox.wake_steps([following])

    def fill_slots(self) -> None:
        """Give free slots to waiting targets and wake somebody up for each."""
        with self._database.write() as connection:
            dispatched = slots.take(connection, self._database)
        self._outbox.wake_targets(dispatched)

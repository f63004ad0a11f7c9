"""Somebody asks for the cancellation of a run: what waits ends at once, what runs is told to stop."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, select, update

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions
from elastic_jobs.jobdb.executions.common import WAITING, YES, changed, into


def request_cancel(connection: Connection, database: JobDatabase, job_execution_id: UUID) -> bool:
    """Ask for the cancellation of a run; False when there is no such run. Of a finished run: nothing happens.

    Running targets end when their worker has stopped the statement (it learns of the request at its next heartbeat);
    the caller moves the run on with ``advance`` afterwards and gives the freed slots out.
    """
    run = connection.execute(
        select(job_executions.c.is_active).where(job_executions.c.id == job_execution_id)
    ).one_or_none()
    if run is None:
        return False
    asked = changed(
        connection,
        update(job_executions)
        .where(
            job_executions.c.id == job_execution_id,
            job_executions.c.is_active == YES,
            job_executions.c.cancel_request_time.is_(None),
        )
        .values(cancel_request_time=database.now(), last_message="Cancellation was requested."),
    )
    if asked:
        # What runs is flagged first: a worker that at this moment puts its target back to wait for a retry either
        # sees the flag, or has put it back already and the second statement ends it.
        for table in (target_executions, step_executions):
            mine = table.c.job_execution_id == job_execution_id
            connection.execute(
                update(table).where(mine, table.c.lifecycle == Lifecycle.IN_PROGRESS).values(cancel_requested=True)
            )
            connection.execute(
                update(table)
                .where(mine, table.c.lifecycle.in_(WAITING))
                .values(
                    **into(database, Lifecycle.CANCELED),
                    dispatch_time=None,
                    next_attempt_start_time=None,
                    last_message="Canceled before it began.",
                )
            )
    return True


def active_runs(connection: Connection, job_id: UUID) -> list[UUID]:
    """The runs of a job that have not ended."""
    query = select(job_executions.c.id).where(job_executions.c.job_id == job_id, job_executions.c.is_active == YES)
    return list(connection.execute(query).scalars())

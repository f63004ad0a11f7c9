"""Somebody asks for the cancellation of a run: what waits ends at once, what runs is told to stop."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, func, select, update

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions
from elastic_jobs.jobdb.executions.common import WAITING, YES, changed, into
from elastic_jobs.jobdb.tables import jobs


def request_cancel(connection: Connection, database: JobDatabase, job_execution_id: UUID) -> bool:
    """Ask for the cancellation of a run; False when there is no such run. Of a finished run: nothing happens.

    Running targets end when their worker has stopped the statement (it learns of the request at its next heartbeat);
    the caller moves the run on with ``advance`` afterwards and gives the freed slots out. May be repeated.
    """
    run = job_executions.c
    asked = changed(
        connection,
        update(job_executions)
        .where(run.id == job_execution_id, run.is_active == YES)
        .values(
            cancel_request_time=func.coalesce(run.cancel_request_time, database.now()),
            last_message="Cancellation was requested.",
        ),
    )
    if not asked:
        return connection.execute(select(run.id).where(run.id == job_execution_id)).first() is not None
    # Run, steps, targets: everybody locks them in this order. All that is active is flagged before what waits is ended:
    # a claim or a plan that comes in between then finds the flag, one that came before is found by the next statement.
    for table in (step_executions, target_executions):
        mine = table.c.job_execution_id == job_execution_id
        connection.execute(update(table).where(mine, table.c.is_active == YES).values(cancel_requested=True))
        connection.execute(
            update(table)
            .where(mine, table.c.is_active == YES, table.c.lifecycle.in_(WAITING))
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


def runs_of_deleted_jobs(connection: Connection) -> list[UUID]:
    """Runs that are still to be canceled because their job was deleted by force."""
    run = job_executions.c
    return list(
        connection.execute(
            select(run.id)
            .join(jobs, jobs.c.id == run.job_id)
            .where(jobs.c.delete_time.is_not(None), run.is_active == YES, run.cancel_request_time.is_(None))
        ).scalars()
    )

"""Old history is removed, in small transactions: runs that ended before a day, or runs of a job. Never active ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, delete, select
from sqlalchemy.sql.elements import ColumnElement

from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions, target_messages
from elastic_jobs.jobdb.executions.common import NO

ROWS = 500
"""Target executions removed per transaction: others wait for the job database no longer than some milliseconds."""


def ended_before(day: datetime, job_id: UUID | None = None) -> ColumnElement[bool]:
    """The condition for runs that may go, for the tick's question too."""
    run = job_executions.c
    condition = (run.end_time < day) & (run.is_active == NO)
    return condition if job_id is None else condition & (run.job_id == job_id)


def purge_some(connection: Connection, day: datetime, job_id: UUID | None = None) -> bool:
    """Remove up to ``ROWS`` target executions of one run that ended before ``day``, or the run itself when it has none
    left. To be called, each time in a transaction of its own, until it answers False: nothing is left to remove.
    """
    run = connection.execute(
        select(job_executions.c.id).where(ended_before(day, job_id)).order_by(job_executions.c.end_time).limit(1)
    ).scalar()
    if run is None:
        return False
    targets = connection.execute(
        select(target_executions.c.id).where(target_executions.c.job_execution_id == run).limit(ROWS)
    ).scalars()
    found = list(targets)
    if found:
        _delete_targets(connection, found)
    else:
        connection.execute(delete(step_executions).where(step_executions.c.job_execution_id == run))
        connection.execute(delete(job_executions).where(job_executions.c.id == run))
    return True


def _delete_targets(connection: Connection, ids: Sequence[UUID]) -> None:
    connection.execute(delete(target_messages).where(target_messages.c.target_execution_id.in_(ids)))
    connection.execute(delete(target_executions).where(target_executions.c.id.in_(ids)))

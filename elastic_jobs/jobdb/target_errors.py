"""The last errors of the targets of a run, to be grouped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, select

from elastic_jobs.domain.error_groups import LONGEST_SHAPE, Failure
from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.jobdb.execution_tables import step_executions, target_executions

WITH_ERROR = (Lifecycle.FAILED, Lifecycle.TIMED_OUT, Lifecycle.WAITING_FOR_RETRY)
"""States whose last message is an error; that of a canceled or skipped target says only that."""
_READ_CHARACTERS = 8 * LONGEST_SHAPE
_CHUNK = 1000


def error_text() -> ColumnElement[Any]:
    """As much of a target's last message as its shape can depend on."""
    return func.substring(target_executions.c.last_message, 1, _READ_CHARACTERS)


def failures_of(connection: Connection, job_execution_id: UUID) -> Iterator[Failure]:
    """The targets of a run that failed, timed out, or wait for a retry, oldest first, in one statement."""
    target, step = target_executions.c, step_executions.c
    rows = connection.execution_options(yield_per=_CHUNK).execute(
        select(
            target.id,
            step.step_name,
            target.server_name,
            target.database_name,
            target.lifecycle,
            target.error_number,
            error_text().label("message"),
        )
        .join(step_executions, step.id == target.step_execution_id)
        .where(target.job_execution_id == job_execution_id, target.lifecycle.in_(WITH_ERROR))
        .order_by(target.create_time, target.id)
    )
    for row in rows:
        yield Failure(
            target_execution_id=str(row.id),
            step_name=row.step_name,
            server_name=row.server_name,
            database_name=row.database_name,
            lifecycle=Lifecycle(row.lifecycle),
            error_number=row.error_number,
            message=row.message or "",
        )

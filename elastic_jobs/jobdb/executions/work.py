"""What a worker has to know of a step execution before it can work on it. All of it is frozen once the run began."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from elastic_jobs.domain.model import Step
from elastic_jobs.jobdb.definitions.steps import list_steps
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions


@dataclass(frozen=True, kw_only=True)
class StepRun:
    """A step as it is run: its definition in the version of the run, and the run itself."""

    step_execution_id: UUID
    job_execution_id: UUID
    job_name: str
    job_execution_create_time: datetime
    step: Step


def load_step_run(connection: Connection, step_execution_id: UUID) -> StepRun | None:
    """The step of a step execution; None when its history was removed meanwhile."""
    row = connection.execute(
        select(
            step_executions.c.job_execution_id,
            step_executions.c.job_id,
            step_executions.c.job_version,
            step_executions.c.step_id,
            job_executions.c.job_name,
            job_executions.c.create_time,
        )
        .join(job_executions, job_executions.c.id == step_executions.c.job_execution_id)
        .where(step_executions.c.id == step_execution_id)
    ).one_or_none()
    if row is None:
        return None
    steps = {step.step_id: step for step in list_steps(connection, row.job_id, row.job_version)}
    if row.step_id not in steps:
        return None
    return StepRun(
        step_execution_id=step_execution_id,
        job_execution_id=row.job_execution_id,
        job_name=row.job_name,
        job_execution_create_time=row.create_time,
        step=steps[row.step_id],
    )

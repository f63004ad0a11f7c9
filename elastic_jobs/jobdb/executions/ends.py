"""What ended when a run moved on: told to operators after the commit, by the one instance that made the move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Row, func, select

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A step or a job execution that ended. Times are UTC; ``start_time`` is None when it ended before it began."""

    id: UUID
    job_execution_id: UUID
    job_name: str
    lifecycle: Lifecycle
    create_time: datetime
    start_time: datetime | None
    end_time: datetime


@dataclass(frozen=True, kw_only=True)
class EndedStep(Ended):
    """targets: how many targets ended how on each server; empty when its target group could not be resolved."""

    step_id: int
    step_name: str
    targets: Mapping[tuple[str, Lifecycle], int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EndedJob(Ended):
    """scheduled_for: the schedule's instant; None when the run was started by hand."""

    job_version: int
    scheduled_for: datetime | None


@dataclass(frozen=True, kw_only=True)
class Moved:
    """How far a run came: the step execution that begins and has to be woken up, and what ended on the way."""

    following: UUID | None = None
    step: EndedStep | None = None
    job: EndedJob | None = None


def ended_step(connection: Connection, run: Row[tuple[object, ...]], step_execution_id: UUID) -> EndedStep:
    """A step execution that has ended, as it is in this transaction."""
    own, target = step_executions.c, target_executions.c
    row = connection.execute(select(step_executions).where(own.id == step_execution_id)).one()
    counts = connection.execute(
        select(target.server_name, target.lifecycle, func.count())
        .where(target.step_execution_id == step_execution_id)
        .group_by(target.server_name, target.lifecycle)
    )
    return EndedStep(
        id=row.id,
        job_execution_id=row.job_execution_id,
        job_name=run.job_name,
        lifecycle=Lifecycle(row.lifecycle),
        create_time=row.create_time,
        start_time=row.start_time,
        end_time=row.end_time,
        step_id=row.step_id,
        step_name=row.step_name,
        targets={(server, Lifecycle(lifecycle)): count for server, lifecycle, count in counts},
    )


def ended_job(connection: Connection, job_execution_id: UUID) -> EndedJob | None:
    """A run that has ended, as it is in this transaction; None while it goes on."""
    row = connection.execute(select(job_executions).where(job_executions.c.id == job_execution_id)).one()
    if row.is_active:
        return None
    return EndedJob(
        id=row.id,
        job_execution_id=row.id,
        job_name=row.job_name,
        job_version=row.job_version,
        lifecycle=Lifecycle(row.lifecycle),
        create_time=row.create_time,
        start_time=row.start_time,
        end_time=row.end_time,
        scheduled_for=row.scheduled_for,
    )

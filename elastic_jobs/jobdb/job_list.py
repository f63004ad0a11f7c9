"""Jobs and their versions as a list shows them: each with what became of its last run. One statement for a page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, and_, func, or_, select

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.domain.schedule import Schedule
from elastic_jobs.jobdb.execution_tables import job_executions
from elastic_jobs.jobdb.executions.schedules import read_schedule
from elastic_jobs.jobdb.likes import contains, escaped, like
from elastic_jobs.jobdb.tables import audit_entries, job_steps, job_versions, jobs


@dataclass(frozen=True, kw_only=True)
class LastRun:
    """The run of a job that was created last."""

    execution_id: UUID
    lifecycle: Lifecycle
    create_time: datetime
    end_time: datetime | None


@dataclass(frozen=True, kw_only=True)
class JobLine:
    """A job in a list. last: None while it never ran, or its runs were purged by age."""

    name: str
    description: str
    version: int
    steps: int
    schedule: Schedule
    next_run_time: datetime | None
    last: LastRun | None


@dataclass(frozen=True, kw_only=True)
class VersionLine:
    """A version of a job in a list. caller: who made it; None when the audit trail does not tell."""

    version: int
    create_time: datetime
    steps: int
    caller: str | None


def list_job_lines(
    connection: Connection, *, limit: int, name_part: str = "", after: str | None = None
) -> list[JobLine]:
    """Jobs in the order of their names, from the one behind ``after``.

    name_part: only jobs that have this in their name, in any case.
    """
    own = jobs.c
    newest = (
        select(job_executions.c.id)
        .where(job_executions.c.job_id == own.id)
        .order_by(job_executions.c.create_time.desc(), job_executions.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    wanted = select(jobs, newest.label("last_id"), _steps(own.id, own.version)).where(own.delete_time.is_(None))
    if name_part:
        wanted = wanted.where(contains(own.name, name_part))
    if after is not None:
        wanted = wanted.where(own.name > after)
    page = wanted.order_by(own.name).limit(limit).subquery("page")
    run = job_executions.c
    rows = connection.execute(
        select(
            page,
            run.id.label("run_id"),
            run.lifecycle.label("run_lifecycle"),
            run.create_time.label("run_create_time"),
            run.end_time.label("run_end_time"),
        )
        .select_from(page)
        .outerjoin(job_executions, run.id == page.c.last_id)
        .order_by(page.c.name)
    )
    return [_line(row) for row in rows]


def list_version_lines(
    connection: Connection, job_id: UUID, job_name: str, *, limit: int, before: int | None = None
) -> list[VersionLine]:
    """Versions of a job, newest first; those older than ``before``."""
    own, entry = job_versions.c, audit_entries.c
    # An entry is written with the version's own time, in the same transaction.
    caller = (
        select(func.min(entry.caller))
        .where(
            entry.time == own.create_time,
            entry.action.in_(("create step", "update step", "delete step", "create job")),
            or_(
                func.lower(entry.resource) == func.lower(f"jobs/{job_name}"),
                like(func.lower(entry.resource), func.lower(f"jobs/{escaped(job_name)}/steps/%")),
            ),
        )
        .scalar_subquery()
    )
    statement = (
        select(own.version, own.create_time, _steps(own.job_id, own.version), caller.label("caller"))
        .where(own.job_id == job_id)
        .order_by(own.version.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(own.version < before)
    return [
        VersionLine(version=row.version, create_time=row.create_time, steps=row.steps, caller=row.caller)
        for row in connection.execute(statement)
    ]


def _steps(job_id: Any, version: Any) -> Any:
    step = job_steps.c
    counted = select(func.count()).where(and_(step.job_id == job_id, step.job_version == version))
    return counted.scalar_subquery().label("steps")


def _line(row: Row[Any]) -> JobLine:
    last = None
    if row.run_id is not None:
        last = LastRun(
            execution_id=row.run_id,
            lifecycle=Lifecycle(row.run_lifecycle),
            create_time=row.run_create_time,
            end_time=row.run_end_time,
        )
    return JobLine(
        name=row.name,
        description=row.description,
        version=row.version,
        steps=row.steps,
        schedule=read_schedule(row),
        next_run_time=row.next_run_time,
        last=last,
    )

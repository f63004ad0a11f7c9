"""Runs as the pages of the portal list them: filtered, newest first, each with the states of its targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, and_, case, func, literal, or_, select

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions
from elastic_jobs.jobdb.executions.common import YES
from elastic_jobs.jobdb.likes import contains
from elastic_jobs.jobdb.tables import jobs
from elastic_jobs.jobdb.types import UtcDateTime

_RUN = job_executions.c


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """One run. targets: how many targets of all its steps are in which state."""

    id: UUID
    job_name: str
    job_version: int
    lifecycle: Lifecycle
    create_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    scheduled_for: datetime | None
    rerun_of: UUID | None
    last_message: str | None
    targets: Mapping[Lifecycle, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """Which runs. job: a part of the job's name; states: empty for all; ``created_min`` is included, ``max`` is not."""

    job: str = ""
    states: frozenset[Lifecycle] = frozenset()
    created_min: datetime | None = None
    created_max: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What the agent does now. used: targets that hold one of its slots; waiting: those that want one."""

    used: int
    waiting: int


@dataclass(frozen=True, kw_only=True)
class DueJob:
    """A job that its schedule starts."""

    name: str
    next_run_time: datetime


def list_runs(
    connection: Connection, wanted: RunFilter, *, limit: int, after: tuple[datetime, UUID] | None = None
) -> list[RunLine]:
    """Runs of jobs that are not deleted, newest first, behind the one that ``after`` tells; two statements."""
    statement = _filtered(_lines(), wanted).order_by(_RUN.create_time.desc(), _RUN.id.desc()).limit(limit)
    if after is not None:
        instant, last_id = after
        last = job_executions.alias("last_of_page")
        # The row's own time where it is still there: SQL Server keeps one digit more than Python reads.
        stored = select(last.c.create_time).where(last.c.id == last_id).scalar_subquery()
        time = func.coalesce(stored, literal(instant, UtcDateTime), type_=UtcDateTime)
        statement = statement.where(_RUN.create_time <= time, or_(_RUN.create_time < time, _RUN.id < last_id))
    rows = connection.execute(statement).all()
    counts = target_counts(connection, [row.id for row in rows])
    return [_line(row, counts.get(row.id, {})) for row in rows]


def count_runs(connection: Connection, wanted: RunFilter) -> int:
    """How many runs the filter lets through."""
    chosen = _filtered(select(_RUN.id), wanted)
    return connection.execute(select(func.count()).select_from(chosen.subquery())).scalar_one()


def target_counts(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Counter[Lifecycle]]:
    """Per run, how many of its targets are in which state; from an index alone."""
    if not ids:
        return {}
    rows = connection.execute(
        select(step_executions.c.job_execution_id, target_executions.c.lifecycle, func.count().label("targets"))
        .join(target_executions, target_executions.c.step_execution_id == step_executions.c.id)
        .where(step_executions.c.job_execution_id.in_(ids))
        .group_by(step_executions.c.job_execution_id, target_executions.c.lifecycle)
    )
    found: dict[UUID, Counter[Lifecycle]] = {}
    for row in rows:
        found.setdefault(row.job_execution_id, Counter())[Lifecycle(row.lifecycle)] += row.targets
    return found


def find_rerun(connection: Connection, job_execution_id: UUID) -> UUID | None:
    """The run that tried this one again, when there is one."""
    return connection.execute(select(_RUN.id).where(_RUN.rerun_of == job_execution_id)).scalar_one_or_none()


def cancel_time(connection: Connection, job_execution_id: UUID) -> datetime | None:
    """When somebody asked for the cancellation of a run."""
    return connection.execute(select(_RUN.cancel_request_time).where(_RUN.id == job_execution_id)).scalar_one_or_none()


def usage(connection: Connection) -> Usage:
    """How much of the agent's capacity is used now."""
    target = target_executions.c
    used, active = (
        select(func.count()).select_from(target_executions).where(condition).scalar_subquery()
        for condition in (target.dispatch_time.is_not(None), target.is_active == YES)
    )
    row = connection.execute(select(used.label("used"), active.label("active"))).one()
    return Usage(used=row.used, waiting=max(0, row.active - row.used))


def due_jobs(connection: Connection, *, limit: int) -> list[DueJob]:
    """The jobs that schedules start next, soonest first."""
    own = jobs.c
    rows = connection.execute(
        select(own.name, own.next_run_time)
        .where(own.next_run_time.is_not(None), own.delete_time.is_(None))
        .order_by(own.next_run_time, own.name)
        .limit(limit)
    )
    return [DueJob(name=row.name, next_run_time=row.next_run_time) for row in rows]


def ends_per_period(
    connection: Connection, *, start: datetime, period: timedelta, count: int
) -> list[dict[Lifecycle, int]]:
    """How runs ended in each of ``count`` periods from ``start`` on; one statement."""
    edges = [start + period * number for number in range(count + 1)]
    within = [
        func.sum(case((and_(_RUN.end_time >= low, _RUN.end_time < high), 1), else_=0)).label(f"p{number}")
        for number, (low, high) in enumerate(pairwise(edges))
    ]
    rows = connection.execute(
        select(_RUN.lifecycle, *within)
        .where(_RUN.end_time >= edges[0], _RUN.end_time < edges[-1])
        .group_by(_RUN.lifecycle)
    ).all()
    return [{Lifecycle(row.lifecycle): row[number + 1] for row in rows if row[number + 1]} for number in range(count)]


def _lines() -> Select[Any]:
    return select(
        _RUN.id,
        jobs.c.name.label("job_name"),
        _RUN.job_version,
        _RUN.lifecycle,
        _RUN.create_time,
        _RUN.start_time,
        _RUN.end_time,
        _RUN.scheduled_for,
        _RUN.rerun_of,
        func.substring(_RUN.last_message, 1, 400).label("last_message"),
    )


def _filtered(statement: Select[Any], wanted: RunFilter) -> Select[Any]:
    statement = statement.where(jobs.c.id == _RUN.job_id, jobs.c.delete_time.is_(None))
    if wanted.job:
        statement = statement.where(contains(jobs.c.name, wanted.job))
    if wanted.states:
        statement = statement.where(_RUN.lifecycle.in_(sorted(wanted.states)))
    if wanted.created_min is not None:
        statement = statement.where(_RUN.create_time >= wanted.created_min)
    if wanted.created_max is not None:
        statement = statement.where(_RUN.create_time < wanted.created_max)
    return statement


def _line(row: Row[Any], targets: Mapping[Lifecycle, int]) -> RunLine:
    values = dict(row._mapping)
    values["lifecycle"] = Lifecycle(values["lifecycle"])
    return RunLine(**values, targets=targets)

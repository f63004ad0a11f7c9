"""Reading what ran: executions on three levels, what scripts said, and how far a run is.

Listings are newest first. A page ends with a place from which the next page goes on, so that runs which begin while
somebody pages through neither repeat nor hide a row. No listing sends a statement per row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Connection, Select, Table, and_, case, func, literal, or_, select
from sqlalchemy.sql.elements import ColumnElement

from elastic_jobs.domain.lifecycle import Level, Lifecycle
from elastic_jobs.errors import NotFoundError
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions, target_messages
from elastic_jobs.jobdb.executions.common import NO, YES
from elastic_jobs.jobdb.tables import jobs
from elastic_jobs.jobdb.types import UtcDateTime


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One execution of any level. What a level does not have is None; attempts of a job execution stay 0."""

    level: Level
    id: UUID
    job_execution_id: UUID
    job_id: UUID
    job_name: str
    job_version: int
    lifecycle: Lifecycle
    create_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    last_message: str | None
    current_attempts: int = 0
    current_attempt_start_time: datetime | None = None
    next_attempt_start_time: datetime | None = None
    scheduled_for: datetime | None = None
    rerun_of: UUID | None = None
    step_id: int | None = None
    step_name: str | None = None
    server_name: str | None = None
    database_name: str | None = None
    elastic_pool_name: str | None = None
    error_number: int | None = None


@dataclass(frozen=True, kw_only=True)
class ExecutionFilter:
    """Bounds of a listing: ``min`` is included, ``max`` is not. Rows without an end time meet no bound on it."""

    create_time_min: datetime | None = None
    create_time_max: datetime | None = None
    end_time_min: datetime | None = None
    end_time_max: datetime | None = None
    is_active: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Page:
    """Which part of a listing: ``limit`` rows after skipping ``skip``, behind the row that ``after`` tells.

    after: creation time and id of the last row of the page before.
    """

    limit: int
    skip: int = 0
    after: tuple[datetime, UUID] | None = None


@dataclass(frozen=True, kw_only=True)
class Message:
    """One thing that a script said on a target. ``attempt`` and ``batch`` count from 1."""

    attempt: int
    ordinal: int
    batch: int
    kind: str
    number: int | None
    row_count: int | None
    text: str | None


@dataclass(frozen=True, kw_only=True)
class StepProgress:
    """How many targets of a step of a run are in which state."""

    step_id: int
    step_name: str
    lifecycle: Lifecycle
    targets: Mapping[Lifecycle, int]


def list_job_executions(
    connection: Connection, page: Page, filters: ExecutionFilter, *, job_id: UUID | None = None
) -> list[Execution]:
    """Root executions of one job, or of all jobs that are not deleted."""
    statement = _jobs()
    if job_id is not None:
        statement = statement.where(job_executions.c.job_id == job_id)
    statement = _filtered(statement, job_executions.c, filters).where(*_created_for(filters))
    return _by_time(connection, statement, job_executions, page, Level.JOB)


def list_step_executions(
    connection: Connection, job_execution_id: UUID, page: Page, filters: ExecutionFilter
) -> list[Execution]:
    """Step executions of a run; the last step comes first."""
    own = step_executions.c
    statement = _filtered(_steps().where(own.job_execution_id == job_execution_id), own, filters)
    if page.after is not None:
        last = step_executions.alias("last_of_page")
        statement = statement.where(
            own.step_id < select(last.c.step_id).where(last.c.id == page.after[1]).scalar_subquery()
        )
    return _page(connection, statement.order_by(own.step_id.desc()), page, Level.STEP)


def list_target_executions(
    connection: Connection,
    job_execution_id: UUID,
    page: Page,
    filters: ExecutionFilter,
    *,
    step_execution_id: UUID | None = None,
) -> list[Execution]:
    """Target executions of a run, or of one step of it."""
    own = target_executions.c
    statement = _targets().where(own.job_execution_id == job_execution_id)
    if step_execution_id is not None:
        statement = statement.where(own.step_execution_id == step_execution_id)
    return _by_time(connection, _filtered(statement, own, filters), target_executions, page, Level.TARGET)


def get_job_execution(connection: Connection, execution_id: UUID, *, job_id: UUID | None = None) -> Execution:
    """A root execution; with ``job_id`` only when it is one of that job.

    Raises:
        NotFoundError: there is none.
    """
    statement = _jobs().where(job_executions.c.id == execution_id)
    if job_id is not None:
        statement = statement.where(job_executions.c.job_id == job_id)
    return _one(connection, statement, Level.JOB, "execution", str(execution_id))


def find_job_of_execution(connection: Connection, execution_id: UUID) -> UUID | None:
    """The id of the job that a root execution is a run of (also of a deleted job), or None."""
    return connection.execute(
        select(job_executions.c.job_id).where(job_executions.c.id == execution_id)
    ).scalar_one_or_none()


def get_step_execution(connection: Connection, job_execution_id: UUID, step_name: str) -> Execution:
    """The execution of a step in a run.

    Raises:
        NotFoundError: the run has no such step, or has not come to it yet.
    """
    statement = _steps().where(
        step_executions.c.job_execution_id == job_execution_id, step_executions.c.step_name == step_name
    )
    return _one(connection, statement, Level.STEP, "step execution", step_name)


def get_target_execution(connection: Connection, step_execution_id: UUID, target_execution_id: UUID) -> Execution:
    """The execution of a step on one database.

    Raises:
        NotFoundError: the step execution has no such target.
    """
    statement = _targets().where(
        target_executions.c.id == target_execution_id, target_executions.c.step_execution_id == step_execution_id
    )
    return _one(connection, statement, Level.TARGET, "target execution", str(target_execution_id))


def list_messages(
    connection: Connection, target_execution_id: UUID, *, limit: int, after: tuple[int, int] | None = None
) -> list[Message]:
    """What the script said on a target, in order, from the one behind ``after`` = (attempt, ordinal)."""
    own = target_messages.c
    statement = (
        select(target_messages)
        .where(own.target_execution_id == target_execution_id)
        .order_by(own.attempt, own.ordinal)
        .limit(limit)
    )
    if after is not None:
        attempt, ordinal = after
        statement = statement.where(or_(own.attempt > attempt, and_(own.attempt == attempt, own.ordinal > ordinal)))
    return [
        Message(
            attempt=row.attempt,
            ordinal=row.ordinal,
            batch=row.batch,
            kind=row.kind,
            number=row.number,
            row_count=row.row_count,
            text=row.text,
        )
        for row in connection.execute(statement)
    ]


def progress(connection: Connection, job_execution_id: UUID) -> list[StepProgress]:
    """How far a run is: per step that it has come to, in order, the number of targets in each state."""
    step, target = step_executions.c, target_executions.c
    rows = connection.execute(
        select(
            step.step_id,
            step.step_name,
            step.lifecycle.label("step_lifecycle"),
            target.lifecycle.label("target_lifecycle"),
            func.count(target.id).label("targets"),
        )
        .select_from(step_executions)
        .outerjoin(target_executions, target.step_execution_id == step.id)
        .where(step.job_execution_id == job_execution_id)
        .group_by(step.step_id, step.step_name, step.lifecycle, target.lifecycle)
        .order_by(step.step_id)
    )
    found: dict[int, StepProgress] = {}
    counts: dict[int, Counter[Lifecycle]] = {}
    for row in rows:
        count = counts.setdefault(row.step_id, Counter())
        if row.target_lifecycle is not None:
            count[Lifecycle(row.target_lifecycle)] += row.targets
        found[row.step_id] = StepProgress(
            step_id=row.step_id, step_name=row.step_name, lifecycle=Lifecycle(row.step_lifecycle), targets=count
        )
    return list(found.values())


_MANY_RUNS = 1000
"""So many runs within bounds on the end time are not looked at one by one."""
_COMMON = ("lifecycle", "create_time", "start_time", "end_time", "last_message")
_ATTEMPTS = ("current_attempts", "current_attempt_start_time", "next_attempt_start_time")
_PLACE = ("server_name", "database_name", "elastic_pool_name", "error_number")


def _columns(own: Any, names: Iterable[str]) -> list[Column[Any]]:
    return [own[name] for name in names]


def _with_job(columns: list[Column[Any]]) -> Select[Any]:
    """Executions joined with their run and its job, under the job's present name; those of deleted jobs are gone."""
    run = job_executions.c
    return select(
        *columns, run.job_id, run.job_version, run.id.label("job_execution_id"), jobs.c.name.label("job_name")
    ).where(jobs.c.id == run.job_id, jobs.c.delete_time.is_(None))


def _jobs() -> Select[Any]:
    own = job_executions.c
    return _with_job([own.id, *_columns(own, _COMMON), own.scheduled_for, own.rerun_of])


def _steps() -> Select[Any]:
    own = step_executions.c
    columns = [own.id, own.step_id, own.step_name, *_columns(own, (*_COMMON, *_ATTEMPTS))]
    return _with_job(columns).where(own.job_execution_id == job_executions.c.id)


def _targets() -> Select[Any]:
    own, step = target_executions.c, step_executions.c
    columns = [own.id, step.step_id, step.step_name, *_columns(own, (*_COMMON, *_ATTEMPTS, *_PLACE))]
    return _with_job(columns).where(own.job_execution_id == job_executions.c.id, own.step_execution_id == step.id)


def _filtered(statement: Select[Any], own: Any, filters: ExecutionFilter) -> Select[Any]:
    if filters.create_time_min is not None:
        statement = statement.where(own.create_time >= filters.create_time_min)
    if filters.create_time_max is not None:
        statement = statement.where(own.create_time < filters.create_time_max)
    if filters.end_time_min is not None:
        statement = statement.where(own.end_time >= filters.end_time_min)
    if filters.end_time_max is not None:
        statement = statement.where(own.end_time < filters.end_time_max)
    if filters.is_active is not None:
        statement = statement.where(own.is_active == (YES if filters.is_active else NO))
    return statement


def _created_for(filters: ExecutionFilter) -> list[ColumnElement[bool]]:
    """What bounds on the end time say of the creation time, in whose order runs are read.

    Otherwise a listing of the few runs that ended within an hour would read all that were created since.
    """
    own = job_executions.c
    bounds: list[ColumnElement[bool]] = []
    if filters.end_time_max is not None:
        bounds.append(own.create_time < filters.end_time_max)
    if filters.end_time_min is not None:
        ended = job_executions.alias("ended")
        within = select(ended.c.create_time).where(ended.c.end_time >= filters.end_time_min)
        if filters.end_time_max is not None:
            within = within.where(ended.c.end_time < filters.end_time_max)
        few = within.order_by(ended.c.end_time).limit(_MANY_RUNS).subquery("few")
        # When there are many, those that were created last are found at once, and no bound is needed.
        first = case(
            (func.count() == _MANY_RUNS, literal(datetime.min.replace(tzinfo=UTC), UtcDateTime)),
            else_=func.min(few.c.create_time),
        )
        bounds.append(own.create_time >= select(first).select_from(few).scalar_subquery())
    return bounds


def _by_time(connection: Connection, statement: Select[Any], table: Table, page: Page, level: Level) -> list[Execution]:
    """A page in the order of creation, newest first; rows of one instant in the order of their ids."""
    own = table.c
    if page.after is not None:
        instant, last_id = page.after
        last = table.alias("last_of_page")
        # The row's own time where it is still there: SQL Server keeps one digit more than Python reads.
        stored = select(last.c.create_time).where(last.c.id == last_id).scalar_subquery()
        time = func.coalesce(stored, literal(instant, UtcDateTime), type_=UtcDateTime)
        statement = statement.where(
            # The first condition says nothing new, but lets the page begin where it begins instead of at the newest.
            own.create_time <= time,
            or_(own.create_time < time, own.id < last_id),
        )
    return _page(connection, statement.order_by(own.create_time.desc(), own.id.desc()), page, level)


def _page(connection: Connection, statement: Select[Any], page: Page, level: Level) -> list[Execution]:
    statement = statement.limit(page.limit)
    if page.skip:
        statement = statement.offset(page.skip)
    return [_execution(row, level) for row in connection.execute(statement).mappings()]


def _one(connection: Connection, statement: Select[Any], level: Level, kind: str, name: str) -> Execution:
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise NotFoundError(kind, name)
    return _execution(row, level)


def _execution(row: Mapping[Any, Any], level: Level) -> Execution:
    values = dict(row)
    values["lifecycle"] = Lifecycle(values["lifecycle"])
    return Execution(level=level, **values)

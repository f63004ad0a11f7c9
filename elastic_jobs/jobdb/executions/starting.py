"""A run of a job is asked for: its root execution and its first step are written down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, exists, func, insert, or_, select, update

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.domain.ports import Ids
from elastic_jobs.errors import InvalidDefinitionError, NotFoundError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import job_executions, rerun_targets, step_executions
from elastic_jobs.jobdb.executions.common import changed, into
from elastic_jobs.jobdb.tables import job_steps, jobs


@dataclass(frozen=True, kw_only=True)
class Started:
    """A run exists. ``step_execution_id`` is None when it existed before, so that nothing needs to be woken up."""

    execution_id: UUID
    step_execution_id: UUID | None


def find_repeated(
    connection: Connection, job_name: str, *, execution_id: UUID | None, request_id: str | None
) -> UUID | None:
    """The run that an earlier, identical request already started, or None.

    Raises:
        InvalidDefinitionError: the execution id is that of a run of another job.
    """
    if execution_id is None and request_id is None:
        return None
    run = job_executions.c
    same = run.id == execution_id if execution_id is not None else run.request_id == request_id
    job_id = connection.execute(select(jobs.c.id).where(jobs.c.name == job_name, jobs.c.delete_time.is_(None))).scalar()
    if execution_id is None:
        same = same & (run.job_id == job_id)
    found = connection.execute(select(run.id, run.job_id).where(same)).one_or_none()
    if found is None:
        return None
    if found.job_id != job_id:
        raise InvalidDefinitionError(
            f"The id {execution_id} is that of an execution of another job; choose another id."
        )
    return UUID(str(found.id))


def start(
    connection: Connection,
    database: JobDatabase,
    job_name: str,
    *,
    ids: Ids,
    execution_id: UUID | None = None,
    request_id: str | None = None,
) -> Started:
    """Start the current version of a job by hand; disabled jobs can be started too.

    Raises:
        NotFoundError: there is no such job.
        InvalidDefinitionError: the job has no steps.
    """
    job = connection.execute(
        select(jobs.c.id, jobs.c.name, jobs.c.version).where(jobs.c.name == job_name, jobs.c.delete_time.is_(None))
    ).one_or_none()
    if job is None:
        raise NotFoundError("job", job_name)
    return insert_execution(
        connection,
        database,
        job_id=job.id,
        job_name=job.name,
        job_version=job.version,
        ids=ids,
        execution_id=execution_id,
        request_id=request_id,
    )


def insert_execution(
    connection: Connection,
    database: JobDatabase,
    *,
    job_id: UUID,
    job_name: str,
    job_version: int,
    ids: Ids,
    execution_id: UUID | None = None,
    request_id: str | None = None,
    scheduled_for: datetime | None = None,
) -> Started:
    """Write a run down: root and first step. Unique (job, scheduled_for) and (job, request id) make repeats fail.

    Raises:
        NotFoundError: the job was deleted meanwhile.
        InvalidDefinitionError: that version of the job has no steps.
        sqlalchemy.exc.IntegrityError: the same instant or request was started by somebody else meanwhile.
    """
    # Keeps the job from being deleted until the run is committed.
    kept = update(jobs).where(jobs.c.id == job_id, jobs.c.delete_time.is_(None)).values(version=jobs.c.version)
    if not changed(connection, kept):
        raise NotFoundError("job", job_name)
    first = _step_after(connection, job_id, job_version, 0)
    if first is None:
        raise InvalidDefinitionError(f"The job '{job_name}' has no steps; add a step before starting it.")
    execution_id = execution_id or ids()
    connection.execute(
        insert(job_executions).values(
            id=execution_id,
            job_id=job_id,
            job_name=job_name,
            job_version=job_version,
            **into(database, Lifecycle.CREATED),
            create_time=database.now(),
            last_message="Job execution created.",
            scheduled_for=scheduled_for,
            request_id=request_id,
        )
    )
    step = insert_step(
        connection, database, execution_id, job_id=job_id, job_version=job_version, step=first, step_execution_id=ids()
    )
    return Started(execution_id=execution_id, step_execution_id=step)


def insert_next_step(
    connection: Connection,
    database: JobDatabase,
    execution_id: UUID,
    *,
    job_id: UUID,
    job_version: int,
    after: int,
    ids: Ids,
) -> UUID | None:
    """Begin the step that follows place ``after``; None when no other is left to do. Each step exists once per run."""
    following = _step_after(connection, job_id, job_version, after, execution_id)
    if following is None:
        return None
    return insert_step(
        connection,
        database,
        execution_id,
        job_id=job_id,
        job_version=job_version,
        step=following,
        step_execution_id=ids(),
    )


def _step_after(
    connection: Connection, job_id: UUID, job_version: int, after: int, execution_id: UUID | None = None
) -> tuple[int, str] | None:
    """The step that follows; in a rerun, the next one that has something left to do."""
    own = job_steps.c
    following = select(own.step_id, own.name).where(
        own.job_id == job_id, own.job_version == job_version, own.step_id > after
    )
    if execution_id is not None:
        reached = select(job_executions.c.rerun_reached).where(job_executions.c.id == execution_id).scalar_subquery()
        undone = exists().where(
            rerun_targets.c.job_execution_id == execution_id, rerun_targets.c.step_id == own.step_id
        )
        following = following.where(or_(own.step_id > func.coalesce(reached, 0), undone))
    row = connection.execute(following.order_by(own.step_id).limit(1)).one_or_none()
    return None if row is None else (row.step_id, row.name)


def insert_step(
    connection: Connection,
    database: JobDatabase,
    execution_id: UUID,
    *,
    job_id: UUID,
    job_version: int,
    step: tuple[int, str],
    step_execution_id: UUID,
) -> UUID:
    """Write a step execution down as Created; its wake-up message goes out after the commit."""
    connection.execute(
        insert(step_executions).values(
            id=step_execution_id,
            job_execution_id=execution_id,
            job_id=job_id,
            job_version=job_version,
            step_id=step[0],
            step_name=step[1],
            **into(database, Lifecycle.CREATED),
            create_time=database.now(),
            dispatch_time=database.now(),
            last_message="Step execution created.",
        )
    )
    return step_execution_id

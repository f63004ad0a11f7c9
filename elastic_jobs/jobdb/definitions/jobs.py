"""Jobs and their one schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, exists, insert, select, update

from elastic_jobs.domain.model import Job
from elastic_jobs.domain.schedule import Due, Schedule
from elastic_jobs.errors import InvalidDefinitionError, NotFoundError
from elastic_jobs.jobdb import tables
from elastic_jobs.jobdb.definitions import audit
from elastic_jobs.jobdb.definitions.agent import lock_agent
from elastic_jobs.jobdb.definitions.arming import Armed, arm
from elastic_jobs.jobdb.definitions.checks import Edit, check_description, check_name, normal_schedule
from elastic_jobs.jobdb.definitions.schedule_edits import settle
from elastic_jobs.jobdb.execution_tables import job_executions
from elastic_jobs.jobdb.executions.schedules import read_schedule

_NOT_DELETED = tables.jobs.c.delete_time.is_(None)


def find_job(connection: Connection, name: str) -> Job | None:
    """The job of this name, or None. A deleted job has no name any more."""
    row = connection.execute(select(tables.jobs).where(tables.jobs.c.name == name, _NOT_DELETED)).one_or_none()
    return None if row is None else _from_row(row)


def get_job(connection: Connection, name: str) -> Job:
    """The job of this name.

    Raises:
        NotFoundError: there is none.
    """
    found = find_job(connection, name)
    if found is None:
        raise NotFoundError("job", name)
    return found


def list_jobs(connection: Connection, *, after: str | None = None, limit: int | None = None) -> list[Job]:
    """Jobs in the order of their names, from the one behind ``after``."""
    statement = select(tables.jobs).where(_NOT_DELETED).order_by(tables.jobs.c.name)
    if after is not None:
        statement = statement.where(tables.jobs.c.name > after)
    return [_from_row(row) for row in connection.execute(statement.limit(limit))]


def list_versions(
    connection: Connection, job_id: UUID, *, after: int | None = None, limit: int | None = None
) -> list[int]:
    """The versions of a job in ascending order, beginning with 0, from the one behind ``after``."""
    column = tables.job_versions.c
    statement = select(column.version).where(column.job_id == job_id).order_by(column.version)
    if after is not None:
        statement = statement.where(column.version > after)
    return list(connection.execute(statement.limit(limit)).scalars())


def check_version(connection: Connection, job_id: UUID, version: int) -> None:
    """Make sure that the job has, or had, this version.

    Raises:
        NotFoundError: it never had.
    """
    column = tables.job_versions.c
    known = select(column.version).where(column.job_id == job_id, column.version == version)
    if connection.execute(known).one_or_none() is None:
        raise NotFoundError("version", str(version))


def save_job(
    connection: Connection,
    edit: Edit,
    name: str,
    *,
    description: str,
    schedule: Schedule,
    new_name: str | None = None,
) -> tuple[Job, bool]:
    """Create the job, or change the one of this name; tells whether it is new. Neither makes a version.

    new_name: gives an existing job another name.

    Raises:
        NotFoundError: there is no agent.
        InvalidDefinitionError: name, description or schedule are not allowed, or the new name is taken.
    """
    lock_agent(connection)
    check_description(description)
    schedule = normal_schedule(schedule)
    current = find_job(connection, name)
    if current is None:
        return _create(connection, edit, name, description, schedule), True
    current = settled(connection, current)
    final_name = current.name
    if new_name is not None and new_name != current.name:
        check_name("job", new_name)
        other = find_job(connection, new_name)
        if other is not None and other.id != current.id:
            raise InvalidDefinitionError(f"There is a job '{other.name}' already; choose another name.")
        final_name = new_name
    row = _row(connection, current.id)
    steps = has_steps(connection, current.id, current.version)
    due = arm(current.schedule, schedule, _armed(row), had_steps=steps, has_steps=steps, now=edit.now)
    saved = replace(
        current,
        name=final_name,
        description=description,
        schedule=schedule,
        next_run_time=due.run_at if due else None,
    )
    connection.execute(
        update(tables.jobs)
        .where(tables.jobs.c.id == current.id)
        .values(name=final_name, description=description, **_schedule_values(schedule), **_due_values(due))
    )
    record(connection, edit, "update job", f"jobs/{current.name}", current, saved)
    return saved, False


def delete_job(connection: Connection, edit: Edit, name: str, *, force: bool) -> Job | None:
    """Mark the job as deleted, which frees its name at once; None when there was none.

    The agent cancels what is active of a deleted job, and then removes the job with its history.

    Raises:
        NotFoundError: there is no agent.
        InvalidDefinitionError: executions are active and ``force`` is not set.
    """
    lock_agent(connection)
    current = find_job(connection, name)
    if current is None:
        return None
    row = tables.jobs.c.id == current.id
    # As a lock: a run that is being started now is either seen below, or finds the job deleted.
    connection.execute(update(tables.jobs).where(row).values(version=tables.jobs.c.version))
    active = exists().where(job_executions.c.job_id == current.id, job_executions.c.is_active == 1)
    if not force and connection.execute(select(tables.jobs.c.id).where(tables.jobs.c.id == current.id, active)).first():
        raise InvalidDefinitionError(
            f"The job '{current.name}' has active executions; wait for their end, cancel them, or delete it by force."
        )
    connection.execute(
        update(tables.jobs).where(row).values(delete_time=edit.now, next_run_time=None, schedule_anchor=None)
    )
    record(connection, edit, "delete job", f"jobs/{current.name}", current, None)
    return current


def settled(connection: Connection, job: Job) -> Job:
    """The job as it is when the tick has made up for its edits in T-SQL; for whoever edits it next, under the lock."""
    return get_job(connection, job.name) if settle(connection, job.id) else job


def rearm(connection: Connection, edit: Edit, job: Job, *, had_steps: bool, has_steps: bool) -> Job:
    """Recompute the next run of a job that got its first step or lost its last one; the job with its next run."""
    if had_steps == has_steps:
        return job
    armed = _armed(_row(connection, job.id))
    due = arm(job.schedule, job.schedule, armed, had_steps=had_steps, has_steps=has_steps, now=edit.now)
    connection.execute(update(tables.jobs).where(tables.jobs.c.id == job.id).values(**_due_values(due)))
    return replace(job, next_run_time=due.run_at if due else None)


def find_due(connection: Connection, job_id: UUID) -> Due | None:
    """What the job's schedule does next, on its grid; None: nothing."""
    return _armed(_row(connection, job_id)).due


def has_steps(connection: Connection, job_id: UUID, version: int) -> bool:
    """Whether this version of the job has any step."""
    column = tables.job_steps.c
    first = select(column.step_id).where(column.job_id == job_id, column.job_version == version).limit(1)
    return connection.execute(first).first() is not None


def record(
    connection: Connection, edit: Edit, action: str, resource: str, before: object = None, after: object = None
) -> None:
    """Write the audit entry of a change to a job."""
    audit.record(
        connection, time=edit.now, caller=edit.caller, action=action, resource=resource, before=before, after=after
    )


def _create(connection: Connection, edit: Edit, name: str, description: str, schedule: Schedule) -> Job:
    check_name("job", name)
    job = Job(id=edit.new_id(), name=name, description=description, schedule=schedule)
    connection.execute(
        insert(tables.jobs).values(
            id=job.id,
            name=name,
            description=description,
            version=job.version,
            **_schedule_values(schedule),
            create_time=edit.now,
        )
    )
    connection.execute(insert(tables.job_versions).values(job_id=job.id, version=job.version, create_time=edit.now))
    record(connection, edit, "create job", f"jobs/{name}", None, job)
    return job


def _row(connection: Connection, job_id: UUID) -> Mapping[Any, Any]:
    return connection.execute(select(tables.jobs).where(tables.jobs.c.id == job_id)).mappings().one()


def _armed(row: Mapping[Any, Any]) -> Armed:
    run_at: datetime | None = row["next_run_time"]
    due = None if run_at is None else Due(run_at=run_at, anchor=row["schedule_anchor"])
    return Armed(due=due, consumed_start=row["consumed_start_time"])


def _schedule_values(schedule: Schedule) -> dict[str, object]:
    return {
        "enabled": schedule.enabled,
        "schedule_interval_type": schedule.interval_type,
        "schedule_interval_count": schedule.interval_count,
        "schedule_start_time": schedule.start_time,
        "schedule_end_time": schedule.end_time,
    }


def _due_values(due: Due | None) -> dict[str, object]:
    return {"next_run_time": due.run_at if due else None, "schedule_anchor": due.anchor if due else None}


def _from_row(row: Row[*tuple[Any, ...]]) -> Job:
    return Job(
        id=row.id,
        name=row.name,
        description=row.description,
        version=row.version,
        schedule=read_schedule(row),
        next_run_time=row.next_run_time,
    )

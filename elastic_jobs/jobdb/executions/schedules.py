"""Jobs whose schedule is due are started, and their schedule moves on in the same transaction."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from elastic_jobs.domain.ports import Ids
from elastic_jobs.domain.schedule import Due, IntervalType, Schedule, after_run
from elastic_jobs.errors import InvalidDefinitionError, NotFoundError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import job_executions
from elastic_jobs.jobdb.executions.common import changed
from elastic_jobs.jobdb.executions.starting import Started, insert_execution
from elastic_jobs.jobdb.tables import jobs

_log = logging.getLogger(__name__)


def start_due_jobs(
    connection: Connection, database: JobDatabase, now: datetime, ids: Ids, *, limit: int = 100
) -> list[Started]:
    """Start up to ``limit`` jobs whose next run time has passed, each once however many ticks come at the same time.

    Instants missed since then are not made up for: one late run, then back on the grid.
    """
    due = connection.execute(
        select(jobs)
        .where(jobs.c.next_run_time <= now, jobs.c.delete_time.is_(None))
        .order_by(jobs.c.next_run_time)
        .limit(limit)
    ).all()
    started: list[Started] = []
    for job in due:
        if _move_on(connection, job, now) and not _ran_already(connection, job):
            try:
                run = insert_execution(
                    connection,
                    database,
                    job_id=job.id,
                    job_name=job.name,
                    job_version=job.version,
                    ids=ids,
                    scheduled_for=job.next_run_time,
                )
            except (InvalidDefinitionError, NotFoundError) as error:
                # Its schedule has moved on; the others must not suffer for a job that cannot be started.
                _log.warning("A due job was not started: %s", error, extra={"action": "start_refused"})
                continue
            started.append(run)
    return started


def read_schedule(job: Row[Any]) -> Schedule:
    """The schedule in a row of the table ``jobs``."""
    return Schedule(
        interval_type=IntervalType(job.schedule_interval_type),
        interval_count=job.schedule_interval_count,
        start_time=job.schedule_start_time,
        end_time=job.schedule_end_time,
        enabled=job.enabled,
    )


def _move_on(connection: Connection, job: Row[Any], now: datetime) -> bool:
    schedule = read_schedule(job)
    following = after_run(schedule, Due(run_at=job.next_run_time, anchor=job.schedule_anchor), now=now)
    once = schedule.interval_type is IntervalType.ONCE
    return (
        changed(
            connection,
            update(jobs)
            .where(jobs.c.id == job.id, jobs.c.next_run_time == job.next_run_time)
            .values(
                next_run_time=None if following is None else following.run_at,
                consumed_start_time=job.schedule_start_time if once else job.consumed_start_time,
            ),
        )
        == 1
    )


def _ran_already(connection: Connection, job: Row[Any]) -> bool:
    """The clock went back, or the schedule was set back: this instant has its run."""
    same = (job_executions.c.job_id == job.id, job_executions.c.scheduled_for == job.next_run_time)
    return connection.execute(select(job_executions.c.id).where(*same)).first() is not None

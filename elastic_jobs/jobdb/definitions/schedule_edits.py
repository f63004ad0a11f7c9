"""Edits of schedules and first or last steps that were made in T-SQL, where no next run can be computed.

The procedures write a row for each such edit, with what stood in the job before it, and take the next run out of the
job: it cannot start under its old schedule. The tick, and any other change of the job, then makes up for what the
procedures could not do, edit by edit as of the time of each, so that the answer is the one that the management API
would have given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, exists, select, update

from elastic_jobs.domain.schedule import Due, Schedule
from elastic_jobs.jobdb.definitions.arming import Armed, arm
from elastic_jobs.jobdb.executions.schedules import read_schedule
from elastic_jobs.jobdb.tables import agent, job_steps, jobs
from elastic_jobs.jobdb.tsql_tables import schedule_edits


@dataclass(frozen=True, kw_only=True)
class _State:
    """What ``arm`` wants to know of a job between two edits."""

    schedule: Schedule
    has_steps: bool


def arm_edited_jobs(connection: Connection) -> int:
    """Arm every job that was edited in T-SQL since the last time; how many there were."""
    # The lock of all changes of definitions, see definitions.agent.lock_agent: no edit comes in between.
    connection.execute(update(agent).values(name=agent.c.name))
    edited = connection.execute(select(schedule_edits.c.job_id).distinct()).scalars().all()
    for job_id in edited:
        settle(connection, job_id)
    return len(edited)


def settle(connection: Connection, job_id: UUID) -> bool:
    """Arm one job after its edits in T-SQL, if there are any. The caller holds the lock of the agent."""
    own = schedule_edits.c
    edits = connection.execute(select(schedule_edits).where(own.job_id == job_id).order_by(own.id)).all()
    if not edits:
        return False
    job = connection.execute(select(jobs).where(jobs.c.id == job_id)).one()
    due = None if job.delete_time is not None else _armed(connection, edits, job)
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id)
        .values(next_run_time=due.run_at if due else None, schedule_anchor=due.anchor if due else None)
    )
    connection.execute(delete(schedule_edits).where(own.job_id == job_id))
    return True


def _armed(connection: Connection, edits: Sequence[Row[Any]], job: Row[Any]) -> Due | None:
    step = job_steps.c
    steps = exists().where(step.job_id == job.id, step.job_version == job.version)
    now_there = _State(schedule=read_schedule(job), has_steps=bool(connection.execute(select(1).where(steps)).scalar()))
    states = [*(_State(schedule=read_schedule(edit), has_steps=edit.had_steps) for edit in edits), now_there]
    # The first edit took the next run out of the job; those after it found none.
    first = edits[0]
    due = None if first.next_run_time is None else Due(run_at=first.next_run_time, anchor=first.schedule_anchor)
    for edit, before, after in zip(edits, states, states[1:], strict=False):
        armed = Armed(due=due, consumed_start=job.consumed_start_time)
        now: datetime = edit.time
        due = arm(
            before.schedule,
            after.schedule,
            armed,
            had_steps=before.has_steps,
            has_steps=after.has_steps,
            now=now,
        )
    return due

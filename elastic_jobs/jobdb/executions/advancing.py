"""A run goes on: a step whose targets have all ended ends, the next step begins, or the job ends.

Called after the commit of whatever ended a target, and by the tick for runs whose worker died in between. Two that call
at once are harmless: each move is guarded, and the one that comes second changes nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select, update

from elastic_jobs.domain.lifecycle import Level, Lifecycle, roll_up
from elastic_jobs.domain.ports import Ids
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions
from elastic_jobs.jobdb.executions.common import YES, changed, into, lock_run, reachable
from elastic_jobs.jobdb.executions.ends import Moved, ended_job, ended_step
from elastic_jobs.jobdb.executions.starting import insert_next_step

_GOES_ON = frozenset({Lifecycle.SUCCEEDED, Lifecycle.SUCCEEDED_WITH_SKIPPED})
"""End states of a step after which the next step runs."""


def has_active_targets(connection: Connection, step_execution_id: UUID) -> bool:
    """Whether a step still waits for a target: the cheap question before ``advance``."""
    active = select(target_executions.c.id).where(
        target_executions.c.step_execution_id == step_execution_id, target_executions.c.is_active == YES
    )
    return connection.execute(active.limit(1)).first() is not None


def advance(connection: Connection, database: JobDatabase, job_execution_id: UUID, ids: Ids) -> Moved:
    """Move a run on as far as it can go: what ended, and the step execution that begins, for its wake-up message."""
    lock_run(connection, job_execution_id)
    run = connection.execute(select(job_executions).where(job_executions.c.id == job_execution_id)).one_or_none()
    if run is None or not run.is_active:
        return Moved()
    last = connection.execute(
        select(step_executions)
        .where(step_executions.c.job_execution_id == job_execution_id)
        .order_by(step_executions.c.step_id.desc())
        .limit(1)
    ).one()
    state = Lifecycle(last.lifecycle)
    if last.is_active:
        ended = _finish_step(connection, database, run, last)
        if ended is None:
            return Moved()
        state = ended
    step = ended_step(connection, run, last.id)
    if state in _GOES_ON and run.cancel_request_time is None:
        following = insert_next_step(
            connection,
            database,
            job_execution_id,
            job_id=run.job_id,
            job_version=run.job_version,
            after=last.step_id,
            ids=ids,
        )
        if following is not None:
            return Moved(following=following, step=step)
    _finish_job(connection, database, run)
    return Moved(step=step, job=ended_job(connection, run.id))


def _finish_step(connection: Connection, database: JobDatabase, run: Row[Any], step: Row[Any]) -> Lifecycle | None:
    if step.lifecycle != Lifecycle.WAITING_FOR_CHILD_JOB_EXECUTIONS or has_active_targets(connection, step.id):
        return None
    children = _count(connection, target_executions.c.step_execution_id == step.id, target_executions)
    end = roll_up(children, cancel_requested=run.cancel_request_time is not None)
    active = select(target_executions.c.id).where(
        target_executions.c.step_execution_id == step.id, target_executions.c.is_active == YES
    )
    moved = changed(
        connection,
        update(step_executions)
        .where(step_executions.c.id == step.id, reachable(Level.STEP, end), ~active.exists())
        .where(step_executions.c.lifecycle == Lifecycle.WAITING_FOR_CHILD_JOB_EXECUTIONS)
        .values(
            **into(database, end),
            dispatch_time=None,
            last_message=_step_message(run, step.step_id, end, children) + _example(connection, step, end),
        ),
    )
    return end if moved else None


def _example(connection: Connection, step: Row[Any], end: Lifecycle) -> str:
    """One target that made the step end badly, so that the first look at a run already says why."""
    if end not in {Lifecycle.FAILED, Lifecycle.TIMED_OUT}:
        return ""
    target = target_executions.c
    first = connection.execute(
        select(target.server_name, target.database_name, target.last_message)
        .where(target.step_execution_id == step.id, target.lifecycle == end)
        .order_by(target.end_time)
        .limit(1)
    ).one()
    return f" First of them: server '{first.server_name}', database '{first.database_name}': {first.last_message}"


def _finish_job(connection: Connection, database: JobDatabase, run: Row[Any]) -> None:
    steps = _count(connection, step_executions.c.job_execution_id == run.id, step_executions)
    end = roll_up(steps, cancel_requested=run.cancel_request_time is not None)
    failed = connection.execute(
        select(step_executions.c.step_name, step_executions.c.last_message)
        .where(step_executions.c.job_execution_id == run.id, step_executions.c.lifecycle == end)
        .order_by(step_executions.c.step_id)
        .limit(1)
    ).one_or_none()
    message = {
        Lifecycle.SUCCEEDED: "Job execution succeeded.",
        Lifecycle.SUCCEEDED_WITH_SKIPPED: "Job execution succeeded; some targets were skipped.",
        Lifecycle.CANCELED: "Job execution canceled.",
    }.get(end)
    if message is None:
        reason = "" if failed is None else f": step '{failed.step_name}': {failed.last_message}"
        message = f"Job execution {'timed out' if end is Lifecycle.TIMED_OUT else 'failed'}{reason}"
    connection.execute(
        update(job_executions)
        .where(job_executions.c.id == run.id, reachable(Level.JOB, end))
        .values(**into(database, end), last_message=message)
    )


def _count(connection: Connection, of: Any, table: Any) -> Counter[Lifecycle]:
    rows = connection.execute(select(table.c.lifecycle, func.count()).where(of).group_by(table.c.lifecycle))
    return Counter({Lifecycle(lifecycle): count for lifecycle, count in rows})


def _step_message(run: Row[Any], step_id: int, end: Lifecycle, children: Counter[Lifecycle]) -> str:
    total = children.total()
    if not total and end is Lifecycle.SUCCEEDED:
        if step_id <= (run.rerun_reached or 0):
            return f"Step {step_id} succeeded: no database that was left undone is in its target group any more."
        return f"Step {step_id} succeeded: its target group resolved to no databases."
    if end is Lifecycle.SUCCEEDED:
        return f"Step {step_id} succeeded."
    counted = ", ".join(f"{children[state]} {state}" for state in Lifecycle if children.get(state))
    how = {
        Lifecycle.SUCCEEDED_WITH_SKIPPED: "succeeded, some targets were skipped",
        Lifecycle.FAILED: "failed",
        Lifecycle.TIMED_OUT: "timed out",
        Lifecycle.CANCELED: "was canceled",
    }[end]
    return f"Step {step_id} {how}: of {total} targets {counted}." if total else f"Step {step_id} {how}."

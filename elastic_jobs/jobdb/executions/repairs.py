"""What the caretaker mends: claims whose worker was lost, messages that never arrived, runs that nobody moved on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, and_, case, delete, exists, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from elastic_jobs.domain.lifecycle import Level, Lifecycle
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions
from elastic_jobs.jobdb.executions import slots
from elastic_jobs.jobdb.executions.common import UNCLAIMED, WAITING, YES, changed, into
from elastic_jobs.jobdb.executions.outcomes import LOST_LIMIT
from elastic_jobs.jobdb.tables import jobs

RESEND_SECONDS = (20, 40, 80, 160, 320)
"""A row whose message was sent this long ago and that nobody claimed has lost its message; it is sent again, and each
time it is waited for longer: with a backlog in the queue nothing is lost, and doubled messages only make it longer."""
STEP_GRACE = timedelta(seconds=5)
"""How late the delayed message of a step's retry may be before the tick sends another."""


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A claim that ran out, and what became of its row."""

    row_id: UUID
    job_execution_id: UUID
    lifecycle: Lifecycle


def expire_claims(connection: Connection, database: JobDatabase, level: Level) -> list[Lost]:
    """Take back the claims of workers that were lost; their rows wait for another attempt, at once.

    A row that lost its worker too often fails, one whose run was canceled is Canceled. The slot is given back.
    """
    table = step_executions if level is Level.STEP else target_executions
    expired = connection.execute(select(table).where(table.c.lease_until < database.now())).all()
    lost: list[Lost] = []
    for row in expired:
        to, message = _after_loss(level, row.current_attempts, row.lost_attempts, cancel=row.cancel_requested)
        retry = to is Lifecycle.WAITING_FOR_RETRY
        moved = changed(
            connection,
            update(table)
            .where(table.c.id == row.id, table.c.claim_token == row.claim_token, table.c.lease_until < database.now())
            # A cancel that came in between is for the next tick: a canceled row must not wait for a retry.
            .where(table.c.cancel_requested == row.cancel_requested)
            .values(
                **into(database, to),
                **UNCLAIMED,
                lost_attempts=table.c.lost_attempts + 1,
                dispatch_time=None,
                next_attempt_start_time=database.now() if retry else None,
                last_message=message,
            ),
        )
        if moved:
            lost.append(Lost(row_id=row.id, job_execution_id=row.job_execution_id, lifecycle=to))
            if level is Level.TARGET and not retry:
                slots.pass_admission(connection, database, row.step_uid, row.elastic_pool_name)
    return lost


def _after_loss(level: Level, attempt: int, lost_attempts: int, *, cancel: bool) -> tuple[Lifecycle, str]:
    happened = f"The worker of attempt {attempt} was lost"
    if level is Level.TARGET:
        happened += "; whether its script had an effect is unknown"
    if cancel:
        return Lifecycle.CANCELED, f"Canceled. {happened}."
    if lost_attempts >= LOST_LIMIT:
        return Lifecycle.FAILED, f"{happened}, as were {lost_attempts} before it; it is not tried again."
    return Lifecycle.WAITING_FOR_RETRY, f"{happened}. It is tried again."


def unsent(connection: Connection, database: JobDatabase, level: Level) -> list[UUID]:
    """Rows that wait for a worker although their message was due long ago; marks them as sent now.

    Steps: also those that nobody sent a message for (started in T-SQL) and retries that became due.
    Targets: those that hold a slot.
    """
    table = step_executions if level is Level.STEP else target_executions
    lost = overdue(database, level)
    found = connection.execute(select(table.c.id).where(lost).limit(1000)).scalars().all()
    sent: list[UUID] = []
    for start in range(0, len(found), 500):
        # The condition again: meanwhile a row may have been claimed, or wait for a retry that is not due.
        marked = connection.execute(
            update(table)
            .where(table.c.id.in_(found[start : start + 500]), lost)
            .values(dispatch_time=database.now(), sent_messages=table.c.sent_messages + 1)
            .returning(table.c.id)
        )
        sent += marked.scalars()
    return sent


def overdue(database: JobDatabase, level: Level) -> ColumnElement[bool]:
    """The condition of ``unsent``, for the tick's question too."""
    table = step_executions if level is Level.STEP else target_executions
    columns = table.c
    patience = case(
        *(
            (columns.sent_messages == times, database.now(-timedelta(seconds=seconds)))
            for times, seconds in enumerate(RESEND_SECONDS[:-1], start=1)
        ),
        else_=database.now(-timedelta(seconds=RESEND_SECONDS[-1])),
    )
    if level is Level.TARGET:
        return and_(columns.dispatch_time < patience, columns.lifecycle.in_(WAITING))
    retry = columns.next_attempt_start_time
    return and_(
        columns.is_active == YES,
        columns.lifecycle.in_(WAITING),
        or_(retry.is_(None), retry <= database.now()),
        or_(
            columns.dispatch_time.is_(None),
            columns.dispatch_time < patience,
            # The message of its retry is overdue.
            and_(columns.dispatch_time < retry, retry < database.now(-STEP_GRACE)),
        ),
    )


def stranded() -> ColumnElement[bool]:
    """A run that could go on but nobody moved it: its worker died between the last target's end and the next step."""
    run, step, target = job_executions.c, step_executions.c, target_executions.c
    open_target = exists().where(target.step_execution_id == step.id, target.is_active == YES)
    busy = exists().where(
        step.job_execution_id == run.id,
        step.is_active == YES,
        or_(step.lifecycle != Lifecycle.WAITING_FOR_CHILD_JOB_EXECUTIONS, open_target),
    )
    return and_(run.is_active == YES, ~busy)


def stranded_runs(connection: Connection) -> list[UUID]:
    """The runs that ``advance`` has to be called for."""
    return list(connection.execute(select(job_executions.c.id).where(stranded()).limit(1000)).scalars())


def jobs_to_delete(connection: Connection) -> list[UUID]:
    """The jobs whose deletion was forced and whose runs have all ended."""
    active = exists().where(job_executions.c.job_id == jobs.c.id, job_executions.c.is_active == YES)
    return list(connection.execute(select(jobs.c.id).where(jobs.c.delete_time.is_not(None), ~active)).scalars())


def delete_job(connection: Connection, job_id: UUID) -> None:
    """Remove a job that is marked for deletion, with its versions and steps; not while it has history."""
    history = exists().where(job_executions.c.job_id == jobs.c.id)
    connection.execute(delete(jobs).where(jobs.c.id == job_id, jobs.c.delete_time.is_not(None), ~history))

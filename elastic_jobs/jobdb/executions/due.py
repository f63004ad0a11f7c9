"""What the tick has to do: one statement that says which duties have work, so that an idle agent stays silent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, case, exists, func, or_, select, type_coerce
from sqlalchemy.sql.elements import ColumnElement

from elastic_jobs.domain.lifecycle import Level
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions
from elastic_jobs.jobdb.executions.common import NO, WAITING, YES
from elastic_jobs.jobdb.executions.purging import ended_before
from elastic_jobs.jobdb.executions.repairs import overdue, stranded
from elastic_jobs.jobdb.tables import agent, jobs
from elastic_jobs.jobdb.tsql_tables import schedule_edits
from elastic_jobs.jobdb.types import UtcDateTime


@dataclass(frozen=True, kw_only=True)
class Duties:
    """Which duties have work now."""

    schedules: bool
    """A job's next run time has passed."""
    edits: bool
    """A job was edited in T-SQL and has to be armed."""
    claims: bool
    """A lease has ended."""
    messages: bool
    """A step or target waits for a message that was lost or never sent."""
    slots: bool
    """A target waits although a slot is free, or a retry became due."""
    runs: bool
    """A run could go on but nobody moved it."""
    deletions: bool
    """A job is marked for deletion."""
    history: bool
    """A run ended so long ago that it may go."""
    active: bool
    """A run has not ended: nothing to do by itself, but leases and messages have to be watched over."""
    next_run_time: datetime | None
    """When a schedule is due next; None: never."""
    used_slots: int
    """Slots of the agent's capacity that targets hold."""
    capacity: int
    """All slots; 0 without an agent."""
    oldest_wait: timedelta
    """How long the longest waiting target that holds a slot waits for a worker; zero when none does."""

    @property
    def any(self) -> bool:
        """Whether there is something to do now."""
        return any(value is True for name, value in vars(self).items() if name != "active")


def find_duties(connection: Connection, database: JobDatabase, now: datetime, oldest: datetime) -> Duties:
    """Ask, in one statement, what there is to do.

    now: the instance's clock, for the schedules. oldest: history from before it may go.
    """
    job, step, target = jobs.c, step_executions.c, target_executions.c
    used = select(func.count()).select_from(target_executions).where(target.dispatch_time.is_not(None))
    ready = exists().where(
        target.is_active == YES,
        target.dispatch_time.is_(None),
        target.admitted == YES,
        target.next_attempt_start_time.is_(None),
    )
    due_retry = exists().where(
        target.next_attempt_start_time <= database.now(), target.is_active == YES, target.dispatch_time.is_(None)
    )
    in_line = exists().where(target.is_active == YES, target.admitted == NO)
    # Admissions are refilled also when no slot is free: who is admitted gets the next one that a worker hands over.
    due_in_line = exists().where(
        target.next_attempt_start_time <= database.now(), target.is_active == YES, target.admitted == NO
    )
    capacity = select(func.max(agent.c.capacity)).scalar_subquery()
    free = used.scalar_subquery() < capacity
    waiting = select(func.min(target.dispatch_time)).where(
        target.dispatch_time.is_not(None), target.lifecycle.in_(WAITING)
    )
    conditions: dict[str, ColumnElement[bool]] = {
        "schedules": exists().where(job.next_run_time <= now, job.delete_time.is_(None)),
        "edits": exists(select(schedule_edits.c.id)),
        "claims": or_(
            exists().where(target.lease_until < database.now()), exists().where(step.lease_until < database.now())
        ),
        "messages": or_(exists().where(overdue(database, Level.STEP)), exists().where(overdue(database, Level.TARGET))),
        "slots": or_(and_(or_(ready, due_retry, in_line), free), due_in_line),
        "runs": exists(select(job_executions.c.id).where(stranded())),
        "deletions": exists().where(job.delete_time.is_not(None)),
        "history": exists(select(job_executions.c.id).where(ended_before(oldest))),
    }
    upcoming = select(func.min(job.next_run_time)).where(job.delete_time.is_(None)).scalar_subquery()
    row = connection.execute(
        select(
            *(case((condition, YES), else_=NO).label(name) for name, condition in conditions.items()),
            case((exists().where(job_executions.c.is_active == YES), YES), else_=NO).label("active"),
            type_coerce(upcoming, UtcDateTime).label("next_run_time"),
            used.scalar_subquery().label("used_slots"),
            capacity.label("capacity"),
            type_coerce(waiting.scalar_subquery(), UtcDateTime).label("waits_since"),
            type_coerce(database.now(), UtcDateTime).label("now"),
        )
    ).one()
    return Duties(
        **{name: bool(getattr(row, name)) for name in conditions},
        active=bool(row.active),
        next_run_time=row.next_run_time,
        used_slots=row.used_slots,
        capacity=row.capacity or 0,
        oldest_wait=timedelta() if row.waits_since is None else max(timedelta(), row.now - row.waits_since),
    )

"""Places for targets: the agent's capacity, and the max_parallelism of a step per elastic pool.

A target that holds one of the agent's slots has a ``dispatch_time``. Slots are given out under one lock (``take``);
from then on a worker whose target ended hands its slot to the next one in the same transaction (``hand_over``), so that
in steady state nobody waits for the lock.

Within a pool with max_parallelism m, at most m active targets of a step are ``admitted``, and only those may get a
slot. A target that leaves passes its admission to the next in line, one for one.

Order is fair between steps: each target has a ``turn``, counted on from the turn that is being served when its step is
planned. The 10 targets of a small step therefore go among the next 10 turns of a step of 10,000.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, Update, and_, bindparam, func, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import step_executions, target_executions
from elastic_jobs.jobdb.executions.common import NO, YES, changed
from elastic_jobs.jobdb.tables import agent, job_steps

_T = target_executions.c
_CHUNK = 500  # ids in one IN list; SQL Server takes 2,100 parameters


_USED = select(func.count()).select_from(target_executions).where(_T.dispatch_time.is_not(None)).scalar_subquery()
_FREE = select(func.coalesce(select(func.max(agent.c.capacity)).scalar_subquery(), 0) - _USED)


def lock_slots(connection: Connection, database: JobDatabase) -> None:
    """The lock under which slots and admissions are counted."""
    database.lock(connection, "slots")


def free_slots(connection: Connection) -> int:
    """Slots that the agent's capacity leaves free; 0 without an agent, negative after its capacity was reduced."""
    return int(connection.execute(_FREE).scalar_one())


def take(connection: Connection, database: JobDatabase) -> list[UUID]:
    """Give every free slot to a waiting target; their ids, in order. Their messages go out after the commit."""
    lock_slots(connection, database)
    refill_pools(connection, database)
    return _dispatch(connection, database, free_slots(connection))


def take_one(connection: Connection, database: JobDatabase, target_execution_id: UUID) -> bool:
    """Give a free slot to this target, if it waits, is due and is admitted; whether it now has one."""
    waits = (_T.id == target_execution_id, _T.is_active == YES, _T.dispatch_time.is_(None), _due(database))
    if connection.execute(select(_T.id).where(*waits)).first() is None:
        return False  # the usual answer to a doubled message: not worth the lock
    lock_slots(connection, database)
    refill_pools(connection, database)
    if free_slots(connection) < 1:
        return False
    statement = update(target_executions).where(*waits, _T.admitted == YES).values(**_dispatched(database))
    return changed(connection, statement) == 1


def hand_over(connection: Connection, database: JobDatabase) -> UUID | None:
    """Pass the slot that this transaction just freed to the next waiting target.

    None when nobody waits, or when the agent's capacity was reduced below what is in use: the slot is then gone.
    """
    return next(iter(hand_over_many(connection, database, 1)), None)


def hand_over_many(connection: Connection, database: JobDatabase, count: int) -> list[UUID]:
    """Pass so many slots that this transaction just freed to the next waiting targets, in order; see ``hand_over``."""
    if count < 1:
        return []
    return _dispatch(connection, database, min(count, free_slots(connection)))


def current_turn(connection: Connection) -> int:
    """The turn that is being served: where a step that is planned now gets in line."""
    serving = connection.execute(select(func.max(_T.turn)).where(_T.dispatch_time.is_not(None))).scalar()
    if serving is None:
        serving = connection.execute(select(func.min(_T.turn)).where(*_READY)).scalar()
    return serving or 0


_READY = (
    _T.is_active == YES,
    _T.admitted == YES,
    _T.dispatch_time.is_(None),
    _T.next_attempt_start_time.is_(None),
)


def _dispatch(connection: Connection, database: JobDatabase, count: int) -> list[UUID]:
    if count < 1:
        return []
    first = [database.statement(_first_ready, count), database.statement(_first_due_again, count)]
    rows = [row for query in first for row in connection.execute(query)]
    ids = [row.id for row in sorted(rows, key=lambda row: row.turn)[:count]]
    for start in range(0, len(ids), _CHUNK):
        connection.execute(database.statement(_dispatch_all), {"ids": ids[start : start + _CHUNK]})
    return ids


def _first_ready(_: JobDatabase, count: int) -> Select[Any]:
    return _in_order(*_READY).limit(count)


def _first_due_again(database: JobDatabase, count: int) -> Select[Any]:
    """Retries whose delay is over."""
    return _in_order(
        _T.next_attempt_start_time <= database.now(),
        _T.is_active == YES,
        _T.admitted == YES,
        _T.dispatch_time.is_(None),
    ).limit(count)


def _dispatch_all(database: JobDatabase) -> Update:
    return update(target_executions).where(_T.id.in_(bindparam("ids", expanding=True))).values(**_dispatched(database))


def _dispatched(database: JobDatabase) -> dict[str, Any]:
    return {"dispatch_time": database.now(), "sent_messages": 1}


def _first(connection: Connection, count: int, *conditions: Any) -> list[Row[Any]]:
    return list(connection.execute(_in_order(*conditions).limit(count)))


def _in_order(*conditions: Any) -> Select[Any]:
    query: Select[Any] = select(_T.id, _T.turn).where(*conditions).order_by(_T.turn, _T.id)
    # Two workers that hand over at once take different targets instead of waiting for each other.
    return query.with_hint(target_executions, "WITH (UPDLOCK, READPAST, ROWLOCK)", "mssql")


def pass_admission(connection: Connection, database: JobDatabase, step_uid: UUID, pool: str | None) -> None:
    """Admit the next target in line of a step within a pool, in place of one that leaves in this transaction.

    Where max_parallelism is not set nobody is ever in line. After it was lowered nobody follows until it holds again.
    """
    if pool is None:
        return
    queued = _first(connection, 1, *_in_line(step_uid, pool), _due(database))
    if not queued:
        return
    limit = connection.execute(_limits(_T.id == queued[0].id)).one().limit
    if admitted_count(connection, step_uid, pool) < limit:
        _admit(connection, [queued[0].id])


def _due(database: JobDatabase) -> ColumnElement[bool]:
    return or_(_T.next_attempt_start_time.is_(None), _T.next_attempt_start_time <= database.now())


def _limits(*conditions: ColumnElement[bool]) -> Select[Any]:
    """max_parallelism of the steps of some targets, by step and pool."""
    return (
        select(_T.step_uid, _T.elastic_pool_name, func.min(job_steps.c.max_parallelism).label("limit"))
        .join(step_executions, step_executions.c.id == _T.step_execution_id)
        .join(
            job_steps,
            and_(
                job_steps.c.job_id == step_executions.c.job_id,
                job_steps.c.job_version == step_executions.c.job_version,
                job_steps.c.step_id == step_executions.c.step_id,
            ),
        )
        .where(*conditions)
        .group_by(_T.step_uid, _T.elastic_pool_name)
    )


def _in_line(step_uid: UUID, pool: str) -> tuple[ColumnElement[bool], ...]:
    return _T.step_uid == step_uid, _T.elastic_pool_name == pool, _T.is_active == YES, _T.admitted == NO


def admitted_count(connection: Connection, step_uid: UUID, pool: str) -> int:
    """How many targets of a step are admitted within a pool, over all its runs."""
    return connection.execute(
        select(func.count())
        .select_from(target_executions)
        .where(_T.step_uid == step_uid, _T.elastic_pool_name == pool, _T.is_active == YES, _T.admitted == YES)
    ).scalar_one()


def refill_pools(connection: Connection, database: JobDatabase) -> None:
    """Admit those in line where admissions lie idle: retries that became due, runs that were canceled.

    Only under the lock: it counts before it admits.
    """
    groups = connection.execute(_limits(_T.is_active == YES, _T.admitted == NO, _due(database))).all()
    for group in groups:
        free = group.limit - admitted_count(connection, group.step_uid, group.elastic_pool_name)
        if free > 0:
            queued = _first(connection, free, *_in_line(group.step_uid, group.elastic_pool_name), _due(database))
            _admit(connection, [row.id for row in queued])


def _admit(connection: Connection, ids: list[UUID]) -> None:
    connection.execute(
        update(target_executions).where(_T.id.in_(ids), _T.is_active == YES, _T.admitted == NO).values(admitted=True)
    )

"""Somebody works on a step or target: claims with a fencing token and a lease, and their renewal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, Connection, Row, Table, bindparam, func, or_, select, update

from elastic_jobs.domain.lifecycle import Level, Lifecycle
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions
from elastic_jobs.jobdb.executions.common import NO, WAITING, changed, into, lock_run


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who claims: the instance, and for how long at a time."""

    instance: UUID
    lease: timedelta


@dataclass(frozen=True, kw_only=True)
class Claimant:
    """A holder that wants the next target of its slot, and the token of that claim."""

    token: UUID
    holder: Holder


@dataclass(frozen=True, kw_only=True)
class StepClaim:
    """The right to resolve a step's target group, as long as the token stands in the row."""

    step_execution_id: UUID
    token: UUID
    job_execution_id: UUID
    job_id: UUID
    job_version: int
    step_id: int
    failed_attempts: int
    begins_run_after: timedelta | None = None
    """When this claim begins its run: how long after the scheduled instant, or the request, that is."""


@dataclass(frozen=True, kw_only=True)
class TargetClaim:
    """The right to run a step's script on one database, as long as the token stands in the row."""

    target_execution_id: UUID
    token: UUID
    step_execution_id: UUID
    job_execution_id: UUID
    step_uid: UUID
    server_name: str
    database_name: str
    elastic_pool_name: str | None
    attempt: int
    failed_attempts: int
    waited_seconds: float = 0.0
    """From getting its slot to this claim."""


@dataclass(frozen=True, kw_only=True)
class Renewed:
    """A claim that was renewed, and whether its holder is asked to stop."""

    token: UUID
    cancel_requested: bool


def claim_step(
    connection: Connection, database: JobDatabase, step_execution_id: UUID, token: UUID, holder: Holder
) -> StepClaim | None:
    """Claim a step that waits; None when somebody else was faster, it is not due yet, or it has ended."""
    table = step_executions
    run_id = connection.execute(select(table.c.job_execution_id).where(table.c.id == step_execution_id)).scalar()
    if run_id is None:
        return None
    lock_run(connection, run_id)
    claimed = changed(
        connection,
        _claim(table, database, token, holder)
        .where(table.c.id == step_execution_id)
        .where(or_(table.c.next_attempt_start_time.is_(None), table.c.next_attempt_start_time <= database.now())),
    )
    if not claimed:
        return None
    row = connection.execute(select(table).where(table.c.id == step_execution_id)).one()
    own = job_executions.c
    begun = connection.execute(
        update(job_executions)
        .where(own.id == row.job_execution_id, own.lifecycle == Lifecycle.CREATED)
        .values(**into(database, Lifecycle.IN_PROGRESS), start_time=database.now(), last_message=None)
        .returning(own.start_time, own.scheduled_for, own.create_time)
    ).one_or_none()
    return StepClaim(
        step_execution_id=row.id,
        token=token,
        job_execution_id=row.job_execution_id,
        job_id=row.job_id,
        job_version=row.job_version,
        step_id=row.step_id,
        failed_attempts=row.failed_attempts,
        begins_run_after=None if begun is None else begun.start_time - (begun.scheduled_for or begun.create_time),
    )


def claim_target(
    connection: Connection, database: JobDatabase, target_execution_id: UUID, token: UUID, holder: Holder
) -> TargetClaim | None:
    """Claim a target that holds a slot; None when somebody else was faster, it has no slot, or it has ended."""
    row = connection.execute(
        database.statement(_claim_one, holder.lease),
        {"wanted": target_execution_id, "new_token": token, "new_holder": holder.instance},
    ).one_or_none()
    return None if row is None else _target_claim(row, token)


def claim_targets(
    connection: Connection, database: JobDatabase, wanted: Sequence[tuple[UUID, Claimant]]
) -> dict[UUID, TargetClaim]:
    """Claim some targets that hold slots, each for its claimant; the claims that were had, by token.

    The claimants are of one holder.
    """
    if not wanted:
        return {}
    instance = wanted[0][1].holder.instance
    connection.execute(
        database.statement(_claim_of_many, wanted[0][1].holder.lease),
        [{"wanted": target, "new_token": claimant.token, "new_holder": instance} for target, claimant in wanted],
    )
    tokens = {claimant.token for _, claimant in wanted}
    rows = connection.execute(database.statement(_claims_on), {"targets": [target for target, _ in wanted]})
    return {row.claim_token: _target_claim(row, row.claim_token) for row in rows if row.claim_token in tokens}


def _claim_one(database: JobDatabase, lease: timedelta) -> Any:
    return _claim_of_many(database, lease).returning(*(target_executions.c[name] for name in _CLAIM_COLUMNS))


def _claim_of_many(database: JobDatabase, lease: timedelta) -> Any:
    table = target_executions
    holder = Holder(instance=bindparam("new_holder"), lease=lease)  # type: ignore[arg-type]  # its place in a statement
    return (
        _claim(table, database, bindparam("new_token"), holder)
        .where(table.c.id == bindparam("wanted"))
        .where(table.c.dispatch_time.is_not(None))
    )


def _claims_on(_: JobDatabase) -> Any:
    # By their keys: no index leads from a token to its row, and the table holds the whole history.
    table = target_executions
    columns = (table.c[name] for name in _CLAIM_COLUMNS)
    return select(table.c.claim_token, *columns).where(table.c.id.in_(bindparam("targets", expanding=True)))


def find_target_claim(connection: Connection, token: UUID) -> TargetClaim | None:
    """The target that is claimed with this token; None when no claim stands under it."""
    table = target_executions
    found = select(*(table.c[name] for name in _CLAIM_COLUMNS)).where(
        table.c.claim_token == token, table.c.lease_until.is_not(None)
    )
    row = connection.execute(found).one_or_none()
    return None if row is None else _target_claim(row, token)


_CLAIM_COLUMNS = (
    "id",
    "step_execution_id",
    "job_execution_id",
    "step_uid",
    "server_name",
    "database_name",
    "elastic_pool_name",
    "current_attempts",
    "failed_attempts",
    "dispatch_time",
    "current_attempt_start_time",
)


def _target_claim(row: Row[Any], token: UUID) -> TargetClaim:
    return TargetClaim(
        target_execution_id=row.id,
        token=token,
        step_execution_id=row.step_execution_id,
        job_execution_id=row.job_execution_id,
        step_uid=row.step_uid,
        server_name=row.server_name,
        database_name=row.database_name,
        elastic_pool_name=row.elastic_pool_name,
        attempt=row.current_attempts,
        failed_attempts=row.failed_attempts,
        waited_seconds=(row.current_attempt_start_time - row.dispatch_time).total_seconds(),
    )


def _claim(table: Table, database: JobDatabase, token: UUID | BindParameter[UUID], holder: Holder) -> Any:
    return (
        update(table)
        # Not IN: its list is filled in at execution, which statements for many rows do not allow.
        .where(or_(*(table.c.lifecycle == state for state in WAITING)), table.c.cancel_requested == NO)
        .values(
            **into(database, Lifecycle.IN_PROGRESS),
            claim_token=token,
            claimed_by=holder.instance,
            lease_until=database.now(holder.lease),
            current_attempts=table.c.current_attempts + 1,
            current_attempt_start_time=database.now(),
            start_time=func.coalesce(table.c.start_time, database.now()),
            next_attempt_start_time=None,
            # A step that was taken back from a lost worker may be claimed before its message was sent again.
            dispatch_time=func.coalesce(table.c.dispatch_time, database.now()),
        )
    )


def renew(
    connection: Connection, database: JobDatabase, level: Level, tokens: Collection[UUID], lease: timedelta
) -> list[Renewed]:
    """Renew the claims that are being worked on, in one statement; claims that ran out are not revived.

    Only the tokens that somebody holds: a claim whose worker is gone must run out, also on a living instance.
    """
    table = {Level.STEP: step_executions, Level.TARGET: target_executions}[level]
    rows = connection.execute(
        update(table)
        .where(table.c.lease_until > database.now(), table.c.claim_token.in_(tokens))
        .values(lease_until=database.now(lease))
        .returning(table.c.claim_token, table.c.cancel_requested)
    )
    return [Renewed(token=row.claim_token, cancel_requested=row.cancel_requested) for row in rows]

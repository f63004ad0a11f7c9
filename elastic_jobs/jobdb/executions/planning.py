"""A step's target group was resolved: one row per database, in one transaction with the step's own move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, insert, select, update

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.domain.model import Step
from elastic_jobs.domain.ports import Ids
from elastic_jobs.domain.targets import TargetDatabase
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import step_executions, target_executions
from elastic_jobs.jobdb.executions import reruns, slots
from elastic_jobs.jobdb.executions.claims import StepClaim
from elastic_jobs.jobdb.executions.common import NO, UNCLAIMED, YES, changed, into


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What came of planning. ``dispatched`` are the targets that got a slot at once."""

    waiting: int
    skipped: int
    dispatched: list[UUID]


def plan(
    connection: Connection,
    database: JobDatabase,
    claim: StepClaim,
    step: Step,
    targets: Sequence[TargetDatabase],
    ids: Ids,
) -> Planned | None:
    """Write the targets of a step down and give out slots; None when the claim was lost or the run canceled.

    A database on which another run of the same step is active becomes Skipped. The filtered unique index is what keeps
    that rule: when somebody else plans the same step at this moment, the commit fails and the step is resolved again.

    Raises:
        sqlalchemy.exc.IntegrityError: another run planned the same database at the same time.
    """
    targets = reruns.allowed(connection, claim.job_execution_id, claim.step_id, targets)
    still_ours = changed(
        connection,
        update(step_executions)
        .where(
            step_executions.c.id == claim.step_execution_id,
            step_executions.c.lifecycle == Lifecycle.IN_PROGRESS,
            step_executions.c.claim_token == claim.token,
            step_executions.c.cancel_requested == NO,
        )
        .values(**into(database, Lifecycle.WAITING_FOR_CHILD_JOB_EXECUTIONS), **UNCLAIMED, last_message=None)
        .values(planned_targets=len(targets)),
    )
    if not still_ours:
        return None
    slots.lock_slots(connection, database)
    rows = _rows(connection, database, claim, step, targets, ids)
    if rows:
        connection.execute(insert(target_executions), rows)
    skipped = sum(row["lifecycle"] == Lifecycle.SKIPPED for row in rows)
    return Planned(
        waiting=len(rows) - skipped, skipped=skipped, dispatched=slots.take(connection, database) if rows else []
    )


def _rows(
    connection: Connection,
    database: JobDatabase,
    claim: StepClaim,
    step: Step,
    targets: Sequence[TargetDatabase],
    ids: Ids,
) -> list[dict[str, object]]:
    now = connection.execute(select(database.now())).scalar_one()
    busy = _active_databases(connection, step.uid)
    turn = slots.current_turn(connection)
    limit = step.definition.max_parallelism
    admitted: Counter[str] = Counter()
    if limit is not None:
        for pool in {target.elastic_pool_name for target in targets} - {None}:
            admitted[str(pool)] = slots.admitted_count(connection, step.uid, str(pool))
    rows: list[dict[str, object]] = []
    for target in targets:
        skipped = target.key in busy
        pool = target.elastic_pool_name
        admit = skipped or limit is None or pool is None or admitted[pool] < limit
        if not skipped:
            turn += 1
            admitted[pool or ""] += admit
        rows.append(
            {
                "id": ids(),
                "step_execution_id": claim.step_execution_id,
                "job_execution_id": claim.job_execution_id,
                "job_id": claim.job_id,
                "step_uid": step.uid,
                "server_name": target.server_name,
                "database_name": target.database_name,
                "elastic_pool_name": pool,
                "turn": turn,
                "admitted": admit,
                "lifecycle": (Lifecycle.SKIPPED if skipped else Lifecycle.CREATED).value,
                "is_active": 0 if skipped else 1,
                "create_time": now,
                "end_time": now if skipped else None,
                "last_message": _skip_message(target) if skipped else "Target execution created.",
                "sent_messages": 1,
                "cancel_requested": False,
                "current_attempts": 0,
                "failed_attempts": 0,
                "lost_attempts": 0,
            }
        )
    return rows


def _skip_message(target: TargetDatabase) -> str:
    return (
        "Skipped: another execution of the same job step was already running on target "
        f"(server '{target.server_name}', database '{target.database_name}')."
    )


def _active_databases(connection: Connection, step_uid: UUID) -> set[tuple[str, str]]:
    columns = target_executions.c
    rows = connection.execute(
        select(columns.server_name, columns.database_name).where(columns.step_uid == step_uid, columns.is_active == YES)
    )
    return {(row.server_name, row.database_name.casefold()) for row in rows}


def planning_failed(
    connection: Connection, database: JobDatabase, claim: StepClaim, message: str, retry_after: timedelta | None
) -> bool:
    """The target group could not be resolved: wait for a retry, or fail the step when none is left.

    Whether the claim still stood; when the run was canceled meanwhile the step is Canceled instead.
    """
    columns = step_executions.c
    to = Lifecycle.FAILED if retry_after is None else Lifecycle.WAITING_FOR_RETRY
    ours = (
        columns.id == claim.step_execution_id,
        columns.lifecycle == Lifecycle.IN_PROGRESS,
        columns.claim_token == claim.token,
    )
    moved = changed(
        connection,
        update(step_executions)
        .where(*ours, columns.cancel_requested == NO)
        .values(
            **into(database, to),
            **UNCLAIMED,
            failed_attempts=columns.failed_attempts + 1,
            next_attempt_start_time=None if retry_after is None else database.now(retry_after),
            dispatch_time=None if retry_after is None else columns.dispatch_time,
            last_message=message,
        ),
    )
    if moved:
        return True
    return abandon_canceled(connection, database, claim)


def abandon_canceled(connection: Connection, database: JobDatabase, claim: StepClaim) -> bool:
    """The run was canceled while its target group was being resolved: end the step; whether the claim still stood."""
    columns = step_executions.c
    return (
        changed(
            connection,
            update(step_executions)
            .where(
                columns.id == claim.step_execution_id,
                columns.lifecycle == Lifecycle.IN_PROGRESS,
                columns.claim_token == claim.token,
            )
            .values(**into(database, Lifecycle.CANCELED), **UNCLAIMED, dispatch_time=None, last_message="Canceled."),
        )
        == 1
    )

"""An attempt on a target ended: its outcome is recorded and its slot goes to the next target, which the same worker may
claim, all in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, select, update

from elastic_jobs.domain.lifecycle import Level, Lifecycle
from elastic_jobs.domain.outcome import AttemptResult, CapturedMessage, Outcome
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import target_executions, target_messages
from elastic_jobs.jobdb.executions import claims, slots
from elastic_jobs.jobdb.executions.claims import Claimant, TargetClaim
from elastic_jobs.jobdb.executions.common import NO, UNCLAIMED, changed, into, reachable

BUSY_DELAY = timedelta(seconds=5)
"""Wait before a target is tried again on which an earlier attempt of the same step still runs."""
LOST_LIMIT = 20
"""Attempts that may be lost (dead worker, target still busy) before the target fails; they are no retries. A script
that kills its worker each time would otherwise run for ever."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What became of the target.

    handed_on: the waiting target that got its slot. following: the claimant's claim on that target.
    """

    lifecycle: Lifecycle
    retry_after: timedelta | None
    handed_on: UUID | None
    following: TargetClaim | None = None


@dataclass(frozen=True)
class _Move:
    to: Lifecycle
    message: str
    retry_after: timedelta | None = None


def record(
    connection: Connection,
    database: JobDatabase,
    claim: TargetClaim,
    result: AttemptResult,
    policy: RetryPolicy,
    *,
    max_parallelism: int | None = None,
    claimant: Claimant | None = None,
) -> Recorded | None:
    """Record the end of an attempt, if the claim still stands; None when it was lost, and then nothing is changed.

    claimant: who goes on with the target that gets the slot; None: it waits for a worker.
    """
    if result.outcome is Outcome.LEASE_LOST:
        return None
    row = connection.execute(
        select(target_executions.c.lost_attempts).where(
            target_executions.c.id == claim.target_execution_id, target_executions.c.claim_token == claim.token
        )
    ).one_or_none()
    if row is None:
        return None
    move = _decide(claim, result, policy, lost_attempts=row.lost_attempts)
    limited = max_parallelism is not None and claim.elastic_pool_name is not None
    if not _apply(connection, database, claim, result, move, limited=limited):
        # A retry is refused when the run was canceled meanwhile: the failed attempt was its last.
        move = _Move(Lifecycle.CANCELED, f"Canceled. The last attempt: {result.message}")
        if not _apply(connection, database, claim, result, move, limited=limited):
            return None
    keep_messages(connection, [(claim, result.messages)])
    slots.pass_admission(connection, database, claim.step_uid, claim.elastic_pool_name)
    handed_on = slots.hand_over(connection, database)
    following = None
    if handed_on is not None and claimant is not None:
        following = claims.claim_target(connection, database, handed_on, claimant.token, claimant.holder)
    return Recorded(lifecycle=move.to, retry_after=move.retry_after, handed_on=handed_on, following=following)


def find_recorded(connection: Connection, claim: TargetClaim, claimant: Claimant) -> Recorded | None:
    """What an earlier ``record`` did whose commit was not confirmed; None when it handed nothing on or did nothing.

    A claim that stands under the claimant's token can only have been made by it.
    """
    following = claims.find_target_claim(connection, claimant.token)
    if following is None:
        return None
    own = target_executions.c
    lifecycle = connection.execute(select(own.lifecycle).where(own.id == claim.target_execution_id)).scalar_one()
    return Recorded(
        lifecycle=Lifecycle(lifecycle),
        retry_after=None,
        handed_on=following.target_execution_id,
        following=following,
    )


def _decide(claim: TargetClaim, result: AttemptResult, policy: RetryPolicy, *, lost_attempts: int) -> _Move:
    failures = claim.failed_attempts + 1
    if result.outcome is Outcome.BUSY:
        if lost_attempts < LOST_LIMIT:
            return _Move(Lifecycle.WAITING_FOR_RETRY, result.message, BUSY_DELAY)
        return _Move(Lifecycle.FAILED, result.message)
    if result.outcome is Outcome.FAILED and policy.may_retry(failures):
        delay = policy.delay(failures)
        message = f"{result.message} Retry {failures} of {policy.attempts} begins after {delay.total_seconds():g} s."
        return _Move(Lifecycle.WAITING_FOR_RETRY, message, delay)
    return _Move(Lifecycle(result.outcome.value), result.message)


def _apply(
    connection: Connection,
    database: JobDatabase,
    claim: TargetClaim,
    result: AttemptResult,
    move: _Move,
    *,
    limited: bool,
) -> bool:
    columns = target_executions.c
    statement = (
        update(target_executions)
        .where(columns.id == claim.target_execution_id, columns.claim_token == claim.token)
        .where(reachable(Level.TARGET, move.to))
        .values(**_move_columns(database, move), error_number=result.error_number)
    )
    if result.outcome is Outcome.FAILED:
        statement = statement.values(failed_attempts=columns.failed_attempts + 1)
    if result.outcome is Outcome.BUSY:
        statement = statement.values(lost_attempts=columns.lost_attempts + 1)
    if move.retry_after is not None:
        # It gets in line again: behind those being served now, and where its pool has a limit, for admission too.
        statement = statement.where(columns.cancel_requested == NO).values(
            turn=slots.current_turn(connection), admitted=not limited
        )
    return changed(connection, statement) == 1


def _move_columns(database: JobDatabase, move: _Move) -> dict[str, Any]:
    return {
        **into(database, move.to),
        **UNCLAIMED,
        "dispatch_time": None,
        "next_attempt_start_time": None if move.retry_after is None else database.now(move.retry_after),
        "last_message": move.message,
    }


def keep_messages(connection: Connection, said: Iterable[tuple[TargetClaim, Sequence[CapturedMessage]]]) -> None:
    """Keep what was said during some attempts."""
    rows = [
        {
            "target_execution_id": claim.target_execution_id,
            "attempt": claim.attempt,
            "ordinal": ordinal,
            "batch": message.batch,
            "kind": message.kind.value,
            "number": message.number,
            "row_count": message.row_count,
            "text": message.text,
        }
        for claim, messages in said
        for ordinal, message in enumerate(messages, start=1)
    ]
    if rows:
        connection.execute(insert(target_messages), rows)

"""Laws broken on purpose, one at a time, so that the suite can show that it notices.

claim_without_token  An outcome is recorded by id alone: neither claim token nor state guards it. A worker that lost its
                     claim overwrites what another has done.
count_then_insert    Free slots are counted in a transaction of their own, before the one that takes them. Within the
                     taking transaction SQLite's write lock would put the two in order again, so the count has to be
                     outside to be wrong.
check_before_commit  Whether a target is its step's last one is asked, and the run moved on, before the target's own
                     end is committed. That a step is left open because two last ones each saw the other is mended by
                     the tick within a second, so the break is the other side of it: a step that ends too early.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select, update

from elastic_jobs.agent.worker import TargetWorker
from elastic_jobs.domain.lifecycle import Lifecycle, roll_up
from elastic_jobs.domain.outcome import AttemptResult, Outcome
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import step_executions, target_executions
from elastic_jobs.jobdb.executions import outcomes, recording, slots
from elastic_jobs.jobdb.executions.claims import TargetClaim
from elastic_jobs.jobdb.executions.common import YES, into
from tests.chaos.points import replace

BREAKS = ("claim_without_token", "count_then_insert", "check_before_commit")
WINDOW_SECONDS = 0.15
"""Between counting and taking; a busy machine has such pauses of its own."""
EMPHASIS = {"claim_without_token": ("freeze",), "count_then_insert": ("rush",), "check_before_commit": ()}
"""What a run must hold for a break to show: a worker that hangs beyond its lease, jobs that start at once."""

_here = threading.local()


def install(name: str) -> None:
    """Break a law in this process; "" breaks none.

    Raises:
        ValueError: there is no such break.
    """
    if name:
        if name not in BREAKS:
            raise ValueError(f"There is no break '{name}'; known are {', '.join(BREAKS)}.")
        {
            "claim_without_token": _claim_without_token,
            "count_then_insert": _count_then_insert,
            "check_before_commit": _check_before_commit,
        }[name]()


def _claim_without_token() -> None:
    def record(
        connection: Connection,
        database: JobDatabase,
        claim: TargetClaim,
        result: AttemptResult,
        policy: RetryPolicy,
        **_: object,
    ) -> outcomes.Recorded | None:
        if result.outcome is Outcome.LEASE_LOST:
            return None
        move = outcomes._decide(claim, result, policy, lost_attempts=0)
        columns, failed = target_executions.c, result.outcome is Outcome.FAILED
        connection.execute(
            update(target_executions)
            .where(columns.id == claim.target_execution_id)
            .values(**outcomes._move_columns(database, move), error_number=result.error_number)
            .values(failed_attempts=columns.failed_attempts + failed)
            .values(lost_attempts=columns.lost_attempts + (result.outcome is Outcome.BUSY))
        )
        slots.pass_admission(connection, database, claim.step_uid, claim.elastic_pool_name)
        return outcomes.Recorded(
            lifecycle=move.to, retry_after=move.retry_after, handed_on=slots.hand_over(connection, database)
        )

    def record_successes(
        connection: Connection, database: JobDatabase, endings: Sequence[recording.Ending]
    ) -> dict[UUID, outcomes.Recorded | None]:
        return {
            ending.claim.token: record(connection, database, ending.claim, ending.result, ending.policy)
            for ending in endings
        }

    replace(outcomes, "record", lambda _: record)
    replace(recording, "_record_successes", lambda _: record_successes)


def _count_then_insert() -> None:
    count: Callable[[Connection], int] = slots.free_slots

    def writing(original: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def write(self: JobDatabase) -> Iterator[Connection]:
            with self.read() as connection:
                _here.free = count(connection)
            time.sleep(WINDOW_SECONDS)
            with original(self) as connection:
                yield connection

        return write

    def handing(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def hand_over(*args: Any) -> Any:
            _here.free += 1  # the slot that this transaction has just freed
            return original(*args)

        return hand_over

    replace(slots, "free_slots", lambda _: lambda _connection: _here.free)
    replace(slots, "hand_over", handing)
    replace(JobDatabase, "write", writing)


def _check_before_commit() -> None:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def record(self: Any, claim: TargetClaim, run: Any, result: AttemptResult, *others: Any) -> Any:
            if result.outcome is not Outcome.LEASE_LOST and _is_last(self._database, claim):
                _end_step(self._database, claim, Lifecycle.SUCCEEDED)
                self._flow.advance([claim.job_execution_id])
            return original(self, claim, run, result, *others)

        return record

    replace(TargetWorker, "_record", make)


def _is_last(database: JobDatabase, claim: TargetClaim) -> bool:
    columns = target_executions.c
    with database.read() as connection:
        others = select(columns.id).where(
            columns.step_execution_id == claim.step_execution_id,
            columns.is_active == YES,
            columns.id != claim.target_execution_id,
        )
        return connection.execute(others.limit(1)).first() is None


def _end_step(database: JobDatabase, claim: TargetClaim, mine: Lifecycle) -> None:
    columns = target_executions.c
    with database.write() as connection:
        rows = connection.execute(
            select(columns.lifecycle, func.count())
            .where(columns.step_execution_id == claim.step_execution_id, columns.id != claim.target_execution_id)
            .group_by(columns.lifecycle)
        )
        children = {Lifecycle(lifecycle): number for lifecycle, number in rows}
        children[mine] = children.get(mine, 0) + 1
        connection.execute(
            update(step_executions)
            .where(step_executions.c.id == claim.step_execution_id, step_executions.c.is_active == YES)
            .values(**into(database, roll_up(children, cancel_requested=False)), dispatch_time=None)
        )

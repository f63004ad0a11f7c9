"""Every pair of moves, the second one before each statement of the first: who wins is open, the laws are not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

import pytest
from sqlalchemy import Connection, select

from elastic_jobs.domain.lifecycle import Level
from elastic_jobs.domain.outcome import AttemptResult, Outcome
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions
from elastic_jobs.jobdb.executions import advancing, canceling, claims, planning, repairs, slots
from tests.jobdb.conftest import Engine, databases
from tests.jobdb.record import record
from tests.jobdb.test_attack_interleavings import meanwhile

CAPACITY, LIMIT = 3, 2


class Situation:
    """A run with a target that runs, some that hold a slot, some that wait; a second run about to be planned."""

    def __init__(self, engine: Engine) -> None:
        engine.define(capacity=CAPACITY, steps=2, max_parallelism=LIMIT)
        self.database, self.engine = engine.database, engine
        self.run, dispatched = engine.planned([*databases(3, pool="p1"), *databases(2, prefix="single")])
        claim = engine.claim(dispatched[0])
        assert claim is not None
        self.running, self.sent = claim, dispatched[1]
        started = engine.start()
        assert started.step_execution_id is not None
        step = engine.claim_step(started.step_execution_id)
        assert step is not None
        self.second, self.step = started.execution_id, step

    def record(self, connection: Connection, outcome: Outcome, *, go_on: bool = False) -> object:
        result = AttemptResult(outcome=outcome, message="x")
        policy = RetryPolicy(attempts=1, initial_interval_seconds=60)
        claimant = claims.Claimant(token=uuid4(), holder=self.engine.holder) if go_on else None
        return record(connection, self.database, self.running, result, policy, max_parallelism=LIMIT, claimant=claimant)

    def plan(self, connection: Connection) -> object:
        targets = databases(3, pool="p1", prefix="new")
        return planning.plan(connection, self.database, self.step, self.engine.steps[0], targets, uuid4)


MOVES: dict[str, Callable[[Situation, Connection], object]] = {
    "cancel": lambda s, c: canceling.request_cancel(c, s.database, s.run),
    "cancel the second": lambda s, c: canceling.request_cancel(c, s.database, s.second),
    "plan": lambda s, c: s.plan(c),
    "claim": lambda s, c: claims.claim_target(c, s.database, s.sent, uuid4(), s.engine.holder),
    "succeed": lambda s, c: s.record(c, Outcome.SUCCEEDED),
    "succeed and go on": lambda s, c: s.record(c, Outcome.SUCCEEDED, go_on=True),
    "fail": lambda s, c: s.record(c, Outcome.FAILED),
    "fail and go on": lambda s, c: s.record(c, Outcome.FAILED, go_on=True),
    "expire": lambda s, c: repairs.expire_claims(c, s.database, Level.TARGET),
    "expire steps": lambda s, c: repairs.expire_claims(c, s.database, Level.STEP),
    "send again": lambda s, c: repairs.unsent(c, s.database, Level.TARGET),
    "advance": lambda s, c: advancing.advance(c, s.database, s.run, uuid4),
    "take": lambda s, c: slots.take(c, s.database),
}


def _broken(connection: Connection) -> list[str]:
    """The laws that do not hold."""
    found: list[str] = []
    asked = select(job_executions.c.id).where(job_executions.c.cancel_request_time.is_not(None))
    canceled = set(connection.execute(asked).scalars())
    steps = connection.execute(select(step_executions)).all()
    targets = connection.execute(select(target_executions)).all()
    if sum(row.dispatch_time is not None for row in targets) > CAPACITY:
        found.append("capacity")
    if sum(bool(row.is_active and row.admitted and row.elastic_pool_name) for row in targets) > LIMIT:
        found.append("max_parallelism")
    for row in [*steps, *targets]:
        if row.job_execution_id in canceled and row.is_active and not row.cancel_requested:
            found.append(f"{row.id} was not told of the cancel")
        if row.job_execution_id in canceled and row.lifecycle in {"Created", "WaitingForRetry"}:
            found.append(f"{row.id} waits in a canceled run")
    return found


class _UndoError(Exception):
    """The play is over; the next one begins with the same rows."""


def _play(situation: Situation, first: str, second: str, number: int) -> tuple[list[str], bool]:
    """The laws that are broken after ``second`` came before statement ``number`` of ``first``; whether it had to wait.

    Raises:
        LookupError: ``first`` has fewer statements.
    """
    broken: list[str] = []
    waited = False
    database = situation.database
    with suppress(_UndoError), database.write() as connection:
        with (
            meanwhile(connection, "", number, lambda c: MOVES[second](situation, c)) as play,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(database, "lock", play.lock)
            MOVES[first](situation, connection)
        broken, waited = _broken(connection), play.waited
        raise _UndoError
    return broken, waited


@pytest.mark.parametrize("first", list(MOVES))
def test_the_laws_hold_wherever_one_move_comes_between_the_statements_of_another(engine: Engine, first: str) -> None:
    situation = Situation(engine)
    engine.clock.move(seconds=31)  # the leases are over: claims can be taken back, or still be recorded
    played = 0
    for second in MOVES:
        for number in range(1, 1000):
            try:
                broken, waited = _play(situation, first, second, number)
            except LookupError:
                break
            assert broken == [], f"{second} before statement {number} of {first}"
            played += 1
            if waited:
                break  # later it waits as well
    assert played >= len(MOVES)

"""Two transactions at once, where the job database lets them in between each other's statements.

SQLite has one writer, SQL Server has many: there another transaction can commit between any two statements of one
that is under way (READ COMMITTED, with or without row versions). ``meanwhile`` plays that: it does the other
transaction's work on the same connection just before a chosen statement, so that what is read before it is stale and
what is written after it meets the new rows. Only interleavings are played in which neither side holds a lock that the
other one needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, delete, event, select
from sqlalchemy.exc import IntegrityError

from elastic_jobs.domain.lifecycle import Level
from elastic_jobs.domain.outcome import AttemptResult, Outcome
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.errors import ElasticJobsError
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions
from elastic_jobs.jobdb.executions import advancing, canceling, claims, outcomes, planning, repairs, starting
from elastic_jobs.jobdb.tables import jobs
from tests.jobdb.conftest import Engine, databases


@contextmanager
def meanwhile(
    connection: Connection, statement: str, number: int, other: Callable[[Connection], object]
) -> Iterator[None]:
    """Do ``other`` just before the ``number``-th statement that begins with ``statement``; once."""
    seen, done = [0], [False]

    def before(conn: Connection, cursor: Any, sql: str, *rest: Any) -> None:
        if done[0] or not sql.replace("main.", "").startswith(statement):
            return
        seen[0] += 1
        if seen[0] == number:
            done[0] = True
            other(connection)

    event.listen(connection, "before_cursor_execute", before)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", before)
    if not done[0]:
        raise LookupError(f"There was no statement number {number} that begins with '{statement}'.")


def test_the_playing_of_interleavings_notices_a_statement_that_never_came(engine: Engine) -> None:
    with pytest.raises(LookupError, match="no statement number 1"), engine.database.write() as connection:
        with meanwhile(connection, "DELETE", 1, lambda _: None):
            connection.execute(select(jobs.c.id))


def _claimed_step(engine: Engine) -> tuple[UUID, claims.StepClaim]:
    started = engine.start()
    assert started.step_execution_id is not None
    claim = engine.claim_step(started.step_execution_id)
    assert claim is not None
    return started.execution_id, claim


def _runs_on(engine: Engine, execution: UUID) -> list[str]:
    """Targets of a run that are active although nobody told them to stop."""
    with engine.database.read() as connection:
        query = select(target_executions.c.database_name).where(
            target_executions.c.job_execution_id == execution,
            target_executions.c.is_active == 1,
            target_executions.c.cancel_requested.is_(False),
        )
        return sorted(connection.execute(query).scalars())


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="cancel treats targets before steps: a plan that commits in between is missed",
)
def test_cancel_stops_targets_that_are_planned_at_the_same_moment(engine: Engine) -> None:
    engine.define()
    execution, claim = _claimed_step(engine)
    with engine.database.write() as connection:
        plan = lambda c: planning.plan(c, engine.database, claim, engine.steps[0], databases(3), uuid4)  # noqa: E731
        with meanwhile(connection, "UPDATE step_executions", 1, plan):
            canceling.request_cancel(connection, engine.database, execution)
    assert _runs_on(engine, execution) == []


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="a target claimed between cancel's two statements is neither flagged nor ended",
)
def test_cancel_stops_a_target_that_is_claimed_at_the_same_moment(engine: Engine) -> None:
    engine.define()
    execution, dispatched = engine.planned(databases(3))
    with engine.database.write() as connection:
        claim = lambda c: claims.claim_target(c, engine.database, dispatched[0], uuid4(), engine.holder)  # noqa: E731
        with meanwhile(connection, "UPDATE target_executions", 2, claim):
            canceling.request_cancel(connection, engine.database, execution)
    assert _runs_on(engine, execution) == []


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="advance decides on a run row that it read before the cancel was committed",
)
def test_no_step_begins_after_a_cancel_that_came_while_the_step_before_it_ended(engine: Engine) -> None:
    engine.define(steps=2)
    execution, dispatched = engine.planned(databases(1))
    engine.run_all(dispatched)
    with engine.database.write() as connection:
        cancel = lambda c: canceling.request_cancel(c, engine.database, execution)  # noqa: E731
        with meanwhile(connection, "UPDATE step_executions", 1, cancel):
            following = advancing.advance(connection, engine.database, execution, uuid4)
    assert following is None or engine.claim_step(following) is None


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="a second cancel of an active run does not flag what the first one missed",
)
def test_a_repeated_cancel_reaches_what_the_first_one_missed(engine: Engine) -> None:
    engine.define()
    execution, dispatched = engine.planned(databases(1))
    with engine.database.write() as connection:
        claim = lambda c: claims.claim_target(c, engine.database, dispatched[0], uuid4(), engine.holder)  # noqa: E731
        with meanwhile(connection, "UPDATE target_executions", 2, claim):
            canceling.request_cancel(connection, engine.database, execution)
    engine.cancel(execution)
    assert _runs_on(engine, execution) == []


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="unsent's UPDATE does not repeat the condition its SELECT chose the rows by",
)
def test_a_retry_that_begins_to_wait_while_lost_messages_are_sought_keeps_its_delay(engine: Engine) -> None:
    engine.define()
    _, dispatched = engine.planned(databases(1))
    engine.clock.move(seconds=repairs.RESEND_AFTER.total_seconds() + 1)

    def fail(connection: Connection) -> None:
        claim = claims.claim_target(connection, engine.database, dispatched[0], uuid4(), engine.holder)
        assert claim is not None
        result = AttemptResult(outcome=Outcome.FAILED, message="It failed.")
        policy = RetryPolicy(attempts=3, initial_interval_seconds=60)
        assert outcomes.record(connection, engine.database, claim, result, policy) is not None

    with engine.database.write() as connection, meanwhile(connection, "UPDATE target_executions", 1, fail):
        repairs.unsent(connection, engine.database, Level.TARGET)
    assert engine.row(dispatched[0])["dispatch_time"] is None
    assert engine.claim(dispatched[0]) is None


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="start reads the job without keeping it, and executions have no key to jobs",
)
def test_a_job_that_is_deleted_while_it_is_started_has_no_run_afterwards(engine: Engine) -> None:
    engine.define()

    def remove(connection: Connection) -> None:
        connection.execute(delete(jobs).where(jobs.c.id == engine.job_id))

    try:
        with engine.database.write() as connection:
            with meanwhile(connection, "INSERT INTO job_executions", 1, remove):
                starting.start(connection, engine.database, "job1", ids=uuid4)
    except ElasticJobsError:
        pass
    with engine.database.read() as connection:
        assert connection.execute(select(job_executions.c.id)).all() == []


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="claim_step and advance lock step then run, cancel locks run then step: deadlock",
)
def test_everybody_changes_run_and_step_in_the_same_order(engine: Engine) -> None:
    """Else two transactions wait for each other, and SQL Server kills one of them (error 1205)."""
    engine.define()
    started = engine.start()
    assert started.step_execution_id is not None
    orders = set()
    for move in (
        lambda c: claims.claim_step(c, engine.database, started.step_execution_id, uuid4(), engine.holder),
        lambda c: canceling.request_cancel(c, engine.database, started.execution_id),
    ):
        written: list[str] = []

        def note(conn: Connection, cursor: Any, sql: str, *rest: Any, into: list[str] = written) -> None:
            table = sql.split()[1].removeprefix("main.") if sql.startswith("UPDATE") else ""
            if table in {job_executions.name, step_executions.name} and table not in into:
                into.append(table)

        with engine.database.write() as connection:
            event.listen(connection, "before_cursor_execute", note)
            move(connection)
            event.remove(connection, "before_cursor_execute", note)
        orders.add(tuple(written))
    assert len(orders) == 1


def test_a_lease_that_is_renewed_while_lost_claims_are_sought_is_kept(engine: Engine) -> None:
    engine.define()
    execution, dispatched = engine.planned(databases(1))
    assert engine.claim(dispatched[0]) is not None
    engine.clock.move(seconds=29)
    with engine.database.write() as connection:
        claims.renew(connection, engine.database, Level.TARGET, engine.holder)
        assert repairs.expire_claims(connection, engine.database, Level.TARGET) == []
    engine.clock.move(seconds=31)

    def record(connection: Connection) -> None:
        token = connection.execute(select(target_executions.c.claim_token)).scalar_one()
        claim = claims._target_claim(connection.execute(select(target_executions)).one(), token)
        result = AttemptResult(outcome=Outcome.SUCCEEDED, message="It succeeded.")
        assert outcomes.record(connection, engine.database, claim, result, RetryPolicy()) is not None

    with engine.database.write() as connection, meanwhile(connection, "UPDATE target_executions", 1, record):
        assert repairs.expire_claims(connection, engine.database, Level.TARGET) == []
    assert engine.target_states(execution) == {"db0": "Succeeded"}


def test_a_plan_whose_claim_was_lost_meanwhile_writes_nothing(engine: Engine) -> None:
    engine.define()
    execution, claim = _claimed_step(engine)
    engine.clock.move(seconds=31)
    with engine.database.write() as connection:
        (lost,) = repairs.expire_claims(connection, engine.database, Level.STEP)
    assert lost.lifecycle == "WaitingForRetry"
    assert engine.plan(claim, databases(3)) is None
    with engine.database.write() as connection:
        assert repairs.unsent(connection, engine.database, Level.STEP) == [claim.step_execution_id]
    heir = engine.claim_step(claim.step_execution_id)
    assert heir is not None
    assert engine.plan(claim, databases(3)) is None
    with engine.database.write() as connection:
        assert not planning.planning_failed(connection, engine.database, claim, "no", timedelta())
        assert not planning.abandon_canceled(connection, engine.database, claim)
    assert engine.plan(heir, databases(2)) is not None
    assert len(engine.target_states(execution)) == 2


@pytest.mark.xfail(
    strict=True, raises=IntegrityError, reason="a step taken back has no dispatch_time, its claim needs one"
)
def test_a_message_that_comes_before_a_lost_step_was_sent_again_is_no_error(engine: Engine) -> None:
    engine.define()
    _, claim = _claimed_step(engine)
    engine.clock.move(seconds=31)
    with engine.database.write() as connection:
        repairs.expire_claims(connection, engine.database, Level.STEP)
    assert engine.claim_step(claim.step_execution_id) is not None

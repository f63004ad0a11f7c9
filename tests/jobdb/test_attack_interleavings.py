"""Two transactions at once, where the job database lets them in between each other's statements.

SQLite has one writer, SQL Server has many: there another transaction can commit between any two statements of one
that is under way (READ COMMITTED, with or without row versions). ``meanwhile`` plays that: it does the other
transaction's work on the same connection just before a chosen statement, so that what is read before it is stale and
what is written after it meets the new rows. A transaction that touches a table in which the first one has changed
rows, or asks for an application lock which the first one holds, has to wait, and is played after the first one's last
statement.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, event, select, update

from elastic_jobs.domain.lifecycle import Level
from elastic_jobs.domain.outcome import AttemptResult, Outcome
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.errors import ElasticJobsError
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions
from elastic_jobs.jobdb.executions import advancing, canceling, claims, planning, purging, repairs, starting
from elastic_jobs.jobdb.tables import jobs
from tests.jobdb.conftest import Engine, databases
from tests.jobdb.record import record

# Played on one connection of SQLite, where every interleaving can be chosen. On SQL Server the threads and processes of
# test_attack_crashes meet each other as it happens.
pytestmark = pytest.mark.usefixtures("only_sqlite")


class _WaitsError(Exception):
    """The other transaction needs a lock that the first one holds."""


class Meanwhile:
    """Does ``other`` just before the ``number``-th statement that begins with ``statement``; once."""

    def __init__(
        self, connection: Connection, statement: str, number: int, other: Callable[[Connection], object]
    ) -> None:
        self._connection, self._other = connection, other
        self._statement, self._number = statement, number
        self._held: set[str] = set()
        self._playing = False
        self.played = False
        self.waited = False

    def before(self, conn: Connection, cursor: Any, sql: str, *rest: Any) -> None:
        del conn, cursor, rest
        sql = sql.replace("main.", "")
        if self._playing and self._held.intersection(re.findall(r"\w+", sql)):
            raise _WaitsError
        if not self._playing and not self.played and sql.startswith(self._statement):
            self._number -= 1
            if self._number == 0:
                self._play()

    def after(self, conn: Connection, cursor: Any, sql: str, *rest: Any) -> None:
        del conn, rest
        changes = re.match(r"(?:UPDATE|DELETE FROM) (?:main\.)?(\w+)", sql)
        # No row changed, no lock. The rows that RETURNING tells of are counted only when they are read.
        if not self._playing and changes is not None and (cursor.rowcount != 0 or "RETURNING" in sql):
            self._held.add(changes.group(1))

    def lock(self, connection: Connection, resource: str) -> None:
        """In place of ``JobDatabase.lock``, which SQLite needs not."""
        del connection
        if self._playing and f"lock {resource}" in self._held:
            raise _WaitsError
        if not self._playing:
            self._held.add(f"lock {resource}")

    def _play(self) -> None:
        self.played = self._playing = True
        try:
            with self._connection.begin_nested():
                self._other(self._connection)
        except _WaitsError:
            self.waited = True
        finally:
            self._playing = False

    def finish(self) -> None:
        """The first transaction is over: who waited for it goes on."""
        if not self.played:
            raise LookupError(f"There was no statement that begins with '{self._statement}' so often.")
        if self.waited:
            self._other(self._connection)


@contextmanager
def meanwhile(
    connection: Connection, statement: str, number: int, other: Callable[[Connection], object]
) -> Iterator[Meanwhile]:
    """Play ``other`` as described above while the block's transaction runs.

    Raises:
        LookupError: the statement never came.
    """
    play = Meanwhile(connection, statement, number, other)
    event.listen(connection, "before_cursor_execute", play.before)
    event.listen(connection, "after_cursor_execute", play.after)
    try:
        yield play
    finally:
        event.remove(connection, "after_cursor_execute", play.after)
        event.remove(connection, "before_cursor_execute", play.before)
    play.finish()


def test_the_playing_of_interleavings_notices_a_statement_that_never_came(engine: Engine) -> None:
    with (
        pytest.raises(LookupError, match="no statement that begins"),
        engine.database.write() as connection,
        meanwhile(connection, "DELETE", 1, lambda _: None),
    ):
        connection.execute(select(jobs.c.id))


def test_a_transaction_that_needs_the_locks_of_another_is_played_after_it(engine: Engine) -> None:
    engine.define()

    def rename(connection: Connection) -> None:
        connection.execute(update(jobs).values(name="Job2"))

    with (
        engine.database.write() as connection,
        meanwhile(connection, "SELECT", 1, rename) as play,
    ):
        connection.execute(update(jobs).values(description="changed"))
        assert connection.execute(select(jobs.c.name)).scalar_one() == "Job1"
        assert play.waited
    with engine.database.read() as connection:
        assert connection.execute(select(jobs.c.name)).scalar_one() == "Job2"


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


def test_cancel_stops_targets_that_are_planned_at_the_same_moment(engine: Engine) -> None:
    engine.define()
    execution, claim = _claimed_step(engine)
    with engine.database.write() as connection:
        plan = lambda c: planning.plan(c, engine.database, claim, engine.steps[0], databases(3), uuid4)  # noqa: E731
        with meanwhile(connection, "UPDATE step_executions", 1, plan):
            canceling.request_cancel(connection, engine.database, execution)
    assert _runs_on(engine, execution) == []


@pytest.mark.parametrize("number", [1, 2])
def test_cancel_stops_a_target_that_is_claimed_at_the_same_moment(engine: Engine, number: int) -> None:
    engine.define()
    execution, dispatched = engine.planned(databases(3))
    with engine.database.write() as connection:
        claim = lambda c: claims.claim_target(c, engine.database, dispatched[0], uuid4(), engine.holder)  # noqa: E731
        with meanwhile(connection, "UPDATE target_executions", number, claim):
            canceling.request_cancel(connection, engine.database, execution)
    assert _runs_on(engine, execution) == []


@pytest.mark.parametrize("statement", ["UPDATE job_executions", "SELECT", "UPDATE step_executions"])
def test_no_step_begins_after_a_cancel_that_came_while_the_step_before_it_ended(engine: Engine, statement: str) -> None:
    engine.define(steps=2)
    execution, dispatched = engine.planned(databases(1))
    engine.run_all(dispatched)
    with engine.database.write() as connection:
        cancel = lambda c: canceling.request_cancel(c, engine.database, execution)  # noqa: E731
        with meanwhile(connection, statement, 1, cancel):
            following = advancing.advance(connection, engine.database, execution, uuid4).following
    assert following is None or engine.claim_step(following) is None


@pytest.mark.parametrize("number", [1, 2])
def test_a_repeated_cancel_reaches_what_the_first_one_missed(engine: Engine, number: int) -> None:
    engine.define()
    execution, dispatched = engine.planned(databases(1))
    with engine.database.write() as connection:
        claim = lambda c: claims.claim_target(c, engine.database, dispatched[0], uuid4(), engine.holder)  # noqa: E731
        with meanwhile(connection, "UPDATE target_executions", number, claim):
            canceling.request_cancel(connection, engine.database, execution)
    engine.cancel(execution)
    assert _runs_on(engine, execution) == []


def test_a_retry_that_begins_to_wait_while_lost_messages_are_sought_keeps_its_delay(engine: Engine) -> None:
    engine.define()
    _, dispatched = engine.planned(databases(1))
    engine.clock.move(seconds=repairs.RESEND_SECONDS[0] + 1)

    def fail(connection: Connection) -> None:
        claim = claims.claim_target(connection, engine.database, dispatched[0], uuid4(), engine.holder)
        assert claim is not None
        result = AttemptResult(outcome=Outcome.FAILED, message="It failed.")
        policy = RetryPolicy(attempts=3, initial_interval_seconds=60)
        assert record(connection, engine.database, claim, result, policy) is not None

    with engine.database.write() as connection, meanwhile(connection, "UPDATE target_executions", 1, fail):
        repairs.unsent(connection, engine.database, Level.TARGET)
    assert engine.row(dispatched[0])["dispatch_time"] is None
    assert engine.claim(dispatched[0]) is None


@pytest.mark.parametrize(
    ("statement", "number"), [("SELECT", 1), ("UPDATE jobs", 1), ("INSERT INTO job_executions", 1)]
)
def test_a_job_that_is_deleted_while_it_is_started_has_no_run_afterwards(
    engine: Engine, statement: str, number: int
) -> None:
    engine.define()

    def remove(connection: Connection) -> None:
        """As the API and then the caretaker do it."""
        connection.execute(update(jobs).values(delete_time=engine.clock.now()))
        repairs.delete_job(connection, engine.job_id)

    with (
        engine.database.write() as connection,
        meanwhile(connection, statement, number, remove),
        suppress(ElasticJobsError),
    ):
        starting.start(connection, engine.database, "job1", ids=uuid4)
    _take_care_of_deleted_jobs(engine)
    with engine.database.read() as connection:
        assert connection.execute(select(job_executions.c.id)).all() == []
        assert connection.execute(select(jobs.c.id)).all() == []


def _take_care_of_deleted_jobs(engine: Engine) -> None:
    with engine.database.write() as connection:
        for run in canceling.runs_of_deleted_jobs(connection):
            canceling.request_cancel(connection, engine.database, run)
            advancing.advance(connection, engine.database, run, uuid4)
        while purging.purge_some(connection, engine.clock.now() + timedelta(days=1), engine.job_id):
            pass
        for job_id in repairs.jobs_to_delete(connection):
            repairs.delete_job(connection, job_id)


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
    held = engine.claim(dispatched[0])
    assert held is not None
    engine.clock.move(seconds=29)
    (renewed,) = engine.renew(held)
    assert renewed.token == held.token
    with engine.database.write() as connection:
        assert repairs.expire_claims(connection, engine.database, Level.TARGET) == []
    engine.clock.move(seconds=31)

    def end(connection: Connection) -> None:
        token = connection.execute(select(target_executions.c.claim_token)).scalar_one()
        claim = claims._target_claim(connection.execute(select(target_executions)).one(), token)
        result = AttemptResult(outcome=Outcome.SUCCEEDED, message="It succeeded.")
        assert record(connection, engine.database, claim, result, RetryPolicy()) is not None

    with engine.database.write() as connection, meanwhile(connection, "UPDATE target_executions", 1, end):
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


def test_a_message_that_comes_before_a_lost_step_was_sent_again_is_no_error(engine: Engine) -> None:
    engine.define()
    _, claim = _claimed_step(engine)
    engine.clock.move(seconds=31)
    with engine.database.write() as connection:
        repairs.expire_claims(connection, engine.database, Level.STEP)
    assert engine.claim_step(claim.step_execution_id) is not None

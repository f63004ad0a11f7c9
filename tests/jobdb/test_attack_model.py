"""The engine under arbitrary orders of moves: workers that record late or never, ticks, cancels, clocks that jump.

A message is nothing but the knowledge of an id, so "lost", "doubled", "late" and "forged" messages are all the same
here: any id may be tried at any time. After every move the laws are read from the tables; at the end of every example
the tick alone, with a worker that does what it is told, has to bring every run to its end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Table, select, update

from elastic_jobs.agent.caretaker import Caretaker
from elastic_jobs.agent.flow import Flow
from elastic_jobs.agent.scheduler import Scheduler
from elastic_jobs.domain.lifecycle import Level
from elastic_jobs.domain.outcome import Outcome
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.domain.targets import TargetDatabase
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions
from elastic_jobs.jobdb.executions import claims, outcomes, planning, slots
from elastic_jobs.jobdb.executions.claims import Claimant, Holder, StepClaim, TargetClaim
from elastic_jobs.jobdb.tables import agent
from tests.jobdb.conftest import Engine, ManualClock
from tests.jobdb.places import Places

RETRIES = 2
LEVELS: dict[str, Table] = {"job": job_executions, "step": step_executions, "target": target_executions}
outcomes_of_attempts = st.sampled_from([outcome for outcome in Outcome if outcome is not Outcome.LEASE_LOST])
choice = st.integers(min_value=0, max_value=10_000)


@dataclass
class Memory:
    """An outbox: the ids that somebody was told."""

    steps: list[UUID]
    targets: list[UUID]

    def wake_steps(self, ids: Iterable[UUID], delay: timedelta = timedelta()) -> None:
        del delay
        self.steps += ids

    def wake_targets(self, ids: Iterable[UUID], delay: timedelta = timedelta()) -> None:
        del delay
        self.targets += ids

    def alarm(self, due: datetime, delay: timedelta) -> None:
        """Nothing is scheduled here."""
        del due, delay


class Model(RuleBasedStateMachine):
    places: Places

    def __init__(self) -> None:
        super().__init__()
        clock = ManualClock()
        self.database = self.places.clean(clock)
        # Ids decide between targets of one turn: with others each time, a run that is repeated would go another way.
        dice = Random(1)  # noqa: S311  an order, no secret

        def ids() -> UUID:
            return UUID(int=dice.getrandbits(128), version=4)

        self.ids = ids
        self.engine = Engine(self.database, clock, ids)
        self.engine.policy = RetryPolicy(attempts=RETRIES, initial_interval_seconds=3)
        self.outbox = Memory([], [])
        self.flow = Flow(self.database, self.outbox, ids)
        caretaker = Caretaker(self.database, self.outbox, self.flow, clock, keep_history=timedelta(days=45))
        self.scheduler = Scheduler(self.database, self.outbox, caretaker, clock, ids, pause=lambda _: None)
        self.holders = [Holder(instance=ids(), lease=timedelta(seconds=30)) for _ in range(2)]
        self.executions: list[UUID] = []
        self.step_claims: list[StepClaim] = []
        self.claims: list[TargetClaim] = []
        self.ended: dict[UUID, dict[str, Any]] = {}
        self.slots_before = 0
        self.seen: dict[str, list[dict[str, Any]]] = {}
        self.limit: int | None = None

    @initialize(capacity=st.integers(1, 6), limit=st.none() | st.integers(1, 2), steps=st.integers(1, 2))
    def define(self, capacity: int, limit: int | None, steps: int) -> None:
        self.engine.define(capacity=capacity, steps=steps, max_parallelism=limit)
        self.capacity, self.limit = capacity, limit

    # What people do.

    @precondition(lambda self: len(self.executions) < 3)
    @rule()
    def start(self) -> None:
        started = self.engine.start()
        self.executions.append(started.execution_id)
        assert started.step_execution_id is not None
        self.outbox.steps.append(started.step_execution_id)

    @precondition(lambda self: self.executions)
    @rule(which=choice)
    def cancel(self, which: int) -> None:
        self.engine.cancel(self._pick(self.executions, which))

    @rule(capacity=st.integers(1, 6))
    def change_capacity(self, capacity: int) -> None:
        with self.database.write() as connection:
            connection.execute(update(agent).values(capacity=capacity))
        self.capacity = capacity

    # What workers do; any id, at any time, by any instance.

    @precondition(lambda self: self.outbox.steps)
    @rule(which=choice, holder=choice)
    def claim_step(self, which: int, holder: int) -> None:
        claim = self.engine.claim_step(self._pick(self.outbox.steps, which), self._pick(self.holders, holder))
        if claim is not None:
            self.step_claims.append(claim)

    @precondition(lambda self: self.step_claims)
    @rule(which=choice, count=st.integers(0, 6), pool=st.sampled_from([None, "p1", "p2"]), first=st.integers(0, 3))
    def plan(self, which: int, count: int, pool: str | None, first: int) -> None:
        claim = self._pick(self.step_claims, which)
        targets = [
            TargetDatabase(
                server_name="s1", database_name=f"db{number}", elastic_pool_name=pool if number % 3 else None
            )
            for number in range(first, first + count)
        ]
        planned = self.engine.plan(claim, targets)
        if planned is not None:
            self.outbox.targets += planned.dispatched

    @precondition(lambda self: self.step_claims)
    @rule(which=choice, retry=st.booleans())
    def fail_to_plan(self, which: int, retry: bool) -> None:
        claim = self._pick(self.step_claims, which)
        with self.database.write() as connection:
            after = timedelta(seconds=3) if retry else None
            planning.planning_failed(connection, self.database, claim, "It failed.", after)

    @precondition(lambda self: self._targets())
    @rule(which=choice, holder=choice, told=st.booleans())
    def claim_target(self, which: int, holder: int, told: bool) -> None:
        known = self.outbox.targets if told and self.outbox.targets else self._targets()
        self._claim(self._pick(known, which), self._pick(self.holders, holder))

    @precondition(lambda self: self.claims)
    @rule(which=choice, outcome=outcomes_of_attempts, advance=st.booleans(), go_on=st.booleans())
    def record(self, which: int, outcome: Outcome, advance: bool, go_on: bool) -> None:
        claim = self._pick(self.claims, which)
        claimant = Claimant(token=self.ids(), holder=self._pick(self.holders, which)) if go_on else None
        recorded = self.engine.record(claim, outcome, claimant)
        if recorded is not None and recorded.following is not None:
            assert recorded.following.target_execution_id == recorded.handed_on
            self.claims.append(recorded.following)
        elif recorded is not None and recorded.handed_on is not None:
            assert not go_on
            self.outbox.targets.append(recorded.handed_on)
        if advance:
            self.flow.target_ended(claim.step_execution_id, claim.job_execution_id)

    @rule(which=choice, holder=choice)
    def heartbeat(self, which: int, holder: int) -> None:
        """Any claims that an instance ever had, lost and ended ones too."""
        lease = self._pick(self.holders, holder).lease
        held: dict[Level, list[Any]] = {Level.STEP: [*self.step_claims], Level.TARGET: [*self.claims]}
        with self.database.write() as connection:
            for level, of_level in held.items():
                tokens = [claim.token for claim in of_level[which % (len(of_level) + 1) :]]
                renewed = claims.renew(connection, self.database, level, tokens, lease)
                assert {claim.token for claim in renewed} <= set(tokens)

    @precondition(lambda self: self.executions)
    @rule(which=choice)
    def advance(self, which: int) -> None:
        self.flow.advance([self._pick(self.executions, which)])

    # What time does.

    @rule(seconds=st.sampled_from([1, 3, 6, 15, 25, 31, 3600]))
    def wait(self, seconds: int) -> None:
        self.engine.clock.move(seconds=seconds)

    @rule()
    def tick(self) -> None:
        self.scheduler.run_once(self.engine.clock.now())

    # The laws.

    @invariant()
    def the_laws_hold(self) -> None:
        self.seen = {level: self._rows(level) for level in LEVELS}
        self.slots_stay_within_the_capacity()
        self.admitted_stay_within_max_parallelism()
        self.what_ended_stays_as_it_was()
        self.a_parent_ends_after_its_children()
        self.attempts_are_counted()
        self.a_canceled_run_begins_nothing()

    def _seen(self, level: str) -> list[dict[str, Any]]:
        """The rows after the last move, read once for all laws."""
        return self.seen[level]

    def slots_stay_within_the_capacity(self) -> None:
        used = sum(row["dispatch_time"] is not None for row in self._seen("target"))
        if self.limit is not None or used:
            assert used <= max(getattr(self, "capacity", 0), self.slots_before)
        self.slots_before = used

    def admitted_stay_within_max_parallelism(self) -> None:
        if self.limit is None:
            return
        admitted = Counter(
            (row["step_uid"], row["elastic_pool_name"])
            for row in self._seen("target")
            if row["is_active"] and row["admitted"] and row["elastic_pool_name"]
        )
        assert all(count <= self.limit for count in admitted.values())

    def what_ended_stays_as_it_was(self) -> None:
        for level in LEVELS:
            for row in self._seen(level):
                known = self.ended.get(row["id"])
                assert known is None or known == row
                if not row["is_active"]:
                    self.ended[row["id"]] = row

    def a_parent_ends_after_its_children(self) -> None:
        active = {level: {row["id"] for row in self._seen(level) if row["is_active"]} for level in LEVELS}
        for row in self._seen("step"):
            assert not row["is_active"] or row["job_execution_id"] in active["job"]
        for row in self._seen("target"):
            assert not row["is_active"] or row["step_execution_id"] in active["step"]

    def attempts_are_counted(self) -> None:
        for row in self._seen("target"):
            running = row["lifecycle"] == "InProgress"
            assert row["failed_attempts"] <= 1 + RETRIES
            assert row["lost_attempts"] <= outcomes.LOST_LIMIT + 1
            assert row["current_attempts"] <= row["failed_attempts"] + row["lost_attempts"] + 1
            assert not running or row["dispatch_time"] is not None

    def a_canceled_run_begins_nothing(self) -> None:
        canceled = {row["id"] for row in self._seen("job") if row["cancel_request_time"] is not None}
        for level in ("step", "target"):
            for row in self._seen(level):
                if row["job_execution_id"] in canceled and row["is_active"]:
                    assert row["lifecycle"] in {"InProgress", "WaitingForChildJobExecutions"}
                    assert row["lifecycle"] != "InProgress" or row["cancel_requested"]

    def teardown(self) -> None:
        self._everything_ends()

    def _everything_ends(self) -> None:
        """Every worker and message is gone. The tick and one good worker finish what is left."""
        for _ in range(200):
            if not any(row["is_active"] for row in self._rows("job")):
                return
            self.outbox.steps.clear()
            self.outbox.targets.clear()
            self.engine.clock.move(seconds=10)
            self.scheduler.run_once(self.engine.clock.now())
            for step in list(self.outbox.steps):
                claim = self.engine.claim_step(step)
                if claim is not None:
                    planned = self.engine.plan(claim, [TargetDatabase(server_name="s1", database_name="last")])
                    self.outbox.targets += planned.dispatched if planned else []
            while self.outbox.targets:
                claimed = self._claim(self.outbox.targets.pop(0), self.engine.holder)
                recorded = None if claimed is None else self.engine.record(claimed)
                if recorded is not None and recorded.handed_on is not None:
                    self.outbox.targets.append(recorded.handed_on)
            self.the_laws_hold()
        left = [
            {key: value for key, value in row.items() if value is not None}
            for level in LEVELS
            for row in self._rows(level)
            if row["is_active"]
        ]
        raise AssertionError(f"This never ends: {left}")

    def _claim(self, target: UUID, holder: Holder) -> TargetClaim | None:
        """As the worker does it."""
        with self.database.write() as connection:
            claim = claims.claim_target(connection, self.database, target, self.ids(), holder)
            if claim is None and slots.take_one(connection, self.database, target):
                claim = claims.claim_target(connection, self.database, target, self.ids(), holder)
        if claim is not None:
            self.claims.append(claim)
        return claim

    def _targets(self) -> list[UUID]:
        return sorted((row["id"] for row in self._rows("target")), key=str)

    def _rows(self, level: str) -> list[dict[str, Any]]:
        with self.database.read() as connection:
            return [dict(row) for row in connection.execute(select(LEVELS[level])).mappings()]

    @staticmethod
    def _pick(items: list[Any], which: int) -> Any:
        return items[which % len(items)]


@pytest.mark.timeout(1200)  # some minutes on Babelfish, which is slow with the text of long statements
def test_the_laws_hold_for_any_order_of_moves(job_databases: Places) -> None:
    Model.places = job_databases
    run_state_machine_as_test(
        Model,
        settings=settings(
            max_examples=12,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )

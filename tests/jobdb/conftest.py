"""A job database of its own for each test, with an agent and a job whose steps the test chooses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select

from elastic_jobs.domain.lifecycle import Level, Lifecycle
from elastic_jobs.domain.model import Step, StepDefinition
from elastic_jobs.domain.outcome import AttemptResult, Outcome
from elastic_jobs.domain.ports import Ids
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.domain.targets import TargetDatabase
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions
from elastic_jobs.jobdb.executions import advancing, canceling, claims, outcomes, planning, slots, starting
from elastic_jobs.jobdb.executions.claims import Claimant, Holder, StepClaim, TargetClaim
from elastic_jobs.jobdb.tables import agent, job_steps, jobs
from tests.jobdb.places import Places, places
from tests.jobdb.record import record


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def move(self, **by: float) -> None:
        self.time += timedelta(**by)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def job_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """Where tests get job databases from: files, or databases of the SQL Server that the environment names."""
    with places(tmp_path_factory.mktemp("job-databases")) as found:
        yield found


@pytest.fixture
def only_sqlite(job_databases: Places) -> None:
    """For tests of what is SQLite's own."""
    if job_databases.engine_name != "sqlite":
        pytest.skip("It is about SQLite.")


@pytest.fixture
def database(job_databases: Places, clock: ManualClock) -> Iterator[JobDatabase]:
    database = job_databases.clean(clock)
    yield database
    if database.is_sqlite:
        database.dispose()


class Engine:
    """The state machine, one call per move, each in a transaction of its own as in the services."""

    def __init__(self, database: JobDatabase, clock: ManualClock, ids: Ids = uuid4) -> None:
        self.database, self.clock, self.ids = database, clock, ids
        self.holder = Holder(instance=self.ids(), lease=timedelta(seconds=30))
        self.policy = RetryPolicy(attempts=0)
        self.job_id = self.ids()
        self.steps: list[Step] = []
        self.max_parallelism: int | None = None

    def define(self, *, capacity: int = 100, steps: int = 1, max_parallelism: int | None = None) -> None:
        now = self.clock.now()
        self.max_parallelism = max_parallelism
        with self.database.write() as connection:
            connection.execute(
                insert(agent).values(id=1, name="a", location="x", sku_name="JA100", capacity=capacity, create_time=now)
            )
            connection.execute(
                insert(jobs).values(
                    id=self.job_id,
                    name="Job1",
                    description="",
                    version=1,
                    enabled=False,
                    schedule_interval_type="Once",
                    schedule_interval_count=1,
                    schedule_start_time=now,
                    schedule_end_time=now,
                    create_time=now,
                )
            )
            for step_id in range(1, steps + 1):
                definition = StepDefinition(
                    name=f"step{step_id}", command="x", target_group_name="g", max_parallelism=max_parallelism
                )
                step = Step(
                    job_id=self.job_id,
                    job_version=1,
                    step_id=step_id,
                    uid=self.ids(),
                    target_group_id=self.ids(),
                    definition=definition,
                )
                self.steps.append(step)
                connection.execute(
                    insert(job_steps).values(
                        job_id=self.job_id,
                        job_version=1,
                        step_id=step_id,
                        step_uid=step.uid,
                        name=definition.name,
                        command="x",
                        target_group_id=step.target_group_id,
                        target_group_name="g",
                        initial_retry_interval_seconds=1,
                        maximum_retry_interval_seconds=120,
                        retry_interval_backoff_multiplier=2,
                        retry_attempts=10,
                        step_timeout_seconds=60,
                        max_parallelism=max_parallelism,
                    )
                )

    def start(self, **fields: str | UUID) -> starting.Started:
        with self.database.write() as connection:
            return starting.start(connection, self.database, "job1", ids=self.ids, **fields)  # type: ignore[arg-type]  # mixed

    def claim_step(self, step_execution_id: UUID, holder: Holder | None = None) -> StepClaim | None:
        with self.database.write() as connection:
            return claims.claim_step(connection, self.database, step_execution_id, self.ids(), holder or self.holder)

    def plan(self, claim: StepClaim, targets: list[TargetDatabase]) -> planning.Planned | None:
        with self.database.write() as connection:
            step = self.steps[claim.step_id - 1]
            return planning.plan(connection, self.database, claim, step, targets, self.ids)

    def planned(self, targets: list[TargetDatabase]) -> tuple[UUID, list[UUID]]:
        """Start the job and plan its first step; the run and the targets that got a slot."""
        started = self.start()
        assert started.step_execution_id is not None
        claim = self.claim_step(started.step_execution_id)
        assert claim is not None
        planned = self.plan(claim, targets)
        assert planned is not None
        return started.execution_id, planned.dispatched

    def claim(self, target_execution_id: UUID, holder: Holder | None = None) -> TargetClaim | None:
        with self.database.write() as connection:
            return claims.claim_target(
                connection, self.database, target_execution_id, self.ids(), holder or self.holder
            )

    def record(
        self, claim: TargetClaim, outcome: Outcome = Outcome.SUCCEEDED, claimant: Claimant | None = None
    ) -> outcomes.Recorded | None:
        result = AttemptResult(outcome=outcome, message=f"It {outcome}.")
        with self.database.write() as connection:
            return record(
                connection,
                self.database,
                claim,
                result,
                self.policy,
                max_parallelism=self.max_parallelism,
                claimant=claimant,
            )

    def renew(self, *claims_held: TargetClaim) -> list[claims.Renewed]:
        tokens = [claim.token for claim in claims_held]
        with self.database.write() as connection:
            return claims.renew(connection, self.database, Level.TARGET, tokens, self.holder.lease)

    def advance(self, execution_id: UUID) -> UUID | None:
        with self.database.write() as connection:
            return advancing.advance(connection, self.database, execution_id, self.ids).following

    def cancel(self, execution_id: UUID) -> None:
        with self.database.write() as connection:
            assert canceling.request_cancel(connection, self.database, execution_id)

    def take(self) -> list[UUID]:
        with self.database.write() as connection:
            return slots.take(connection, self.database)

    def job_state(self, execution_id: UUID) -> str:
        with self.database.read() as connection:
            query = select(job_executions.c.lifecycle).where(job_executions.c.id == execution_id)
            return str(connection.execute(query).scalar_one())

    def step_states(self, execution_id: UUID) -> list[str]:
        with self.database.read() as connection:
            query = (
                select(step_executions.c.lifecycle)
                .where(step_executions.c.job_execution_id == execution_id)
                .order_by(step_executions.c.step_id)
            )
            return list(connection.execute(query).scalars())

    def target_states(self, execution_id: UUID) -> dict[str, str]:
        with self.database.read() as connection:
            query = select(target_executions.c.database_name, target_executions.c.lifecycle).where(
                target_executions.c.job_execution_id == execution_id
            )
            return {row.database_name: row.lifecycle for row in connection.execute(query)}

    def row(self, target_execution_id: UUID) -> dict[str, object]:
        with self.database.read() as connection:
            query = select(target_executions).where(target_executions.c.id == target_execution_id)
            return dict(connection.execute(query).mappings().one())

    def run_all(self, dispatched: list[UUID], outcome: Outcome = Outcome.SUCCEEDED) -> int:
        """Work like one worker until no slot is handed on; how many targets it ran."""
        ran = 0
        queue = list(dispatched)
        while queue:
            claim = self.claim(queue.pop(0))
            if claim is None:
                continue
            ran += 1
            recorded = self.record(claim, outcome)
            assert recorded is not None
            if recorded.handed_on is not None:
                queue.append(recorded.handed_on)
        return ran


@pytest.fixture
def engine(database: JobDatabase, clock: ManualClock) -> Engine:
    return Engine(database, clock)


def databases(count: int, *, pool: str | None = None, prefix: str = "db") -> list[TargetDatabase]:
    return [
        TargetDatabase(server_name="s1", database_name=f"{prefix}{number}", elastic_pool_name=pool)
        for number in range(count)
    ]


TERMINAL = {
    Lifecycle.SUCCEEDED,
    Lifecycle.FAILED,
    Lifecycle.TIMED_OUT,
    Lifecycle.CANCELED,
    Lifecycle.SKIPPED,
    Lifecycle.SUCCEEDED_WITH_SKIPPED,
}

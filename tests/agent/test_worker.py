"""The worker where the job database fails it; what it does on targets is shown in tests/e2e."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, func, select

from elastic_jobs.agent import worker as worker_module
from elastic_jobs.agent.flow import Flow
from elastic_jobs.agent.registry import Registry
from elastic_jobs.agent.worker import TargetWorker
from elastic_jobs.domain.outcome import AttemptResult, Outcome, StopReason
from elastic_jobs.domain.targets import ServerNames
from elastic_jobs.errors import JobDatabaseUnavailableError
from elastic_jobs.jobdb.execution_tables import target_executions
from elastic_jobs.jobdb.executions.claims import TargetClaim
from elastic_jobs.targets.authentication import Login, PasswordLogin
from elastic_jobs.targets.connect import ConnectOptions, Connector
from elastic_jobs.targets.servers import TargetServers
from tests.agent.conftest import KeepingOutbox, Seconds
from tests.jobdb.conftest import Engine, databases


class SomeLogins:
    """Finds a login, or does not reach the job database."""

    def __init__(self) -> None:
        self.away = False

    def recent(self, credential_name: str | None) -> Login:
        del credential_name
        if self.away:
            raise JobDatabaseUnavailableError("The job database does not answer.")
        return PasswordLogin("user", "password")


class QuickAttempt:
    """An attempt that succeeds at once: these tests are about what comes before and after it."""

    begun = 0

    def __init__(self, *args: Any) -> None:
        pass

    def run(self) -> AttemptResult:
        QuickAttempt.begun += 1
        return AttemptResult(outcome=Outcome.SUCCEEDED, message="It succeeded.")

    def stop(self, reason: StopReason) -> None:
        pass


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def logins() -> SomeLogins:
    return SomeLogins()


@pytest.fixture
def worker(
    engine: Engine,
    outbox: KeepingOutbox,
    flow: Flow,
    seconds: Seconds,
    logins: SomeLogins,
    monkeypatch: pytest.MonkeyPatch,
) -> TargetWorker:
    monkeypatch.setattr(worker_module, "Attempt", QuickAttempt)
    monkeypatch.setattr(Registry, "_start_threads", lambda _: None)
    QuickAttempt.begun = 0
    registry = Registry(engine.database, engine.holder, monotonic=seconds, heartbeat_seconds=2)
    servers = TargetServers(allowed=("*",), addresses={}, names=ServerNames(".database.windows.net"))
    connector = Connector(ConnectOptions(servers=servers))

    def pause(by: float) -> None:
        seconds.now += by
        engine.clock.move(seconds=by)

    return TargetWorker(
        engine.database,
        connector,
        logins,  # type: ignore[arg-type]  # the one method that is used
        registry,
        outbox,
        flow,
        uuid4,
        monotonic=seconds,
        pause=pause,
    )


def test_one_message_is_enough_for_a_whole_step(engine: Engine, worker: TargetWorker, outbox: KeepingOutbox) -> None:
    engine.define(capacity=1)
    execution, dispatched = engine.planned(databases(20))
    worker.handle(dispatched[0])
    assert engine.job_state(execution) == "Succeeded"
    assert QuickAttempt.begun == 20
    assert outbox.targets == []


def test_a_message_for_a_row_that_is_gone_or_has_ended_does_nothing(engine: Engine, worker: TargetWorker) -> None:
    engine.define()
    _, dispatched = engine.planned(databases(1))
    worker.handle(dispatched[0])
    worker.handle(dispatched[0])
    worker.handle(uuid4())
    assert QuickAttempt.begun == 1


def test_a_job_database_that_is_away_before_the_script_costs_no_retry(
    engine: Engine, worker: TargetWorker, logins: SomeLogins
) -> None:
    engine.define()
    _, dispatched = engine.planned(databases(1))
    logins.away = True
    with suppress(JobDatabaseUnavailableError):
        worker.handle(dispatched[0])
    assert engine.row(dispatched[0])["failed_attempts"] == 0


def test_an_outcome_is_recorded_when_the_job_database_comes_back_and_the_claim_stands(
    engine: Engine, worker: TargetWorker, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.define()
    _, dispatched = engine.planned(databases(1))
    write, back_at, calls = engine.database.write, seconds.now + 33, [0]

    @contextmanager
    def sometimes() -> Iterator[Connection]:
        calls[0] += 1
        if calls[0] > 1 and seconds.now < back_at:
            raise JobDatabaseUnavailableError("The job database does not answer.")
        with write() as connection:
            yield connection

    monkeypatch.setattr(engine.database, "write", sometimes)
    worker.handle(dispatched[0])
    assert engine.row(dispatched[0])["lifecycle"] == "Succeeded"


def test_a_script_is_not_begun_when_the_lease_is_over(
    engine: Engine, worker: TargetWorker, logins: SomeLogins, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking up the login took longer than the lease, because the job database hung."""
    engine.define()
    _, dispatched = engine.planned(databases(1))
    login = logins.recent

    def slow(name: str | None) -> Login:
        seconds.now += 40
        engine.clock.move(seconds=40)
        return login(name)

    monkeypatch.setattr(logins, "recent", slow)
    worker.handle(dispatched[0])
    assert QuickAttempt.begun == 0


def test_the_next_target_of_the_slot_is_claimed_with_the_record(
    engine: Engine, worker: TargetWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.define(capacity=1)
    _, dispatched = engine.planned(databases(3))
    asked: list[UUID] = []
    claim = TargetWorker._claim

    def counted(self: TargetWorker, target: UUID) -> TargetClaim | None:
        asked.append(target)
        return claim(self, target)

    monkeypatch.setattr(TargetWorker, "_claim", counted)
    worker.handle(dispatched[0])
    assert QuickAttempt.begun == 3
    assert asked == dispatched


def test_when_the_answer_to_a_commit_is_lost_the_worker_goes_on_with_what_it_claimed(
    engine: Engine, worker: TargetWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither does the next target wait for a lease to run out, nor is an attempt counted as lost."""
    engine.define(capacity=1)
    execution, dispatched = engine.planned(databases(5))
    write, calls = engine.database.write, [0]

    @contextmanager
    def forgetful() -> Iterator[Connection]:
        with write() as connection:
            yield connection
        calls[0] += 1
        if calls[0] in {2, 4}:
            raise JobDatabaseUnavailableError("The answer to COMMIT was lost.")

    monkeypatch.setattr(engine.database, "write", forgetful)
    worker.handle(dispatched[0])
    assert QuickAttempt.begun == 5
    assert set(engine.target_states(execution).values()) == {"Succeeded"}
    with engine.database.read() as connection:
        lost = connection.execute(select(func.sum(target_executions.c.lost_attempts))).scalar_one()
    assert lost == 0


def test_a_run_that_cannot_be_moved_on_does_not_hold_up_the_next_target(
    engine: Engine, worker: TargetWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last target of one run hands its slot to the first of another, and the job database goes away in between."""
    engine.define(capacity=1)
    _, dispatched = engine.planned(databases(1))
    second, none = engine.planned(databases(1, prefix="other"))
    assert none == []
    calls = [0]

    def away(self: Flow, step_execution_id: UUID, job_execution_id: UUID) -> None:
        calls[0] += 1
        if calls[0] == 1:
            raise JobDatabaseUnavailableError("The job database does not answer.")

    monkeypatch.setattr(Flow, "target_ended", away)
    worker.handle(dispatched[0])
    assert calls == [2]
    assert set(engine.target_states(second).values()) == {"Succeeded"}


def test_after_its_time_slice_a_worker_sends_a_message_instead(
    engine: Engine, worker: TargetWorker, outbox: KeepingOutbox, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.define(capacity=1)
    execution, dispatched = engine.planned(databases(3))
    run = QuickAttempt.run

    def long(self: QuickAttempt) -> AttemptResult:
        seconds.now += 150
        return run(self)

    monkeypatch.setattr(QuickAttempt, "run", long)
    worker.handle(dispatched[0])
    assert QuickAttempt.begun == 2
    [target] = outbox.targets
    assert engine.row(target)["lifecycle"] == "Created"
    worker.handle(target)
    assert set(engine.target_states(execution).values()) == {"Succeeded"}

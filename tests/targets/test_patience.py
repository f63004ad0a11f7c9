"""Servers that ask for patience: a whole run over them ends Succeeded, without anybody doing anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select, update

from elastic_jobs.agent.expander import StepExpander
from elastic_jobs.agent.flow import Flow
from elastic_jobs.agent.registry import Registry
from elastic_jobs.agent.worker import TargetWorker
from elastic_jobs.jobdb.execution_tables import step_executions, target_executions
from elastic_jobs.jobdb.tables import job_steps, target_group_members, target_groups
from elastic_jobs.targets.authentication import Login
from tests.agent.conftest import KeepingOutbox, flow, outbox
from tests.jobdb.conftest import Engine, ManualClock, clock, database, engine, job_databases
from tests.targets.lab import SERVER, Lab

__all__ = ["clock", "database", "engine", "flow", "job_databases", "outbox"]

POOLED = 6


class Logins:
    """One login for everything, in the place of the credential store."""

    def __init__(self, login: Login) -> None:
        self._login = login

    def login(self, credential_name: str | None, server: str | None = None) -> Login:
        del credential_name, server
        return self._login

    recent = login


class Agent:
    """Expander and worker over a real job database; messages are handed over by the test, in time."""

    def __init__(self, lab: Lab, engine: Engine, flow: Flow, outbox: KeepingOutbox) -> None:
        self.engine, self.outbox, self.lab = engine, outbox, lab
        registry = Registry(engine.database, engine.holder, monotonic=time.monotonic, heartbeat_seconds=2)
        parts = (engine.database, lab.connector(), Logins(lab.login))
        self._expander = StepExpander(*parts, registry, outbox, flow, uuid4)  # type: ignore[arg-type]  # its one method
        self._worker = TargetWorker(*parts, registry, outbox, flow, uuid4)  # type: ignore[arg-type]  # its one method

    def define(self, *members: dict[str, object]) -> None:
        self.engine.define()
        step, now = self.engine.steps[0], self.engine.clock.now()
        with self.engine.database.write() as connection:
            connection.execute(update(job_steps).values(command="INSERT INTO dbo.seen VALUES (1);\nSELECT 1 AS one"))
            connection.execute(insert(target_groups).values(id=step.target_group_id, name="g", create_time=now))
            for position, member in enumerate(members, 1):
                connection.execute(
                    insert(target_group_members).values(
                        id=uuid4(),
                        target_group_id=step.target_group_id,
                        position=position,
                        membership_type="Include",
                        server_name=SERVER,
                        **member,
                    )
                )

    def run(self) -> UUID:
        """Start the job and hand messages over until there are none; the run."""
        run = self.begin()
        self.go_on()
        return run

    def begin(self) -> UUID:
        started = self.engine.start()
        assert started.step_execution_id is not None
        self._expander.handle(started.step_execution_id)
        return started.execution_id

    def go_on(self) -> None:
        for _ in range(200):
            if self.outbox.steps:
                self.engine.clock.move(seconds=130)
                self._expander.handle(self.outbox.steps.pop(0))
            elif self.outbox.targets:
                # Later than any retry's delay: the messages of retries come delayed.
                self.engine.clock.move(seconds=130)
                self._worker.handle(self.outbox.targets.pop(0))
            else:
                break

    def attempts(self) -> dict[str, int]:
        with self.engine.database.read() as connection:
            rows = connection.execute(select(target_executions.c.database_name, target_executions.c.failed_attempts))
            return {row.database_name: row.failed_attempts for row in rows}


@pytest.fixture
def agent(
    lab: Lab, engine: Engine, flow: Flow, outbox: KeepingOutbox, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Agent]:
    assert lab.client is not None or pytest.skip("The emulator is needed.")
    monkeypatch.setattr(Registry, "_start_threads", lambda _: None)
    return lambda: Agent(lab, engine, flow, outbox)


@pytest.fixture
def pool(lab: Lab) -> tuple[str, list[str]]:
    """A new elastic pool with some databases."""
    name = f"pool{uuid4().hex[:8]}"
    lab.control.create_elastic_pool(SERVER, name)
    names = [f"{name}db{number}" for number in range(POOLED)]
    for database_name in names:
        lab.control.create_database(SERVER, database_name, elastic_pool=name)
    for database_name in (*names, lab.database):
        connection = lab.connector().connect(SERVER, database_name, lab.login)
        connection.execute("CREATE TABLE dbo.seen (a int)")
        connection.close()
    return name, names


def rows_seen(lab: Lab, names: list[str]) -> list[int]:
    found = []
    for name in names:
        connection = lab.connector().connect(SERVER, name, lab.login)
        row = connection.execute("SELECT COUNT(*) FROM dbo.seen").fetchone()
        assert row is not None
        found.append(int(row[0]))
        connection.close()
    return found


def test_a_paused_database_and_a_throttled_pool(
    agent: Callable[[], Agent], pool: tuple[str, list[str]], lab: Lab, clock: ManualClock, outbox: KeepingOutbox
) -> None:
    pool_name, names = pool
    # A serverless database that needs a while, a pool without room for logins, then without room for requests, and a
    # server that closes connections before it lists its databases.
    lab.control.pause(0.7, database=lab.database)
    lab.control.throttle(10928, database=f"{pool_name}*", count=4)
    lab.control.throttle(40501, at="before", database=f"{pool_name}*", text="INSERT INTO dbo.seen", count=5)
    lab.control.add_fault("drop", "before", text="sys.database_service_objectives", count=1)
    made = agent()
    made.define(
        {"target_type": "SqlElasticPool", "elastic_pool_name": pool_name},
        {"target_type": "SqlDatabase", "database_name": lab.database},
    )
    run = made.run()
    assert made.engine.target_states(run) == dict.fromkeys([*names, lab.database], "Succeeded")
    assert made.engine.job_state(run) == "Succeeded"
    attempts = made.attempts()
    assert attempts.pop(lab.database) == 0, "waking up is connecting, not a failed attempt"
    assert sum(attempts.values()) == 5, "each request that was turned away was tried again as an attempt"
    assert rows_seen(lab, [*names, lab.database]) == [1] * (POOLED + 1)


def test_a_step_that_could_not_be_expanded_looks_again(
    agent: Callable[[], Agent], pool: tuple[str, list[str]], lab: Lab
) -> None:
    pool_name, names = pool
    made = agent()
    made.define({"target_type": "SqlElasticPool", "elastic_pool_name": pool_name})
    # Longer than connecting waits, so the first try of the step fails.
    lab.control.refuse_logins(40613, database="master", count=8)
    run = made.begin()
    with made.engine.database.read() as connection:
        message, failures = connection.execute(
            select(step_executions.c.last_message, step_executions.c.failed_attempts)
        ).one()
    assert "could not resolve target group 'g': The database 'master' on server" in message
    assert "(Msg 40613) Tried 6 times. Retry 1 of 10 begins after 1 s." in message
    assert failures == 1
    lab.control.drop_database(SERVER, names.pop())
    made.go_on()
    assert made.engine.job_state(run) == "Succeeded"
    assert set(made.engine.target_states(run)) == set(names)

"""Laws in one thread after another, and processes that are killed in the middle of transactions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from itertools import count as counting
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert, select, update

from elastic_jobs.agent.registry import Registry
from elastic_jobs.domain.lifecycle import Level
from elastic_jobs.domain.outcome import Outcome
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import target_executions, target_messages
from elastic_jobs.jobdb.executions import repairs
from elastic_jobs.jobdb.tables import job_steps, jobs
from tests.jobdb.conftest import Engine, databases
from tests.jobdb.places import Places

ROOT = Path(__file__).parents[2]

WORKER = """
import sys
from datetime import timedelta
from uuid import UUID, uuid4
from elastic_jobs.domain.outcome import AttemptResult, CapturedMessage, MessageKind, Outcome
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import target_executions
from elastic_jobs.jobdb.executions import claims, slots
from sqlalchemy import select
from tests.jobdb.record import record

database = JobDatabase(sys.argv[1])
holder = claims.Holder(instance=uuid4(), lease=timedelta(seconds=30))
policy = RetryPolicy(attempts=3, initial_interval_seconds=0)
said = tuple(CapturedMessage(batch=1, kind=MessageKind.MESSAGE, text="x" * 50) for _ in range(40))
print("ready", flush=True)
number = 0
while True:
    with database.write() as connection:
        slots.take(connection, database)
    with database.read() as connection:
        waiting = select(target_executions.c.id).where(
            target_executions.c.dispatch_time.is_not(None), target_executions.c.lifecycle != "InProgress"
        )
        ids = list(connection.execute(waiting).scalars())
    for target in ids:
        with database.write() as connection:
            claim = claims.claim_target(connection, database, target, uuid4(), holder)
        while claim is not None:
            number += 1
            outcome = Outcome.FAILED if number % 3 == 0 else Outcome.SUCCEEDED
            claimant = claims.Claimant(token=uuid4(), holder=holder)
            with database.write() as connection:
                result = AttemptResult(outcome=outcome, message="m", messages=said)
                recorded = record(
                    connection, database, claim, result, policy, max_parallelism=3, claimant=claimant
                )
            claim = None if recorded is None else recorded.following
"""


def _rows(database: JobDatabase) -> list[Any]:
    with database.read() as connection:
        return list(connection.execute(select(target_executions)))


def test_killed_workers_leave_nothing_half_done(engine: Engine, database: JobDatabase, job_databases: Places) -> None:
    """Real SIGKILLs in the middle of transactions; what is committed is whole, and the rest can go on."""
    engine.define(capacity=8, max_parallelism=3)
    execution, _ = engine.planned([*databases(60, pool="p1"), *databases(60, prefix="single")])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    url = job_databases.url_of(database)
    for delay, count in ((0.05, 1), (0.17, 2)):
        workers = [
            subprocess.Popen([sys.executable, "-c", WORKER, url], stdout=subprocess.PIPE, env=environment)
            for _ in range(count)
        ]
        try:
            for process in workers:
                assert process.stdout is not None
                assert process.stdout.readline() == b"ready\n"
            threading.Event().wait(delay)
        finally:
            for process in workers:
                process.send_signal(signal.SIGKILL)
                process.wait(10)
                assert process.stdout is not None
                process.stdout.close()
        rows = _rows(database)
        assert sum(row.dispatch_time is not None for row in rows) <= 8
        admitted = [row for row in rows if row.is_active and row.admitted and row.elastic_pool_name]
        assert len(admitted) <= 3
        with database.read() as connection:
            said = Counter(connection.execute(select(target_messages.c.target_execution_id)).scalars())
            assert not database.is_sqlite or connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        for row in rows:
            running = row.lifecycle == "InProgress"
            assert said[row.id] == 40 * (row.current_attempts - running - row.lost_attempts)
        with database.write() as connection:
            connection.execute(
                update(target_executions)
                .where(target_executions.c.lease_until.is_not(None))
                .values(lease_until=engine.clock.now())
            )
        engine.clock.move(seconds=60)
        with database.write() as connection:
            repairs.expire_claims(connection, database, Level.TARGET)
    for _ in range(50):
        engine.clock.move(days=400)  # the workers used the machine's clock
        engine.take()
        engine.run_all([row.id for row in _rows(database) if row.dispatch_time is not None])
    assert set(engine.target_states(execution).values()) <= {"Succeeded", "Failed"}
    engine.advance(execution)
    assert engine.job_state(execution) in {"Succeeded", "Failed"}


def _work_until_all_ended(engine: Engine, to_cancel: UUID | None) -> None:
    while any(row.is_active for row in _rows(engine.database)):
        for row in _rows(engine.database):
            claim = engine.claim(row.id) if row.dispatch_time is not None and row.lifecycle != "InProgress" else None
            if claim is not None:
                engine.record(claim, Outcome.FAILED if row.turn % 4 == 0 else Outcome.SUCCEEDED)
        engine.take()
        if to_cancel is not None:
            engine.cancel(to_cancel)


def test_many_threads_that_record_take_and_cancel_keep_the_laws(engine: Engine, database: JobDatabase) -> None:
    engine.define(capacity=6, max_parallelism=2)
    engine.policy = RetryPolicy(attempts=1, initial_interval_seconds=0)
    runs = [
        engine.planned([*databases(15, pool="p1", prefix=f"a{number}"), *databases(15, prefix=f"b{number}")])[0]
        for number in range(2)
    ]
    broken: list[str] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            rows = _rows(database)
            if sum(row.dispatch_time is not None for row in rows) > 6:
                broken.append("capacity")
            if sum(bool(row.is_active and row.admitted and row.elastic_pool_name) for row in rows) > 2:
                broken.append("max_parallelism")

    threads = [
        threading.Thread(target=_work_until_all_ended, args=(engine, runs[1] if number == 0 else None))
        for number in range(4)
    ]
    watcher = threading.Thread(target=watch)
    for thread in [watcher, *threads]:
        thread.start()
    for thread in threads:
        thread.join(60)
    over.set()
    watcher.join()
    assert broken == []
    for run in runs:
        engine.advance(run)
    assert engine.job_state(runs[1]) == "Canceled"
    assert engine.job_state(runs[0]) == "Failed"


def test_the_heartbeat_is_not_starved_by_many_writers(engine: Engine, database: JobDatabase) -> None:
    engine.define()
    _, dispatched = engine.planned(databases(1))
    claim = engine.claim(dispatched[0])
    assert claim is not None
    over, written = threading.Event(), counting()

    def write() -> None:
        while not over.is_set() and next(written) < 10_000:
            engine.claim(uuid4())

    threads = [threading.Thread(target=write) for _ in range(48)]
    for thread in threads:
        thread.start()
    registry = Registry(database, engine.holder, monotonic=lambda: 0.0, heartbeat_seconds=2)
    _beat(registry, claim.token)
    over.set()
    for thread in threads:
        thread.join()
    # Not in seconds, which a busy machine stretches: a write takes some milliseconds, a lease lasts 30 s.
    assert next(written) < 10_000, "Five heartbeats came after 10,000 writes of 48 others."


def _beat(registry: Registry, token: UUID) -> None:
    with registry._lock:
        registry._start_threads = lambda: None  # type: ignore[method-assign]  # the beats are given here
    with registry.watching(Level.TARGET, token, claimed_at=0.0):
        for _ in range(5):
            registry.heartbeat()


def test_a_max_parallelism_that_was_lowered_holds_for_the_runs_of_the_new_version(engine: Engine) -> None:
    engine.define(capacity=20)
    _, first = engine.planned(databases(8, pool="p1"))
    with engine.database.write() as connection:
        step = dict(connection.execute(select(job_steps)).mappings().one())
        connection.execute(insert(job_steps).values(**{**step, "job_version": 2, "max_parallelism": 1}))
        connection.execute(update(jobs).values(version=2))
    definition = engine.steps[0].definition
    engine.steps[0] = type(engine.steps[0])(
        **{**vars(engine.steps[0]), "definition": type(definition)(**{**vars(definition), "max_parallelism": 1})}
    )
    second, none = engine.planned(databases(8, pool="p1", prefix="new"))
    assert none == []
    for target in first:
        claim = engine.claim(target)
        assert claim is not None
        engine.record(claim)
    engine.take()
    dispatched = [row for row in _rows(engine.database) if row.job_execution_id == second and row.dispatch_time]
    assert len(dispatched) == 1


def test_a_retry_that_waits_long_does_not_keep_its_pool_from_a_later_run(engine: Engine) -> None:
    engine.define(max_parallelism=1)
    engine.policy = RetryPolicy(attempts=1, initial_interval_seconds=3600, maximum_interval_seconds=3600)
    _, (target,) = engine.planned(databases(1, pool="p1"))
    claim = engine.claim(target)
    assert claim is not None
    engine.record(claim, Outcome.FAILED)
    _, dispatched = engine.planned(databases(1, pool="p1", prefix="other"))
    engine.clock.move(seconds=60)
    assert dispatched + engine.take() != []

"""The tick, the caretaker and the commands over a real job database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, insert, select, update

from elastic_jobs.agent import caretaker as caretaker_module
from elastic_jobs.agent import scheduler as scheduler_module
from elastic_jobs.agent.control import Control
from elastic_jobs.agent.scheduler import Scheduler
from elastic_jobs.domain.outcome import Outcome
from elastic_jobs.errors import NotFoundError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions
from elastic_jobs.jobdb.executions import repairs
from elastic_jobs.jobdb.tables import audit_entries, job_steps, jobs
from tests.agent.conftest import KeepingOutbox
from tests.jobdb.conftest import Engine, databases

LEASE = 30.0


@contextmanager
def statements(database: JobDatabase) -> Iterator[list[str]]:
    """What is sent to the job database meanwhile."""
    sent: list[str] = []

    def note(conn: Any, cursor: Any, sql: str, *rest: Any) -> None:
        if not sql.startswith("BEGIN"):  # no statement of its own: on SQL Server a transaction begins by itself
            sent.append(sql)

    engines = {database.engine, database.reader}
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


def schedule(engine: Engine, *, in_seconds: float = 0, minutes: int = 1, job_id: UUID | None = None) -> None:
    due = engine.clock.now() + timedelta(seconds=in_seconds)
    with engine.database.write() as connection:
        connection.execute(
            update(jobs)
            .where(jobs.c.id == (job_id or engine.job_id))
            .values(
                enabled=True,
                schedule_interval_type="Minutes",
                schedule_interval_count=minutes,
                schedule_start_time=due,
                schedule_end_time=due + timedelta(days=9999),
                next_run_time=due,
                schedule_anchor=due,
            )
        )


def runs(engine: Engine) -> list[UUID]:
    with engine.database.read() as connection:
        return list(connection.execute(select(job_executions.c.id).order_by(job_executions.c.create_time)).scalars())


def other_job(engine: Engine, name: str, *, steps: bool = True) -> UUID:
    job_id, now = uuid4(), engine.clock.now()
    with engine.database.write() as connection:
        row = dict(connection.execute(select(jobs).where(jobs.c.id == engine.job_id)).mappings().one())
        connection.execute(insert(jobs).values(**{**row, "id": job_id, "name": name, "create_time": now}))
        if steps:
            step = dict(connection.execute(select(job_steps).limit(1)).mappings().one())
            connection.execute(insert(job_steps).values(**{**step, "job_id": job_id, "step_uid": uuid4()}))
    return job_id


def test_an_idle_tick_is_one_statement(engine: Engine, scheduler: Scheduler) -> None:
    engine.define()
    execution, dispatched = engine.planned(databases(3))
    engine.run_all(dispatched)
    engine.advance(execution)
    with statements(engine.database) as sent:
        duties = scheduler.run_once(engine.clock.now())
    assert not duties.any
    assert len(sent) == 1


def test_an_idle_tick_of_a_database_without_an_agent_is_one_statement(engine: Engine, scheduler: Scheduler) -> None:
    with statements(engine.database) as sent:
        assert not scheduler.run_once(engine.clock.now()).any
    assert len(sent) == 1


def test_a_tick_over_running_scripts_is_one_statement(engine: Engine, scheduler: Scheduler) -> None:
    engine.define(capacity=2)
    _, dispatched = engine.planned(databases(5))
    for target in dispatched:
        assert engine.claim(target) is not None
    with statements(engine.database) as sent:
        assert not scheduler.run_once(engine.clock.now()).any
    assert len(sent) == 1


def test_a_due_job_is_started_once_by_many_ticks(engine: Engine, scheduler: Scheduler, outbox: KeepingOutbox) -> None:
    engine.define()
    schedule(engine)
    now = engine.clock.now()
    threads = [threading.Thread(target=scheduler.run_once, args=(now,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs(engine)) == 1
    assert len(outbox.steps) == 1
    assert {due for due, _ in outbox.alarms} == {now + timedelta(minutes=1)}


def test_missed_instants_make_one_late_run(engine: Engine, scheduler: Scheduler) -> None:
    engine.define()
    schedule(engine)
    engine.clock.move(minutes=59, seconds=30)
    scheduler.run_once(engine.clock.now())
    scheduler.run_once(engine.clock.now())
    assert len(runs(engine)) == 1
    engine.clock.move(seconds=30)
    scheduler.run_once(engine.clock.now())
    assert len(runs(engine)) == 2


def test_a_clock_that_goes_back_starts_nothing_twice(engine: Engine, scheduler: Scheduler) -> None:
    engine.define()
    schedule(engine)
    scheduler.run_once(engine.clock.now())
    with engine.database.write() as connection:
        connection.execute(update(jobs).values(next_run_time=engine.clock.now()))
    scheduler.run_once(engine.clock.now())
    assert len(runs(engine)) == 1


def test_many_jobs_due_at_once_are_all_started(
    engine: Engine, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than two batches, and the last of them full."""
    monkeypatch.setattr(scheduler_module, "BATCH", 8)
    engine.define()
    for number in range(24):
        schedule(engine, job_id=other_job(engine, f"job {number:03}"))
    scheduler.run_once(engine.clock.now())
    assert len(runs(engine)) == 24


def test_an_alarm_a_little_early_is_waited_for(engine: Engine, scheduler: Scheduler) -> None:
    engine.define()
    schedule(engine, in_seconds=100)
    scheduler.run_once(engine.clock.now())
    due = engine.clock.now() + timedelta(seconds=100)
    engine.clock.move(seconds=99)
    scheduler.alarm(due)
    assert len(runs(engine)) == 1


@pytest.mark.parametrize("off", [-3600.0, 0.0, 3600.0, 86400.0 * 400])
def test_a_forged_alarm_starts_nothing_that_is_not_due(engine: Engine, scheduler: Scheduler, off: float) -> None:
    engine.define()
    schedule(engine, in_seconds=500)
    scheduler.alarm(engine.clock.now() + timedelta(seconds=off))
    assert runs(engine) == []


def test_a_job_that_cannot_be_started_does_not_keep_others_from_starting(engine: Engine, scheduler: Scheduler) -> None:
    engine.define()
    schedule(engine, job_id=other_job(engine, "without steps", steps=False))
    schedule(engine)
    scheduler.run_once(engine.clock.now())
    assert len(runs(engine)) == 1


def test_a_run_goes_on_over_lost_messages_and_dead_workers(
    engine: Engine, scheduler: Scheduler, outbox: KeepingOutbox
) -> None:
    engine.define(capacity=2)
    started = engine.start()
    outbox.lossy = True
    engine.clock.move(seconds=repairs.RESEND_SECONDS[0] + 1)
    scheduler.run_once(engine.clock.now())
    outbox.lossy = False
    assert outbox.steps == []
    engine.clock.move(seconds=repairs.RESEND_SECONDS[1] - 1)
    scheduler.run_once(engine.clock.now())
    assert outbox.steps == []
    engine.clock.move(seconds=2)
    scheduler.run_once(engine.clock.now())
    assert outbox.steps == [started.step_execution_id]
    assert engine.claim_step(outbox.steps[0]) is not None
    engine.clock.move(seconds=LEASE + 1)
    scheduler.run_once(engine.clock.now())
    assert outbox.steps == [started.step_execution_id] * 2
    claim = engine.claim_step(outbox.steps[1])
    assert claim is not None
    planned = engine.plan(claim, databases(3))
    assert planned is not None
    dead, lost = planned.dispatched
    assert engine.claim(dead) is not None
    engine.clock.move(seconds=LEASE + 1)
    scheduler.run_once(engine.clock.now())
    assert sorted(outbox.targets, key=str) == sorted([dead, lost], key=str)
    assert engine.run_all(outbox.targets) == 3
    assert engine.job_state(started.execution_id) == "InProgress"
    scheduler.run_once(engine.clock.now())
    assert engine.job_state(started.execution_id) == "Succeeded"


def test_a_step_started_without_a_message_is_found(engine: Engine, scheduler: Scheduler, outbox: KeepingOutbox) -> None:
    """As jobs.sp_start_job starts it."""
    engine.define()
    started = engine.start()
    with engine.database.write() as connection:
        connection.execute(update(step_executions).values(dispatch_time=None))
    scheduler.run_once(engine.clock.now())
    assert outbox.steps == [started.step_execution_id]


def test_the_tick_ends_a_canceled_run_whose_canceler_died(engine: Engine, scheduler: Scheduler) -> None:
    engine.define(capacity=1)
    execution, dispatched = engine.planned(databases(3))
    assert engine.claim(dispatched[0]) is not None
    engine.cancel(execution)
    engine.clock.move(seconds=LEASE + 1)
    scheduler.run_once(engine.clock.now())
    assert set(engine.target_states(execution).values()) == {"Canceled"}
    assert engine.job_state(execution) == "Canceled"


def test_the_runs_of_a_job_that_was_deleted_by_force_end_although_the_deleter_died(
    engine: Engine, tick: Callable[[], object]
) -> None:
    engine.define(steps=2)
    execution, dispatched = engine.planned(databases(2))
    with engine.database.write() as connection:
        connection.execute(update(jobs).values(delete_time=engine.clock.now(), next_run_time=None))
    tick()
    engine.run_all(dispatched)
    tick()
    tick()
    assert runs(engine) == [] or engine.step_states(execution) == ["Canceled"]


def test_a_deleted_job_goes_after_its_history(
    engine: Engine, tick: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caretaker_module, "PURGE_TRANSACTIONS", 2)
    engine.define()
    for _ in range(4):
        execution, dispatched = engine.planned(databases(1))
        engine.run_all(dispatched)
        engine.advance(execution)
    with engine.database.write() as connection:
        connection.execute(update(jobs).values(delete_time=engine.clock.now(), next_run_time=None))
    for _ in range(10):
        tick()
        with engine.database.read() as connection:
            job = connection.execute(select(jobs.c.id)).all()
        if not job:
            break
    assert runs(engine) == []


def test_old_history_goes_and_active_runs_stay(engine: Engine, tick: Callable[[], object]) -> None:
    engine.define()
    old, dispatched = engine.planned(databases(2))
    engine.run_all(dispatched)
    engine.advance(old)
    active, dispatched = engine.planned(databases(1))
    claim = engine.claim(dispatched[0])
    assert claim is not None
    engine.clock.move(days=45, seconds=1)
    tick()
    assert runs(engine) == [active]


def test_a_start_tells_the_queue_and_the_audit_trail(engine: Engine, control: Control, outbox: KeepingOutbox) -> None:
    engine.define()
    execution = control.start_job("JOB1", caller="somebody")
    assert runs(engine) == [execution]
    assert len(outbox.steps) == 1
    with engine.database.read() as connection:
        assert [row.caller for row in connection.execute(select(audit_entries.c.caller))] == ["somebody"]


def test_a_request_that_comes_many_times_at_once_makes_one_run(
    engine: Engine, control: Control, outbox: KeepingOutbox
) -> None:
    engine.define()
    found: list[UUID] = []
    threads = [
        threading.Thread(target=lambda: found.append(control.start_job("job1", request_id="r", caller="c")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(outbox.steps) == 1


def test_an_execution_id_of_another_job_is_refused(engine: Engine, control: Control) -> None:
    engine.define()
    other_job(engine, "another")
    execution = control.start_job("job1", execution_id=uuid4(), caller="c")
    refused = False
    try:
        control.start_job("another", execution_id=execution, caller="c")
    except Exception:
        refused = True
    assert refused


def test_commands_on_what_is_not_there(engine: Engine, control: Control) -> None:
    with pytest.raises(NotFoundError, match="no job 'nothing'"):
        control.start_job("nothing", caller="c")
    with pytest.raises(NotFoundError, match="no execution"):
        control.cancel_execution(uuid4(), caller="c")


def test_a_cancel_gives_the_slots_to_others_at_once(engine: Engine, control: Control, outbox: KeepingOutbox) -> None:
    engine.define(capacity=2)
    first, _ = engine.planned(databases(2))
    second, none = engine.planned(databases(2, prefix="other"))
    assert none == []
    control.cancel_execution(first, caller="c")
    assert engine.job_state(first) == "Canceled"
    assert len(outbox.targets) == 2
    assert engine.run_all(outbox.targets) == 2
    assert set(engine.target_states(second).values()) == {"Succeeded"}


def test_cancel_of_a_finished_run_changes_nothing(engine: Engine, control: Control) -> None:
    engine.define()
    execution, dispatched = engine.planned(databases(1))
    engine.run_all(dispatched)
    engine.advance(execution)
    control.cancel_execution(execution, caller="c")
    assert engine.job_state(execution) == "Succeeded"


def test_deleting_a_job_by_force_cancels_its_runs(engine: Engine, control: Control, tick: Callable[[], object]) -> None:
    engine.define(capacity=1)
    execution, dispatched = engine.planned(databases(2))
    running = engine.claim(dispatched[0])
    assert running is not None
    with engine.database.write() as connection:
        connection.execute(update(jobs).values(delete_time=engine.clock.now(), next_run_time=None))
    control.job_deleted(engine.job_id)
    tick()
    assert runs(engine) == [execution]
    engine.record(running, Outcome.CANCELED)
    tick()
    tick()
    assert runs(engine) == []
    with engine.database.read() as connection:
        assert connection.execute(select(jobs.c.id)).all() == []


def test_targets_that_wait_behind_long_scripts_do_not_flood_the_queue(
    engine: Engine, tick: Callable[[], object], outbox: KeepingOutbox
) -> None:
    """Capacity 100, one instance with few threads, scripts of ten minutes: nothing was lost."""
    engine.define(capacity=100)
    _, dispatched = engine.planned(databases(100))
    assert len(dispatched) == 100
    for _ in range(60):
        engine.clock.move(seconds=10)
        tick()
    assert len(outbox.targets) <= 10 * 100


def test_a_due_retry_in_a_pool_does_not_wait_for_a_large_job_to_end(
    engine: Engine, tick: Callable[[], object], outbox: KeepingOutbox
) -> None:
    engine.define(capacity=2, max_parallelism=1)
    engine.policy = type(engine.policy)(attempts=1, initial_interval_seconds=60)
    pooled, first = engine.planned(databases(2, pool="p1"))
    _, more = engine.planned(databases(60, prefix="large"))
    queue = [*first, *more]
    failing = engine.claim(queue.pop(0))
    assert failing is not None
    recorded = engine.record(failing, Outcome.FAILED)
    assert recorded is not None
    assert recorded.handed_on is not None
    queue.append(recorded.handed_on)
    for _ in range(50):
        engine.clock.move(seconds=2)
        tick()
        claim = engine.claim(queue.pop(0))
        assert claim is not None
        recorded = engine.record(claim)
        assert recorded is not None
        assert recorded.handed_on is not None
        queue.append(recorded.handed_on)
    assert set(engine.target_states(pooled).values()) == {"Succeeded"}


def test_no_slot_is_lost_when_workers_die_over_and_over(engine: Engine, tick: Callable[[], object]) -> None:
    engine.define(capacity=3, max_parallelism=2)
    execution, _ = engine.planned([*databases(5, pool="p1"), *databases(3, prefix="single")])
    for _ in range(25):
        with engine.database.read() as connection:
            ready = list(
                connection.execute(
                    select(target_executions.c.id).where(
                        target_executions.c.dispatch_time.is_not(None), target_executions.c.lifecycle != "InProgress"
                    )
                ).scalars()
            )
        for number, target in enumerate(ready):
            claim = engine.claim(target)
            if claim is not None and number % 2:
                engine.record(claim)
        engine.clock.move(seconds=LEASE + 1)
        tick()
    while engine.job_state(execution) == "InProgress":
        engine.run_all(engine.take())
        engine.clock.move(seconds=LEASE + 1)
        tick()
        engine.run_all(_dispatched(engine))
    assert set(engine.target_states(execution).values()) <= {"Succeeded", "Failed"}


def _dispatched(engine: Engine) -> list[UUID]:
    with engine.database.read() as connection:
        query = select(target_executions.c.id).where(target_executions.c.dispatch_time.is_not(None))
        return list(connection.execute(query).scalars())

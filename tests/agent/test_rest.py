"""An idle agent that is told that T-SQL is not used leaves the job database alone, and misses nothing by it."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from elastic_jobs.agent.caretaker import Caretaker
from elastic_jobs.agent.flow import Flow
from elastic_jobs.agent.scheduler import WATCH, Scheduler
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.unused import close_unused
from tests.agent.conftest import KeepingOutbox, wait_for
from tests.agent.test_services import runs, schedule, statements
from tests.jobdb.conftest import Engine, ManualClock, databases
from tests.jobdb.places import Places

LONGEST = timedelta(minutes=5)


class Instances:
    """Schedulers of several instances over one job database and one queue."""

    def __init__(self, database: JobDatabase, outbox: KeepingOutbox, flow: Flow, clock: ManualClock) -> None:
        self.database, self.outbox, self.flow, self.clock = database, outbox, flow, clock

    def start(self, longest: timedelta = LONGEST) -> Scheduler:
        caretaker = Caretaker(self.database, self.outbox, self.flow, self.clock, keep_history=timedelta(days=45))
        return Scheduler(
            self.database,
            self.outbox,
            caretaker,
            self.clock,
            uuid4,
            pause=lambda seconds: self.clock.move(seconds=seconds),
            longest_rest=longest,
        )

    def looks(self, scheduler: Scheduler) -> int:
        """The statements of one tick."""
        with statements(self.database) as sent:
            scheduler.tick(self.clock.now())
        return len(sent)

    def deliver(self, to: Scheduler) -> None:
        """The alarms that are due now reach an instance."""
        sent, self.outbox.alarms = self.outbox.alarms, []
        for due, delay in sent:
            if due <= self.clock.now():
                to.alarm(due)
            else:
                self.outbox.alarms.append((due, delay))


@pytest.fixture
def instances(database: JobDatabase, outbox: KeepingOutbox, flow: Flow, clock: ManualClock) -> Instances:
    return Instances(database, outbox, flow, clock)


def test_a_tick_looks_every_time_unless_it_may_rest(instances: Instances, engine: Engine) -> None:
    engine.define()
    scheduler = instances.start(timedelta())
    assert [instances.looks(scheduler) for _ in range(3)] == [1, 1, 1]
    scheduler.stir()
    assert instances.outbox.alarms == []


def test_an_idle_tick_that_may_rest_sends_nothing_until_the_rest_is_over(instances: Instances, engine: Engine) -> None:
    engine.define()
    scheduler = instances.start()
    counts = []
    for _ in range(62):
        counts.append(instances.looks(scheduler))
        engine.clock.move(seconds=10)
    assert [place for place, count in enumerate(counts) if count] == [0, 30, 60]
    assert set(counts) == {0, 1}


def test_a_rest_ends_when_a_schedule_is_due(instances: Instances, engine: Engine) -> None:
    engine.define()
    schedule(engine, in_seconds=100, minutes=60)
    scheduler = instances.start()
    assert instances.looks(scheduler) == 1
    engine.clock.move(seconds=99)
    assert instances.looks(scheduler) == 0
    engine.clock.move(seconds=1)
    scheduler.tick(engine.clock.now())
    assert len(runs(engine)) == 1


def test_nobody_rests_while_a_run_is_active(instances: Instances, engine: Engine) -> None:
    engine.define()
    execution, dispatched = engine.planned(databases(1))
    assert engine.claim(dispatched[0]) is not None
    scheduler = instances.start()
    assert [instances.looks(scheduler) for _ in range(3)] == [1, 1, 1]
    assert engine.job_state(execution) == "InProgress"


def test_a_clock_that_goes_back_ends_the_rest(instances: Instances, engine: Engine) -> None:
    engine.define()
    scheduler = instances.start()
    instances.looks(scheduler)
    engine.clock.move(seconds=-60)
    assert instances.looks(scheduler) == 1


def test_what_another_instance_schedules_is_started_on_time_while_the_ticking_one_rests(
    instances: Instances, engine: Engine
) -> None:
    engine.define()
    ticking, editing = instances.start(), instances.start()
    assert instances.looks(ticking) == 1
    schedule(engine, in_seconds=60, minutes=60)
    editing.stir()
    instances.deliver(editing)
    assert [due - engine.clock.now() for due, _ in instances.outbox.alarms] == [timedelta(seconds=60)]
    engine.clock.move(seconds=60)
    assert instances.looks(ticking) == 0
    instances.deliver(editing)
    assert len(runs(engine)) == 1


def test_an_edit_whose_message_is_lost_is_seen_when_the_rest_is_over(instances: Instances, engine: Engine) -> None:
    engine.define()
    ticking = instances.start()
    instances.looks(ticking)
    schedule(engine)
    engine.clock.move(seconds=LONGEST.total_seconds())
    ticking.tick(engine.clock.now())
    assert len(runs(engine)) == 1


def test_a_dead_worker_is_noticed_while_the_ticking_instance_rests(instances: Instances, engine: Engine) -> None:
    engine.define()
    ticking, other = instances.start(), instances.start()
    instances.looks(ticking)
    execution, dispatched = engine.planned(databases(1))
    other.stir()
    assert engine.claim(dispatched[0]) is not None
    for _ in range(3):
        instances.deliver(other)
        engine.clock.move(seconds=WATCH.total_seconds())
        assert instances.looks(ticking) == 0
    assert engine.row(dispatched[0])["lost_attempts"] == 1
    engine.run_all(dispatched)
    engine.advance(execution)
    instances.deliver(other)
    instances.deliver(other)
    assert engine.job_state(execution) == "Succeeded"
    assert instances.outbox.alarms == []


def test_many_changes_at_once_make_one_watch(instances: Instances, engine: Engine) -> None:
    engine.define()
    engine.planned(databases(1))
    other = instances.start()
    for _ in range(5):
        other.stir()
    instances.deliver(other)
    assert len(instances.outbox.alarms) == 1


def test_connections_that_nobody_uses_are_closed_and_made_again(job_databases: Places) -> None:
    database = job_databases.bare()
    close_unused({database.engine, database.reader}, timedelta(seconds=0.1))

    def ask() -> None:
        with database.read() as connection:
            connection.exec_driver_sql("SELECT 1")

    for _ in range(2):
        ask()
        wait_for(lambda: database.reader.pool.status().startswith("Pool size: 16  Connections in pool: 0"))

"""The services over a real job database, with a clock moved by hand and an outbox that keeps what it is given."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from elastic_jobs.agent.caretaker import Caretaker
from elastic_jobs.agent.control import Control
from elastic_jobs.agent.flow import Flow
from elastic_jobs.agent.scheduler import Scheduler
from elastic_jobs.jobdb.database import JobDatabase
from tests.jobdb.conftest import Engine, ManualClock, clock, database, engine, job_databases, only_sqlite

__all__ = ["clock", "database", "engine", "job_databases", "only_sqlite"]


class KeepingOutbox:
    """Keeps the messages instead of sending them; with ``lossy`` it loses them."""

    def __init__(self) -> None:
        self.steps: list[UUID] = []
        self.targets: list[UUID] = []
        self.alarms: list[tuple[datetime, timedelta]] = []
        self.lossy = False

    def wake_steps(self, ids: Iterable[UUID], delay: timedelta = timedelta()) -> None:
        del delay
        self.steps += [] if self.lossy else ids

    def wake_targets(self, ids: Iterable[UUID], delay: timedelta = timedelta()) -> None:
        del delay
        self.targets += [] if self.lossy else ids

    def alarm(self, due: datetime, delay: timedelta) -> None:
        self.alarms.append((due, delay))


class Seconds:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until the condition holds.

    Raises:
        AssertionError: it did not within the time.
    """
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "The awaited condition did not come."
        pause.wait(0.01)


@pytest.fixture
def outbox() -> KeepingOutbox:
    return KeepingOutbox()


@pytest.fixture
def flow(database: JobDatabase, outbox: KeepingOutbox) -> Flow:
    return Flow(database, outbox, uuid4)


@pytest.fixture
def control(database: JobDatabase, outbox: KeepingOutbox, flow: Flow, clock: ManualClock) -> Control:
    return Control(database, outbox, flow, clock, uuid4)


@pytest.fixture
def scheduler(database: JobDatabase, outbox: KeepingOutbox, flow: Flow, clock: ManualClock) -> Scheduler:
    caretaker = Caretaker(database, outbox, flow, clock, keep_history=timedelta(days=45))
    return Scheduler(database, outbox, caretaker, clock, uuid4, pause=lambda seconds: clock.move(seconds=seconds))


@pytest.fixture
def tick(scheduler: Scheduler, engine: Engine) -> Callable[[], object]:
    return lambda: scheduler.run_once(engine.clock.now())

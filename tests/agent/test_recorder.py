"""Ends of attempts that come together are recorded together, and none is lost or answered for another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection

from elastic_jobs.agent.recorder import LARGEST_BATCH, Recorder
from elastic_jobs.domain.outcome import AttemptResult, Outcome
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.errors import JobDatabaseUnavailableError
from elastic_jobs.jobdb.executions import recording
from elastic_jobs.jobdb.executions.claims import Claimant, TargetClaim
from elastic_jobs.jobdb.executions.recording import Ending
from tests.jobdb.conftest import Engine, databases


def ending(engine: Engine, claim: TargetClaim) -> Ending:
    return Ending(
        claim=claim,
        result=AttemptResult(outcome=Outcome.SUCCEEDED, message=f"{claim.database_name} succeeded."),
        policy=RetryPolicy(attempts=0),
        max_parallelism=None,
        claimant=Claimant(token=uuid4(), holder=engine.holder),
    )


@pytest.fixture
def endings(engine: Engine) -> list[Ending]:
    engine.define(capacity=50)
    _, dispatched = engine.planned(databases(120))
    claims = [engine.claim(target) for target in dispatched]
    return [ending(engine, claim) for claim in claims if claim is not None]


class Batches:
    """What reached the job database together; the first transaction waits until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self.begun, self.go = threading.Event(), threading.Event()
        self._record_all = recording.record_all
        monkeypatch.setattr(recording, "record_all", self._recorded)

    def _recorded(self, connection: Connection, database: Any, endings: list[Ending]) -> Any:
        self.sizes.append(len(endings))
        self.begun.set()
        assert self.go.wait(30)
        return self._record_all(connection, database, endings)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Batches:
    return Batches(monkeypatch)


def waiting(recorder: Recorder, count: int) -> None:
    """Until so many wait behind the one that is being recorded."""
    tick = threading.Event()
    for _ in range(3000):
        if len(recorder._waiting) == count:
            return
        tick.wait(0.01)
    raise AssertionError(f"{len(recorder._waiting)} wait, not {count}.")


def test_one_alone_is_recorded_at_once(engine: Engine, endings: list[Ending], batches: Batches) -> None:
    batches.go.set()
    answer = Recorder(engine.database).record(endings[0])
    assert answer.recorded is not None
    assert batches.sizes == [1]


@pytest.mark.usefixtures("only_sqlite")
def test_all_that_wait_are_recorded_together(engine: Engine, endings: list[Ending], batches: Batches) -> None:
    recorder = Recorder(engine.database)
    with ThreadPoolExecutor(len(endings)) as pool:
        first = pool.submit(recorder.record, endings[0])
        assert batches.begun.wait(30)
        others = [pool.submit(recorder.record, one) for one in endings[1:]]
        waiting(recorder, len(others))
        batches.go.set()
        answers = [future.result(30) for future in (first, *others)]
    assert batches.sizes == [1, LARGEST_BATCH, len(endings) - 1 - LARGEST_BATCH]
    for answer, one in zip(answers, endings, strict=True):
        assert answer.recorded is not None
        assert answer.recorded.following is not None
        assert one.claimant is not None
        assert answer.recorded.following.token == one.claimant.token


@pytest.mark.usefixtures("only_sqlite")
def test_one_that_cannot_be_recorded_fails_alone(
    engine: Engine, endings: list[Ending], batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = endings[3]
    record_all = recording.record_all

    def refuse(connection: Connection, database: Any, some: list[Ending]) -> Any:
        answers = record_all(connection, database, some)
        if bad in some:
            raise ValueError("This one cannot be written.")
        return answers

    monkeypatch.setattr(recording, "record_all", refuse)
    recorder = Recorder(engine.database)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(recorder.record, endings[0])
        assert batches.begun.wait(30)
        others = [pool.submit(recorder.record, one) for one in endings[1:6]]
        waiting(recorder, 5)
        batches.go.set()
        errors = [future.exception(30) for future in (first, *others)]
    assert [type(error) for error in errors] == [type(None)] * 3 + [ValueError] + [type(None)] * 2
    assert engine.row(bad.claim.target_execution_id)["lifecycle"] == "InProgress"
    assert engine.row(endings[5].claim.target_execution_id)["lifecycle"] == "Succeeded"


@pytest.mark.usefixtures("only_sqlite")
def test_when_the_job_database_is_away_everybody_learns_of_it_and_the_next_is_served(
    engine: Engine, endings: list[Ending], batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, away = engine.database.write, [True]

    @contextmanager
    def sometimes() -> Iterator[Connection]:
        with write() as connection:
            yield connection
            if away[0]:
                raise JobDatabaseUnavailableError("The job database does not answer.")

    monkeypatch.setattr(engine.database, "write", sometimes)
    recorder = Recorder(engine.database)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(recorder.record, endings[0])
        assert batches.begun.wait(30)
        others = [pool.submit(recorder.record, one) for one in endings[1:4]]
        waiting(recorder, 3)
        batches.go.set()
        errors = [future.exception(30) for future in (first, *others)]
    assert all(isinstance(error, JobDatabaseUnavailableError) for error in errors)
    away[0] = False
    assert recorder.record(endings[0]).recorded is not None

"""What the portal reads of runs means the same on both engines."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from elastic_jobs.domain.lifecycle import ACTIVE, Lifecycle
from elastic_jobs.domain.outcome import Outcome
from elastic_jobs.errors import NotFoundError
from elastic_jobs.jobdb import run_errors, run_list, run_targets
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import target_executions
from elastic_jobs.jobdb.run_list import RunFilter
from elastic_jobs.jobdb.run_targets import TargetFilter
from tests.jobdb.conftest import Engine, ManualClock, databases


@pytest.fixture
def defined(database: JobDatabase, clock: ManualClock) -> Engine:
    """An agent with a job that nothing has run of."""
    engine = Engine(database, clock)
    engine.define(capacity=10)
    return engine


def test_runs_are_listed_filtered_paged_and_counted(defined: Engine, clock: ManualClock) -> None:
    runs = []
    for outcome in (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SUCCEEDED):
        run, dispatched = defined.planned(databases(3))
        defined.run_all(dispatched, outcome)
        defined.advance(run)
        runs.append(run)
        clock.move(minutes=30)
    active, _ = defined.planned(databases(12))
    with defined.database.read() as connection:
        listed = run_list.list_runs(connection, RunFilter(), limit=10)
        assert [run.id for run in listed] == [active, *reversed(runs)]
        assert listed[0].targets == {Lifecycle.CREATED: 12}
        assert listed[2].targets == {Lifecycle.FAILED: 3}
        assert run_list.usage(connection) == run_list.Usage(used=10, waiting=2)
        first = run_list.list_runs(connection, RunFilter(), limit=2)
        place = (first[-1].create_time, first[-1].id)
        rest = run_list.list_runs(connection, RunFilter(), limit=10, after=place)
        assert [run.id for run in rest] == [runs[1], runs[0]]
        gone = run_list.list_runs(connection, RunFilter(), limit=10, after=(first[-1].create_time, uuid4()))
        assert {run.id for run in gone} >= {runs[1], runs[0]}, "a page goes on when its last row was purged"
        for wanted, count in (
            (RunFilter(states=ACTIVE), 1),
            (RunFilter(states=frozenset({Lifecycle.FAILED})), 1),
            (RunFilter(job="OB1"), 4),
            (RunFilter(job="%"), 0),
            (RunFilter(job="[a-z]"), 0),
            (RunFilter(created_min=clock.now() - timedelta(minutes=45)), 2),
            (RunFilter(created_max=clock.now() - timedelta(minutes=45)), 2),
        ):
            assert run_list.count_runs(connection, wanted) == count, wanted
            assert len(run_list.list_runs(connection, wanted, limit=10)) == count, wanted
        start = clock.now() - timedelta(minutes=100)
        ends = run_list.ends_per_period(connection, start=start, period=timedelta(minutes=50), count=2)
        assert ends == [{Lifecycle.SUCCEEDED: 1, Lifecycle.FAILED: 1}, {Lifecycle.SUCCEEDED: 1}]
        assert run_list.due_jobs(connection, limit=5) == []
        assert run_list.find_rerun(connection, runs[0]) is None
        assert run_list.cancel_time(connection, runs[0]) is None


def test_targets_are_listed_filtered_and_told_as_spans(defined: Engine, clock: ManualClock) -> None:
    run, dispatched = defined.planned(databases(3))
    clock.move(seconds=5)
    claim = defined.claim(dispatched[0])
    assert claim is not None
    clock.move(seconds=7)
    defined.record(claim, Outcome.FAILED)
    with defined.database.read() as connection:
        everything = run_targets.list_targets(connection, run, TargetFilter(), limit=10)
        names = [target.database_name for target in everything]
        assert names == sorted(names)
        assert len(names) == 3
        later = run_targets.list_targets(connection, run, TargetFilter(), limit=1, skip=1)
        assert [target.id for target in later] == [everything[1].id]
        (failed,) = run_targets.list_targets(
            connection, run, TargetFilter(states=frozenset({Lifecycle.FAILED})), limit=10
        )
        assert failed.id == dispatched[0]
        for wanted, count in (
            (TargetFilter(step_id=1), 3),
            (TargetFilter(step_id=2), 0),
            (TargetFilter(text=names[0].upper()), 1),
            (TargetFilter(text="_"), 0),
            (TargetFilter(ids=[failed.id]), 1),
            (TargetFilter(ids=[]), 0),
        ):
            assert run_targets.count_targets(connection, run, wanted) == count, wanted
        assert run_targets.get_target(connection, run, failed.id).last_message == "It Failed."
        with pytest.raises(NotFoundError, match="target execution"):
            run_targets.get_target(connection, uuid4(), failed.id)
        spans = {span.name: span for span in run_targets.list_spans(connection, run)}
    span = spans[failed.database_name]
    assert span.started is not None
    assert span.ended is not None
    assert (round(span.started - span.created), round(span.ended - span.started)) == (5, 7)
    assert abs(span.ended - clock.now().timestamp()) < 0.01
    assert [other.started for name, other in spans.items() if name != failed.database_name] == [None, None]


def test_errors_are_counted_by_their_words(defined: Engine) -> None:
    run, dispatched = defined.planned(databases(5))
    defined.run_all(dispatched, Outcome.FAILED)
    target = target_executions.c
    with defined.database.write() as connection:
        ids = list(connection.execute(select(target.id).order_by(target.database_name)).scalars())
        for number, each in enumerate(ids):
            values = {"error_number": 208, "last_message": "Invalid object name."} if number < 3 else {}
            connection.execute(
                update(target_executions).where(target.id == each).values(**values or {"error_number": None})
            )
    with defined.database.read() as connection:
        counted = sorted(run_errors.count_errors(connection, run), key=lambda error: -error.targets)
        each = run_errors.list_errors(connection, run)
    assert [(error.number, error.message, error.lifecycle, error.targets) for error in counted] == [
        (208, "Invalid object name.", "Failed", 3),
        (None, "It Failed.", "Failed", 2),
    ]
    assert [error.id for error in each] == ids
    assert counted[0].database == each[0].database_name

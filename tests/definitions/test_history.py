from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, insert

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.domain.model import Job
from elastic_jobs.errors import NotFoundError
from elastic_jobs.jobdb import history
from elastic_jobs.jobdb.definitions import jobs
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions
from elastic_jobs.jobdb.history import ExecutionFilter, Page
from tests.definitions.conftest import Hand

ALL = ExecutionFilter()


def page_through(hand: Hand, size: int, filters: ExecutionFilter = ALL, job: Job | None = None) -> list[UUID]:
    """The ids of a whole listing, read in pages of this size."""
    found: list[UUID] = []
    after = None
    while True:
        with hand.database.read() as connection:
            rows = history.list_job_executions(
                connection, Page(limit=size, after=after), filters, job_id=job.id if job else None
            )
        found += [row.id for row in rows]
        if len(rows) < size:
            return found
        after = (rows[-1].create_time, rows[-1].id)


def write_step(hand: Hand, run: UUID, job: Job, step_id: int) -> UUID:
    row_id = uuid4()
    with hand.database.write() as connection:
        connection.execute(
            insert(step_executions).values(
                id=row_id,
                job_execution_id=run,
                job_id=job.id,
                job_version=1,
                step_id=step_id,
                step_name=f"step{step_id}",
                lifecycle=Lifecycle.CREATED,
                is_active=1,
                create_time=hand.now,
            )
        )
    return row_id


def write_target(hand: Hand, run: UUID, job: Job, step: UUID, number: int, lifecycle: Lifecycle) -> None:
    ended = lifecycle is not Lifecycle.CREATED
    with hand.database.write() as connection:
        connection.execute(
            insert(target_executions).values(
                id=uuid4(),
                step_execution_id=step,
                job_execution_id=run,
                job_id=job.id,
                step_uid=uuid4(),
                server_name="server1.database.windows.net",
                database_name=f"database{number}",
                turn=number,
                admitted=True,
                lifecycle=lifecycle,
                is_active=int(not ended),
                create_time=hand.now,
                end_time=hand.now if ended else None,
            )
        )


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pages_neither_repeat_nor_miss_runs_of_one_instant(hand: Hand, size: int) -> None:
    job = hand.job()
    runs = [hand.execution(job) for _ in range(7)]
    hand.later(seconds=1)
    newest = hand.execution(job)
    found = page_through(hand, size)
    assert found[0] == newest
    assert sorted(found[1:]) == sorted(runs)


def test_runs_that_begin_while_somebody_pages_move_nothing(hand: Hand) -> None:
    job = hand.job()
    runs = []
    for _ in range(4):
        runs.append(hand.execution(job))
        hand.later(seconds=1)
    with hand.database.read() as connection:
        first = history.list_job_executions(connection, Page(limit=2), ALL)
    hand.execution(job)
    with hand.database.write() as connection:  # purged meanwhile: its time is known from the page
        connection.execute(delete(job_executions).where(job_executions.c.id == first[-1].id))
    after = (first[-1].create_time, first[-1].id)
    with hand.database.read() as connection:
        second = history.list_job_executions(connection, Page(limit=2, after=after), ALL)
    assert [row.id for row in (*first, *second)] == list(reversed(runs))


def test_filters_include_the_lower_bound_and_leave_the_upper_out(hand: Hand) -> None:
    job, other = hand.job("job1"), hand.job("job2")
    first = hand.execution(job, Lifecycle.SUCCEEDED)
    hand.later(seconds=1)
    second = hand.execution(other)
    middle = hand.now
    bounds = {
        ExecutionFilter(create_time_min=middle): [second],
        ExecutionFilter(create_time_max=middle): [first],
        ExecutionFilter(end_time_min=middle - timedelta(seconds=1)): [first],
        ExecutionFilter(end_time_max=middle - timedelta(seconds=1)): [],
        ExecutionFilter(is_active=True): [second],
        ExecutionFilter(is_active=False): [first],
        ExecutionFilter(is_active=False, create_time_min=middle): [],
    }
    assert {filters: page_through(hand, 10, filters) for filters in bounds} == bounds
    assert page_through(hand, 10, job=job) == [first]


def test_runs_go_by_the_present_name_of_their_job_and_with_the_job(hand: Hand) -> None:
    job = hand.job("old")
    run = hand.execution(job)
    hand.job("old", new_name="new")
    with hand.database.read() as connection:
        assert history.get_job_execution(connection, run).job_name == "new"
        with pytest.raises(NotFoundError):
            history.get_job_execution(connection, run, job_id=uuid4())
    with hand.database.write() as connection:
        jobs.delete_job(connection, hand.edit, "new", force=True)
        with pytest.raises(NotFoundError):
            history.get_job_execution(connection, run)
        assert history.find_job_of_execution(connection, run) == job.id
        assert history.find_job_of_execution(connection, uuid4()) is None
    assert page_through(hand, 10) == []


def test_steps_are_listed_last_first_and_paged(hand: Hand) -> None:
    job = hand.job()
    run = hand.execution(job)
    ids = [write_step(hand, run, job, step_id) for step_id in (1, 2, 3)]
    with hand.database.read() as connection:
        first = history.list_step_executions(connection, run, Page(limit=2), ALL)
        after = (first[-1].create_time, first[-1].id)
        rest = history.list_step_executions(connection, run, Page(limit=2, after=after), ALL)
        assert [row.id for row in (*first, *rest)] == list(reversed(ids))
        assert history.get_step_execution(connection, run, "STEP2").id == ids[1]
        with pytest.raises(NotFoundError, match="step execution 'step4'"):
            history.get_step_execution(connection, run, "step4")
        with pytest.raises(NotFoundError, match="target execution"):
            history.get_target_execution(connection, ids[0], uuid4())


def test_progress_counts_targets_per_step(hand: Hand) -> None:
    job = hand.job()
    run = hand.execution(job)
    first, _ = write_step(hand, run, job, 1), write_step(hand, run, job, 2)
    for number, state in enumerate([Lifecycle.SUCCEEDED, Lifecycle.SUCCEEDED, Lifecycle.FAILED, Lifecycle.CREATED]):
        write_target(hand, run, job, first, number, state)
    with hand.database.read() as connection:
        steps = history.progress(connection, run)
    assert [(step.step_id, dict(step.targets)) for step in steps] == [
        (1, {Lifecycle.SUCCEEDED: 2, Lifecycle.FAILED: 1, Lifecycle.CREATED: 1}),
        (2, {}),
    ]

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select, update

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.domain.schedule import DEFAULT_END, DEFAULT_START, IntervalType, Schedule
from elastic_jobs.errors import InvalidDefinitionError, NotFoundError
from elastic_jobs.jobdb import tables
from elastic_jobs.jobdb.definitions import jobs, steps
from tests.definitions.conftest import NOW, Hand

HOURLY = Schedule(interval_type=IntervalType.HOURS, enabled=True)
ONCE = Schedule(enabled=True)


def next_run(hand: Hand, name: str = "job1") -> datetime | None:
    with hand.database.read() as connection:
        return jobs.get_job(connection, name).next_run_time


def test_a_new_job_has_version_0_and_no_next_run(hand: Hand) -> None:
    job = hand.job("nightly", HOURLY, description="d")
    with hand.database.read() as connection:
        assert jobs.get_job(connection, "NIGHTLY") == job
        assert jobs.list_versions(connection, job.id) == [0]
    assert (job.version, job.next_run_time, job.schedule) == (0, None, HOURLY)


def test_saving_a_job_again_makes_no_version(hand: Hand) -> None:
    first = hand.job("nightly")
    hand.step(job="nightly")
    second = hand.job("Nightly", description="other")
    assert (second.id, second.name, second.description, second.version) == (first.id, "nightly", "other", 1)


def test_renaming_a_job(hand: Hand) -> None:
    hand.job("a")
    hand.job("b")
    assert hand.job("a", new_name="c").name == "c"
    assert hand.job("c", new_name="C").name == "C"
    with pytest.raises(InvalidDefinitionError, match="a job 'C' already"):
        hand.job("b", new_name="c")
    with pytest.raises(InvalidDefinitionError, match="%"):
        hand.job("b", new_name="50%")


@pytest.mark.parametrize("name", ["", "a" * 129, "50%", "a\nb", " a", "a ", ".", "\U0001f600" * 65])
def test_names_that_a_job_cannot_have(hand: Hand, name: str) -> None:
    with pytest.raises(InvalidDefinitionError) as error:
        hand.job(name)
    assert error.value.code == "InvalidResourceRequestBody"


@pytest.mark.parametrize("name", ["a" * 128, "nightly/rebuild", "Aufträge übers Jahr", "a&b?*<>:", "\U0001f600" * 64])
def test_names_that_a_job_can_have(hand: Hand, name: str) -> None:
    assert hand.job(name).name == name


def test_jobs_are_listed_by_name_page_by_page(hand: Hand) -> None:
    for name in ("c", "A", "b"):
        hand.job(name)
    with hand.database.read() as connection:
        assert [job.name for job in jobs.list_jobs(connection, limit=2)] == ["A", "b"]
        assert [job.name for job in jobs.list_jobs(connection, after="B", limit=2)] == ["c"]


@pytest.mark.parametrize(
    ("schedule", "code"),
    [
        (replace(HOURLY, interval_count=0), "InvalidDuration"),
        (replace(HOURLY, interval_count=2**31), "InvalidDuration"),
        (replace(HOURLY, interval_type=IntervalType.MONTHS, interval_count=1300), "InvalidDuration"),
        (replace(HOURLY, start_time=NOW, end_time=NOW - timedelta(seconds=1)), "InvalidResourceRequestBody"),
    ],
)
def test_schedules_that_are_refused(hand: Hand, schedule: Schedule, code: str) -> None:
    with pytest.raises(InvalidDefinitionError) as error:
        hand.job("wrong", schedule)
    assert error.value.code == code


def test_a_description_must_fit(hand: Hand) -> None:
    assert hand.job("a", description="d" * 512).description == "d" * 512
    with pytest.raises(InvalidDefinitionError, match="513"):
        hand.job("a", description="d" * 513)


def test_start_times_are_stored_in_one_way(hand: Hand) -> None:
    west = timezone(timedelta(hours=-8))
    start = replace(HOURLY, start_time=datetime(1, 1, 2, tzinfo=UTC), interval_count=7, interval_type=IntervalType.ONCE)
    assert hand.job("a", start).schedule == replace(ONCE, start_time=DEFAULT_START)
    east = timezone(timedelta(hours=2))
    without_zone = datetime(2050, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    edge = replace(ONCE, start_time=datetime(1, 1, 1, tzinfo=east), end_time=without_zone)
    assert hand.job("b", edge).schedule.start_time == DEFAULT_START
    assert hand.job("c", replace(ONCE, end_time=datetime.max.replace(tzinfo=west))).schedule.end_time == DEFAULT_END
    local = hand.job("d", replace(ONCE, start_time=datetime(2027, 1, 1, tzinfo=west))).schedule
    assert local.start_time == datetime(2027, 1, 1, 8, tzinfo=UTC)
    with hand.database.read() as connection:
        assert jobs.get_job(connection, "d").schedule == local


def test_the_first_step_arms_the_schedule_and_the_last_one_gone_disarms_it(hand: Hand) -> None:
    hand.job("job1", HOURLY)
    hand.later(minutes=5)
    assert next_run(hand) is None
    assert hand.step().job.next_run_time == next_run(hand) == hand.now
    hand.later(minutes=5)
    hand.step("another")
    assert next_run(hand) == NOW + timedelta(minutes=5)
    with hand.database.write() as connection:
        for name in ("step1", "another"):
            steps.delete_step(connection, hand.edit, "job1", name)
    assert next_run(hand) is None
    hand.job("job1", HOURLY)
    assert next_run(hand) is None


def test_saving_an_unchanged_schedule_keeps_the_next_run(hand: Hand) -> None:
    hand.job("job1", HOURLY)
    hand.step()
    with hand.database.write() as connection:  # as the scheduler does after the first run
        connection.execute(update(tables.jobs).values(next_run_time=NOW + timedelta(hours=1)))
    hand.later(minutes=10)
    hand.job("job1", replace(HOURLY, start_time=datetime(1, 1, 2, tzinfo=UTC)), description="new")
    assert next_run(hand) == NOW + timedelta(hours=1)
    hand.job("job1", replace(HOURLY, end_time=NOW + timedelta(days=1)))
    assert next_run(hand) == NOW + timedelta(hours=1)
    hand.job("job1", replace(HOURLY, end_time=NOW + timedelta(minutes=30)))
    assert next_run(hand) is None
    hand.job("job1", replace(HOURLY, interval_count=2))
    assert next_run(hand) == hand.now


def test_moving_the_end_of_an_ended_schedule_goes_back_on_its_grid(hand: Hand) -> None:
    start = NOW - timedelta(minutes=90)
    ended = replace(HOURLY, start_time=start, end_time=NOW - timedelta(minutes=5))
    hand.job("job1", ended)
    hand.step()
    assert next_run(hand) is None
    hand.job("job1", replace(ended, end_time=DEFAULT_END))
    assert next_run(hand) == start + timedelta(hours=2)


def test_disabling_and_enabling(hand: Hand) -> None:
    hand.job("job1", HOURLY)
    hand.step()
    hand.job("job1", replace(HOURLY, enabled=False))
    assert next_run(hand) is None
    hand.later(hours=3)
    hand.job("job1", HOURLY)
    assert next_run(hand) == hand.now


def test_a_consumed_once_schedule_runs_again_only_with_another_start(hand: Hand) -> None:
    hand.job("job1", ONCE)
    hand.step()
    assert next_run(hand) == NOW
    with hand.database.write() as connection:  # as the scheduler does when it starts the run
        connection.execute(
            update(tables.jobs).values(next_run_time=None, schedule_anchor=None, consumed_start_time=DEFAULT_START)
        )
    hand.job("job1", ONCE, description="same")
    hand.job("job1", replace(ONCE, enabled=False))
    hand.job("job1", ONCE)
    hand.job("job1", replace(ONCE, end_time=datetime(2050, 1, 1, tzinfo=UTC)))
    assert next_run(hand) is None
    start = NOW + timedelta(days=1)
    hand.job("job1", replace(ONCE, start_time=start))
    assert next_run(hand) == start


def test_deleting_frees_the_name_at_once_and_leaves_the_rest_to_the_agent(hand: Hand) -> None:
    old = hand.job("job1", HOURLY)
    hand.step()
    with hand.database.write() as connection:
        deleted = jobs.delete_job(connection, hand.edit, "JOB1", force=False)
        assert deleted is not None
        assert deleted.id == old.id
        assert jobs.delete_job(connection, hand.edit, "job1", force=False) is None
        with pytest.raises(NotFoundError):
            jobs.get_job(connection, "job1")
        row = connection.execute(select(tables.jobs).where(tables.jobs.c.id == old.id)).one()
    assert (row.delete_time, row.next_run_time) == (NOW, None)
    assert hand.job("job1").id != old.id


def test_a_running_job_is_deleted_by_force_only(hand: Hand) -> None:
    job = hand.job("job1")
    hand.execution(job, Lifecycle.SUCCEEDED)
    hand.execution(job)
    with hand.database.write() as connection:
        with pytest.raises(InvalidDefinitionError, match="active executions"):
            jobs.delete_job(connection, hand.edit, "job1", force=False)
        assert jobs.delete_job(connection, hand.edit, "job1", force=True) is not None


def test_jobs_need_an_agent(empty: Hand) -> None:
    with pytest.raises(NotFoundError, match="agent"):
        empty.job()

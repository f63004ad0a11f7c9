"""What the tick makes of edits in T-SQL is what the management API would have made of them at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from elastic_jobs.domain.schedule import DEFAULT_START, IntervalType, Schedule
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions import steps
from elastic_jobs.jobdb.definitions.schedule_edits import arm_edited_jobs
from elastic_jobs.jobdb.tables import job_steps, job_versions, jobs, metadata
from elastic_jobs.jobdb.tsql_tables import schedule_edits
from tests.definitions.conftest import NOW, Hand

DAILY = Schedule(interval_type=IntervalType.DAYS, enabled=True)


class TsqlHand(Hand):
    """Edits as the procedures do, with their own statements; ``jobs_internal.keep_schedule`` is ``keep``."""

    def keep(self, connection: Any) -> None:
        job = connection.execute(select(jobs)).mappings().one()
        steps = connection.execute(
            select(job_steps).where(job_steps.c.job_id == job["id"], job_steps.c.job_version == job["version"])
        ).all()
        names = ("enabled", *(name for name in job if str(name).startswith("schedule_")), "next_run_time")
        before = {name: job[name] for name in names}
        connection.execute(
            insert(schedule_edits).values(job_id=job["id"], time=self.now, had_steps=bool(steps), **before)
        )
        connection.execute(update(jobs).values(next_run_time=None, schedule_anchor=None))

    def schedule(self, schedule: Schedule) -> None:
        values = {
            "enabled": schedule.enabled,
            "schedule_interval_type": schedule.interval_type,
            "schedule_interval_count": schedule.interval_count,
            "schedule_start_time": schedule.start_time,
            "schedule_end_time": schedule.end_time,
        }
        with self.database.write() as connection:
            now = connection.execute(select(*(jobs.c[name] for name in values))).mappings().one()
            if dict(now) != values:
                self.keep(connection)
                connection.execute(update(jobs).values(**values))

    def steps(self, there: bool) -> None:
        """The first step comes or the last one goes: a version that has or has not the step of version 1."""
        with self.database.write() as connection:
            job = connection.execute(select(jobs)).mappings().one()
            kept = connection.execute(select(job_steps).where(job_steps.c.job_version == 1)).mappings().first()
            has = connection.execute(select(job_steps).where(job_steps.c.job_version == job["version"])).first()
            if bool(has) == there:
                return
            self.keep(connection)
            version = job["version"] + 1
            connection.execute(insert(job_versions).values(job_id=job["id"], version=version, create_time=self.now))
            if there:
                assert kept is not None
                connection.execute(insert(job_steps).values(**{**kept, "job_version": version}))
            connection.execute(update(jobs).values(version=version))

    def arm(self) -> int:
        with self.database.write() as connection:
            return arm_edited_jobs(connection)


def next_run(hand: Hand) -> tuple[datetime | None, datetime | None]:
    with hand.database.read() as connection:
        row = connection.execute(select(jobs.c.next_run_time, jobs.c.schedule_anchor)).one()
    return row.next_run_time, row.schedule_anchor


def prepare(hand: Hand) -> None:
    hand.agent()
    hand.credential("runner")
    hand.group()
    hand.job()
    hand.step()


@pytest.fixture
def tsql(tmp_path: Path) -> Iterator[TsqlHand]:
    database = JobDatabase(f"sqlite:///{tmp_path}/jobs.db")
    metadata.create_all(database.engine)
    hand = TsqlHand(database)
    prepare(hand)
    yield hand
    database.dispose()


def test_a_step_added_in_a_later_batch_does_not_lose_the_single_run(tsql: TsqlHand) -> None:
    tsql.steps(False)
    tsql.schedule(Schedule(enabled=True))
    tsql.arm()
    assert next_run(tsql) == (None, None)
    tsql.later(minutes=5)
    tsql.steps(True)
    assert next_run(tsql) == (None, None), "nothing starts before it is armed"
    tsql.later(seconds=9)
    assert tsql.arm() == 1
    assert next_run(tsql)[0] == NOW + timedelta(minutes=5), "as of the edit, not of the tick"


def test_a_job_cannot_start_under_a_schedule_that_it_no_longer_has(tsql: TsqlHand) -> None:
    tsql.schedule(DAILY)
    tsql.arm()
    assert next_run(tsql) == (NOW, NOW)
    tsql.schedule(replace(DAILY, enabled=False))
    assert next_run(tsql) == (None, None)
    tsql.arm()
    assert next_run(tsql) == (None, None)


def test_an_edit_through_the_management_api_makes_up_for_earlier_ones_in_t_sql(tsql: TsqlHand) -> None:
    tsql.schedule(replace(DAILY, start_time=NOW + timedelta(hours=1)))
    tsql.later(seconds=1)
    tsql.job(schedule=replace(DAILY, start_time=NOW + timedelta(hours=1)), description="only this is new")
    assert next_run(tsql)[0] == NOW + timedelta(hours=1)
    assert tsql.arm() == 0


def test_a_step_saved_through_the_management_api_after_edits_in_t_sql(tsql: TsqlHand) -> None:
    tsql.schedule(DAILY)
    tsql.later(seconds=5)
    tsql.step("step2")
    assert next_run(tsql) == (NOW, NOW)


def test_a_deleted_job_is_not_armed(tsql: TsqlHand) -> None:
    tsql.schedule(DAILY)
    with tsql.database.write() as connection:
        connection.execute(update(jobs).values(delete_time=NOW))
    tsql.arm()
    assert next_run(tsql) == (None, None)
    assert tsql.arm() == 0


_SCHEDULES = st.builds(
    Schedule,
    interval_type=st.sampled_from([IntervalType.ONCE, IntervalType.MINUTES, IntervalType.DAYS, IntervalType.MONTHS]),
    interval_count=st.just(1),
    start_time=st.sampled_from([DEFAULT_START, NOW, NOW + timedelta(days=40), NOW - timedelta(days=40)]),
    end_time=st.sampled_from([datetime(9999, 12, 31, 11, 59, 59, tzinfo=UTC), NOW + timedelta(days=41)]),
    enabled=st.sampled_from([True, True, False]),
)
_EDITS = st.lists(
    st.tuples(st.integers(0, 90), st.one_of(_SCHEDULES, st.booleans(), st.just("end"), st.just("tick"))), max_size=8
)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JobDatabase, JobDatabase]]:
    folder = tmp_path_factory.mktemp("twins")
    made = [JobDatabase(f"sqlite:///{folder}/{name}.db") for name in ("api", "tsql")]
    for database in made:
        metadata.create_all(database.engine)
        prepare(Hand(database))
    yield made[0], made[1]
    for database in made:
        database.dispose()


@given(edits=_EDITS)
@settings(max_examples=60)
def test_any_edits_in_t_sql_come_to_the_same_next_run(
    twins: tuple[JobDatabase, JobDatabase], edits: list[tuple[int, Any]]
) -> None:
    api, tsql = Hand(twins[0]), TsqlHand(twins[1])
    for hand in (api, tsql):
        _forget(hand)
    current = Schedule()
    for seconds, edit in edits:
        api.later(seconds=seconds)
        tsql.later(seconds=seconds)
        if edit == "tick":
            tsql.arm()
            continue
        if isinstance(edit, bool):
            tsql.steps(edit)
            _steps_by_api(api, edit)
            continue
        wanted = replace(current, end_time=current.end_time - timedelta(days=1)) if edit == "end" else edit
        if wanted.end_time < wanted.start_time:
            continue
        current = wanted
        tsql.schedule(current)
        api.job(schedule=current)
    tsql.arm()
    assert next_run(tsql) == next_run(api)


def _forget(hand: Hand) -> None:
    with hand.database.write() as connection:
        for table in (job_steps, job_versions):
            connection.execute(table.delete().where(table.c[_version(table)] > 1))
        connection.execute(schedule_edits.delete())
        connection.execute(
            update(jobs).values(
                version=1,
                enabled=False,
                schedule_interval_type="Once",
                schedule_interval_count=1,
                schedule_start_time=DEFAULT_START,
                schedule_end_time=Schedule().end_time,
                next_run_time=None,
                schedule_anchor=None,
            )
        )


def _version(table: Any) -> str:
    return "version" if table is job_versions else "job_version"


def _steps_by_api(hand: Hand, there: bool) -> None:
    if bool(hand.step_names()) == there:
        return
    if there:
        hand.step()
        return
    with hand.database.write() as connection:
        steps.delete_step(connection, hand.edit, "job1", "step1")

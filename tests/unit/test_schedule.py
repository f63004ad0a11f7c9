"""Schedules: the grid, the window, what is caught up and what is not."""

import calendar
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jobs.domain.schedule import DEFAULT_START, Due, IntervalType, Schedule, after_run, first_due, upcoming

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
instants = st.integers(0, int((LATEST - EARLIEST).total_seconds())).map(lambda s: EARLIEST + timedelta(seconds=s))
recurring = st.sampled_from([kind for kind in IntervalType if kind is not IntervalType.ONCE])


def schedule(kind: IntervalType, count: int = 1, **fields: object) -> Schedule:
    return Schedule(interval_type=kind, interval_count=count, enabled=True, **fields)  # type: ignore[arg-type]


def test_a_disabled_schedule_never_runs() -> None:
    assert first_due(Schedule(interval_type=IntervalType.HOURS), now=NOW, consumed_start=None) is None


def test_once_without_a_start_time_runs_now() -> None:
    due = first_due(schedule(IntervalType.ONCE), now=NOW, consumed_start=None)
    assert due == Due(run_at=NOW, anchor=NOW)


def test_once_runs_again_only_after_its_start_time_was_set_anew() -> None:
    past = NOW - timedelta(days=3)
    once = schedule(IntervalType.ONCE, start_time=past)
    first = first_due(once, now=NOW, consumed_start=None)
    assert first is not None
    assert first.run_at == past
    assert after_run(once, first, now=NOW) is None
    assert first_due(once, now=NOW, consumed_start=past) is None
    assert first_due(schedule(IntervalType.ONCE), now=NOW, consumed_start=DEFAULT_START) is None
    anew = schedule(IntervalType.ONCE, start_time=NOW + timedelta(hours=1))
    assert first_due(anew, now=NOW, consumed_start=past) == Due(run_at=anew.start_time, anchor=anew.start_time)


def test_hourly_from_a_moment_ago_runs_now_and_keeps_its_grid() -> None:
    start = NOW - timedelta(seconds=2)
    hourly = schedule(IntervalType.HOURS, start_time=start)
    due = first_due(hourly, now=NOW, consumed_start=None)
    assert due == Due(run_at=start, anchor=start)
    following = after_run(hourly, due, now=NOW + timedelta(seconds=8))
    assert following == Due(run_at=start + timedelta(hours=1), anchor=start)


def test_weekly_from_a_past_sunday_waits_for_the_next_sunday() -> None:
    sunday = datetime(2017, 3, 19, 22, 0, tzinfo=UTC)
    due = first_due(schedule(IntervalType.WEEKS, start_time=sunday), now=NOW, consumed_start=None)
    assert due is not None
    assert due.run_at == datetime(2026, 11, 29, 22, 0, tzinfo=UTC)


def test_monthly_on_the_31st_clamps_without_drift() -> None:
    anchor = datetime(2027, 1, 31, 3, 0, tzinfo=UTC)
    monthly = schedule(IntervalType.MONTHS, start_time=anchor)
    days = [(i.month, i.day) for i in upcoming(monthly, Due(run_at=anchor, anchor=anchor), 5)]
    assert days == [(1, 31), (2, 28), (3, 31), (4, 30), (5, 31)]


def test_after_an_outage_one_late_run_then_back_on_the_grid() -> None:
    anchor = NOW
    minutes = schedule(IntervalType.MINUTES, 5, start_time=anchor)
    late = after_run(minutes, Due(run_at=anchor, anchor=anchor), now=NOW + timedelta(hours=3, minutes=2))
    assert late == Due(run_at=NOW + timedelta(hours=3, minutes=5), anchor=anchor)


def test_nothing_runs_after_the_end_of_the_window() -> None:
    ends = NOW + timedelta(minutes=90)
    hourly = schedule(IntervalType.HOURS, start_time=NOW, end_time=ends)
    assert upcoming(hourly, first_due(hourly, now=NOW, consumed_start=None), 10) == [NOW, NOW + timedelta(hours=1)]


def test_any_day_of_the_year_one_means_no_start_time() -> None:
    odd = schedule(IntervalType.HOURS, start_time=datetime(1, 1, 2, tzinfo=UTC))
    assert first_due(odd, now=NOW, consumed_start=None) == Due(run_at=NOW, anchor=NOW)


@given(recurring, st.integers(1, 100), instants, instants)
def test_the_next_run_is_the_first_grid_instant_after_now(
    kind: IntervalType, count: int, anchor: datetime, now: datetime
) -> None:
    rule = schedule(kind, count, start_time=anchor)
    due = after_run(rule, Due(run_at=anchor, anchor=anchor), now=now)
    assert due is not None
    assert due.run_at > max(now, anchor)
    if kind is IntervalType.MONTHS:
        months = (due.run_at.year - anchor.year) * 12 + due.run_at.month - anchor.month
        assert months % count == 0
        last_day = calendar.monthrange(due.run_at.year, due.run_at.month)[1]
        assert due.run_at.day == min(anchor.day, last_day)
        assert due.run_at.time() == anchor.time()
        earlier_limit = timedelta(days=31 * count)
    else:
        step = {"Minutes": 60, "Hours": 3600, "Days": 86400, "Weeks": 604800}[kind] * count
        assert (due.run_at - anchor) % timedelta(seconds=step) == timedelta()
        earlier_limit = timedelta(seconds=step)
    assert due.run_at - max(now, anchor) <= earlier_limit


@given(recurring, st.integers(1, 50), instants, st.lists(st.integers(0, 10**7), max_size=20))
def test_clock_jumps_never_lead_back_before_a_run_that_was_made(
    kind: IntervalType, count: int, anchor: datetime, jumps: list[int]
) -> None:
    rule = schedule(kind, count, start_time=anchor)
    due: Due | None = Due(run_at=anchor, anchor=anchor)
    for jump in jumps:
        assert due is not None
        following = after_run(rule, due, now=anchor + timedelta(seconds=jump))
        assert following is not None
        assert following.run_at > due.run_at
        due = following


@pytest.mark.parametrize("kind", [kind for kind in IntervalType if kind is not IntervalType.ONCE])
def test_the_end_of_the_calendar_is_no_error(kind: IntervalType) -> None:
    anchor = datetime(9999, 12, 31, 11, 0, tzinfo=UTC)
    assert after_run(schedule(kind, 10_000, start_time=anchor), Due(run_at=anchor, anchor=anchor), now=anchor) is None

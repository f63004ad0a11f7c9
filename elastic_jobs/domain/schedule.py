"""When a job is due: its interval, its grid of instants, its window, and what happens to instants that were missed.

All instants are aware and in UTC. The n-th instant is computed from the anchor, never from the instant before it, so
that a monthly job anchored on the 31st runs on the last day of short months and on the 31st again afterwards.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

DEFAULT_START = datetime(1, 1, 1, tzinfo=UTC)
"""What the interfaces answer for "no start time"; clients send it with other days of the year 1 too."""
DEFAULT_END = datetime(9999, 12, 31, 11, 59, 59, tzinfo=UTC)
"""What the interfaces answer for "no end time" (11:59:59, as Azure has it)."""
JUST_NOW = timedelta(minutes=1)
"""A start time that lies this little in the past when the schedule is saved means "now": callers send their own clock's
present (``-StartTime (Get-Date)`` in the Azure tutorial). A minute is the finest interval a schedule can have."""


class IntervalType(StrEnum):
    """How a schedule repeats; the values of ``@schedule_interval_type``."""

    ONCE = "Once"
    MINUTES = "Minutes"
    HOURS = "Hours"
    DAYS = "Days"
    WEEKS = "Weeks"
    MONTHS = "Months"


_LENGTH = {
    IntervalType.MINUTES: timedelta(minutes=1),
    IntervalType.HOURS: timedelta(hours=1),
    IntervalType.DAYS: timedelta(days=1),
    IntervalType.WEEKS: timedelta(weeks=1),
}


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The one schedule of a job. ``enabled`` governs the schedule only; a job can always be started by hand.

    start_time: the anchor of the grid; ``DEFAULT_START`` means "from the moment it is enabled".
    """

    interval_type: IntervalType = IntervalType.ONCE
    interval_count: int = 1
    start_time: datetime = DEFAULT_START
    end_time: datetime = DEFAULT_END
    enabled: bool = False

    @property
    def has_start(self) -> bool:
        """Whether a real start time was given; anything in the year 1 means that there is none."""
        return self.start_time.year > 1


@dataclass(frozen=True, kw_only=True)
class Due:
    """The next thing a schedule will do: run at ``run_at``, on the grid that ``anchor`` fixes."""

    run_at: datetime
    anchor: datetime


def first_due(schedule: Schedule, *, now: datetime, consumed_start: datetime | None) -> Due | None:
    """The first run of a schedule that was just saved, or of a job that just got its first step.

    consumed_start: the start time for which a ``Once`` schedule already ran (``DEFAULT_START`` for "no start time");
    it runs again only after its start time was set anew. None when it never ran.
    """
    if not schedule.enabled:
        return None
    if schedule.interval_type is IntervalType.ONCE:
        if consumed_start is not None and consumed_start == schedule.start_time:
            return None
        run_at = schedule.start_time if schedule.has_start else now
        return _inside(schedule, Due(run_at=run_at, anchor=run_at))
    anchor = schedule.start_time if schedule.has_start else now
    earliest = now - JUST_NOW
    run_at = anchor if anchor >= earliest else _first_after(schedule, anchor, earliest - timedelta(microseconds=1))
    return _inside(schedule, Due(run_at=run_at, anchor=anchor))


def after_run(schedule: Schedule, due: Due, *, now: datetime) -> Due | None:
    """What follows the run that is starting now for ``due``: the first instant of the grid after ``now``.

    Instants missed in between (no instance was running) are not made up for: ``due`` is the one late run.
    """
    if not schedule.enabled or schedule.interval_type is IntervalType.ONCE:
        return None
    run_at = _first_after(schedule, due.anchor, max(now, due.run_at))
    return _inside(schedule, Due(run_at=run_at, anchor=due.anchor))


def upcoming(schedule: Schedule, due: Due | None, count: int) -> list[datetime]:
    """The next ``count`` instants, as a person wants to see them before saving a schedule."""
    instants: list[datetime] = []
    while due is not None and len(instants) < count:
        instants.append(due.run_at)
        due = after_run(schedule, due, now=due.run_at)
    return instants


def _inside(schedule: Schedule, due: Due) -> Due | None:
    return due if due.run_at <= schedule.end_time else None


def _first_after(schedule: Schedule, anchor: datetime, instant: datetime) -> datetime:
    """The first instant of the grid that lies after ``instant``; the anchor itself is the first of all."""
    if instant < anchor:
        return anchor
    if schedule.interval_type is IntervalType.MONTHS:
        months = (instant.year - anchor.year) * 12 + instant.month - anchor.month
        n = max(0, months // schedule.interval_count - 1)
        while _months_later(anchor, n * schedule.interval_count) <= instant:
            n += 1
        return _months_later(anchor, n * schedule.interval_count)
    step = _LENGTH[schedule.interval_type] * schedule.interval_count
    try:
        return anchor + ((instant - anchor) // step + 1) * step
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _months_later(anchor: datetime, months: int) -> datetime:
    year, month0 = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    if year > 9999:
        return datetime.max.replace(tzinfo=UTC)
    return anchor.replace(year=year, month=month0 + 1, day=min(anchor.day, calendar.monthrange(year, month0 + 1)[1]))

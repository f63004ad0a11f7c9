"""When a job's schedule runs it next, after the schedule or the steps were changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from elastic_jobs.domain.schedule import Due, IntervalType, Schedule, after_run, first_due


@dataclass(frozen=True, kw_only=True)
class Armed:
    """What is stored of a schedule beside its definition.

    consumed_start: the start time for which a ``Once`` schedule already ran.
    """

    due: Due | None = None
    consumed_start: datetime | None = None


def arm(
    old: Schedule | None, new: Schedule, armed: Armed, *, had_steps: bool, has_steps: bool, now: datetime
) -> Due | None:
    """What the job will do next.

    A job without steps is never due; its first step arms it. A schedule that was saved again without a change keeps
    its next run and its grid, and so does one of which only the end was moved.
    """
    if not has_steps or not new.enabled:
        return None
    if not had_steps or old is None or replace(old, end_time=new.end_time) != new:
        return first_due(new, now=now, consumed_start=armed.consumed_start)
    if old == new:
        return armed.due
    return _with_another_end(new, armed, now)


def _with_another_end(schedule: Schedule, armed: Armed, now: datetime) -> Due | None:
    if armed.due is not None:
        return armed.due if armed.due.run_at <= schedule.end_time else None
    if schedule.interval_type is IntervalType.ONCE or not schedule.has_start:
        # Without a start time the grid went with its last run; it begins anew, as when the schedule is enabled.
        return first_due(schedule, now=now, consumed_start=armed.consumed_start)
    ended = Due(run_at=schedule.start_time, anchor=schedule.start_time)
    return after_run(schedule, ended, now=now) if schedule.start_time <= now else ended

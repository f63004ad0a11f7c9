"""Timer schedules: NCRONTAB expressions of six fields (seconds first), or a time span. Pure.

Times are UTC, as on Linux plans of Azure Functions.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Protocol

from croniter import croniter

from local.functions_host.errors import StartError
from local.functions_host.host_json import parse_time_span

_FIELD = re.compile(r"(?:[0-9*,/-]|[A-Za-z]{3})+")  # L, W, # and ? are no NCRONTAB
MONITOR_INTERVAL = timedelta(minutes=1)  # the real host keeps no status of schedules that are faster


class Schedule(Protocol):
    """A rule that gives the next tick."""

    def next_after(self, moment: datetime) -> datetime:
        """The first tick later than `moment` (aware, UTC)."""
        ...


class ConstantSchedule:
    """Every so often, counted from the last tick."""

    def __init__(self, interval: timedelta) -> None:
        self._interval = interval

    def next_after(self, moment: datetime) -> datetime:
        return moment + self._interval


class CronSchedule:
    """NCRONTAB. Unlike in Unix cron, a day must fit both the day of the month and the day of the week."""

    def __init__(self, expression: str) -> None:
        self._expression = expression

    def next_after(self, moment: datetime) -> datetime:
        cron = croniter(self._expression, moment, second_at_beginning=True, day_or=False)
        following: datetime = cron.get_next(datetime)
        return following.astimezone(UTC)


def parse_schedule(text: str, function: str) -> Schedule:
    """Read a schedule; raises StartError naming the function when it is not valid."""
    if ":" in text:
        try:
            seconds = parse_time_span(text)
        except ValueError as error:
            raise StartError(f"The schedule of function {function}: {error}") from error
        if seconds <= 0:
            raise StartError(f"The schedule of function {function} must be longer than zero.")
        return ConstantSchedule(timedelta(seconds=seconds))
    fields = text.split()
    expression = " ".join(fields if len(fields) == 6 else ["0", *fields])
    simple = all(_FIELD.fullmatch(field) for field in fields)
    if len(fields) not in (5, 6) or not simple or not croniter.is_valid(expression, second_at_beginning=True):
        raise StartError(
            f"The schedule {text!r} of function {function} is no NCRONTAB expression "
            f"({{second}} {{minute}} {{hour}} {{day}} {{month}} {{day of week}}) and no time span like 00:05:00."
        )
    return CronSchedule(expression)


def is_monitored(schedule: Schedule, now: datetime) -> bool:
    """Whether the real host would keep the status of this schedule over restarts: not below one minute."""
    first = schedule.next_after(now)
    return schedule.next_after(first) - first >= MONITOR_INTERVAL

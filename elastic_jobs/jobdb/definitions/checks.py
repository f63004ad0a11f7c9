"""The rules that definitions of every kind share: names, numbers, servers, schedules."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from elastic_jobs.domain.ports import Ids
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.domain.schedule import DEFAULT_END, DEFAULT_START, IntervalType, Schedule
from elastic_jobs.domain.targets import ServerNames
from elastic_jobs.errors import InvalidDefinitionError, ServerNotAllowedError

INVALID_BODY = "InvalidResourceRequestBody"
INVALID_DURATION = "InvalidDuration"
NAME_LENGTH = 128
SERVER_NAME_LENGTH = 256
DESCRIPTION_LENGTH = 512
INT_MAX = 2**31 - 1
LONGEST_INTERVAL = timedelta(days=36525)
"""A hundred years: far beyond any use, and far from the end of the calendar."""
_DAYS = {
    IntervalType.ONCE: 0.0,
    IntervalType.MINUTES: 1 / 1440,
    IntervalType.HOURS: 1 / 24,
    IntervalType.DAYS: 1.0,
    IntervalType.WEEKS: 7.0,
    IntervalType.MONTHS: 365.25 / 12,
}


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Who changes definitions and when, with what the change needs from outside the job database.

    check_server: raises ServerNotAllowedError or InvalidDefinitionError for a server that no credential may go to.
    """

    caller: str
    now: datetime
    new_id: Ids
    names: ServerNames
    check_server: Callable[[str], object]


def invalid(message: str) -> InvalidDefinitionError:
    """An error about the content of a definition."""
    return InvalidDefinitionError(message, INVALID_BODY)


def length(text: str) -> int:
    """Length as SQL Server counts it: in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def check_name(kind: str, name: str) -> None:
    """Refuse names that the job database, a URL or the T-SQL interface could not carry.

    1 to 128 characters, no control characters, no space at either end (SQL Server compares without trailing spaces),
    not ``.`` or ``..`` (clients resolve them in URLs), and no ``%`` in names of jobs (``jobs.sp_add_job`` refuses it).
    Azure's own naming rules for its resources forbid more (``<>*%&:\\/?``); the T-SQL interface of elastic jobs does
    not, and a name must mean the same to both, so these are taken; in URLs they are percent-encoded.

    Raises:
        InvalidDefinitionError: with a sentence that names the rule.
    """
    check_text(f"name of the {kind}", name, NAME_LENGTH)
    if name != name.strip():
        raise invalid(f"The name of the {kind} '{name}' begins or ends with a space; remove it.")
    if name in {".", ".."}:
        raise invalid(f"'{name}' cannot be the name of a {kind}; choose another.")
    if kind == "job" and "%" in name:
        raise invalid(f"The name of the job '{name}' contains '%', which is not allowed; remove it.")


def check_text(what: str, text: str, longest: int, *, empty: bool = False) -> None:
    """Refuse text that is empty, too long for its column, or has control characters in it."""
    if not text.strip() and not empty:
        raise invalid(f"The {what} is empty.")
    if length(text) > longest:
        raise invalid(f"The {what} has {length(text)} characters; at most {longest} are allowed.")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        raise invalid(f"The {what} contains control characters; remove them.")


def check_description(description: str) -> None:
    """Refuse a description that does not fit its column."""
    if length(description) > DESCRIPTION_LENGTH:
        raise invalid(f"The description has {length(description)} characters; at most {DESCRIPTION_LENGTH} fit.")


def check_server_allowed(edit: Edit, server_name: str) -> None:
    """Refuse a server outside the deployment's allow-list, as a definition that cannot be saved."""
    try:
        edit.check_server(server_name)
    except ServerNotAllowedError as error:
        raise InvalidDefinitionError(str(error)) from error


def check_whole(what: str, value: int, least: int) -> None:
    """Refuse a number outside ``least``..2^31-1."""
    if not least <= value <= INT_MAX:
        raise invalid(f"The {what} is {value}; it must be a whole number from {least} to {INT_MAX}.")


def check_retry(retry: RetryPolicy) -> None:
    """Refuse a retry policy that could not be followed."""
    check_whole("number of retry attempts", retry.attempts, 0)
    check_whole("initial retry interval in seconds", retry.initial_interval_seconds, 0)
    check_whole("maximum retry interval in seconds", retry.maximum_interval_seconds, 0)
    if retry.maximum_interval_seconds < retry.initial_interval_seconds:
        raise invalid(
            f"The maximum retry interval ({retry.maximum_interval_seconds} s) is shorter than the initial one "
            f"({retry.initial_interval_seconds} s); raise it or lower the initial one."
        )
    if not math.isfinite(retry.backoff_multiplier) or not 1 <= retry.backoff_multiplier <= 1e6:
        raise invalid(f"The retry interval backoff multiplier is {retry.backoff_multiplier}; it must be at least 1.")


def normal_schedule(schedule: Schedule) -> Schedule:
    """The schedule as it is stored: UTC, any start in the year 1 as ``DEFAULT_START``, a count of 1 for ``Once``.

    Raises:
        InvalidDefinitionError: ``InvalidDuration`` for an interval out of range, or the end lies before the start.
    """
    once = schedule.interval_type is IntervalType.ONCE
    count = 1 if once else schedule.interval_count
    # The count first: a huge one must not reach the multiplication.
    if not 1 <= count <= INT_MAX or _DAYS[schedule.interval_type] * count > LONGEST_INTERVAL.days:
        raise InvalidDefinitionError(
            f"The schedule repeats every {count} {schedule.interval_type.value.lower()}; "
            "the interval must be at least 1 minute and at most 100 years.",
            INVALID_DURATION,
        )
    start = _utc(schedule.start_time)
    end = _utc(schedule.end_time)
    start = start if start.year > 1 else DEFAULT_START
    if end < start:
        raise invalid(f"The schedule ends at {end.isoformat()}, before it starts at {start.isoformat()}.")
    return Schedule(
        interval_type=schedule.interval_type,
        interval_count=count,
        start_time=start,
        end_time=end,
        enabled=schedule.enabled,
    )


def _utc(instant: datetime) -> datetime:
    """In UTC; a time without a zone is UTC already. At the edges of the calendar, where no conversion is possible,
    the instant means "none" anyway."""
    if instant.tzinfo is None:
        return instant.replace(tzinfo=UTC)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        return DEFAULT_START if instant.year == 1 else DEFAULT_END

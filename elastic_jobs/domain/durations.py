"""The interval of a schedule as an ISO 8601 duration: PT5M, PT1H, P1D, P1W, P1M."""

from __future__ import annotations

import re

from elastic_jobs.domain.schedule import IntervalType

_NUMBER = r"(\d{1,9})"
_DURATION = re.compile(
    rf"P(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
    rf"(?:T(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}(?:\.0+)?S)?)?"
)
_LETTERS = {
    IntervalType.MINUTES: "PT{}M",
    IntervalType.HOURS: "PT{}H",
    IntervalType.DAYS: "P{}D",
    IntervalType.WEEKS: "P{}W",
    IntervalType.MONTHS: "P{}M",
}
_SECONDS = (
    (IntervalType.WEEKS, 604800),
    (IntervalType.DAYS, 86400),
    (IntervalType.HOURS, 3600),
    (IntervalType.MINUTES, 60),
)


def parse_duration(text: str) -> tuple[IntervalType, int]:
    """Unit and count of a duration. One unit stays what it is (P7D is 7 days); several become the largest that fits.

    Raises:
        ValueError: a sentence: no such duration, not of whole minutes, or months beside days.
    """
    match = _DURATION.fullmatch(text.strip().upper())
    if match is None or not any(match.groups()):
        raise _invalid(text)
    years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    by_calendar = years * 12 + months
    parts = {
        IntervalType.WEEKS: weeks,
        IntervalType.DAYS: days,
        IntervalType.HOURS: hours,
        IntervalType.MINUTES: minutes,
    }
    given = [(unit, count) for unit, count in parts.items() if count]
    if by_calendar:
        if given or seconds:
            raise _invalid(text)
        return IntervalType.MONTHS, by_calendar
    if len(given) == 1 and not seconds:
        return given[0]
    total = sum(parts[unit] * length for unit, length in _SECONDS) + seconds
    for unit, length in _SECONDS:
        if total and total % length == 0:
            return unit, total // length
    raise _invalid(text)


def format_duration(interval_type: IntervalType, count: int) -> str | None:
    """The duration of a recurring schedule, None for ``Once``."""
    pattern = _LETTERS.get(interval_type)
    return None if pattern is None else pattern.format(count)


def _invalid(text: str) -> ValueError:
    return ValueError(
        f"The schedule's interval '{text[:64]}' is no duration that a schedule can have; "
        "use whole minutes, hours, days, weeks or months such as PT5M, PT1H, P1D, P1W or P1M."
    )

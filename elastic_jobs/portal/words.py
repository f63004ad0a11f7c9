"""How times, durations, counts and states are written on pages. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from elastic_jobs.domain.lifecycle import Lifecycle

_STATE_CLASSES = {
    Lifecycle.CREATED: "waiting",
    Lifecycle.IN_PROGRESS: "running",
    Lifecycle.WAITING_FOR_CHILD_JOB_EXECUTIONS: "running",
    Lifecycle.WAITING_FOR_RETRY: "retry",
    Lifecycle.SUCCEEDED: "succeeded",
    Lifecycle.SUCCEEDED_WITH_SKIPPED: "partly",
    Lifecycle.FAILED: "failed",
    Lifecycle.TIMED_OUT: "timedout",
    Lifecycle.CANCELED: "canceled",
    Lifecycle.SKIPPED: "skipped",
}
"""Classes of the stylesheet: each has a colour and a shape."""
_STATE_NAMES = {
    Lifecycle.IN_PROGRESS: "In progress",
    Lifecycle.WAITING_FOR_CHILD_JOB_EXECUTIONS: "Running targets",
    Lifecycle.WAITING_FOR_RETRY: "Waiting for retry",
    Lifecycle.SUCCEEDED_WITH_SKIPPED: "Succeeded with skipped",
    Lifecycle.TIMED_OUT: "Timed out",
}


def state_class(state: str) -> str:
    """The class of a lifecycle, e.g. ``s-failed``."""
    return f"s-{_STATE_CLASSES[Lifecycle(state)]}"


def state_name(state: str) -> str:
    """A lifecycle as people read it."""
    return _STATE_NAMES.get(Lifecycle(state), str(Lifecycle(state)))


def iso(moment: datetime) -> str:
    """For ``<time datetime>``: whole seconds, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc(moment: datetime) -> str:
    """Date and time of day in UTC, without saying so."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def ago(moment: datetime, now: datetime) -> str:
    """How far a moment is from now, roughly: ``3 min ago``, ``in 2 h``."""
    distance = now - moment
    if abs(distance) < timedelta(seconds=5):
        return "now"
    size = _rough(abs(distance))
    return f"{size} ago" if distance > timedelta() else f"in {size}"


def duration(length: timedelta | None) -> str:
    """A measured length: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``, ``4 d 3 h``."""
    if length is None:
        return "\N{EN DASH}"
    whole = max(0.0, length.total_seconds())
    if whole < 10:
        return f"{whole:.1f} s"
    return seconds(round(whole))


def seconds(whole: int) -> str:
    """A number of seconds in the two largest units that it has."""
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def number(count: int) -> str:
    """A count with thin gaps between thousands, as all languages read it."""
    return f"{count:,}".replace(",", "\u202f")


def plural(count: int, one: str, many: str = "") -> str:
    """A count with its noun: ``1 target``, ``5 000 targets``."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def person(caller: str) -> str:
    """A caller without the id that stands behind the name in parentheses."""
    return caller.partition(" (")[0]


def first_line(text: str | None, limit: int = 160) -> str:
    """The beginning of a message, for a line of a table."""
    line = (text or "").strip().partition("\n")[0].strip()
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _rough(length: timedelta) -> str:
    whole = int(length.total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"

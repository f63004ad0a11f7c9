"""Schedules as people write and read them."""

from __future__ import annotations

import re
from typing import Any

from elastic_jobs.cli.errors import UsageError

ONCE = "once"
_SHORT = re.compile(r"(\d{1,9})\s*(mo|months?|m|min|minutes?|h|hours?|d|days?|w|weeks?)")
_ISO = {"m": "PT{}M", "h": "PT{}H", "d": "P{}D", "w": "P{}W", "mo": "P{}M"}
_PLAIN = re.compile(r"P(?:T(\d+)([MH])|(\d+)([DWM]))")
_WORDS = {"TM": "minute", "TH": "hour", "D": "day", "W": "week", "M": "month"}


def iso_interval(text: str) -> str:
    """An interval as the API wants it: ``5m`` is ``PT5M``, ``1mo`` is ``P1M``; ISO durations stay as they are.

    Raises:
        UsageError: it is no interval.
    """
    wanted = text.strip().lower()
    if wanted.startswith("p"):
        return wanted.upper()  # the API says what is wrong with it
    match = _SHORT.fullmatch(wanted)
    if match is None or int(match[1]) == 0:
        raise UsageError(f"'{text}' is no interval; write 5m, 1h, 1d, 1w, 1mo, or an ISO duration such as PT5M.")
    unit = "mo" if match[2].startswith("mo") else match[2][0]
    return _ISO[unit].format(int(match[1]))


def schedule_text(schedule: dict[str, Any]) -> str:
    """A schedule in a few words: ``every 5 minutes``, ``every day, off``."""
    if schedule.get("type") != "Recurring":
        return "once" if schedule.get("enabled") else "by hand"
    found = _PLAIN.fullmatch(str(schedule.get("interval", "")))
    if found is None:
        text = f"every {schedule.get('interval')}"
    else:
        count, unit = (int(found[1]), "T" + found[2]) if found[1] else (int(found[3]), found[4])
        text = f"every {_WORDS[unit]}" if count == 1 else f"every {count} {_WORDS[unit]}s"
    return text if schedule.get("enabled") else f"{text}, off"

"""Runs as people name them: a job and part of an id, or nothing for its latest run; and names out of resource ids."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from elastic_jobs.cli.client import Client, path
from elastic_jobs.cli.errors import ExitCode, UsageError
from elastic_jobs.domain.lifecycle import TERMINAL, Lifecycle

_ID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_PREFIX = re.compile(r"[0-9a-fA-F-]{4,}")
_AGO = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LOOKED_AT, _PAGE = 1000, 100
"""Runs among which the one whose id begins so is sought."""


def name_of(resource_id: str | None) -> str:
    """The name at the end of a resource id: ``.../targetGroups/a%2Fb`` is ``a/b``. A plain name is itself."""
    return unquote(resource_id.rsplit("/", 1)[-1]) if resource_id else ""


def job_of(execution: Mapping[str, Any]) -> str:
    """The name of a run's job, out of the run's id ``.../jobs/<job>/executions/<id>``."""
    return name_of(str(execution["id"]).rsplit("/executions/", 1)[0])


def find_run(client: Client, job: str, wanted: str | None) -> str:
    """The id of a run of the job.

    wanted: an id, at least four characters of its beginning, or None for the latest run.

    Raises:
        UsageError: there is no such run, or several.
    """
    if wanted is not None and _ID.fullmatch(wanted):
        return wanted.lower()
    if wanted is None:
        for run in client.pages(path("jobs", job, "executions"), **{"$top": 1}):
            return str(run["name"])
        raise UsageError(f"The job '{job}' has not run yet; start it with: elastic-jobs job start {shown(job)}")
    if not _PREFIX.fullmatch(wanted):
        raise UsageError(f"'{wanted}' is no id of a run; give at least four characters of one.")
    found: list[str] = []
    runs = client.pages(path("jobs", job, "executions"), **{"$top": _LOOKED_AT})
    for number, run in enumerate(runs, 1):
        if str(run["name"]).startswith(wanted.lower()):
            found.append(str(run["name"]))
        if found and number % _PAGE == 0:
            break  # older runs are not meant, and would be asked for in vain
    if len(found) != 1:
        many = f"{len(found)} runs have" if found else f"none of the latest {_LOOKED_AT} runs has"
        raise UsageError(f"Of the job '{job}' {many} an id that begins with '{wanted}'; give the whole id.")
    return found[0]


def run_path(job: str, execution: str) -> str:
    """The path of a run."""
    return path("jobs", job, "executions", execution)


def shown(name: str) -> str:
    """A name as it is typed in a shell."""
    return (
        name
        if re.fullmatch(r"[\w.@%+=:,-]+", name) and not name.startswith("-")
        else "'" + name.replace("'", "'\\''") + "'"
    )


def lifecycle_of(execution: Mapping[str, Any]) -> Lifecycle:
    """The state of a job, step or target execution."""
    return Lifecycle(execution["properties"]["lifecycle"])


def has_ended(execution: Mapping[str, Any]) -> bool:
    """Whether its state is final."""
    return lifecycle_of(execution) in TERMINAL


def exit_code(lifecycle: Lifecycle) -> ExitCode:
    """What the shell gets for the end of a run."""
    if lifecycle in {Lifecycle.CANCELED, Lifecycle.TIMED_OUT}:
        return ExitCode.CANCELED_OR_TIMED_OUT
    return ExitCode.FAILED if lifecycle is Lifecycle.FAILED else ExitCode.SUCCEEDED


def seconds_of(execution: Mapping[str, Any]) -> float | None:
    """How long it ran, None while it has not both begun and ended."""
    properties = execution["properties"]
    begin, end = properties.get("startTime") or properties.get("createTime"), properties.get("endTime")
    if not begin or not end:
        return None
    return (parse_instant(end) - parse_instant(begin)).total_seconds()


def duration(seconds: float | None) -> str:
    """Seconds as people read them: 0.4 s, 12 s, 3 min 5 s, 2 h 4 min."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def parse_instant(text: str) -> datetime:
    """An instant with its offset; without one it is UTC.

    Raises:
        UsageError: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"'{text}' is no instant; write it as 2026-05-01T08:00:00Z.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def parse_since(text: str, now: datetime) -> datetime:
    """An instant, or how long ago it was: 30m, 2h, 7d.

    Raises:
        UsageError: it is neither.
    """
    match = _AGO.fullmatch(text.strip().lower())
    if match is None:
        return parse_instant(text)
    return now - timedelta(**{_UNITS[match[2]]: int(match[1])})

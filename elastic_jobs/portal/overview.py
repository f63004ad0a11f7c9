"""The first page: the agent, what runs, what failed lately, what comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import Response

from elastic_jobs.domain.lifecycle import ACTIVE, Lifecycle
from elastic_jobs.jobdb import run_list
from elastic_jobs.jobdb.run_list import RunFilter
from elastic_jobs.portal.page import READ, Page, Visit
from elastic_jobs.portal.progress import together

router = APIRouter()

HOURS = 24
_RUNS, _FAILURES, _DUE = 10, 8, 8
_FAILED = frozenset({Lifecycle.FAILED, Lifecycle.TIMED_OUT})
_WIDTH, _HEIGHT, _LEAST = 1000, 72, 2.0
_STACK = (
    Lifecycle.FAILED,
    Lifecycle.TIMED_OUT,
    Lifecycle.CANCELED,
    Lifecycle.SUCCEEDED_WITH_SKIPPED,
    Lifecycle.SUCCEEDED,
)
"""From the bottom up: failures stand on the line, where they can be compared."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a column of the picture."""

    state: Lifecycle
    y: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Column:
    """How the runs of one hour ended."""

    start: datetime
    x: float
    width: float
    counts: Mapping[Lifecycle, int]
    pieces: tuple[Piece, ...]


@router.get("", dependencies=[READ])
def get_overview(visit: Page) -> Response:
    return visit.page("overview/page.html", section="overview", title="Overview", **_values(visit), oob=False)


@router.get("/live", dependencies=[READ])
def get_live(visit: Page) -> Response:
    """What changes on the first page, for htmx."""
    return visit.part("overview/live.html", **_values(visit), oob=True)


def draw(hours: Sequence[Mapping[Lifecycle, int]], start: datetime) -> tuple[Column, ...]:
    """The picture of the last hours: a column for each, in units of a box of 1000 by 72."""
    most = max([sum(counts.values()) for counts in hours] + [1])
    pitch = _WIDTH / len(hours)
    columns = []
    for number, counts in enumerate(hours):
        pieces, top = [], float(_HEIGHT)
        for state in _STACK:
            if counts.get(state):
                height = max(_LEAST, counts[state] / most * (_HEIGHT - _LEAST * len(_STACK)))
                top -= height
                pieces.append(Piece(state=state, y=round(top, 1), height=round(height, 1)))
        columns.append(
            Column(
                start=start + timedelta(hours=number),
                x=round(number * pitch + pitch * 0.1, 1),
                width=round(pitch * 0.8, 1),
                counts=counts,
                pieces=tuple(pieces),
            )
        )
    return tuple(columns)


def _values(visit: Visit) -> dict[str, Any]:
    now = visit.services.clock.now()
    with visit.read() as connection:
        return {"agent": visit.agent(connection), **_read(connection, now)}


def _read(connection: Connection, now: datetime) -> dict[str, Any]:
    runs = run_list.list_runs(connection, RunFilter(), limit=_RUNS)
    active = run_list.list_runs(connection, RunFilter(states=ACTIVE), limit=_RUNS)
    failures = RunFilter(states=_FAILED, created_min=now - timedelta(days=1))
    start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    hours = run_list.ends_per_period(connection, start=start, period=timedelta(hours=1), count=HOURS)
    return {
        "usage": run_list.usage(connection),
        "active": active,
        "runs": [run for run in runs if run.lifecycle not in ACTIVE],
        "failed": run_list.list_runs(connection, failures, limit=_FAILURES),
        "failed_count": run_list.count_runs(connection, failures),
        "due": run_list.due_jobs(connection, limit=_DUE),
        "columns": draw(hours, start),
        "totals": together(hours),
        "hours": HOURS,
    }

"""The list of all runs, newest first, with filters."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timedelta
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from elastic_jobs.api.errors import ApiError
from elastic_jobs.domain.lifecycle import ACTIVE, Level, Lifecycle, states
from elastic_jobs.jobdb import run_list
from elastic_jobs.jobdb.run_list import RunFilter, RunLine
from elastic_jobs.portal.page import READ, Page, address

router = APIRouter()

PAGE_SIZE = 50
STATES = {
    "": ("All", frozenset[Lifecycle]()),
    "active": ("Active", ACTIVE & states(Level.JOB)),
    "failed": ("Failed", frozenset({Lifecycle.FAILED, Lifecycle.TIMED_OUT})),
    "succeeded": ("Succeeded", frozenset({Lifecycle.SUCCEEDED, Lifecycle.SUCCEEDED_WITH_SKIPPED})),
    "canceled": ("Canceled", frozenset({Lifecycle.CANCELED})),
}
PERIODS = {
    "": ("Any time", None),
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("Last 24 hours", timedelta(days=1)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
}
_LONGEST_NAME = 128


@router.get("/executions", dependencies=[READ])
def list_executions(visit: Page, job: str = "", state: str = "", period: str = "", after: str = "") -> Response:
    job = job.strip()[:_LONGEST_NAME]
    state = state if state in STATES else ""
    period = period if period in PERIODS else ""
    length = PERIODS[period][1]
    wanted = RunFilter(
        job=job,
        states=STATES[state][1],
        created_min=None if length is None else visit.services.clock.now() - length,
    )
    with visit.read() as connection:
        agent = visit.agent(connection)
        found = run_list.list_runs(connection, wanted, limit=PAGE_SIZE + 1, after=_place(after))
    shown = found[:PAGE_SIZE]
    kept = {"job": job, "state": state, "period": period}
    return visit.page(
        "executions/list.html",
        section="executions",
        title="Executions",
        agent=agent,
        runs=shown,
        kept=kept,
        filtered=any(kept.values()),
        tabs=[
            (text, address("executions", **{**kept, "state": key}), key == state) for key, (text, _) in STATES.items()
        ],
        periods=[(key, text) for key, (text, _) in PERIODS.items()],
        first=address("executions", **kept) if after else "",
        following=address("executions", **kept, after=_token(shown[-1])) if len(found) > PAGE_SIZE else "",
    )


def _token(run: RunLine) -> str:
    return base64.urlsafe_b64encode(f"{run.create_time.isoformat()}|{run.id}".encode()).decode().rstrip("=")


def _place(token: str) -> tuple[datetime, UUID] | None:
    """Where the page before ended.

    Raises:
        ApiError: 400, the address was changed by hand.
    """
    if not token:
        return None
    try:
        instant, _, last = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("ascii").partition("|")
        time = datetime.fromisoformat(instant)
        if time.tzinfo is None:
            raise ValueError(instant)
        return time, UUID(last)
    except (ValueError, binascii.Error):
        raise ApiError(400, "InvalidParameterValue", "This page of the list is not there; begin it anew.") from None

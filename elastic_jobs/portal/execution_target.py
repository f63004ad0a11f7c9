"""One target of a run: its attempts, and everything that the script said there."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from elastic_jobs.api.errors import ApiError
from elastic_jobs.api.paths import Segment
from elastic_jobs.domain.lifecycle import ACTIVE
from elastic_jobs.errors import NotFoundError
from elastic_jobs.jobdb import history, run_targets
from elastic_jobs.portal.execution import run_id
from elastic_jobs.portal.page import READ, Page, address

router = APIRouter()

PAGE_SIZE = 100
_LONGEST_NUMBER = 9


@router.get("/executions/{execution_id}/targets/{target_id}", dependencies=[READ])
def get_target(visit: Page, execution_id: Segment, target_id: Segment, after: str = "") -> Response:
    place = _place(after)
    with visit.read() as connection:
        run = history.get_job_execution(connection, run_id(execution_id))
        try:
            wanted = run_id(target_id)
        except NotFoundError:
            raise NotFoundError("target execution", target_id) from None
        target = run_targets.get_target(connection, run.id, wanted)
        messages = history.list_messages(connection, target.id, limit=PAGE_SIZE + 1, after=place)
    shown = messages[:PAGE_SIZE]
    here = ("executions", run.id, "targets", target.id)
    values: dict[str, Any] = {
        "run": run,
        "target": target,
        "active": target.lifecycle in ACTIVE,
        "messages": shown,
        "rows": sum(said.row_count or 0 for said in shown),
        "here": address(*here, after=after),
        "first": address(*here) if after else "",
        "following": (
            address(*here, after=f"{shown[-1].attempt}.{shown[-1].ordinal}") if len(messages) > PAGE_SIZE else ""
        ),
    }
    if visit.live:
        return visit.part("executions/target_live.html", **values)
    return visit.page("executions/target.html", section="executions", title=target.database_name, **values)


def _place(after: str) -> tuple[int, int] | None:
    """Behind which message the page begins: attempt and ordinal.

    Raises:
        ApiError: 400, the address was changed by hand.
    """
    if not after:
        return None
    attempt, _, ordinal = after.partition(".")
    if not all(part.isascii() and part.isdigit() and len(part) <= _LONGEST_NUMBER for part in (attempt, ordinal)):
        raise ApiError(400, "InvalidParameterValue", "This page of the messages is not there; begin them anew.")
    return int(attempt), int(ordinal)

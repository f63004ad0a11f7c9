"""The audit trail: who changed what, who started or canceled which execution. Not part of Azure's API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from elastic_jobs.api.context import DEFINE, Call, Json
from elastic_jobs.api.envelope import instant, listing
from elastic_jobs.api.paging import PAGE_SIZE, Token, name_page, read_number_token
from elastic_jobs.jobdb.definitions import audit

router = APIRouter(tags=["audit"])


# Not for every reader: the entries tell the names of people and what they do.
@router.get("/audit", dependencies=[DEFINE])
def list_audit(
    call: Call,
    caller: Annotated[str | None, Query(description="Entries whose caller's name or id holds this text")] = None,
    action: Annotated[str | None, Query(description="Entries of one action, such as 'start job'")] = None,
    resource: Annotated[str | None, Query(description="A path below the agent such as jobs/nightly")] = None,
    time_min: Annotated[datetime | None, Query(alias="timeMin", description="At or after")] = None,
    time_max: Annotated[datetime | None, Query(alias="timeMax", description="Before")] = None,
    token: Token = None,
) -> Json:
    """Audit entries, newest first. ``resource`` takes in what lies below it."""
    wanted = audit.AuditFilter(caller=caller, action=action, resource=resource, time_min=time_min, time_max=time_max)
    before = None if token is None else read_number_token(token)
    with call.read() as connection:
        # Also without an agent: that it was deleted, and by whom, is just what one wants to know then.
        rows = audit.list_entries(connection, wanted, before=before, limit=PAGE_SIZE + 1)
    shown, link = name_page(call.request, rows, lambda row: row.id)
    return Json(listing([_entry(row) for row in shown], link))


def _entry(row: audit.Entry) -> dict[str, Any]:
    answer = {
        "id": row.id,
        "time": instant(row.time),
        "caller": row.caller,
        "action": row.action,
        "resource": row.resource,
        "before": row.before,
        "after": row.after,
    }
    return {name: value for name, value in answer.items() if value is not None}

"""A nudge: something was started or changed in T-SQL, and the agent need not wait for its next tick. Not Azure's."""

from __future__ import annotations

from fastapi import APIRouter, Response

from elastic_jobs.api.context import OPERATE, Call

router = APIRouter(tags=["agent"])


@router.post("/wake", dependencies=[OPERATE])
def wake(call: Call) -> Response:
    """Do what is due, as the tick does: 200 and no body when it is done. Twice or for nothing is harmless."""
    with call.read() as connection:
        call.agent(connection)
    call.services.wake()
    return Response(status_code=200)

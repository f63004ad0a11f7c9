"""``GET /health``, for load balancers and probes; the one path that needs no token."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request

from elastic_jobs.api.context import Json
from elastic_jobs.api.services import Services
from elastic_jobs.errors import JobDatabaseUnavailableError
from elastic_jobs.jobdb.definitions.agent import find_agent

router = APIRouter(tags=["health"])


@router.get("/health")
def health(request: Request) -> Json:
    """200 when the job database answers and has its tables.

    Raises:
        JobDatabaseUnavailableError: it does not.
    """
    services: Services = request.app.state.services
    try:
        with services.database.read() as connection:
            find_agent(connection)
    except JobDatabaseUnavailableError:
        raise
    except Exception as error:
        raise JobDatabaseUnavailableError("The job database cannot be read.") from error
    return Json({"status": "ok"})

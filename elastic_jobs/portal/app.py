"""All pages as one app, which the management API's app takes in (``api.app``)."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from elastic_jobs.api.paths import PORTAL_PREFIX
from elastic_jobs.api.services import Services
from elastic_jobs.portal import (
    assets,
    credentials,
    execution,
    execution_target,
    executions,
    job_editing,
    jobs,
    overview,
    sign_in,
    target_groups,
    target_groups_editing,
)
from elastic_jobs.portal.door import Door
from elastic_jobs.portal.visitors import Visitors

PAGES = (
    overview.router,
    executions.router,
    execution.router,
    execution_target.router,
    jobs.router,
    job_editing.router,
    target_groups.router,
    target_groups_editing.router,
    credentials.router,
)
"""The modules of pages. Each route names the role that opens it."""
OPEN = (assets.router, sign_in.router)
"""What can be opened before anybody has signed in; these check for themselves."""


def create_pages(services: Services, visitors: Visitors) -> FastAPI:
    """The app of the pages; ``door.Portal`` hands it the requests that are for pages."""
    pages = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    pages.state.services = services
    pages.state.visitors = visitors
    for router in (*PAGES, *OPEN):
        pages.include_router(router, prefix=PORTAL_PREFIX)
    for kind in (HTTPException, RequestValidationError):
        pages.add_exception_handler(kind, _hand_on)
    pages.add_middleware(Door, visitors=visitors)
    return pages


async def _hand_on(request: Request, error: Exception) -> Response:
    """Lets the framework's own refusals come to the door, which makes pages of them."""
    del request
    raise error

"""The management API and the portal as one ASGI app: the same under the Functions worker and under uvicorn."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from elastic_jobs.api import (
    agents,
    audit,
    credentials,
    discovery,
    docs_page,
    executions,
    health,
    jobs,
    operations,
    private_endpoints,
    providers,
    steps,
    target_groups,
    wake,
)
from elastic_jobs.api.auth import authenticator_for
from elastic_jobs.api.context import Json
from elastic_jobs.api.limits import Limits, Places
from elastic_jobs.api.middleware import Gate
from elastic_jobs.api.openapi import document
from elastic_jobs.api.paths import (
    ARM_PREFIX,
    GROUP_LOCATION_PREFIX,
    LOCATION_PREFIX,
    SERVER_PREFIX,
    SHORT_PREFIX,
    arm_address,
    server_address,
    short_address,
)
from elastic_jobs.api.services import Services
from elastic_jobs.api.stirring import Stir
from elastic_jobs.portal.app import create_pages
from elastic_jobs.portal.door import Portal
from elastic_jobs.portal.visitors import Visitors

_BELOW_AGENT = (
    agents.router,
    credentials.router,
    target_groups.router,
    jobs.router,
    steps.router,
    executions.router,
    private_endpoints.router,
    audit.router,
)


def create_app(services: Services) -> FastAPI:
    """Build the API. Nothing is connected to yet.

    Raises:
        SettingsError: the settings name no way of authentication.
    """
    app = FastAPI(
        title="Elastic Jobs",
        description="Run T-SQL scripts across many Azure SQL databases. The shapes are those of Azure's job agents.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,
        default_response_class=Json,
        generate_unique_id_function=_operation_id,
    )
    app.state.services = services
    app.state.places = Places()
    for router in _BELOW_AGENT:
        app.include_router(router, prefix=ARM_PREFIX, dependencies=[Depends(arm_address)])
        app.include_router(router, prefix=SHORT_PREFIX, dependencies=[Depends(short_address)])
    app.include_router(wake.router, prefix=SHORT_PREFIX, dependencies=[Depends(short_address)])
    app.include_router(agents.server_router, prefix=SERVER_PREFIX, dependencies=[Depends(server_address)])
    app.include_router(discovery.router)
    for prefix in (LOCATION_PREFIX, GROUP_LOCATION_PREFIX):
        app.include_router(operations.router, prefix=prefix)
    app.include_router(providers.router)
    app.include_router(health.router)
    app.include_router(docs_page.router)
    _describe(app)
    for kind in (HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _hand_on)
    authenticator = authenticator_for(services.settings)
    visitors = Visitors(authenticator, local=services.settings.auth_mode == "local")
    app.add_middleware(Stir, stir=services.stir)
    app.add_middleware(Portal, pages=create_pages(services, visitors), visitors=visitors)
    app.add_middleware(
        Gate,
        authenticator=authenticator,
        visitors=visitors,
        ids=services.ids,
        limits=Limits.from_settings(services.settings),
    )
    return app


def _describe(app: FastAPI) -> None:
    """Make the document at the first question, and once."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document.build(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


async def _hand_on(request: Request, error: Exception) -> Response:
    """Lets the framework's own refusals come to the one mapper like everything else."""
    del request
    raise error


def _operation_id(route: APIRoute) -> str:
    path = route.path_format
    if path.startswith(SHORT_PREFIX):
        return f"short_{route.name}"
    # The URLs of operations stand with and without the resource group.
    return f"group_{route.name}" if path.startswith(GROUP_LOCATION_PREFIX) else f"arm_{route.name}"

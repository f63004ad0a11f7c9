"""Long-running operations as Azure answers them: 202 with the URLs to poll, and what is found there.

Agent: ``Azure-AsyncOperation`` tells the state, and clients then read the agent itself. Private endpoints: ``Location``
answers 200 with the resource (204 after a deletion).
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from sqlalchemy import Connection
from starlette.requests import Request

from elastic_jobs.api.context import READ, Context, Json
from elastic_jobs.api.envelope import Envelope, instant
from elastic_jobs.api.paths import Segment, check_subscription
from elastic_jobs.api.services import Services
from elastic_jobs.api.urls import operation_url
from elastic_jobs.errors import NotFoundError
from elastic_jobs.jobdb.definitions.agent import get_agent
from elastic_jobs.jobdb.definitions.private_endpoints import get_private_endpoint
from elastic_jobs.jobdb.operations import DROPS, OF_PRIVATE_ENDPOINT, Operation, OperationKind, get_operation, record

RETRY_AFTER_SECONDS = 1
"""Clients that are told nothing wait 30 s between two polls."""
_STATUS = "jobAgentAzureAsyncOperation"
_RESULTS = "jobAgentOperationResults"
_ENDPOINT_RESULTS = "jobAgentPrivateEndpointOperationResults"

router = APIRouter(tags=["operations"])


def accepted(call: Context, connection: Connection, kind: OperationKind, name: str) -> Json:
    """Write an operation down whose work this transaction did, and answer 202 with the URLs to poll."""
    operation = Operation(id=call.services.ids(), kind=kind, name=name, time=call.services.clock.now())
    record(connection, operation)

    def url(resource: str, *, in_group: bool) -> str:
        return operation_url(
            call.request, call.services.settings, call.address, resource, operation.id, in_group=in_group
        )

    if kind in OF_PRIVATE_ENDPOINT:
        headers = {"Location": url(_ENDPOINT_RESULTS, in_group=False)}
    else:
        headers = {
            "Location": url(_RESULTS, in_group=True),
            "Azure-AsyncOperation": url(_STATUS, in_group=True),
        }
    body = {"operation": kind.value, "startTime": instant(operation.time)}
    return Json(body, status_code=202, headers={"Retry-After": str(RETRY_AFTER_SECONDS), **headers})


async def _services(request: Request, subscription_id: Segment) -> Services:
    services: Services = request.app.state.services
    check_subscription(services.settings, subscription_id)
    return services


_Own = Annotated[Services, Depends(_services)]


@router.get(f"/{_STATUS}/{{operation_id}}", dependencies=[READ])
def get_operation_status(services: _Own, operation_id: Segment) -> Json:
    """The state of a change of the agent. Needs no ``api-version``: pollers use the URL as it was given."""
    with services.database.read() as connection:
        operation = _find(connection, operation_id)
    return Json({"name": str(operation.id), "status": "Succeeded", "startTime": instant(operation.time)})


@router.get(f"/{_RESULTS}/{{operation_id}}", dependencies=[READ])
def get_operation_result(services: _Own, operation_id: Segment) -> Response:
    """The agent that an operation made or changed; 204 after its deletion."""
    with services.database.read() as connection:
        operation = _find(connection, operation_id)
        if operation.kind in DROPS:
            return Response(status_code=204)
        agent = get_agent(connection, operation.name)
    return Json(Envelope(services.settings, agent).agent())


@router.get(f"/{_ENDPOINT_RESULTS}/{{operation_id}}", dependencies=[READ])
def get_private_endpoint_operation_result(services: _Own, operation_id: Segment) -> Response:
    """The private endpoint that an operation made; 204 after its deletion."""
    with services.database.read() as connection:
        operation = _find(connection, operation_id, of_private_endpoint=True)
        if operation.kind in DROPS:
            return Response(status_code=204)
        agent = get_agent(connection)
        endpoint = get_private_endpoint(connection, operation.name)
    return Json(Envelope(services.settings, agent).private_endpoint(endpoint))


def _find(connection: Connection, operation_id: str, *, of_private_endpoint: bool = False) -> Operation:
    try:
        operation = get_operation(connection, UUID(operation_id))
    except ValueError:
        raise NotFoundError("operation", operation_id) from None
    if (operation.kind in OF_PRIVATE_ENDPOINT) is not of_private_endpoint:
        raise NotFoundError("operation", operation_id)
    return operation

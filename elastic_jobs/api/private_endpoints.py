"""Private endpoints of the agent: long-running operations under the ARM path, at once under the short prefix.

What is kept is the wish and its state. The app carries it out when the setting PRIVATE_ENDPOINT_SUBNET_ID names where;
otherwise whoever deploys creates the endpoints from this list (see docs/api.md).
"""

from __future__ import annotations

import logging

from fastapi import APIRouter, Response

from elastic_jobs.api.bodies import ConnectionBody, PrivateEndpointBody
from elastic_jobs.api.context import DEFINE, READ, Call, Context, Json, saved
from elastic_jobs.api.envelope import listing
from elastic_jobs.api.errors import ApiError
from elastic_jobs.api.operations import accepted
from elastic_jobs.api.paging import PAGE_SIZE, Token, name_page, read_token
from elastic_jobs.api.paths import Segment
from elastic_jobs.api.references import server_of
from elastic_jobs.api.repeating import RepeatingRoute
from elastic_jobs.azure.network import PrivateEndpointError
from elastic_jobs.errors import InvalidDefinitionError
from elastic_jobs.jobdb.definitions import private_endpoints
from elastic_jobs.jobdb.definitions.private_endpoints import PrivateEndpoint
from elastic_jobs.jobdb.operations import OperationKind

_log = logging.getLogger(__name__)

router = APIRouter(prefix="/privateEndpoints", tags=["private endpoints"], route_class=RepeatingRoute)


@router.get("", dependencies=[READ])
def list_private_endpoints(call: Call, token: Token = None) -> Json:
    if call.services.endpoints is not None:
        call.services.endpoints.try_refresh_all()
    with call.read() as connection:
        agent = call.agent(connection)
        after = None if token is None else read_token(token)
        rows = private_endpoints.list_private_endpoints(connection, after=after, limit=PAGE_SIZE + 1)
        envelope = call.envelope_with_origins(connection, agent, (f"privateEndpoints/{row.name}" for row in rows))
    shown, link = name_page(call.request, rows, lambda row: row.name)
    return Json(listing([envelope.private_endpoint(row) for row in shown], link))


@router.get("/{private_endpoint_name}", dependencies=[READ])
def get_private_endpoint(call: Call, private_endpoint_name: Segment) -> Json:
    with call.read() as connection:
        call.agent(connection)
    if call.services.endpoints is not None:
        try:
            call.services.endpoints.refresh(private_endpoint_name)
        except PrivateEndpointError as error:
            # What is known is shown; the next look asks again.
            _log.warning("%s", error, extra={"action": "endpoint_not_refreshed"})
    with call.read() as connection:
        agent = call.agent(connection)
        found = private_endpoints.get_private_endpoint(connection, private_endpoint_name)
        envelope = call.envelope_with_origins(connection, agent, [f"privateEndpoints/{found.name}"])
    return Json(envelope.private_endpoint(found))


@router.put("/{private_endpoint_name}", dependencies=[DEFINE])
def put_private_endpoint(call: Call, private_endpoint_name: Segment, body: PrivateEndpointBody) -> Json:
    """Ask for a private endpoint to a target server. One that is there leads where it leads.

    Where the app makes endpoints itself, it is asked for in Azure before the answer, and a refusal there is one here.
    """
    reference = body.properties.target_server_azure_resource_id
    server = server_of(reference)
    with call.write() as connection:
        call.agent(connection)
        try:
            endpoint, created = private_endpoints.save_private_endpoint(
                connection, call.edit, private_endpoint_name, target_server_id=reference, target_server=server
            )
        except InvalidDefinitionError as error:
            # 404 with this code elsewhere, 400 here: as documented.
            raise ApiError(400, error.code, str(error)) from None
    endpoint = _carried_out(call, endpoint, created=created)
    if call.address.is_arm:
        with call.write() as connection:
            return accepted(call, connection, OperationKind.UPSERT_PRIVATE_ENDPOINT, endpoint.name)
    with call.read() as connection:
        agent = call.agent(connection)
        envelope = call.envelope_with_origins(connection, agent, [f"privateEndpoints/{endpoint.name}"])
    return saved(envelope.private_endpoint(endpoint), created=created)


def _carried_out(call: Context, endpoint: PrivateEndpoint, *, created: bool) -> PrivateEndpoint:
    """The endpoint as Azure has it now; as it was written down where the app makes none.

    Raises:
        PrivateEndpointError: the network API refuses or does not answer. Then a new wish is taken back: the caller was
            told that it failed. What may be there nevertheless goes with the next DELETE.
    """
    if call.services.endpoints is None:
        return endpoint
    try:
        return call.services.endpoints.ensure(endpoint.name)
    except PrivateEndpointError:
        if created:
            with call.write() as connection:
                private_endpoints.delete_private_endpoint(connection, call.edit, endpoint.name)
        raise


@router.put("/{private_endpoint_name}/connection", dependencies=[DEFINE])
def put_connection(call: Call, private_endpoint_name: Segment, body: ConnectionBody) -> Json:
    """Note what became of the connection: Pending, Approved, Rejected, Disconnected. Not part of Azure's API.

    Refused where the app makes endpoints itself: there Azure tells.
    """
    if call.services.endpoints is not None:
        raise InvalidDefinitionError(
            "The connection's state is read from Azure, because this deployment makes its private endpoints itself "
            "(setting PRIVATE_ENDPOINT_SUBNET_ID); let the owner of the target server approve or reject it there."
        )
    with call.write() as connection:
        agent = call.agent(connection)
        endpoint = private_endpoints.set_connection(
            connection, call.edit, private_endpoint_name, body.status, body.description
        )
        envelope = call.envelope_with_origins(connection, agent, [f"privateEndpoints/{endpoint.name}"])
    return Json(envelope.private_endpoint(endpoint))


@router.delete("/{private_endpoint_name}", dependencies=[DEFINE])
def delete_private_endpoint(call: Call, private_endpoint_name: Segment) -> Response:
    """Take the wish back, and the endpoint in Azure where the app made it; 204 when there was none of this name.

    One that could not be deleted in Azure goes with the next DELETE, also of a name that is gone.
    """
    with call.write() as connection:
        call.agent(connection)
        if not private_endpoints.delete_private_endpoint(connection, call.edit, private_endpoint_name):
            answer = Response(status_code=204)
        elif call.address.is_arm:
            answer = accepted(call, connection, OperationKind.DROP_PRIVATE_ENDPOINT, private_endpoint_name)
        else:
            answer = Response(status_code=200)
    if call.services.endpoints is not None:
        call.services.endpoints.try_align()
    return answer

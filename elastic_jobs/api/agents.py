"""The job agent. Under the ARM path its changes are long-running operations, as in Azure; under the short prefix they
answer at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from elastic_jobs.api.auth import Role
from elastic_jobs.api.bodies import AgentBody, AgentUpdateBody, IdentityBody, IdentityValueBody, SkuBody
from elastic_jobs.api.context import DEFINE, READ, Call, Context, Json, saved
from elastic_jobs.api.envelope import listing
from elastic_jobs.api.errors import ApiError
from elastic_jobs.api.operations import accepted
from elastic_jobs.api.repeating import RepeatingRoute
from elastic_jobs.domain.model import Agent, Identity
from elastic_jobs.errors import CredentialError, InvalidDefinitionError
from elastic_jobs.jobdb.definitions import agent as agents
from elastic_jobs.jobdb.definitions.checks import invalid
from elastic_jobs.jobdb.definitions.credentials import StoredCredential, checked_scope, list_stored
from elastic_jobs.jobdb.definitions.identities import check_identity
from elastic_jobs.jobdb.operations import OperationKind

router = APIRouter(tags=["agent"], route_class=RepeatingRoute)
server_router = APIRouter(tags=["agent"], route_class=RepeatingRoute)
_IDENTITY_ID = re.compile(
    r"/subscriptions/[^/]+/resourcegroups/[^/]+/providers/Microsoft\.ManagedIdentity/userAssignedIdentities/[^/]+",
    re.IGNORECASE,
)
_TAGS, _TAG_NAME, _TAG_VALUE = 50, 512, 256
"""Azure's own limits for tags of a resource."""


@server_router.get("/jobAgents", dependencies=[READ])
def list_agents(call: Call) -> Json:
    """The agent of this server, if there is one."""
    with call.read() as connection:
        found = agents.find_agent(connection)
        shown = [] if found is None else [call.envelope_with_origins(connection, found, ["agent"]).agent()]
    return Json(listing(shown, None))


@router.get("", dependencies=[READ])
def get_agent(call: Call) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        envelope = call.envelope_with_origins(connection, agent, ["agent"])
    return Json(envelope.agent())


@router.put("", dependencies=[DEFINE])
def put_agent(call: Call, body: AgentBody) -> Json:
    """Create the agent or change it. An absent sku or identity of an existing agent stays as it is."""
    with call.write() as connection:
        current = agents.find_agent(connection)
        name = _name(call, body, current)
        if call.address.is_arm or body.properties.database_id is not None:
            references = call.references(current or Agent(name=name, location=body.location))
            references.check_database(body.properties.database_id)
        base = current or Agent(name=name, location=body.location)
        wanted = replace(base, name=name, location=_location(body.location), tags=_tags(body.tags))
        agent, created = _save(connection, call, wanted, body.sku, body.identity)
        if call.address.is_arm:
            return accepted(call, connection, OperationKind.UPSERT_AGENT, agent.name)
        envelope = call.envelope_with_origins(connection, agent, ["agent"])
    return saved(envelope.agent(), created=created)


@router.patch("", dependencies=[DEFINE])
def patch_agent(call: Call, body: AgentUpdateBody) -> Json:
    """Change tags (all of them at once), sku or identity."""
    with call.write() as connection:
        current = call.agent(connection)
        wanted = current if body.tags is None else replace(current, tags=_tags(body.tags))
        agent, _ = _save(connection, call, wanted, body.sku, body.identity)
        if call.address.is_arm:
            return accepted(call, connection, OperationKind.UPSERT_AGENT, agent.name)
        envelope = call.envelope_with_origins(connection, agent, ["agent"])
    return Json(envelope.agent())


@router.delete("", dependencies=[DEFINE])
def delete_agent(call: Call) -> Response:
    """Delete the agent with all its definitions and history, and what it has in a vault and in Azure's network.

    204 when there was none of this name.
    """
    with call.write() as connection:
        found = agents.find_agent(connection)
        wanted = call.address.agent_name
        if found is None or (wanted is not None and wanted.casefold() != found.name.casefold()):
            return Response(status_code=204)
        _guard_servers(call, found.identity, None)
        stored = list_stored(connection)
        agents.delete_agent(connection, call.edit)
        answer = Response(status_code=200)
        if call.address.is_arm:
            answer = accepted(call, connection, OperationKind.DROP_AGENT, found.name)
    _forget(call, stored)
    return answer


def _forget(call: Context, stored: Sequence[StoredCredential]) -> None:
    """Delete what a deleted agent kept outside the job database. What fails is logged where it happens."""
    for credential in stored:
        try:
            call.services.sealer.forget(credential.name, credential.sealed)
        except CredentialError:
            break  # a vault that does not answer is not waited for once per credential
    if call.services.endpoints is not None:
        call.services.endpoints.try_align()


def _save(
    connection: Connection, call: Context, wanted: Agent, sku: SkuBody | None, identity: IdentityBody | None
) -> tuple[Agent, bool]:
    if sku is not None:
        name, capacity = _tier(sku, call.services.settings.maximum_capacity)
        wanted = replace(wanted, sku_name=name, capacity=capacity)
    if identity is not None:
        found = _identity(call, identity, wanted.identity)
        _guard_servers(call, wanted.identity, found)
        wanted = replace(wanted, identity=found)
    return agents.save_agent(connection, call.edit, wanted)


def _name(call: Context, body: AgentBody, current: Agent | None) -> str:
    if call.address.agent_name is not None:
        return call.address.agent_name
    name = body.name or (current.name if current else call.services.settings.agent_name)
    if not name:
        raise invalid("The job agent needs a name; give it as the property 'name'.")
    return name


def _location(location: str) -> str:
    if not 1 <= len(location.strip()) <= 128:
        raise invalid("The location of the job agent must have 1 to 128 characters, for example westeurope.")
    return location.strip()


def _tags(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > _TAGS or any(len(key) > _TAG_NAME or len(value) > _TAG_VALUE for key, value in tags.items()):
        raise invalid(
            f"At most {_TAGS} tags are allowed, with names of {_TAG_NAME} and values of {_TAG_VALUE} characters."
        )
    return tags


def _tier(sku: SkuBody, largest: int) -> tuple[str, int]:
    if not sku.name:
        raise InvalidDefinitionError("Sku name is required; use for example JA100.", "MissingSkuName")
    name, capacity = agents.capacity_of(sku.name, largest)
    if sku.capacity is not None and sku.capacity != capacity:
        raise InvalidDefinitionError(
            f"The sku {name} has the capacity {capacity}, not {sku.capacity}; leave the capacity out or correct it.",
            "SkuMismatchingNameCapacity",
        )
    return name, capacity


def _identity(call: Context, body: IdentityBody, current: Identity | None) -> Identity | None:
    """The one user-assigned identity that an agent can have, or None.

    Raises:
        InvalidDefinitionError: with the documented codes.
    """
    if body.tenant_id is not None:
        raise InvalidDefinitionError("The tenantId of an identity cannot be specified.", "InvalidIdentityTenantId")
    if not body.type:
        raise InvalidDefinitionError("The type of the identity is missing.", "MissingIdentityType")
    kind = body.type.lower()
    given = {key: value for key, value in body.user_assigned_identities.items() if value is not None}
    if kind == "none":
        return None
    if kind != "userassigned":
        raise InvalidDefinitionError(
            f"The identity type '{body.type}' is not supported; use None or UserAssigned.", "InvalidIdentityType"
        )
    if not given:
        raise InvalidDefinitionError("A user-assigned identity must be named.", "MissingUserAssignedIdentities")
    if len(given) > 1:
        raise InvalidDefinitionError("A job agent can have one identity only.", "MultipleIdentitiesOnJobAgent")
    resource_id, values = next(iter(given.items()))
    if len(resource_id) > 512 or not _IDENTITY_ID.fullmatch(resource_id):
        raise InvalidDefinitionError(
            "The user-assigned identity must be named by its resource id, which ends in "
            "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/<name>.",
            "InvalidResourceId",
        )
    servers = values.servers
    if servers is None:
        # A client that knows no such list cannot widen the one of an identity that stays.
        stays = current is not None and current.resource_id.casefold() == resource_id.casefold()
        scope = current.allowed_servers if current is not None and stays else None
    else:
        scope = checked_scope(call.edit, servers, "identity of the job agent")
    found = Identity(resource_id=resource_id, client_id=_client_id(values), allowed_servers=scope)
    check_identity(found)
    return found


def _guard_servers(call: Context, before: Identity | None, after: Identity | None) -> None:
    """Let only those who keep credentials change the list of an identity, or take it away by replacing the identity.

    Raises:
        ApiError: 403.
    """
    had = None if before is None else before.allowed_servers
    gets = None if after is None else after.allowed_servers
    if had != gets and not call.caller.may(Role.CREDENTIAL_ADMIN):
        raise ApiError(
            403,
            "JobCredentialPermissionError",
            f"The caller '{call.caller.name}' needs the role {Role.CREDENTIAL_ADMIN} to change the allowed servers of "
            "the agent's identity, or to remove or replace an identity that has such a list.",
        )


def _client_id(values: IdentityValueBody) -> str | None:
    """Azure answers the client id; here it may be given, because nothing else could look it up."""
    if values.client_id is None:
        return None
    try:
        return str(UUID(values.client_id))
    except ValueError:
        raise invalid("The clientId of the identity is no GUID.") from None

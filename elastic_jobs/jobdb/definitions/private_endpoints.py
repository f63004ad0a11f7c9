"""Private endpoints of the agent: which target servers are to be reached through one, and what became of it.

The job database keeps the wish and its state. The endpoint itself is a resource in the network of the deployment, which
whoever deploys creates from this list; the agent connects by name and does not care which way the name resolves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select, update

from elastic_jobs.errors import InvalidDefinitionError, NotFoundError
from elastic_jobs.jobdb.definitions import audit
from elastic_jobs.jobdb.definitions.agent import lock_agent
from elastic_jobs.jobdb.definitions.checks import DESCRIPTION_LENGTH, NAME_LENGTH, Edit, check_name, check_text, length
from elastic_jobs.jobdb.tables import private_endpoints

_AZURE_NAME_LENGTH = 80
"""Longest name of a private endpoint in Azure."""
_PREFIX = "EJ"


class ConnectionStatus(StrEnum):
    """What the owner of the target server said, in the words of Azure Private Link."""

    PENDING = "Pending"
    APPROVED = "Approved"
    REJECTED = "Rejected"
    DISCONNECTED = "Disconnected"


@dataclass(frozen=True, kw_only=True)
class PrivateEndpoint:
    """target_server_id: ARM id as it was given. private_endpoint_id: name of the resource to create in Azure."""

    id: UUID
    name: str
    target_server_id: str
    target_server_name: str
    private_endpoint_id: str
    status: ConnectionStatus = ConnectionStatus.PENDING
    description: str = ""
    create_time: datetime | None = None


def find_private_endpoint(connection: Connection, name: str) -> PrivateEndpoint | None:
    """The private endpoint of this name, or None."""
    found = connection.execute(select(private_endpoints).where(private_endpoints.c.name == name)).mappings()
    row = found.one_or_none()
    return None if row is None else _from_row(row)


def get_private_endpoint(connection: Connection, name: str) -> PrivateEndpoint:
    """The private endpoint of this name.

    Raises:
        NotFoundError: there is none.
    """
    found = find_private_endpoint(connection, name)
    if found is None:
        raise NotFoundError("private endpoint", name)
    return found


def list_private_endpoints(
    connection: Connection, *, after: str | None = None, limit: int | None = None
) -> list[PrivateEndpoint]:
    """Private endpoints in the order of their names, from the one behind ``after``."""
    statement = select(private_endpoints).order_by(private_endpoints.c.name)
    if after is not None:
        statement = statement.where(private_endpoints.c.name > after)
    return [_from_row(row) for row in connection.execute(statement.limit(limit)).mappings()]


def save_private_endpoint(
    connection: Connection, edit: Edit, name: str, *, target_server_id: str, target_server: str
) -> tuple[PrivateEndpoint, bool]:
    """Create the private endpoint, or find it as it is; tells whether it is new.

    target_server: the server's name at the end of its id.

    Raises:
        NotFoundError: there is no agent.
        InvalidDefinitionError: ``TokenTooLong`` or ``InvalidIdentifier`` for the name, ``PropertyChangeUnsupported``
            when it leads to another server, ``ElasticJobAgentResourceAlreadyExists`` when another one leads there.
    """
    lock_agent(connection)
    _check_name(name)
    server = edit.names.canonical(target_server)
    current = find_private_endpoint(connection, name)
    if current is not None:
        if current.target_server_name != server:
            raise InvalidDefinitionError(
                f"The private endpoint '{current.name}' leads to the server '{current.target_server_name}', which "
                "cannot be changed; delete it, or create another one.",
                "PropertyChangeUnsupported",
            )
        return current, False
    _refuse_second(connection, name, server)
    endpoint_id = edit.new_id()
    endpoint = PrivateEndpoint(
        id=endpoint_id,
        name=name,
        target_server_id=target_server_id,
        target_server_name=server,
        private_endpoint_id=f"{_PREFIX}_{endpoint_id}_{name}"[:_AZURE_NAME_LENGTH],
        description="Not yet approved by the owner of the server.",
        create_time=edit.now,
    )
    connection.execute(insert(private_endpoints).values(**_values(endpoint)))
    _record(connection, edit, "create private endpoint", None, endpoint)
    return endpoint, True


def set_connection(
    connection: Connection, edit: Edit, name: str, status: ConnectionStatus, description: str
) -> PrivateEndpoint:
    """Note what became of the private endpoint's connection.

    Raises:
        NotFoundError: there is no agent or no such private endpoint.
        InvalidDefinitionError: the description is too long.
    """
    lock_agent(connection)
    current = get_private_endpoint(connection, name)
    check_text("description of the connection", description, DESCRIPTION_LENGTH, empty=True)
    saved = replace(current, status=status, description=description)
    connection.execute(update(private_endpoints).where(private_endpoints.c.id == current.id).values(**_values(saved)))
    _record(connection, edit, "update private endpoint", current, saved)
    return saved


def delete_private_endpoint(connection: Connection, edit: Edit, name: str) -> bool:
    """Delete the private endpoint; False when there was none.

    Raises:
        NotFoundError: there is no agent.
    """
    lock_agent(connection)
    current = find_private_endpoint(connection, name)
    if current is None:
        return False
    connection.execute(delete(private_endpoints).where(private_endpoints.c.id == current.id))
    _record(connection, edit, "delete private endpoint", current, None)
    return True


def _check_name(name: str) -> None:
    if length(name) > NAME_LENGTH:
        raise InvalidDefinitionError(
            f"The name of the private endpoint has {length(name)} characters; at most {NAME_LENGTH} are allowed.",
            "TokenTooLong",
        )
    try:
        check_name("private endpoint", name)
    except InvalidDefinitionError as error:
        raise InvalidDefinitionError(str(error), "InvalidIdentifier") from None


def _refuse_second(connection: Connection, name: str, server: str) -> None:
    other = connection.execute(
        select(private_endpoints.c.name).where(private_endpoints.c.target_server_name == server)
    ).scalar()
    if other is not None:
        raise InvalidDefinitionError(
            f"The private endpoint '{other}' leads to the server '{server}' already; use it instead of '{name}'.",
            "ElasticJobAgentResourceAlreadyExists",
        )


def _values(endpoint: PrivateEndpoint) -> dict[str, object]:
    return {
        "id": endpoint.id,
        "name": endpoint.name,
        "target_server_id": endpoint.target_server_id,
        "target_server_name": endpoint.target_server_name,
        "private_endpoint_id": endpoint.private_endpoint_id,
        "connection_status": endpoint.status.value,
        "connection_description": endpoint.description,
        "create_time": endpoint.create_time,
    }


def _from_row(row: Mapping[Any, Any]) -> PrivateEndpoint:
    return PrivateEndpoint(
        id=row["id"],
        name=row["name"],
        target_server_id=row["target_server_id"],
        target_server_name=row["target_server_name"],
        private_endpoint_id=row["private_endpoint_id"],
        status=ConnectionStatus(row["connection_status"]),
        description=row["connection_description"],
        create_time=row["create_time"],
    )


def _record(
    connection: Connection, edit: Edit, action: str, before: PrivateEndpoint | None, after: PrivateEndpoint | None
) -> None:
    name = after.name if after else before.name if before else ""
    audit.record(
        connection,
        time=edit.now,
        caller=edit.caller,
        action=action,
        resource=f"privateEndpoints/{name}",
        before=before,
        after=after,
    )

"""The one job agent of the job database."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from elastic_jobs.domain.model import Agent, Identity
from elastic_jobs.domain.server_scope import ServerScope
from elastic_jobs.errors import ConflictError, InvalidDefinitionError, NotFoundError
from elastic_jobs.jobdb import tables
from elastic_jobs.jobdb.definitions import audit
from elastic_jobs.jobdb.definitions.checks import Edit, check_name
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions, target_messages

SMALLEST_CAPACITY = 100
DEFAULT_SKU = "JA100"
_SKU_PREFIX = "JA"
_HINT = "Create the job agent first."


def tiers(largest: int) -> dict[str, int]:
    """The tiers that a deployment with this limit has, each with its capacity: JA100, JA200, JA400, on by doubling."""
    found: dict[str, int] = {}
    capacity = SMALLEST_CAPACITY
    while capacity <= largest:
        found[f"{_SKU_PREFIX}{capacity}"] = capacity
        capacity *= 2
    return found


def capacity_of(sku_name: str, largest: int) -> tuple[str, int]:
    """Spelling and capacity (concurrent target databases) of a tier.

    Raises:
        InvalidDefinitionError: ``ElasticJobAgentEditionUnsupported``, naming the tiers that this deployment has.
    """
    known = tiers(largest)
    name = sku_name.strip().upper()
    if name not in known:
        raise InvalidDefinitionError(
            f"The service level objective '{sku_name}' is not supported for a job agent; use {', '.join(known)}.",
            "ElasticJobAgentEditionUnsupported",
        )
    return name, known[name]


def find_agent(connection: Connection) -> Agent | None:
    """The agent of this job database, or None when there is none yet."""
    row = connection.execute(select(tables.agent)).one_or_none()
    return None if row is None else _from_row(row)


def get_agent(connection: Connection, name: str | None = None) -> Agent:
    """The agent; with ``name``, only when it is called so (compared without case).

    Raises:
        NotFoundError: there is no agent, or it has another name.
    """
    statement = select(tables.agent)
    if name is not None:
        statement = statement.where(tables.agent.c.name == name)
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise NotFoundError("agent", name or "", _HINT)
    return _from_row(row)


def lock_agent(connection: Connection) -> Agent:
    """The agent, with its row locked until the end of the transaction: changes of definitions come one by one.

    Raises:
        NotFoundError: there is no agent.
    """
    # An UPDATE that changes nothing locks the row on every engine, in one statement.
    connection.execute(update(tables.agent).values(name=tables.agent.c.name))
    return get_agent(connection)


def save_agent(connection: Connection, edit: Edit, agent: Agent) -> tuple[Agent, bool]:
    """Create the agent, or change the one of this name; tells whether it is new.

    Raises:
        InvalidDefinitionError: the job database belongs to an agent of another name
            (``JobAgentDatabaseAlreadyLinked``), or the name or location is not allowed (``PropertyChangeUnsupported``).
    """
    connection.execute(update(tables.agent).values(name=tables.agent.c.name))  # lock, see lock_agent
    current = find_agent(connection)
    if current is None:
        check_name("agent", agent.name)
        created = replace(agent, create_time=edit.now)
        connection.execute(insert(tables.agent).values(id=1, create_time=edit.now, **_values(agent)))
        _record(connection, edit, "create agent", None, created)
        return created, True
    same = connection.execute(select(tables.agent.c.id).where(tables.agent.c.name == agent.name)).one_or_none()
    if same is None:
        raise InvalidDefinitionError(
            f"The job database already belongs to the job agent '{current.name}'; "
            "use that one, or delete it before creating another.",
            "JobAgentDatabaseAlreadyLinked",
        )
    if _plain(agent.location) != _plain(current.location):
        raise InvalidDefinitionError(
            f"The job agent '{current.name}' is in {current.location}; its location cannot be changed.",
            "PropertyChangeUnsupported",
        )
    saved = replace(agent, name=current.name, location=current.location, create_time=current.create_time)
    connection.execute(update(tables.agent).values(**_values(saved)))
    _record(connection, edit, "update agent", current, saved)
    return saved, False


def ensure_agent(connection: Connection, edit: Edit, name: str, location: str) -> Agent:
    """The agent that the deployment's settings name: created when there is none, left as it is otherwise.

    Raises:
        InvalidDefinitionError: the job database belongs to an agent of another name.
    """
    current = find_agent(connection)
    if current is not None and current.name.casefold() == name.casefold():
        return current
    return save_agent(connection, edit, Agent(name=name, location=location))[0]


def delete_agent(connection: Connection, edit: Edit) -> Agent:
    """Delete the agent and everything it has: definitions and history. The audit trail stays.

    Raises:
        NotFoundError: there is no agent.
        ConflictError: executions are active; they would be torn away from their workers.
    """
    agent = lock_agent(connection)
    active = connection.execute(
        select(func.count()).select_from(job_executions).where(job_executions.c.is_active == 1)
    ).scalar_one()
    if active:
        raise ConflictError(
            f"The job agent '{agent.name}' still has {active} active job execution(s); "
            "cancel them or wait for their end, then delete it.",
            "ElasticJobAgentOperationUnavailable",
        )
    # Children before parents: the cascades would do it too, row by row.
    for table in (
        target_messages,
        target_executions,
        step_executions,
        job_executions,
        tables.job_steps,
        tables.job_versions,
        tables.jobs,
        tables.target_group_members,
        tables.target_groups,
        tables.credentials,
        tables.private_endpoints,
        tables.agent,
    ):
        connection.execute(delete(table))
    _record(connection, edit, "delete agent", agent, None)
    return agent


def _values(agent: Agent) -> dict[str, object]:
    return {
        "name": agent.name,
        "location": agent.location,
        "tags": dict(agent.tags),
        "sku_name": agent.sku_name,
        "capacity": agent.capacity,
        "identity_id": agent.identity.resource_id if agent.identity else None,
        "identity_client_id": agent.identity.client_id if agent.identity else None,
        "identity_allowed_servers": agent.identity.allowed_servers.text()
        if agent.identity and agent.identity.allowed_servers
        else None,
    }


def _from_row(row: Row[*tuple[Any, ...]]) -> Agent:
    columns = row._mapping
    create_time: datetime = columns["create_time"]
    return Agent(
        name=columns["name"],
        location=columns["location"],
        sku_name=columns["sku_name"],
        capacity=columns["capacity"],
        tags=columns["tags"] or {},
        identity=Identity(
            resource_id=columns["identity_id"],
            client_id=columns["identity_client_id"],
            allowed_servers=ServerScope.from_text(columns["identity_allowed_servers"]),
        )
        if columns["identity_id"]
        else None,
        create_time=create_time,
    )


def _plain(location: str) -> str:
    return location.replace(" ", "").casefold()


def _record(connection: Connection, edit: Edit, action: str, before: Agent | None, after: Agent | None) -> None:
    audit.record(
        connection, time=edit.now, caller=edit.caller, action=action, resource="agent", before=before, after=after
    )

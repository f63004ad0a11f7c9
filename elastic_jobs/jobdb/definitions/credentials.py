"""Credentials: a user name and a sealed password, by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Connection, Row, delete, insert, select, update

from elastic_jobs.domain.model import Agent
from elastic_jobs.errors import InvalidDefinitionError, NotFoundError
from elastic_jobs.jobdb import tables
from elastic_jobs.jobdb.definitions import audit
from elastic_jobs.jobdb.definitions.agent import lock_agent
from elastic_jobs.jobdb.definitions.checks import NAME_LENGTH, Edit, check_name, check_text
from elastic_jobs.jobdb.definitions.usage import groups_using_credential, name_steps, steps_using_credential

_COLUMNS = (tables.credentials.c.name, tables.credentials.c.username)


class Sealer(Protocol):
    """Makes a password unreadable for everybody but the agent."""

    def seal(self, name: str, password: str) -> bytes:
        """The sealed password; it can only be opened again under the same credential name."""
        ...


@dataclass(frozen=True, kw_only=True)
class Credential:
    """What may be told of a credential. The password is not part of it."""

    name: str
    username: str


@dataclass(frozen=True, kw_only=True)
class NewCredential:
    name: str
    username: str
    password: str = field(repr=False)


def find_credential(connection: Connection, name: str) -> Credential | None:
    """The credential of this name, or None."""
    row = connection.execute(select(*_COLUMNS).where(tables.credentials.c.name == name)).one_or_none()
    return None if row is None else _from_row(row)


def get_credential(connection: Connection, name: str) -> Credential:
    """The credential of this name.

    Raises:
        NotFoundError: there is none.
    """
    found = find_credential(connection, name)
    if found is None:
        raise NotFoundError("credential", name)
    return found


def find_sealed(connection: Connection, name: str) -> tuple[str, bytes] | None:
    """User name and sealed password of the credential of this name, or None. Only for whoever may open it."""
    table = tables.credentials.c
    row = connection.execute(select(table.username, table.sealed_password).where(table.name == name)).one_or_none()
    return None if row is None else (row.username, row.sealed_password)


def list_credentials(connection: Connection, *, after: str | None = None, limit: int | None = None) -> list[Credential]:
    """Credentials in the order of their names, from the one behind ``after``."""
    statement = select(*_COLUMNS).order_by(tables.credentials.c.name)
    if after is not None:
        statement = statement.where(tables.credentials.c.name > after)
    return [_from_row(row) for row in connection.execute(statement.limit(limit))]


def save_credential(
    connection: Connection, edit: Edit, credential: NewCredential, sealer: Sealer
) -> tuple[Credential, bool]:
    """Create the credential or give the one of this name another user name and password; tells whether it is new.

    Raises:
        NotFoundError: there is no agent.
        InvalidDefinitionError: the name, user name or password is empty or too long.
    """
    lock_agent(connection)
    check_name("credential", credential.name)
    try:
        check_text("user name", credential.username, NAME_LENGTH)
    except InvalidDefinitionError as error:
        raise InvalidDefinitionError(str(error), "InvalidJobCredentialUsername") from error
    check_text("password", credential.password, NAME_LENGTH)
    current = find_credential(connection, credential.name)
    # Sealed under the name as it was first spelled: that spelling is what stays in the database.
    name = current.name if current else credential.name
    values = {"username": credential.username, "sealed_password": sealer.seal(name, credential.password)}
    saved = Credential(name=name, username=credential.username)
    if current is None:
        connection.execute(
            insert(tables.credentials).values(
                id=edit.new_id(), name=name, create_time=edit.now, modify_time=edit.now, **values
            )
        )
    else:
        connection.execute(
            update(tables.credentials).where(tables.credentials.c.name == name).values(modify_time=edit.now, **values)
        )
    _record(connection, edit, "update credential" if current else "create credential", current, saved)
    return saved, current is None


def delete_credential(connection: Connection, edit: Edit, name: str) -> bool:
    """Delete the credential; False when there was none.

    Raises:
        NotFoundError: there is no agent.
        InvalidDefinitionError: steps or target groups use it; the message names them.
    """
    lock_agent(connection)
    current = find_credential(connection, name)
    if current is None:
        return False
    steps = steps_using_credential(connection, current.name)
    if steps:
        raise InvalidDefinitionError(
            f"The credential '{current.name}' is used by {name_steps(steps)}; give these another credential first."
        )
    groups = groups_using_credential(connection, current.name)
    if groups:
        raise InvalidDefinitionError(
            f"The credential '{current.name}' is the refresh credential of members of the target group '{groups[0]}'"
            + (f" and {len(groups) - 1} more" if len(groups) > 1 else "")
            + "; give these another credential first."
        )
    connection.execute(delete(tables.credentials).where(tables.credentials.c.name == current.name))
    _record(connection, edit, "delete credential", current, None)
    return True


def stored_name(connection: Connection, agent: Agent, name: str | None, *, needed_for: str | None) -> str | None:
    """A credential that a definition names, as it is spelled in the store; checks the agent's authentication mode.

    needed_for: what cannot do without a credential unless the agent has an identity, e.g. ``step 'x'``; None when the
    credential is optional there.

    Raises:
        InvalidDefinitionError: a credential is named although the agent has an identity, is missing, or not there.
    """
    if name is None:
        if needed_for is not None and agent.identity is None:
            raise InvalidDefinitionError(
                f"The {needed_for} needs a credential, because the job agent '{agent.name}' has no identity; "
                "name one, or give the agent a user-assigned identity."
            )
        return None
    if agent.identity is not None:
        raise InvalidDefinitionError(
            f"The credential '{name}' cannot be used: the job agent '{agent.name}' reaches its targets with its "
            "user-assigned identity; leave the credential out."
        )
    found = find_credential(connection, name)
    if found is None:
        raise InvalidDefinitionError(
            f"Cannot reference the credential '{name}', because it does not exist or you do not have permission."
        )
    return found.name


def _from_row(row: Row[*tuple[Any, ...]]) -> Credential:
    return Credential(name=row.name, username=row.username)


def _record(
    connection: Connection, edit: Edit, action: str, before: Credential | None, after: Credential | None
) -> None:
    name = (after or before or Credential(name="", username="")).name
    audit.record(
        connection,
        time=edit.now,
        caller=edit.caller,
        action=action,
        resource=f"credentials/{name}",
        before=before,
        after=after,
    )

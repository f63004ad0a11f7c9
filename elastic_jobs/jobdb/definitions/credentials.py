"""Credentials: a user name and a sealed password, by name, and the servers that they may be sent to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Connection, Row, delete, insert, select, update

from elastic_jobs.domain.model import Agent
from elastic_jobs.domain.server_scope import ServerScope, parse_scope
from elastic_jobs.errors import InvalidDefinitionError, NotFoundError, ServerNotAllowedError
from elastic_jobs.jobdb import tables
from elastic_jobs.jobdb.definitions import audit
from elastic_jobs.jobdb.definitions.agent import lock_agent
from elastic_jobs.jobdb.definitions.checks import NAME_LENGTH, Edit, check_name, check_text, invalid
from elastic_jobs.jobdb.definitions.usage import groups_using_credential, name_steps, steps_using_credential

_NO_SERVER = "any-server-of-this-suffix"
_COLUMNS = (tables.credentials.c.name, tables.credentials.c.username, tables.credentials.c.allowed_servers)


class Sealer(Protocol):
    """Makes a password unreadable for everybody but the agent: seals it, or keeps it in a vault."""

    def seal(self, name: str, password: str) -> bytes:
        """The sealed password; it can only be opened again under the same credential name."""
        ...


@dataclass(frozen=True, kw_only=True)
class Credential:
    """What may be told of a credential. The password is not part of it.

    allowed_servers: the servers that it may be sent to; None: all that the deployment allows.
    """

    name: str
    username: str
    allowed_servers: ServerScope | None = None


@dataclass(frozen=True, kw_only=True)
class NewCredential:
    """A credential as a caller wrote it.

    allowed_servers: server names and ``*.suffix``; empty: no list of its own; None: the list of a credential that is
    there stays as it is, so that a client that does not know of it cannot widen it.
    """

    name: str
    username: str
    password: str = field(repr=False)
    allowed_servers: tuple[str, ...] | None = None


@dataclass(frozen=True)
class StoredPassword:
    """A password that was sealed before the transaction; stands in for a ``Sealer`` within it."""

    sealed: bytes = field(repr=False)

    def seal(self, name: str, password: str) -> bytes:
        """What was sealed; of this name and password, because they come together."""
        del name, password
        return self.sealed


@dataclass(frozen=True, kw_only=True)
class StoredCredential:
    """What a login is made of. ``sealed``: only for whoever may open it."""

    name: str
    username: str
    sealed: bytes = field(repr=False)
    allowed_servers: ServerScope | None = None


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


def find_stored(connection: Connection, name: str) -> StoredCredential | None:
    """All of the credential of this name, or None. Only for whoever may open it."""
    table = tables.credentials
    row = connection.execute(select(*_COLUMNS, table.c.sealed_password).where(table.c.name == name)).one_or_none()
    return None if row is None else _stored(row)


def list_stored(connection: Connection) -> list[StoredCredential]:
    """All of every credential, in the order of their names: for sealing them anew."""
    statement = select(*_COLUMNS, tables.credentials.c.sealed_password).order_by(tables.credentials.c.name)
    return [_stored(row) for row in connection.execute(statement)]


def replace_sealed(connection: Connection, edit: Edit, stored: StoredCredential, sealed: bytes) -> bool:
    """Put the same password there as it is sealed now; False when the credential was changed or deleted meanwhile."""
    table = tables.credentials
    changed = connection.execute(
        update(table)
        .where(table.c.name == stored.name, table.c.sealed_password == stored.sealed)
        .values(sealed_password=sealed)
    ).rowcount
    if changed:
        shown = Credential(name=stored.name, username=stored.username, allowed_servers=stored.allowed_servers)
        _record(connection, edit, "reseal credential", shown, shown)
    return bool(changed)


def list_credentials(connection: Connection, *, after: str | None = None, limit: int | None = None) -> list[Credential]:
    """Credentials in the order of their names, from the one behind ``after``."""
    statement = select(*_COLUMNS).order_by(tables.credentials.c.name)
    if after is not None:
        statement = statement.where(tables.credentials.c.name > after)
    return [_from_row(row) for row in connection.execute(statement.limit(limit))]


def check_new(new: NewCredential) -> None:
    """Refuse a credential that could not be saved, before its password goes anywhere.

    Raises:
        InvalidDefinitionError: the name, user name or password is empty or too long, or no password.
    """
    check_name("credential", new.name)
    try:
        check_text("user name", new.username, NAME_LENGTH)
    except InvalidDefinitionError as error:
        raise InvalidDefinitionError(str(error), "InvalidJobCredentialUsername") from error
    check_text("password", new.password, NAME_LENGTH)
    if new.password.startswith("@Microsoft.KeyVault("):
        raise invalid(
            f"The password of the credential '{new.name}' is a Key Vault reference, which nobody resolves here; "
            "give the password itself, or keep credentials in a vault with CREDENTIAL_STORE keyvault."
        )


def seal_new(new: NewCredential, sealer: Sealer) -> StoredPassword:
    """Seal the password outside the transaction: a vault may take seconds, and the transaction holds locks.

    Raises:
        InvalidDefinitionError: as ``check_new``.
        CredentialError: the vault refuses or does not answer.
    """
    check_new(new)
    return StoredPassword(sealer.seal(new.name, new.password))


def save_credential(
    connection: Connection, edit: Edit, credential: NewCredential, sealer: Sealer
) -> tuple[Credential, bool]:
    """Create the credential or give the one of this name another user name and password; tells whether it is new.

    sealer: what seals the password, or what ``seal_new`` sealed.

    Raises:
        NotFoundError: there is no agent.
        InvalidDefinitionError: as ``check_new``, or a server of its list is not one that the deployment allows.
    """
    lock_agent(connection)
    check_new(credential)
    current = find_credential(connection, credential.name)
    # Sealed under the name as it was first spelled: that spelling is what stays in the database.
    name = current.name if current else credential.name
    scope = current.allowed_servers if current else None
    if credential.allowed_servers is not None:
        scope = checked_scope(edit, credential.allowed_servers, f"credential '{name}'")
    values = {
        "username": credential.username,
        "sealed_password": sealer.seal(name, credential.password),
        "allowed_servers": None if scope is None else scope.text(),
    }
    saved = Credential(name=name, username=credential.username, allowed_servers=scope)
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


def checked_scope(edit: Edit, patterns: Iterable[str], whose: str) -> ServerScope | None:
    """The list of servers for ``whose`` (``credential 'x'``, ``identity of the agent``); None when it is empty.

    Raises:
        InvalidDefinitionError: a pattern is none, or wider than what the deployment allows.
    """
    try:
        scope = parse_scope(patterns, edit.names)
    except ValueError as error:
        raise invalid(f"The allowed servers of the {whose} are not right: {error}") from None
    for pattern in scope.patterns if scope else ():
        # One label stands for all of them: the deployment's list, too, has either names or '*.' with a suffix. It must
        # be a label that no list names by itself.
        server = pattern.replace("*.", f"{_NO_SERVER}.", 1) if pattern.startswith("*.") else pattern
        try:
            edit.check_server(server)
        except (ServerNotAllowedError, InvalidDefinitionError):
            raise invalid(
                f"The {whose} cannot be allowed for '{pattern}': that is not within the deployment's list "
                "(setting ALLOWED_TARGET_SERVERS)."
            ) from None
    return scope


def check_scope(
    connection: Connection,
    edit: Edit,
    agent: Agent,
    credential_name: str | None,
    servers: Sequence[str],
    used_by: str,
) -> None:
    """Refuse a definition that would send a credential, or the agent's identity, to a server outside its list.

    credential_name: as ``stored_name`` gave it. used_by: e.g. ``step 'x'``.

    Raises:
        InvalidDefinitionError: naming the credential or identity, the server and the definition.
    """
    if agent.identity is not None:
        scope, who = agent.identity.allowed_servers, "identity of the job agent"
    elif credential_name is not None:
        found = find_credential(connection, credential_name)
        scope, who = (found.allowed_servers if found else None), f"credential '{credential_name}'"
    else:
        return
    for server in servers:
        canonical = edit.names.canonical(server)
        if scope is not None and not scope.allows(canonical):
            raise InvalidDefinitionError(
                f"The {used_by} would send the {who} to server '{canonical}', which is not among its allowed servers; "
                "add the server there, or use another one."
            )


def delete_credential(connection: Connection, edit: Edit, name: str) -> bool:
    """Delete the credential; False when there was none. What a vault keeps of it is not touched.

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
    return Credential(name=row.name, username=row.username, allowed_servers=ServerScope.from_text(row.allowed_servers))


def _stored(row: Row[*tuple[Any, ...]]) -> StoredCredential:
    return StoredCredential(
        name=row.name,
        username=row.username,
        sealed=row.sealed_password,
        allowed_servers=ServerScope.from_text(row.allowed_servers),
    )


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

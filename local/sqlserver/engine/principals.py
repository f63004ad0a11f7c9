"""Logins, users, roles, schemas, permissions and databases: the statements that define them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..contract import SqlError
from . import errors, nodes, schema, security

if TYPE_CHECKING:
    from .session import EngineSession


def _require(session: EngineSession, action: str, owner: str = "") -> None:
    """Errors: 15247."""
    if not security.allowed(session.catalog, session.principal.user, action, owner):
        raise SqlError(15247, 16, "User does not have permission to perform this action.")


def on_server(session: EngineSession, node: nodes.CreatePrincipal | nodes.Drop) -> None:
    """CREATE, ALTER and DROP of LOGIN and DATABASE. Errors: 5001 outside master, 15247, 262, and the catalogue's."""
    if session.home.name != "master":
        raise SqlError(5001, 16, "User must be in the master database.")
    role = "loginmanager" if node.kind == "LOGIN" else "dbmanager"
    if not session.principal.dbo and role not in session.catalog.roles_of(session.principal.user):
        if node.kind == "DATABASE":
            raise errors.statement_permission_denied("CREATE DATABASE", "master")
        raise SqlError(15247, 16, "User does not have permission to perform this action.")
    if session.transaction_depth and node.kind == "DATABASE":
        raise SqlError(226, 16, "CREATE DATABASE statement not allowed within multi-statement transaction.", 6)
    if isinstance(node, nodes.Drop):
        _drop_on_server(session, node)
    elif node.kind == "DATABASE":
        _create_database(session, node)
    elif node.source != "PASSWORD":
        raise errors.unsupported(f"CREATE LOGIN without a password ({node.name})")
    elif node.alter:
        session.server.alter_login(node.name, node.value)
    else:
        session.server.create_login(node.name, node.value)


def _create_database(session: EngineSession, node: nodes.CreatePrincipal) -> None:
    pool = node.value if node.source == "ELASTIC_POOL" else None
    objective = node.value if node.source == "SERVICE_OBJECTIVE" else "S0"
    try:
        session.server.create_database(node.name, elastic_pool=pool, service_objective=objective)
    except ValueError as error:
        raise SqlError(40881, 16, str(error)) from None


def _drop_on_server(session: EngineSession, node: nodes.Drop) -> None:
    for name in node.names:
        if node.kind == "LOGIN":
            session.server.drop_login(name.name)
        elif session.server.database(name.name) is not None or not node.if_exists:
            session.server.drop_database(name.name)


def create(session: EngineSession, node: nodes.CreatePrincipal) -> None:
    if node.kind == "SCHEMA":
        _create_schema(session, node)
    elif node.kind == "ROLE":
        _require(session, "ALTER ANY ROLE")
        _add(session, schema.User(session.catalog.next_principal_id, node.name, "R"))
    else:
        _require(session, "ALTER ANY USER")
        _add(session, _user(session, node))


def _user(session: EngineSession, node: nodes.CreatePrincipal) -> schema.User:
    """Errors: 15007 unknown login, 15063 the login has a user already."""
    from ..catalog import hash_password

    number, source = session.catalog.next_principal_id, node.source
    if source == "EXTERNAL":
        return schema.User(number, node.name, "E")
    if source == "PASSWORD":
        return schema.User(number, node.name, "S", password=hash_password(node.value))
    if source == "WITHOUT LOGIN":
        return schema.User(number, node.name, "S")
    login = node.value or node.name
    if not session.server.has_login(login):
        raise SqlError(15007, 16, f"'{login}' is not a valid login or you do not have permission.")
    if session.catalog.user_of_login(login) is not None or login.lower() == session.server.admin_login.lower():
        raise SqlError(15063, 16, "The login already has an account under a different user name.")
    return schema.User(number, node.name, "S", login=login)


def _add(session: EngineSession, user: schema.User) -> None:
    catalog = session.catalog
    if user.name.lower() in catalog.principals:
        raise SqlError(15023, 16, f"User, group, or role '{user.name}' already exists in the current database.")
    principals = {**catalog.principals, user.name.lower(): user}
    number = catalog.next_principal_id + 1
    session.transactions.catalog = catalog.evolve(f"create {user!r}", principals=principals, next_principal_id=number)


def _create_schema(session: EngineSession, node: nodes.CreatePrincipal) -> None:
    catalog = session.catalog
    if not security.allowed(catalog, session.principal.user, "CREATE SCHEMA"):
        raise errors.statement_permission_denied("CREATE SCHEMA", session.database)
    if node.name.lower() in catalog.schemas:
        raise errors.already_exists(node.name)
    schemas = {**catalog.schemas, node.name.lower(): (node.name, catalog.next_schema_id)}
    number = catalog.next_schema_id + 1
    session.transactions.catalog = catalog.evolve(f"create schema {node.name}", schemas=schemas, next_schema_id=number)


def drop(session: EngineSession, node: nodes.Drop) -> None:
    """DROP USER, ROLE, SCHEMA. Errors: 15151, 3729 for a schema that is not empty."""
    for name in node.names:
        if node.kind == "SCHEMA":
            _drop_schema(session, name.name, node.if_exists)
        else:
            _drop_principal(session, name.name, node)


def _drop_schema(session: EngineSession, name: str, if_exists: bool) -> None:
    catalog = session.catalog
    _require(session, "ALTER", name)
    if name.lower() not in catalog.schemas or name.lower() in schema.EMPTY.schemas:
        if if_exists and name.lower() not in catalog.schemas:
            return
        raise errors.does_not_exist("drop", "schema", name)
    inside = next((item for (owner, _), item in catalog.objects.items() if owner == name.lower()), None)
    if inside is not None:
        raise SqlError(
            3729, 16, f"Cannot drop schema '{name}' because it is being referenced by object '{inside.name}'."
        )
    schemas = {key: value for key, value in catalog.schemas.items() if key != name.lower()}
    session.transactions.catalog = catalog.evolve(f"drop schema {name}", schemas=schemas)


def _drop_principal(session: EngineSession, name: str, node: nodes.Drop) -> None:
    catalog, lowered = session.catalog, name.lower()
    _require(session, "ALTER ANY ROLE" if node.kind == "ROLE" else "ALTER ANY USER")
    found = catalog.principals.get(lowered)
    if found is None or (found.kind == "R") != (node.kind == "ROLE") or lowered in schema.EMPTY.principals:
        if node.if_exists and found is None:
            return
        raise errors.does_not_exist("drop", node.kind.lower(), name)
    session.transactions.catalog = catalog.evolve(
        f"drop principal {lowered}",
        principals={key: user for key, user in catalog.principals.items() if key != lowered},
        memberships=frozenset(pair for pair in catalog.memberships if lowered not in pair),
        grants=frozenset(grant for grant in catalog.grants if grant.grantee != lowered),
    )


def alter_role(session: EngineSession, node: nodes.AlterRole) -> None:
    """Errors: 15151 unknown role or member."""
    catalog = session.catalog
    _require(session, "ALTER ANY ROLE")
    role = catalog.principals.get(node.role.lower())
    if role is None and session.home.name == "master" and node.role.lower() in ("loginmanager", "dbmanager"):
        _add(session, schema.User(catalog.next_principal_id, node.role.lower(), "R"))
        catalog = session.catalog
        role = catalog.principals[node.role.lower()]
    if role is None or role.kind != "R":
        raise errors.does_not_exist("alter", "role", node.role)
    if node.member.lower() not in catalog.principals:
        raise errors.does_not_exist("add" if node.add else "drop", "user", node.member)
    pair = frozenset({(node.role.lower(), node.member.lower())})
    members = catalog.memberships | pair if node.add else catalog.memberships - pair
    session.transactions.catalog = catalog.evolve(f"role {node.role} {node.member} {node.add}", memberships=members)


def permission(session: EngineSession, node: nodes.Permission) -> None:
    """GRANT, DENY, REVOKE, by whoever controls the database. Errors: 4613 or 15151."""
    if not security.allowed(session.catalog, session.principal.user, "CONTROL"):
        raise SqlError(4613, 16, "Grantor does not have GRANT permission.")
    session.transactions.catalog = security.apply(session.catalog, node)

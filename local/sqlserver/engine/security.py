"""Who may do what, lightly: dbo and db_owner all, others by role or by GRANT and DENY on object, schema or database."""

from __future__ import annotations

from ..contract import SqlError
from . import errors, nodes, schema
from .compiled import Need

_ROLE_GIVES = {
    "db_datareader": {"SELECT"}, "db_datawriter": {"INSERT", "UPDATE", "DELETE"},
    "db_ddladmin": {"ALTER", "CREATE TABLE", "CREATE VIEW", "CREATE PROCEDURE", "CREATE SCHEMA"},
    "db_securityadmin": {"ALTER ANY ROLE"}, "db_accessadmin": {"ALTER ANY USER"},
}  # fmt: skip
_ROLE_DENIES = {"db_denydatareader": {"SELECT"}, "db_denydatawriter": {"INSERT", "UPDATE", "DELETE"}}
# A permission that carries others with it.
_IMPLIED_BY = {
    "SELECT": {"CONTROL"}, "INSERT": {"CONTROL"}, "UPDATE": {"CONTROL"}, "DELETE": {"CONTROL"}, "EXECUTE": {"CONTROL"},
    "ALTER": {"CONTROL"}, "REFERENCES": {"CONTROL"}, "CREATE TABLE": {"CONTROL", "ALTER"},
    "CREATE VIEW": {"CONTROL", "ALTER"}, "CREATE PROCEDURE": {"CONTROL", "ALTER"}, "CREATE SCHEMA": {"CONTROL",
    "ALTER"},
    "ALTER ANY USER": {"CONTROL", "ALTER"}, "ALTER ANY ROLE": {"CONTROL", "ALTER"},
}  # fmt: skip
_ALL = ("SELECT", "INSERT", "UPDATE", "DELETE", "EXECUTE", "REFERENCES")


def allowed(catalog: schema.Catalog, user: str, action: str, owner: str = "", name: str = "") -> bool:
    """Whether a user may do the action on ``owner.name``, on the schema ``owner``, or (both empty) in the database."""
    roles = catalog.roles_of(user)
    if user.lower() == "dbo" or "db_owner" in roles:
        return True
    places = {("DATABASE", "")}
    if owner:
        places.add(("SCHEMA", owner.lower()))
    if name:
        places.add(("OBJECT", f"{owner}.{name}".lower()))
    wanted = {action} | _IMPLIED_BY.get(action, set())
    found = {
        grant.state for grant in catalog.grants
        if grant.grantee in roles and (grant.scope, grant.target) in places
        and (grant.action == action if grant.state == "DENY" else grant.action in wanted)
    }  # fmt: skip
    if "DENY" in found or any(action in _ROLE_DENIES[role] for role in roles & _ROLE_DENIES.keys()):
        return False
    return "GRANT" in found or any(wanted & _ROLE_GIVES[role] for role in roles & _ROLE_GIVES.keys())


def check(catalog: schema.Catalog, user: str, need: Need, database: str) -> None:
    """Errors: 229."""
    if not allowed(catalog, user, need.action, need.schema, need.name):
        raise errors.permission_denied(need.action, need.name, database, need.schema)


def check_statement(catalog: schema.Catalog, user: str, action: str, database: str, owner: str = "dbo") -> None:
    """CREATE TABLE and the like: the right to create, and ALTER on the schema. Errors: 262, 2760."""
    if not allowed(catalog, user, action):
        raise errors.statement_permission_denied(action, database)
    if not allowed(catalog, user, "ALTER", owner):
        text = f'The specified schema name "{owner}" either does not exist or you do not have permission to use it.'
        raise SqlError(2760, 16, text)


def apply(catalog: schema.Catalog, node: nodes.Permission) -> schema.Catalog:
    """GRANT, DENY or REVOKE. Errors: 15151 for an unknown principal, object or schema."""
    target = ""
    if node.scope == "OBJECT" and node.on is not None:
        owner = node.on.schema or "dbo"
        if catalog.find(owner, node.on.name) is None:
            raise errors.does_not_exist("find", "object", node.on.name)
        target = f"{owner}.{node.on.name}".lower()
    elif node.scope == "SCHEMA" and node.on is not None:
        if node.on.name.lower() not in catalog.schemas:
            raise errors.does_not_exist("find", "schema", node.on.name)
        target = node.on.name.lower()
    actions = [action for given in node.actions for action in (_ALL if given == "ALL" else (given,))]
    grants = set(catalog.grants)
    for grantee in node.grantees:
        if grantee.lower() not in catalog.principals:
            raise errors.does_not_exist("find", "user", grantee)
        for action in actions:
            place = (grantee.lower(), action, node.scope, target)
            grants -= {schema.Grant(*place, state) for state in ("GRANT", "DENY")}
            if node.verb != "REVOKE":
                grants.add(schema.Grant(*place, node.verb))
    change = f"{node.verb} {actions} {node.scope} {target} {sorted(node.grantees)}"
    return catalog.evolve(change, grants=frozenset(grants))

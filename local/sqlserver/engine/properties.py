"""OBJECT_ID, SERVERPROPERTY and the other functions that look something up in the session's surroundings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import locks, schema, security, system_views, types

if TYPE_CHECKING:
    from .session import EngineSession

_OBJECT_KINDS = {"U": schema.Table, "V": schema.View, "P": schema.Procedure}


def object_id(session: EngineSession, name: str, kind: str | None) -> int | None:
    from .session import parse_name

    parsed = parse_name(name)
    if parsed is None:
        return None
    if parsed.name.startswith("#"):
        table = session.transactions.temporary.get(parsed.name.lower())
        return None if table is None else table.object_id
    if parsed.database and parsed.database.lower() != session.database.lower():
        return None
    if system_views.find(parsed, session.database) is not None:
        return -1 - sorted(system_views.VIEWS).index(f"{parsed.schema}.{parsed.name}".lower())
    found = session.catalog.find(parsed.schema or "dbo", parsed.name)
    if found is None or (kind is not None and not isinstance(found, _OBJECT_KINDS.get(kind.strip().upper(), ()))):
        return None
    return found.object_id


def object_name(session: EngineSession, number: int | None, kind: str) -> str | None:
    found = session.catalog.by_id(number) if number is not None else None
    if found is None:
        return None
    if kind == "definition":
        return found.text if isinstance(found, schema.View | schema.Procedure) else None
    return found.schema if kind == "schema" else found.name


def property_of(session: EngineSession, kind: str, subject: Any, name: Any) -> Any:
    if subject is None or name is None:
        return None
    if kind.startswith("applock"):
        return _applock(session, kind, str(subject))
    handler = _PROPERTIES[kind]
    return handler(session, subject, name)


def _server(session: EngineSession, _: Any, name: str) -> str | None:
    known = {
        "servername": session.server.name, "productversion": "12.0.2000.8", "edition": "SQL Azure",
        "engineedition": "5",
        "productlevel": "RTM", "collation": "SQL_Latin1_General_CP1_CI_AS", "machinename": session.server.name,
        "isintegratedsecurityonly": "0", "productmajorversion": "12",
    }  # fmt: skip
    return known.get(str(name).lower())


def _database(session: EngineSession, subject: str, name: str) -> str | None:
    found = next((d for d in session.visible_databases() if d.name.lower() == str(subject).lower()), None)
    if found is None:
        return None
    known = {
        "status": found.state, "edition": found.edition, "serviceobjective": found.service_objective,
        "updateability": "READ_WRITE", "collation": "SQL_Latin1_General_CP1_CI_AS", "useraccess": "MULTI_USER",
        "version": "904", "recovery": "FULL",
    }  # fmt: skip
    return known.get(str(name).lower())


def _column(session: EngineSession, table: str, column: str, part: str) -> Any:
    from .session import parse_name

    parsed = parse_name(str(table))
    found = session.find_object(parsed) if parsed is not None else None
    wanted = found.column(str(column)) if isinstance(found, schema.Table) else None
    if wanted is None:
        return None
    return types.storage_facts(wanted.type)[0] if part == "length" else wanted.name


def _column_name(session: EngineSession, number: Any, column_id: Any) -> str | None:
    found = session.catalog.by_id(int(number))
    if not isinstance(found, schema.Table):
        return None
    return next((column.name for column in found.columns if column.column_id == int(column_id)), None)


def _is_member(session: EngineSession, role: str, _: Any) -> int | None:
    if str(role).lower() not in session.catalog.principals:
        return None
    if session.principal.dbo and str(role).lower() in ("db_owner", "public"):
        return 1
    return int(str(role).lower() in session.catalog.roles_of(session.principal.user))


def _ident_current(session: EngineSession, table: str, _: Any) -> str | None:
    from .session import parse_name

    parsed = parse_name(str(table))
    found = session.find_object(parsed) if parsed is not None else None
    if not isinstance(found, schema.Table) or found.identity is None or found.identity.identity is None:
        return None
    return str(session.identities(found).get(found.object_id, found.identity.identity[0]))


def _has_permission(session: EngineSession, name: str, action: str) -> int:
    from .session import parse_name

    parsed = parse_name(str(name)) if name else None
    owner, item = (parsed.schema or "dbo", parsed.name) if parsed is not None else ("", "")
    return int(security.allowed(session.catalog, session.principal.user, str(action).upper(), owner, item))


def _user_id(session: EngineSession, name: str, _: Any) -> int | None:
    found = session.catalog.principals.get(str(name).lower())
    return None if found is None else found.principal_id


def _type_id(_: EngineSession, name: str, __: Any) -> int | None:
    return types.TYPE_IDS.get(str(name).lower())


_PROPERTIES: dict[str, Any] = {
    "server": _server,
    "database": _database,
    "schema_name": lambda s, number, _: next((n for n, i in s.catalog.schemas.values() if i == int(number)), None),
    "schema_id": lambda s, name, _: s.catalog.schemas.get(str(name).lower(), ("", None))[1],
    "db_name": lambda s, number, _: next((d.name for d in s.visible_databases() if d.database_id == int(number)), None),
    "db_id": lambda s, name, _: next(
        (d.database_id for d in s.visible_databases() if d.name.lower() == str(name).lower()), None
    ),
    "user_name": lambda s, number, _: next(
        (u.name for u in s.catalog.principals.values() if u.principal_id == int(number)), None
    ),
    "user_id": _user_id,
    "type_name": lambda _s, number, _: next((n for n, i in types.TYPE_IDS.items() if i == int(number)), None),
    "type_id": _type_id,
    "suser_sname": lambda s, _sid, _: s.login,
    "suser_id": lambda s, name, _: next(
        (login.principal_id for login in s.server.logins() if login.name.lower() == str(name).lower()), None
    ),
    "is_member": _is_member,
    "ident_current": _ident_current,
    "col_length": lambda s, table, column: _column(s, table, column, "length"),
    "col_name": _column_name,
    "has_perms": _has_permission,
}


def _applock(session: EngineSession, kind: str, resource: str) -> Any:
    name = f"applock:{resource}"
    manager = session.home.locks
    if kind == "applock_mode":
        return manager.held_mode(session.owner, name) or "NoLock"
    mode = kind.partition(":")[2]
    canonical = next((known for known in locks.MODES if known.lower() == mode.lower()), None)
    return None if canonical is None else int(manager.would_admit(session.owner, name, canonical))

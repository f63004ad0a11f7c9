"""What is inside a database: an immutable snapshot that every definition statement replaces by a new one.

A transaction works on its own snapshot and publishes it when it commits, so definitions roll back and stay invisible
like rows do. ``token`` names the content: databases that went through the same definitions have the same token, and
share what was compiled for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from ..contract import SqlType
from . import nodes

FIRST_OBJECT_ID = 581577110
FIXED_ROLES = (
    "db_owner", "db_accessadmin", "db_securityadmin", "db_ddladmin", "db_backupoperator", "db_datareader",
    "db_datawriter", "db_denydatareader", "db_denydatawriter",
)  # fmt: skip


@dataclass(frozen=True)
class TableColumn:
    name: str
    type: SqlType
    nullable: bool = True
    identity: tuple[int, int] | None = None
    default: nodes.Expr | None = None
    default_name: str = ""
    column_id: int = 0


@dataclass(frozen=True)
class Index:
    """kind: PK, UQ (constraints) or empty. columns: name and whether descending."""

    name: str
    columns: tuple[tuple[str, bool], ...]
    unique: bool = False
    kind: str = ""
    clustered: bool = False
    included: tuple[str, ...] = ()
    filtered: bool = False
    index_id: int = 0


@dataclass(frozen=True)
class Table:
    """sql_name: the quoted name of the SQLite table. object_id is negative for #temp tables."""

    object_id: int
    schema: str
    name: str
    sql_name: str
    columns: tuple[TableColumn, ...]
    indexes: tuple[Index, ...] = ()
    checks: tuple[tuple[str, str], ...] = ()
    foreign_keys: tuple[tuple[str, str], ...] = ()  # name, referenced table (schema.name)
    temporary: bool = False

    def column(self, name: str) -> TableColumn | None:
        lowered = name.lower()
        return next((column for column in self.columns if column.name.lower() == lowered), None)

    def index(self, name: str) -> Index | None:
        return next((index for index in self.indexes if index.name.lower() == name.lower()), None)

    @property
    def identity(self) -> TableColumn | None:
        return next((column for column in self.columns if column.identity is not None), None)


@dataclass(frozen=True)
class View:
    object_id: int
    schema: str
    name: str
    columns: tuple[str, ...]
    query: nodes.Query
    text: str


@dataclass(frozen=True)
class Procedure:
    object_id: int
    schema: str
    name: str
    parameters: tuple[nodes.ProcedureParameter, ...]
    body: nodes.Batch = field(repr=False, compare=False)
    text: str = ""


Object = Table | View | Procedure


@dataclass(frozen=True)
class User:
    """A database principal. kind: S (SQL user), E (Entra user) or R (role), as in sys.database_principals."""

    principal_id: int
    name: str
    kind: str
    login: str = ""
    password: bytes | None = field(default=None, repr=False)

    @property
    def authentication(self) -> int:
        """authentication_type: 0 none, 1 by the server's login, 2 by the database's password, 4 external."""
        if self.kind == "E":
            return 4
        return 1 if self.login else (2 if self.password is not None else 0)


@dataclass(frozen=True)
class Grant:
    """scope: OBJECT (``target`` = schema.name), SCHEMA or DATABASE. state: GRANT or DENY. All lower case but state."""

    grantee: str
    action: str
    scope: str
    target: str
    state: str


def _initial_principals() -> dict[str, User]:
    named = {"public": User(0, "public", "R"), "dbo": User(1, "dbo", "S", "\0dbo"), "guest": User(2, "guest", "S"),
             "sys": User(4, "sys", "S")}  # fmt: skip
    roles = {name: User(16384 + number, name, "R") for number, name in enumerate(FIXED_ROLES)}
    return named | roles


_SCHEMAS = MappingProxyType(
    {"dbo": ("dbo", 1), "guest": ("guest", 2), "information_schema": ("INFORMATION_SCHEMA", 3), "sys": ("sys", 4)}
)
_PRINCIPALS = MappingProxyType(_initial_principals())
_NOTHING: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Catalog:
    token: str = "0"
    schemas: Mapping[str, tuple[str, int]] = field(default_factory=lambda: _SCHEMAS)
    objects: Mapping[tuple[str, str], Object] = field(default_factory=lambda: _NOTHING)
    principals: Mapping[str, User] = field(default_factory=lambda: _PRINCIPALS)
    memberships: frozenset[tuple[str, str]] = frozenset()  # (role, member), lower case
    grants: frozenset[Grant] = frozenset()
    next_object_id: int = FIRST_OBJECT_ID
    next_schema_id: int = 5
    next_principal_id: int = 5
    created: Mapping[int, str] = field(default_factory=lambda: _NOTHING)  # object id to stored datetime

    def find(self, schema: str, name: str) -> Object | None:
        return self.objects.get((schema.lower(), name.lower()))

    def by_id(self, object_id: int) -> Object | None:
        return next((found for found in self.objects.values() if found.object_id == object_id), None)

    def user_of_login(self, login: str) -> User | None:
        lowered = login.lower()
        return next((user for user in self.principals.values() if user.login.lower() == lowered), None)

    def evolve(self, change: str, **values: object) -> Catalog:
        """A new snapshot. change: a text that says what was done, so that equal histories give equal tokens."""
        token = hashlib.blake2b(f"{self.token}\n{change}".encode(), digest_size=12).hexdigest()
        return replace(self, token=token, **values)  # type: ignore[arg-type]  # the fields' own types hold

    def with_object(self, item: Object, now: str = "") -> Catalog:
        """Add an object, or put it in the place of the one of that name."""
        objects = {**self.objects, (item.schema.lower(), item.name.lower()): item}
        created = self.created if item.object_id in self.created else {**self.created, item.object_id: now}
        following = max(self.next_object_id, item.object_id + 16)
        return self.evolve(repr(item), objects=objects, next_object_id=following, created=created)

    def without_object(self, item: Object) -> Catalog:
        key = (item.schema.lower(), item.name.lower())
        objects = {name: found for name, found in self.objects.items() if name != key}
        target = f"{item.schema}.{item.name}".lower()
        grants = frozenset(grant for grant in self.grants if (grant.scope, grant.target) != ("OBJECT", target))
        return self.evolve(f"drop {key}", objects=objects, grants=grants)

    def roles_of(self, user: str) -> set[str]:
        """The roles of a user, its own name and public among them; roles in roles count."""
        found, pending = {"public"}, [user.lower()]
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending += [role for role, member in self.memberships if member == name]
        return found


EMPTY = Catalog()


def sql_name(schema: str, name: str, temporary: bool = False) -> str:
    """The SQLite name: ``[app].[t]`` becomes ``"app.t"``; temporary tables live in the connection's temp schema."""
    if temporary:
        return f"temp.{quote(name.lower())}"
    return f"main.{quote(f'{schema}.{name}'.lower())}"


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

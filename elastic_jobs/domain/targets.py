"""Target groups: what their members mean and which databases come out of them.

Server names are compared without case, without ``tcp:`` and port, and a short name equals its fully qualified name
under the deployment's suffix; database and pool names without case, as the default collation of Azure SQL does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class MembershipType(StrEnum):
    INCLUDE = "Include"
    EXCLUDE = "Exclude"


class TargetType(StrEnum):
    """The kinds of members. ``TargetGroup`` exists in Azure's enumeration but no property could name the group."""

    TARGET_GROUP = "TargetGroup"
    SQL_DATABASE = "SqlDatabase"
    SQL_ELASTIC_POOL = "SqlElasticPool"
    SQL_SHARD_MAP = "SqlShardMap"
    SQL_SERVER = "SqlServer"


@dataclass(frozen=True, kw_only=True)
class Member:
    """One member of a target group, as it was defined. ``server_name`` is kept as given."""

    target_type: TargetType
    server_name: str
    membership_type: MembershipType = MembershipType.INCLUDE
    database_name: str | None = None
    elastic_pool_name: str | None = None
    shard_map_name: str | None = None
    refresh_credential_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class TargetDatabase:
    """A database that a step is to run on. ``server_name`` is canonical (see ``ServerNames``)."""

    server_name: str
    database_name: str
    elastic_pool_name: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What makes two targets the same database."""
        return self.server_name, self.database_name.casefold()


@dataclass(frozen=True)
class ServerNames:
    """Writes server names in one way.

    suffix: the deployment's DNS suffix with its leading dot, e.g. ``.database.windows.net``.
    """

    suffix: str

    def canonical(self, name: str) -> str:
        """Lower-case fully qualified name without ``tcp:`` and port: ``TCP:S1,1433`` -> ``s1.database.windows.net``."""
        host = name.strip().lower().removeprefix("tcp:").split(",", 1)[0].strip().rstrip(".")
        return host if "." in host or not host else host + self.suffix

    def short(self, name: str) -> str:
        """The logical server's name without the suffix, as Azure shows it in messages."""
        return self.canonical(name).removesuffix(self.suffix)


@dataclass(frozen=True)
class Listing:
    """What a server's ``master`` says it holds: ONLINE user databases, each with its elastic pool or None."""

    pool_of: Mapping[str, str | None]


def servers_to_list(members: Iterable[Member], names: ServerNames) -> dict[str, str | None]:
    """The servers whose ``master`` must be asked, each with the refresh credential to use.

    A member that only excludes needs no listing: what it could take away is known from the listings of the includes.
    """
    needed: dict[str, str | None] = {}
    for member in members:
        enumerated = member.target_type in {TargetType.SQL_SERVER, TargetType.SQL_ELASTIC_POOL}
        if enumerated and member.membership_type is MembershipType.INCLUDE:
            needed.setdefault(names.canonical(member.server_name), member.refresh_credential_name)
    return needed


def resolve(
    members: Sequence[Member],
    listings: Mapping[str, Listing],
    names: ServerNames,
    shards: Mapping[Member, Sequence[TargetDatabase]] | None = None,
) -> list[TargetDatabase]:
    """The databases of a target group: everything included, less everything excluded (exclude wins), each once.

    listings: by canonical server name, for each server of ``servers_to_list``.
    shards: for each included shard map, what its shard map manager listed.
    """
    included: dict[tuple[str, str], TargetDatabase] = {}
    for member in members:
        if member.membership_type is MembershipType.INCLUDE:
            for target in _included(member, listings, names, shards or {}):
                included.setdefault(target.key, target)
    for member in members:
        if member.membership_type is MembershipType.EXCLUDE:
            included = {key: t for key, t in included.items() if not _excludes(member, t, names)}
    return sorted(included.values(), key=lambda target: target.key)


def _included(
    member: Member,
    listings: Mapping[str, Listing],
    names: ServerNames,
    shards: Mapping[Member, Sequence[TargetDatabase]],
) -> Iterable[TargetDatabase]:
    server = names.canonical(member.server_name)
    pool_of = listings[server].pool_of if server in listings else {}
    if member.target_type is TargetType.SQL_DATABASE:
        name = member.database_name or ""
        spelled = {database.casefold(): database for database in pool_of}.get(name.casefold(), name)
        yield TargetDatabase(server_name=server, database_name=spelled, elastic_pool_name=pool_of.get(spelled))
    elif member.target_type is TargetType.SQL_SHARD_MAP:
        yield from shards.get(member, ())
    else:
        wanted = (member.elastic_pool_name or "").casefold()
        for database, pool in pool_of.items():
            if member.target_type is TargetType.SQL_SERVER or (pool or "").casefold() == wanted:
                yield TargetDatabase(server_name=server, database_name=database, elastic_pool_name=pool)


def _excludes(member: Member, target: TargetDatabase, names: ServerNames) -> bool:
    if names.canonical(member.server_name) != target.server_name:
        return False
    if member.target_type is TargetType.SQL_SERVER:
        return True
    if member.target_type is TargetType.SQL_ELASTIC_POOL:
        return (target.elastic_pool_name or "").casefold() == (member.elastic_pool_name or "").casefold()
    return target.database_name.casefold() == (member.database_name or "").casefold()

"""Target groups: what their members mean and which databases come out of them.

Server names are compared without case, without ``tcp:`` and port, and a short name equals its fully qualified name
under the deployment's suffix; database and pool names without case, as the default collation of Azure SQL does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
    """What a server's ``master`` says it holds: ONLINE user databases, each with its elastic pool or None.

    pools_known: False when the login was shown the databases but not which pool they are in.
    """

    pool_of: Mapping[str, str | None]
    pools_known: bool = True


def shard_maps_to_list(members: Iterable[Member]) -> list[Member]:
    """The shard maps whose manager must be asked, included and excluded ones."""
    return [member for member in members if member.target_type is TargetType.SQL_SHARD_MAP]


def servers_to_list(
    members: Iterable[Member], names: ServerNames, shard_servers: Iterable[str] = ()
) -> dict[str, str | None]:
    """The servers whose ``master`` must be asked, each with the refresh credential to use.

    An excluded server or database needs no listing, nor does an excluded pool where everything included comes from a
    listing. Only a database that is included by its name, or as a shard, does not say which pool it is in; then the
    server of an excluded pool has to be asked.

    shard_servers: canonical names of the servers on which the shard maps have databases.
    """
    members = list(members)
    needed: dict[str, str | None] = {}
    unlisted = set(shard_servers)
    for member in members:
        server = names.canonical(member.server_name)
        if member.membership_type is MembershipType.INCLUDE:
            if member.target_type in {TargetType.SQL_SERVER, TargetType.SQL_ELASTIC_POOL}:
                needed[server] = needed.get(server) or member.refresh_credential_name
            elif member.target_type is TargetType.SQL_DATABASE:
                unlisted.add(server)
    for member in members:
        server = names.canonical(member.server_name)
        excluded_pool = (
            member.membership_type is MembershipType.EXCLUDE and member.target_type is TargetType.SQL_ELASTIC_POOL
        )
        if excluded_pool and (server in needed or server in unlisted):
            needed[server] = needed.get(server) or member.refresh_credential_name
    return needed


def servers_with_pools(members: Iterable[Member], names: ServerNames) -> set[str]:
    """The servers of which a member names an elastic pool: their listings must know the pools."""
    return {names.canonical(m.server_name) for m in members if m.target_type is TargetType.SQL_ELASTIC_POOL}


def resolve(
    members: Sequence[Member],
    listings: Mapping[str, Listing],
    names: ServerNames,
    shards: Mapping[Member, Sequence[TargetDatabase]] | None = None,
) -> list[TargetDatabase]:
    """The databases of a target group: everything included, less everything excluded (exclude wins), each once.

    listings: by canonical server name, for each server of ``servers_to_list``.
    shards: what its shard map manager listed, for each shard map of ``shard_maps_to_list``.
    """
    estate = _Estate(listings, names, shards or {})
    included: dict[tuple[str, str], TargetDatabase] = {}
    for member in members:
        if member.membership_type is MembershipType.INCLUDE:
            for target in estate.included(member):
                included.setdefault(target.key, target)
    for member in members:
        if member.membership_type is MembershipType.EXCLUDE:
            excludes = estate.excludes(member)
            included = {key: target for key, target in included.items() if not excludes(target)}
    return sorted(included.values(), key=lambda target: target.key)


class _Estate:
    """What the servers and shard map managers said, and what members mean by it."""

    def __init__(
        self,
        listings: Mapping[str, Listing],
        names: ServerNames,
        shards: Mapping[Member, Sequence[TargetDatabase]],
    ) -> None:
        self._listings, self._names, self._shards = listings, names, shards
        self._spelled = {
            server: {database.casefold(): database for database in listing.pool_of}
            for server, listing in listings.items()
        }

    def included(self, member: Member) -> Iterable[TargetDatabase]:
        server = self._names.canonical(member.server_name)
        if member.target_type is TargetType.SQL_DATABASE:
            return [self._named(server, member.database_name or "")]
        if member.target_type is TargetType.SQL_SHARD_MAP:
            return [self._named(shard.server_name, shard.database_name) for shard in self._shards.get(member, ())]
        wanted = (member.elastic_pool_name or "").casefold()
        return [
            TargetDatabase(server_name=server, database_name=database, elastic_pool_name=pool)
            for database, pool in (self._listings[server].pool_of.items() if server in self._listings else ())
            if member.target_type is TargetType.SQL_SERVER or (pool or "").casefold() == wanted
        ]

    def excludes(self, member: Member) -> Callable[[TargetDatabase], bool]:
        server = self._names.canonical(member.server_name)
        if member.target_type is TargetType.SQL_SERVER:
            return lambda target: target.server_name == server
        if member.target_type is TargetType.SQL_SHARD_MAP:
            keys = {shard.key for shard in self._shards.get(member, ())}
            return lambda target: target.key in keys
        if member.target_type is TargetType.SQL_ELASTIC_POOL:
            pool = (member.elastic_pool_name or "").casefold()
            return lambda target: target.server_name == server and (target.elastic_pool_name or "").casefold() == pool
        key = (server, (member.database_name or "").casefold())
        return lambda target: target.key == key

    def _named(self, server: str, database: str) -> TargetDatabase:
        """A database that is known by its name only: spelled as its server spells it, where that was asked."""
        spelled = self._spelled.get(server, {}).get(database.casefold(), database)
        pool = self._listings[server].pool_of.get(spelled) if server in self._listings else None
        return TargetDatabase(server_name=server, database_name=spelled, elastic_pool_name=pool)

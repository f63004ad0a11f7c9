"""Members of target groups in short, and which databases of the estate they come to, worked out by hand.

Nothing of the product computes here: one database of the world at a time, every member spelled out.
"""

from __future__ import annotations

import functools

from elastic_jobs.domain.targets import Member, MembershipType, TargetType
from tests.targets.estate import DATABASES, OFFLINE, SERVERS, SHARD_MAPS, SUFFIX, Shard, pool_of

INCLUDE, EXCLUDE = MembershipType.INCLUDE, MembershipType.EXCLUDE


def server(name: str, membership: MembershipType = INCLUDE) -> Member:
    return Member(target_type=TargetType.SQL_SERVER, server_name=name, membership_type=membership)


def pool(name: str, pool_name: str, membership: MembershipType = INCLUDE) -> Member:
    return Member(
        target_type=TargetType.SQL_ELASTIC_POOL,
        server_name=name,
        elastic_pool_name=pool_name,
        membership_type=membership,
    )


def database(name: str, database_name: str, membership: MembershipType = INCLUDE) -> Member:
    return Member(
        target_type=TargetType.SQL_DATABASE, server_name=name, database_name=database_name, membership_type=membership
    )


def shard_map(place: tuple[str, str], name: str, membership: MembershipType = INCLUDE) -> Member:
    return Member(
        target_type=TargetType.SQL_SHARD_MAP,
        server_name=place[0],
        database_name=place[1],
        shard_map_name=name,
        membership_type=membership,
    )


@functools.cache
def plain(name: str) -> str:
    """A server's name without everything that does not count. Not the product's way of finding that out."""
    text = name.lower().strip()
    text = text.replace("tcp:", "").replace(",1433", "").strip()
    return text if "." in text else text + SUFFIX


def is_meant(member: Member, server_name: str, name: str, pool_name: str | None) -> bool:
    """Whether a member means this database. ``pool_name``: where it is now, None where nobody can see it."""
    if member.target_type is TargetType.SQL_SHARD_MAP:
        return (server_name, name.lower()) in shards_of(member)
    if plain(member.server_name) != server_name:
        return False
    if member.target_type is TargetType.SQL_DATABASE:
        return (member.database_name or "").lower() == name.lower()
    if member.target_type is TargetType.SQL_ELASTIC_POOL:
        return pool_name is not None and (member.elastic_pool_name or "").lower() == pool_name.lower()
    return True


@functools.cache
def shards_of(member: Member) -> set[tuple[str, str]]:
    maps = SHARD_MAPS[member.server_name, member.database_name or ""]
    shards = next(shards for key, shards in maps.items() if key.lower() == (member.shard_map_name or "").lower())
    return {shard_key(shard) for shard in shards if shard.readable}


def shard_key(shard: Shard) -> tuple[str, str]:
    port = "" if shard.port in (0, 1433) else f",{shard.port}"
    return plain(shard.server) + port, shard.database.lower()


def expected(group: list[Member]) -> set[tuple[str, str]]:
    """One database of the world at a time: in, when an include means it and no exclude does."""
    found = set()
    for short in SERVERS:
        for name in (*DATABASES, "missing"):
            listed = name != "missing" and (short, name) not in OFFLINE
            where, in_pool = short + SUFFIX, pool_of(name) if listed else None
            # What is not listed is only there for who names it.
            by_name = {TargetType.SQL_DATABASE, TargetType.SQL_SHARD_MAP}
            included = any(
                m.membership_type is INCLUDE
                and is_meant(m, where, name, in_pool)
                and (listed or m.target_type in by_name)
                for m in group
            )
            if included and not any(m.membership_type is EXCLUDE and is_meant(m, where, name, in_pool) for m in group):
                found.add((where, name.lower()))
    for where, name in (("foreign.example.com", "db01"), ("estate05" + SUFFIX + ",4444", "db22")):
        if any(m.membership_type is INCLUDE and is_meant(m, where, name, None) for m in group) and not any(
            m.membership_type is EXCLUDE and is_meant(m, where, name, None) for m in group
        ):
            found.add((where, name))
    return found

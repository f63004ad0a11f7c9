"""A member of a target group as a form: what is shown, what is read, what the API is asked for. Pure.

The API replaces all members at once; a form is about one member, or about several databases of one server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from elastic_jobs.domain.targets import Member, MembershipType, TargetType
from elastic_jobs.jobdb.definitions.checks import NAME_LENGTH, check_name, check_text
from elastic_jobs.portal.fields import Fields, lines_of

NAMES = ("name", "membership", "type", "server", "databases", "pool", "shard_map", "credential", "seen")
KINDS = (
    (TargetType.SQL_SERVER, "All databases of a server"),
    (TargetType.SQL_DATABASE, "Databases by name"),
    (TargetType.SQL_ELASTIC_POOL, "An elastic pool"),
    (TargetType.SQL_SHARD_MAP, "A shard map"),
)
ENUMERATED = frozenset({TargetType.SQL_SERVER, TargetType.SQL_ELASTIC_POOL, TargetType.SQL_SHARD_MAP})
"""Kinds whose databases are asked for when a job runs, with a credential of its own."""
PLACES = {
    "twice": "databases",
    "Server '": "server",
    "needs a credential": "credential",
    "credential": "credential",
    "identity of the job agent": "server",
    "server": "server",
    "name of the target group": "name",
}
"""Where to say what the API refuses of a member; the first that matches counts."""
_REQUIRED = {
    TargetType.SQL_DATABASE: ("databases",),
    TargetType.SQL_ELASTIC_POOL: ("pool",),
    TargetType.SQL_SHARD_MAP: ("databases", "shard_map"),
}
_SPOKEN = {
    "databases": "name of the database",
    "pool": "name of the elastic pool",
    "shard_map": "name of the shard map",
}

Reference = Callable[[str, str], str]
"""The resource id of a kind and a name."""


def new_form() -> Fields:
    """An empty form: all databases of a server, included."""
    return Fields(values={"membership": MembershipType.INCLUDE.value, "type": TargetType.SQL_SERVER.value})


def form_of(member: Member) -> Fields:
    """The form of a member that is there."""
    return Fields(
        values={
            "membership": member.membership_type.value,
            "type": member.target_type.value,
            "server": member.server_name,
            "databases": member.database_name or "",
            "pool": member.elastic_pool_name or "",
            "shard_map": member.shard_map_name or "",
            "credential": member.refresh_credential_name or "",
        }
    )


def fields_of(raw: Mapping[str, str]) -> Fields:
    """The form as it was sent."""
    return Fields(values={name: raw.get(name, "") for name in NAMES})


def check_group(fields: Fields) -> None:
    """Note what is wrong with the name of a new group."""
    fields.check("name", lambda: check_name("target group", fields["name"]))


def read_members(fields: Fields, *, with_credentials: bool) -> list[Member]:
    """The members that a form means, one per database that it names; what is wrong is noted in the form.

    Fields that the chosen kind does not have are left alone: they are hidden, and may hold what was typed before.

    with_credentials: the agent has no identity, so that a server is listed with a credential.
    """
    kind = next((kind for kind, _ in KINDS if kind.value == fields["type"]), None)
    if kind is None:
        fields.refuse("type", "Choose what the member is.")
        return []
    membership = fields["membership"]
    if membership not in set(MembershipType):
        fields.refuse("membership", "A member is either included or excluded.")
        membership = MembershipType.INCLUDE
    fields.check("server", lambda: check_text("name of the server", fields["server"], NAME_LENGTH))
    for name in _REQUIRED.get(kind, ()):
        fields.check(name, partial(_check_names, name, fields[name]))
    if kind is TargetType.SQL_SHARD_MAP and len(lines_of(fields["databases"])) > 1:
        fields.refuse("databases", "A shard map is in one database; write one name.")
    include = membership == MembershipType.INCLUDE
    if with_credentials and include and kind in ENUMERATED and not fields["credential"]:
        fields.refuse(
            "credential", "The agent lists the databases of the server with a credential of its own; choose one."
        )
    if not fields.is_right:
        return []
    base = Member(
        target_type=kind,
        server_name=fields["server"].strip(),
        membership_type=MembershipType(membership),
        refresh_credential_name=(fields["credential"] or None) if kind in ENUMERATED else None,
    )
    if kind is TargetType.SQL_DATABASE:
        return [replace(base, database_name=name) for name in lines_of(fields["databases"])]
    if kind is TargetType.SQL_ELASTIC_POOL:
        return [replace(base, elastic_pool_name=fields["pool"].strip())]
    if kind is TargetType.SQL_SHARD_MAP:
        return [replace(base, database_name=fields["databases"].strip(), shard_map_name=fields["shard_map"].strip())]
    return [base]


def members_body(members: Sequence[Member], reference: Reference) -> dict[str, Any]:
    """What PUT of a target group is sent."""
    return {"properties": {"members": [_member(member, reference) for member in members]}}


def spoken(member: Member) -> str:
    """What a member is, for people: ``database 'db1'``."""
    if member.target_type is TargetType.SQL_DATABASE:
        return f"database '{member.database_name}'"
    if member.target_type is TargetType.SQL_ELASTIC_POOL:
        return f"elastic pool '{member.elastic_pool_name}'"
    if member.target_type is TargetType.SQL_SHARD_MAP:
        return f"shard map '{member.shard_map_name}' in database '{member.database_name}'"
    return "all databases"


def _member(member: Member, reference: Reference) -> dict[str, Any]:
    body = {
        "membershipType": member.membership_type.value,
        "type": member.target_type.value,
        "serverName": member.server_name,
        "databaseName": member.database_name,
        "elasticPoolName": member.elastic_pool_name,
        "shardMapName": member.shard_map_name,
    }
    if member.refresh_credential_name is not None:
        body["refreshCredential"] = reference("credentials", member.refresh_credential_name)
    return {name: value for name, value in body.items() if value is not None}


def _check_names(field: str, text: str) -> None:
    names = lines_of(text) if field == "databases" else [text]
    for name in names or [""]:
        check_text(_SPOKEN[field], name, NAME_LENGTH)

"""Target groups and their members."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select

from elastic_jobs.domain.model import Agent, TargetGroup
from elastic_jobs.domain.targets import Member, MembershipType, ServerNames, TargetType
from elastic_jobs.errors import InvalidDefinitionError, NotFoundError
from elastic_jobs.jobdb import tables
from elastic_jobs.jobdb.definitions import audit
from elastic_jobs.jobdb.definitions.agent import lock_agent
from elastic_jobs.jobdb.definitions.checks import (
    NAME_LENGTH,
    Edit,
    check_name,
    check_server_allowed,
    check_text,
    invalid,
)
from elastic_jobs.jobdb.definitions.credentials import check_scope, stored_name
from elastic_jobs.jobdb.definitions.usage import name_steps, steps_using_group

_REQUIRED: Mapping[TargetType, tuple[str, ...]] = {
    TargetType.SQL_SERVER: (),
    TargetType.SQL_DATABASE: ("database_name",),
    TargetType.SQL_ELASTIC_POOL: ("elastic_pool_name",),
    TargetType.SQL_SHARD_MAP: ("database_name", "shard_map_name"),
}
"""Which names a member of each type has beside the server's; the others must be absent."""
_NAMES = ("database_name", "elastic_pool_name", "shard_map_name")
_ENUMERATED = frozenset({TargetType.SQL_SERVER, TargetType.SQL_ELASTIC_POOL, TargetType.SQL_SHARD_MAP})
"""Types whose databases are asked for at run time; that needs a credential of its own."""


def find_group(connection: Connection, name: str) -> TargetGroup | None:
    """The target group of this name with its members, or None."""
    row = connection.execute(
        select(tables.target_groups.c.id, tables.target_groups.c.name).where(tables.target_groups.c.name == name)
    ).one_or_none()
    if row is None:
        return None
    return TargetGroup(id=row.id, name=row.name, members=_members(connection, [row.id])[row.id])


def get_group(connection: Connection, name: str) -> TargetGroup:
    """The target group of this name with its members.

    Raises:
        NotFoundError: there is none.
    """
    found = find_group(connection, name)
    if found is None:
        raise NotFoundError("target group", name)
    return found


def list_groups(connection: Connection, *, after: str | None = None, limit: int | None = None) -> list[TargetGroup]:
    """Target groups with their members in the order of their names, from the one behind ``after``."""
    statement = select(tables.target_groups.c.id, tables.target_groups.c.name).order_by(tables.target_groups.c.name)
    if after is not None:
        statement = statement.where(tables.target_groups.c.name > after)
    rows = connection.execute(statement.limit(limit)).all()
    members = _members(connection, [row.id for row in rows])
    return [TargetGroup(id=row.id, name=row.name, members=members[row.id]) for row in rows]


def save_group(connection: Connection, edit: Edit, name: str, members: Sequence[Member]) -> tuple[TargetGroup, bool]:
    """Create the group or replace all its members; tells whether it is new. Members that stay keep their ids.

    Raises:
        NotFoundError: there is no agent.
        InvalidDefinitionError: a member is not whole, names a server or credential that it may not, is there twice,
            or no included member would be left although a step uses the group.
    """
    agent = lock_agent(connection)
    check_name("target group", name)
    checked = [_check_member(connection, edit, agent, member) for member in members]
    _refuse_duplicates(name, checked, edit.names)
    current = find_group(connection, name)
    if current is not None:
        _check_users(connection, edit, agent, current, checked)
    if current is None:
        group = TargetGroup(id=edit.new_id(), name=name)
        connection.execute(insert(tables.target_groups).values(id=group.id, name=name, create_time=edit.now))
    else:
        group = current
        _refuse_emptying(connection, group, checked)
        connection.execute(
            delete(tables.target_group_members).where(tables.target_group_members.c.target_group_id == group.id)
        )
    known = {_key(member, edit.names): member_id for member_id, member in group.members}
    saved = replace(
        group, members=tuple((known.get(_key(member, edit.names)) or edit.new_id(), member) for member in checked)
    )
    if saved.members:
        connection.execute(
            insert(tables.target_group_members),
            [_member_values(saved.id, position, *item) for position, item in enumerate(saved.members, 1)],
        )
    _record(connection, edit, "update target group" if current else "create target group", current, saved)
    return saved, current is None


def delete_group(connection: Connection, edit: Edit, name: str) -> bool:
    """Delete the group with its members; False when there was none.

    Raises:
        NotFoundError: there is no agent.
        InvalidDefinitionError: current steps use it; the message names them.
    """
    lock_agent(connection)
    current = find_group(connection, name)
    if current is None:
        return False
    steps = steps_using_group(connection, current.id)
    if steps:
        raise InvalidDefinitionError(
            f"The target group '{current.name}' is used by {name_steps(steps)}; "
            "give these another target group or delete them first."
        )
    connection.execute(delete(tables.target_groups).where(tables.target_groups.c.id == current.id))
    _record(connection, edit, "delete target group", current, None)
    return True


def _check_member(connection: Connection, edit: Edit, agent: Agent, member: Member) -> Member:
    """The member with its credential as spelled in the store.

    Raises:
        InvalidDefinitionError: see ``save_group``.
    """
    if member.target_type not in _REQUIRED:
        raise invalid(f"A member of type {member.target_type} cannot be added; no property could name the other group.")
    check_text("server name of a member", member.server_name, NAME_LENGTH)
    described = describe(member)
    for field in _NAMES:
        value = getattr(member, field)
        spoken = field.replace("_", " ")
        if value is not None:
            check_text(f"{spoken} of a member", value, NAME_LENGTH)
        if field in _REQUIRED[member.target_type] and value is None:
            raise invalid(f"The member {described} has no {spoken}; a {member.target_type} needs one.")
        if field not in _REQUIRED[member.target_type] and value is not None:
            raise invalid(f"The member {described} has a {spoken}; leave it out of a {member.target_type}.")
    included = member.membership_type is MembershipType.INCLUDE
    if included:  # what is only excluded is never connected to
        check_server_allowed(edit, member.server_name)
    needed = f"member {described}" if included and member.target_type in _ENUMERATED else None
    credential = stored_name(connection, agent, member.refresh_credential_name, needed_for=needed)
    check_scope(connection, edit, agent, credential, servers_of([member]), f"member {described}")
    return replace(member, refresh_credential_name=credential)


def _check_users(
    connection: Connection, edit: Edit, agent: Agent, group: TargetGroup, members: Sequence[Member]
) -> None:
    """Refuse members on servers that a step which runs on the group may not send its credential to."""
    for use in steps_using_group(connection, group.id):
        used_by = f"step '{use.step_name}' of job '{use.job_name}'"
        check_scope(connection, edit, agent, use.credential_name, servers_of(members), used_by)


def servers_of(members: Iterable[Member]) -> list[str]:
    """The servers of included members; those that a shard map leads to are known at run time only."""
    return [member.server_name for member in members if member.membership_type is MembershipType.INCLUDE]


def describe(member: Member) -> str:
    """``SqlDatabase 'server1/database1'``."""
    names = [member.server_name, *(getattr(member, field) for field in _NAMES if getattr(member, field))]
    return f"{member.target_type} '{'/'.join(names)}'"


def _key(member: Member, names: ServerNames) -> tuple[str, ...]:
    """What makes two members the same."""
    own = ((getattr(member, field) or "").casefold() for field in _NAMES)
    return (member.membership_type, member.target_type, names.canonical(member.server_name), *own)


def _refuse_duplicates(group_name: str, members: Sequence[Member], names: ServerNames) -> None:
    seen: set[tuple[str, ...]] = set()
    for member in members:
        key = _key(member, names)
        if key in seen:
            raise InvalidDefinitionError(
                f"The target group '{group_name}' has the member {describe(member)} "
                f"({member.membership_type}) twice; leave one out."
            )
        seen.add(key)


def _refuse_emptying(connection: Connection, group: TargetGroup, members: Sequence[Member]) -> None:
    if any(member.membership_type is MembershipType.INCLUDE for member in members):
        return
    steps = steps_using_group(connection, group.id)
    if steps and any(old.membership_type is MembershipType.INCLUDE for _, old in group.members):
        raise InvalidDefinitionError(
            f"The target group '{group.name}' would be left without an included member, but {name_steps(steps)} "
            "runs on it; keep a member, or give the step another target group first."
        )


def _members(connection: Connection, group_ids: Sequence[UUID]) -> dict[UUID, tuple[tuple[UUID, Member], ...]]:
    column = tables.target_group_members.c
    found: dict[UUID, list[tuple[UUID, Member]]] = {group_id: [] for group_id in group_ids}
    if group_ids:
        rows = connection.execute(
            select(tables.target_group_members).where(column.target_group_id.in_(group_ids)).order_by(column.position)
        )
        for row in rows.mappings():
            found[row["target_group_id"]].append((row["id"], read_member(row)))
    return {group_id: tuple(members) for group_id, members in found.items()}


def read_member(row: Mapping[Any, Any]) -> Member:
    """The member in a row of the table ``target_group_members``."""
    return Member(
        target_type=TargetType(row["target_type"]),
        server_name=row["server_name"],
        membership_type=MembershipType(row["membership_type"]),
        database_name=row["database_name"],
        elastic_pool_name=row["elastic_pool_name"],
        shard_map_name=row["shard_map_name"],
        refresh_credential_name=row["refresh_credential_name"],
    )


def _member_values(group_id: UUID, position: int, member_id: UUID, member: Member) -> dict[str, object]:
    return {
        "id": member_id,
        "target_group_id": group_id,
        "position": position,
        "membership_type": member.membership_type,
        "target_type": member.target_type,
        "server_name": member.server_name,
        "database_name": member.database_name,
        "elastic_pool_name": member.elastic_pool_name,
        "shard_map_name": member.shard_map_name,
        "refresh_credential_name": member.refresh_credential_name,
    }


def _record(
    connection: Connection, edit: Edit, action: str, before: TargetGroup | None, after: TargetGroup | None
) -> None:
    name = (after or before or TargetGroup(id=edit.new_id(), name="")).name
    audit.record(
        connection,
        time=edit.now,
        caller=edit.caller,
        action=action,
        resource=f"targetGroups/{name}",
        before=before,
        after=after,
    )


def members_of(connection: Connection, group_id: UUID) -> tuple[Member, ...]:
    """The members of a target group, in their order; none when the group is gone."""
    return tuple(member for _, member in _members(connection, [group_id]).get(group_id, ()))

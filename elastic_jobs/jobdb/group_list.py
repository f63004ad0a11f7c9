"""Target groups and credentials as lists show them: counts instead of members, so that large groups cost nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, or_, select

from elastic_jobs.domain.targets import Member, MembershipType
from elastic_jobs.errors import NotFoundError
from elastic_jobs.jobdb.definitions.target_groups import read_member
from elastic_jobs.jobdb.definitions.usage import CURRENT_STEPS
from elastic_jobs.jobdb.likes import contains
from elastic_jobs.jobdb.tables import job_steps, jobs, target_group_members, target_groups


@dataclass(frozen=True, kw_only=True)
class GroupLine:
    """A target group in a list. steps: of current versions of jobs, that run on it."""

    name: str
    included: int
    excluded: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class MembersPage:
    """A target group with some of its members. total: of all of them."""

    id: UUID
    name: str
    total: int
    members: tuple[tuple[UUID, Member], ...]


@dataclass(frozen=True, kw_only=True)
class CredentialUse:
    """How much would miss a credential: steps of current versions, and members that are listed with it."""

    steps: int = 0
    members: int = 0


def list_group_lines(
    connection: Connection, *, limit: int, name_part: str = "", after: str | None = None
) -> list[GroupLine]:
    """Target groups in the order of their names, from the one behind ``after``.

    name_part: only groups that have this in their name, in any case.
    """
    own, member = target_groups.c, target_group_members.c

    def members(kind: MembershipType) -> Any:
        counted = select(func.count()).where(member.target_group_id == own.id, member.membership_type == kind)
        return counted.scalar_subquery().label(kind.name.lower())

    used = (
        select(func.count())
        .select_from(job_steps.join(jobs, CURRENT_STEPS))
        .where(job_steps.c.target_group_id == own.id)
        .scalar_subquery()
        .label("steps")
    )
    statement = select(own.name, members(MembershipType.INCLUDE), members(MembershipType.EXCLUDE), used)
    if name_part:
        statement = statement.where(contains(own.name, name_part))
    if after is not None:
        statement = statement.where(own.name > after)
    return [
        GroupLine(name=row.name, included=row.include, excluded=row.exclude, steps=row.steps)
        for row in connection.execute(statement.order_by(own.name).limit(limit))
    ]


def group_names(connection: Connection, *, limit: int) -> list[str]:
    """The first names of target groups, to choose from."""
    own = target_groups.c
    return list(connection.execute(select(own.name).order_by(own.name).limit(limit)).scalars())


def get_members_page(connection: Connection, name: str, *, skip: int, limit: int) -> MembersPage:
    """Some members of a target group, in their order.

    Raises:
        NotFoundError: there is no such group.
    """
    own, member = target_groups.c, target_group_members.c
    group = connection.execute(select(own.id, own.name).where(own.name == name)).one_or_none()
    if group is None:
        raise NotFoundError("target group", name)
    of_group = member.target_group_id == group.id
    total = connection.execute(select(func.count()).where(of_group)).scalar_one()
    rows = connection.execute(
        select(target_group_members).where(of_group).order_by(member.position).offset(skip).limit(limit)
    )
    shown = tuple((row["id"], read_member(row)) for row in rows.mappings())
    return MembersPage(id=group.id, name=group.name, total=total, members=shown)


def count_credential_uses(connection: Connection, names: Collection[str]) -> Mapping[str, CredentialUse]:
    """How often each of these credentials is used, in two statements; names in lower case."""
    step, member = job_steps.c, target_group_members.c
    by_step: dict[str, int] = {}
    by_member: dict[str, int] = {}
    rows = connection.execute(
        select(step.credential_name, step.output_credential_name, func.count().label("steps"))
        .join_from(jobs, job_steps, CURRENT_STEPS)
        .where(or_(step.credential_name.in_(names), step.output_credential_name.in_(names)))
        .group_by(step.credential_name, step.output_credential_name)
    )
    for row in rows:
        for used in {(name or "").lower() for name in row[:2]} - {""}:
            by_step[used] = by_step.get(used, 0) + row.steps
    counted = connection.execute(
        select(member.refresh_credential_name, func.count().label("members"))
        .where(member.refresh_credential_name.in_(names))
        .group_by(member.refresh_credential_name)
    )
    for row in counted:
        used = row.refresh_credential_name.lower()
        by_member[used] = by_member.get(used, 0) + row.members
    return {
        name.lower(): CredentialUse(steps=by_step.get(name.lower(), 0), members=by_member.get(name.lower(), 0))
        for name in names
    }

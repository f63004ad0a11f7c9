"""The pages on which Contributors write target groups: a new one, its members one by one, and deleting.

The API replaces all members of a group at once. A page changes the list as it is at that moment by one form, so that
two people who each add a member both find theirs.
"""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from elastic_jobs.api.envelope import Envelope
from elastic_jobs.api.paths import Segment
from elastic_jobs.domain.model import Agent, TargetGroup
from elastic_jobs.domain.targets import Member
from elastic_jobs.errors import NotFoundError
from elastic_jobs.jobdb.definitions import target_groups
from elastic_jobs.jobdb.definitions.agent import get_agent
from elastic_jobs.jobdb.definitions.usage import name_steps, steps_using_group
from elastic_jobs.portal import target_groups_form as member_form
from elastic_jobs.portal.actions import Refusal, act
from elastic_jobs.portal.choices import credentials_offered
from elastic_jobs.portal.fields import Fields, fingerprint, lines_of
from elastic_jobs.portal.page import DEFINE, Page, address

router = APIRouter()


@router.get("/new-target-group", dependencies=[DEFINE])
def new_group(visit: Page) -> Response:
    return _form_page(visit, member_form.new_form(), None, None)


@router.post("/new-target-group", dependencies=[DEFINE])
async def create_group(visit: Page) -> Response:
    fields = _sent(visit)
    name = fields["name"]
    member_form.check_group(fields)
    if fields.is_right and await visit.reading(lambda found: target_groups.find_group(found, name)) is not None:
        fields.refuse("name", f"There is a target group '{name}' already; choose another name.")
    if await _saved(visit, fields, name, []):
        return visit.go(address("target-groups", name), done=f"The target group '{name}' was created.")
    return await run_in_threadpool(_form_page, visit, fields, None, None)


@router.get("/target-groups/{group_name}/new-member", dependencies=[DEFINE])
def new_member(visit: Page, group_name: Segment) -> Response:
    with visit.read() as connection:
        group = target_groups.get_group(connection, group_name)
    fields = member_form.new_form()
    members = [member for _, member in group.members]
    if members:
        # Most groups are about one server and one credential.
        used = next((each.refresh_credential_name for each in reversed(members) if each.refresh_credential_name), "")
        fields.values |= {"server": members[-1].server_name, "credential": used}
    return _form_page(visit, fields, group, None)


@router.post("/target-groups/{group_name}/new-member", dependencies=[DEFINE])
async def add_member(visit: Page, group_name: Segment) -> Response:
    group = await visit.reading(lambda connection: target_groups.get_group(connection, group_name))
    fields = _sent(visit)
    if await _saved(visit, fields, group.name, [member for _, member in group.members]):
        return visit.go(address("target-groups", group.name), done="Added.")
    return await run_in_threadpool(_form_page, visit, fields, group, None)


@router.get("/target-groups/{group_name}/members/{member_id}", dependencies=[DEFINE])
def edit_member(visit: Page, group_name: Segment, member_id: UUID) -> Response:
    with visit.read() as connection:
        group = target_groups.get_group(connection, group_name)
    member = _member(group, member_id)
    fields = member_form.form_of(member)
    fields.values["seen"] = fingerprint(member)
    return _form_page(visit, fields, group, member_id)


@router.post("/target-groups/{group_name}/members/{member_id}", dependencies=[DEFINE])
async def save_member(visit: Page, group_name: Segment, member_id: UUID) -> Response:
    group = await visit.reading(lambda connection: target_groups.get_group(connection, group_name))
    fields, old = _sent(visit), _member(group, member_id)
    if len(lines_of(fields["databases"])) > 1:
        fields.refuse("databases", "A member is one database; add the others as members of their own.")
    fields.check_unchanged(
        fingerprint(old), "Somebody changed this member meanwhile; nothing was saved. Save again to replace it."
    )
    if await _saved(visit, fields, group.name, [member for _, member in group.members], instead_of=old):
        return visit.go(address("target-groups", group.name), done="Saved.")
    return await run_in_threadpool(_form_page, visit, fields, group, member_id)


@router.get("/target-groups/{group_name}/members/{member_id}/delete", dependencies=[DEFINE])
def ask_delete_member(visit: Page, group_name: Segment, member_id: UUID) -> Response:
    with visit.read() as connection:
        group = target_groups.get_group(connection, group_name)
        uses = steps_using_group(connection, group.id)
    return visit.page(
        "target_groups/delete_member.html",
        section="target-groups",
        title=f"Remove a member of {group.name}",
        group=group,
        member=_member(group, member_id),
        member_id=member_id,
        used_by=name_steps(uses) if uses else "",
        spoken=member_form.spoken,
    )


@router.post("/target-groups/{group_name}/members/{member_id}/delete", dependencies=[DEFINE])
async def delete_member(visit: Page, group_name: Segment, member_id: UUID) -> Response:
    group = await visit.reading(lambda connection: target_groups.get_group(connection, group_name))
    gone = _member(group, member_id)
    rest = [member for _, member in group.members if member is not gone]
    try:
        await _put(visit, group.name, rest, await visit.reading(get_agent))
    except Refusal as refusal:
        return visit.go(address("target-groups", group.name), error=str(refusal))
    return visit.go(address("target-groups", group.name), done="Removed.")


@router.get("/target-groups/{group_name}/delete", dependencies=[DEFINE])
def ask_delete_group(visit: Page, group_name: Segment) -> Response:
    with visit.read() as connection:
        group = target_groups.get_group(connection, group_name)
        uses = steps_using_group(connection, group.id)
    used_by = name_steps(uses) if uses else ""
    title = f"Delete {group.name}"
    return visit.page("target_groups/delete.html", section="target-groups", title=title, group=group, used_by=used_by)


@router.post("/target-groups/{group_name}/delete", dependencies=[DEFINE])
async def delete_group(visit: Page, group_name: Segment) -> Response:
    try:
        await act(visit, "DELETE", "targetGroups", group_name)
    except Refusal as refusal:
        return visit.go(address("target-groups", group_name), error=str(refusal))
    return visit.go(address("target-groups"), done=f"The target group '{group_name}' was deleted.")


async def _saved(
    visit: Page, fields: Fields, name: str, others: list[Member], *, instead_of: Member | None = None
) -> bool:
    """Save the group with the members of the form; False when that is refused, which the form then says."""
    agent = await visit.reading(get_agent)
    found = member_form.read_members(fields, with_credentials=agent.identity is None)
    if not fields.is_right:
        return False
    members = [*others, *found]
    if instead_of is not None:
        members = [found[0] if member is instead_of else member for member in others]
    try:
        await _put(visit, name, members, agent)
    except Refusal as refusal:
        fields.blame(str(refusal), member_form.PLACES)
    return fields.is_right


async def _put(visit: Page, name: str, members: list[Member], agent: Agent) -> None:
    envelope = Envelope(visit.services.settings, agent)
    await act(visit, "PUT", "targetGroups", name, body=member_form.members_body(members, envelope.id))


def _form_page(visit: Page, fields: Fields, group: TargetGroup | None, member_id: UUID | None) -> Response:
    with visit.read() as connection:
        agent = get_agent(connection)
        offered = credentials_offered(connection, agent)
    if group is None:
        title = "New target group"
    else:
        title = f"New member of {group.name}" if member_id is None else f"Edit a member of {group.name}"
    return visit.page(
        "target_groups/edit.html",
        section="target-groups",
        title=title,
        status=200 if fields.is_right else 400,
        group=group,
        member_id=member_id,
        fields=fields,
        kinds=[(kind.value, label) for kind, label in member_form.KINDS],
        credentials_offered=[(name, name) for name in offered],
        identity=agent.identity,
    )


def _member(group: TargetGroup, member_id: UUID) -> Member:
    for known, member in group.members:
        if known == member_id:
            return member
    raise NotFoundError("member of the target group", group.name)


def _sent(visit: Page) -> Fields:
    return member_form.fields_of(visit.form.raw_of(member_form.NAMES))

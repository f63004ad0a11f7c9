"""Target groups; a PUT replaces all members."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from elastic_jobs.api.bodies import MemberBody, PreflightBody, TargetGroupBody
from elastic_jobs.api.context import DEFINE, OPERATE, READ, Call, Json, saved
from elastic_jobs.api.envelope import listing
from elastic_jobs.api.paging import PAGE_SIZE, Token, name_page, read_token
from elastic_jobs.api.paths import Segment
from elastic_jobs.api.references import References
from elastic_jobs.api.repeating import RepeatingRoute
from elastic_jobs.api.user_setup import Wanted, scripts_for, users_of, wanted_of
from elastic_jobs.domain.targets import Member
from elastic_jobs.jobdb.definitions import target_groups
from elastic_jobs.jobdb.definitions.credentials import stored_name

router = APIRouter(prefix="/targetGroups", tags=["target groups"], route_class=RepeatingRoute)


@router.get("", dependencies=[READ])
def list_target_groups(call: Call, token: Token = None) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        after = None if token is None else read_token(token)
        rows = target_groups.list_groups(connection, after=after, limit=PAGE_SIZE + 1)
        envelope = call.envelope_with_origins(connection, agent, (f"targetGroups/{row.name}" for row in rows))
    shown, link = name_page(call.request, rows, lambda row: row.name)
    return Json(listing([envelope.target_group(row) for row in shown], link))


@router.get("/{target_group_name}", dependencies=[READ])
def get_target_group(call: Call, target_group_name: Segment) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        found = target_groups.get_group(connection, target_group_name)
        envelope = call.envelope_with_origins(connection, agent, [f"targetGroups/{found.name}"])
    return Json(envelope.target_group(found))


@router.put("/{target_group_name}", dependencies=[DEFINE])
def put_target_group(call: Call, target_group_name: Segment, body: TargetGroupBody) -> Json:
    with call.write() as connection:
        agent = call.agent(connection)
        references = call.references(agent)
        members = [_member(member, references) for member in body.properties.members]
        group, created = target_groups.save_group(connection, call.edit, target_group_name, members)
        envelope = call.envelope_with_origins(connection, agent, [f"targetGroups/{group.name}"])
    return saved(envelope.target_group(group), created=created)


@router.delete("/{target_group_name}", dependencies=[DEFINE])
def delete_target_group(call: Call, target_group_name: Segment) -> Response:
    with call.write() as connection:
        call.agent(connection)
        deleted = target_groups.delete_group(connection, call.edit, target_group_name)
    return Response(status_code=200 if deleted else 204)


@router.post("/{target_group_name}/resolve", dependencies=[OPERATE])
def resolve_target_group(call: Call, target_group_name: Segment) -> Json:
    """Dry run: which databases a step would run on now. The servers are really asked; nothing is run.

    ``refused``: databases on servers that are not allowed; a step fails there. ``failures``: servers and shard maps
    that could not be asked; while there are any, a step runs nowhere. Not part of Azure's API.
    """
    with call.read() as connection:
        agent = call.agent(connection)
        group = target_groups.get_group(connection, target_group_name)
    # Without a connection in hand: this may take as long as the slowest server.
    with call.place():
        found = call.services.rehearse([member for _, member in group.members])
    return Json(call.envelope(agent).rehearsed(found))


@router.post("/{target_group_name}/preflight", dependencies=[OPERATE])
def preflight_target_group(call: Call, target_group_name: Segment, body: PreflightBody | None = None) -> Json:
    """Try the databases of the group out without running a script: what would be in the way, and the way out.

    Per server allow-list, DNS, TCP and TLS; per database login, opening it, and permission. ``failures``: servers and
    shard maps that could not be asked which databases they have; then only databases that the group names by
    themselves are checked. What is not finished within ``timeLimitSeconds`` says so. Not part of Azure's API.
    """
    wanted = body or PreflightBody()
    with call.read() as connection:
        agent = call.agent(connection)
        group = target_groups.get_group(connection, target_group_name)
        named = call.references(agent).credential(wanted.credential)
        credential = stored_name(connection, agent, named, needed_for=f"preflight of the target group '{group.name}'")
    members = [member for _, member in group.members]
    with call.place():
        found = call.services.try_out(members, credential, wanted.time_limit_seconds)
    return Json(call.envelope(agent).tried(found))


@router.get("/{target_group_name}/userSetup", dependencies=[DEFINE])
def get_user_setup(call: Call, target_group_name: Segment, wanted: Annotated[Wanted, Depends(wanted_of)]) -> Json:
    """The T-SQL that makes the agent's users in the group's servers and databases, with the least that they need.

    One script per database, to be run by the server's administrator; it can be run again, and holds no password.
    ``failures``: servers that could not be asked which databases they have, mostly because the scripts for their
    ``master`` have not been run yet; run those and ask again. Not part of Azure's API.
    """
    if wanted.output is not None:
        # Nobody shall be asked to make a login with the credential's password on a server of somebody else.
        call.services.check_server(wanted.output.server_name)
    with call.read() as connection:
        agent = call.agent(connection)
        group = target_groups.get_group(connection, target_group_name)
        members = [member for _, member in group.members]
        named = call.references(agent).credential(wanted.credential)
        users = users_of(connection, agent, members, named, contained=wanted.contained)
    with call.place():
        found = call.services.rehearse(members)
    scripts = scripts_for(members, found, call.services.names, users, wanted)
    return Json(call.envelope(agent).user_setup(found, scripts))


def _member(body: MemberBody, references: References) -> Member:
    return Member(
        target_type=body.type,
        server_name=body.server_name,
        membership_type=body.membership_type,
        database_name=body.database_name or None,
        elastic_pool_name=body.elastic_pool_name or None,
        shard_map_name=body.shard_map_name or None,
        refresh_credential_name=references.credential(body.refresh_credential),
    )

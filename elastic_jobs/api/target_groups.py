"""Target groups; a PUT replaces all members."""

from __future__ import annotations

from fastapi import APIRouter, Response

from elastic_jobs.api.bodies import MemberBody, TargetGroupBody
from elastic_jobs.api.context import DEFINE, READ, Call, Json, saved
from elastic_jobs.api.envelope import listing
from elastic_jobs.api.paging import PAGE_SIZE, Token, name_page, read_token
from elastic_jobs.api.paths import Segment
from elastic_jobs.api.references import References
from elastic_jobs.domain.targets import Member
from elastic_jobs.jobdb.definitions import target_groups

router = APIRouter(prefix="/targetGroups", tags=["target groups"])


@router.get("", dependencies=[READ])
def list_target_groups(call: Call, token: Token = None) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        after = None if token is None else read_token(token)
        rows = target_groups.list_groups(connection, after=after, limit=PAGE_SIZE + 1)
    shown, link = name_page(call.request, rows, lambda row: row.name)
    envelope = call.envelope(agent)
    return Json(listing([envelope.target_group(row) for row in shown], link))


@router.get("/{target_group_name}", dependencies=[READ])
def get_target_group(call: Call, target_group_name: Segment) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        found = target_groups.get_group(connection, target_group_name)
    return Json(call.envelope(agent).target_group(found))


@router.put("/{target_group_name}", dependencies=[DEFINE])
def put_target_group(call: Call, target_group_name: Segment, body: TargetGroupBody) -> Json:
    with call.write() as connection:
        agent = call.agent(connection)
        references = call.references(agent)
        members = [_member(member, references) for member in body.properties.members]
        group, created = target_groups.save_group(connection, call.edit, target_group_name, members)
    return saved(call.envelope(agent).target_group(group), created=created)


@router.delete("/{target_group_name}", dependencies=[DEFINE])
def delete_target_group(call: Call, target_group_name: Segment) -> Response:
    with call.write() as connection:
        call.agent(connection)
        deleted = target_groups.delete_group(connection, call.edit, target_group_name)
    return Response(status_code=200 if deleted else 204)


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

"""The pages of target groups: the list, one group, what it comes to now, whether a job could run there, users."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from elastic_jobs.api.paths import Segment
from elastic_jobs.api.user_setup import AccessName
from elastic_jobs.domain.model import Agent
from elastic_jobs.jobdb.definitions import target_groups
from elastic_jobs.jobdb.definitions.agent import get_agent
from elastic_jobs.jobdb.definitions.identities import identity_name
from elastic_jobs.jobdb.definitions.origins import find_origins
from elastic_jobs.jobdb.definitions.usage import StepUse, steps_using_group
from elastic_jobs.jobdb.group_list import MembersPage, get_members_page, list_group_lines
from elastic_jobs.portal.actions import Refusal, act
from elastic_jobs.portal.choices import credentials_offered
from elastic_jobs.portal.page import DEFINE, OPERATE, READ, Page, address
from elastic_jobs.portal.target_groups_form import spoken

router = APIRouter(prefix="/target-groups")

PAGE_SIZE = 100
_MOST_DATABASES = 500
"""Databases of a dry run that a page shows; the filter finds the others."""
_MOST_REPORTS = 200
"""Databases of a preflight that a page shows; those with something in the way come first."""
_MOST_SCRIPTS = 50
_TIME_LIMIT = 60
"""Seconds of a preflight."""
_ACCESS = {
    AccessName.READ: "read tables",
    AccessName.WRITE: "change rows",
    AccessName.EXECUTE: "execute procedures",
    AccessName.CHANGE_SCHEMA: "change the schema",
    AccessName.OWN: "everything (owner)",
}

Text = Annotated[str, Query()]


@router.get("", dependencies=[READ])
def list_groups(visit: Page, name: Text = "", after: Text = "") -> Response:
    part = name.strip()
    with visit.read() as connection:
        agent = visit.agent(connection)
        lines = list_group_lines(connection, limit=PAGE_SIZE + 1, name_part=part, after=after or None)
    shown = lines[:PAGE_SIZE]
    return visit.page(
        "target_groups/list.html",
        section="target-groups",
        title="Target groups",
        agent=agent,
        name=part,
        after=after,
        lines=shown,
        next=address("target-groups", name=part, after=shown[-1].name) if len(lines) > PAGE_SIZE else "",
    )


@router.get("/{group_name}", dependencies=[READ])
def get_group(visit: Page, group_name: Segment, skip: Annotated[int, Query(ge=0, le=1_000_000)] = 0) -> Response:
    return _group_page(visit, group_name, skip=skip)


@router.post("/{group_name}/resolve", dependencies=[OPERATE])
async def resolve_group(visit: Page, group_name: Segment) -> Response:
    """Which databases a step would run on now: the servers are asked, nothing is run."""
    try:
        found = (await act(visit, "POST", "targetGroups", group_name, "resolve")).body
    except Refusal as refusal:
        return visit.go(address("target-groups", group_name), error=str(refusal))
    part = visit.form.text("database").casefold()
    targets = [target for target in found["targets"] if part in target["databaseName"].casefold()]
    servers: dict[str, int] = {}
    for target in found["targets"]:
        servers[target["serverName"]] = servers.get(target["serverName"], 0) + 1
    return visit.page(
        "target_groups/resolved.html",
        section="target-groups",
        title=f"Databases of {group_name}",
        group_name=group_name,
        found=found,
        part=visit.form.text("database"),
        matching=len(targets),
        targets=targets[:_MOST_DATABASES],
        servers=sorted(servers.items()),
    )


@router.post("/{group_name}/preflight", dependencies=[OPERATE])
async def preflight_group(visit: Page, group_name: Segment) -> Response:
    """Try every database of the group: what would be in the way of a job, and the way out."""
    body: dict[str, Any] = {"timeLimitSeconds": _TIME_LIMIT}
    if visit.form.text("credential"):
        body["credential"] = visit.form.text("credential")
    try:
        found = (await act(visit, "POST", "targetGroups", group_name, "preflight", body=body)).body
    except Refusal as refusal:
        return visit.go(address("target-groups", group_name), error=str(refusal))
    reports = sorted(found["targets"], key=lambda report: report["ready"])
    return visit.page(
        "target_groups/preflight.html",
        section="target-groups",
        title=f"Preflight of {group_name}",
        group_name=group_name,
        credential=visit.form.text("credential"),
        found=found,
        ready=sum(report["ready"] for report in reports),
        reports=reports[:_MOST_REPORTS],
        cut=max(0, len(reports) - _MOST_REPORTS),
        checks=[check["check"] for check in reports[0]["checks"]] if reports else [],
    )


@router.get("/{group_name}/users", dependencies=[DEFINE])
def ask_users(visit: Page, group_name: Segment) -> Response:
    """The questions before the T-SQL that lets the agent in: the servers are asked only when somebody wants it."""
    return _users_page(visit, group_name, {"access": [AccessName.READ.value]}, None, "")


@router.post("/{group_name}/users", dependencies=[DEFINE])
async def get_users(visit: Page, group_name: Segment) -> Response:
    """The T-SQL, to be copied, or all of it as a file. It holds no password."""
    form = visit.form
    wanted: dict[str, Any] = {
        "access": form.all("access") or [AccessName.READ.value],
        "credential": form.text("credential"),
        "contained": form.on("contained"),
        "server": form.text("server"),
        "database": form.text("database"),
        "schema": form.text("schema"),
    }
    query = [("access", name) for name in wanted["access"]]
    query += [("credential", wanted["credential"])] if wanted["credential"] else []
    query += [("contained", "true")] if wanted["contained"] else []
    for name, key in (("outputServer", "server"), ("outputDatabase", "database"), ("outputSchema", "schema")):
        query += [(name, wanted[key])] if wanted[key] else []
    try:
        found = (await act(visit, "GET", "targetGroups", group_name, "userSetup", query=query)).body
    except Refusal as refusal:
        return await run_in_threadpool(_users_page, visit, group_name, wanted, None, str(refusal))
    if form.text("do") == "download":
        return _script_file(found["scripts"])
    return await run_in_threadpool(_users_page, visit, group_name, wanted, found, "")


def _group_page(visit: Page, group_name: str, *, skip: int) -> Response:
    with visit.read() as connection:
        agent = get_agent(connection)
        group = get_members_page(connection, group_name, skip=skip, limit=PAGE_SIZE)
        uses = steps_using_group(connection, group.id)
        offered = credentials_offered(connection, agent)
        origin = find_origins(connection, [f"targetGroups/{group.name}"]).get(f"targetGroups/{group.name}")
    return visit.page(
        "target_groups/detail.html",
        section="target-groups",
        title=group.name,
        group=group,
        members=group.members,
        skip=skip,
        newer=address("target-groups", group.name, skip=max(0, skip - PAGE_SIZE) or None) if skip else "",
        next=_next(group, skip),
        uses=uses[:PAGE_SIZE],
        more_uses=max(0, len(uses) - PAGE_SIZE),
        credentials=offered,
        job_credential=_usual_credential(agent, uses, offered),
        identity=identity_name(agent.identity.resource_id) if agent.identity else "",
        origin=origin,
        spoken=spoken,
    )


def _next(group: MembersPage, skip: int) -> str:
    more = group.total > skip + PAGE_SIZE
    return address("target-groups", group.name, skip=skip + PAGE_SIZE) if more else ""


def _usual_credential(agent: Agent, uses: list[StepUse], offered: list[str]) -> str:
    """The credential that somebody most likely wants to try: that of a step that runs on the group."""
    if agent.identity is not None:
        return ""
    used = next((use.credential_name for use in uses if use.credential_name), None)
    return used or (offered[0] if len(offered) == 1 else "")


def _users_page(
    visit: Page, group_name: str, wanted: dict[str, Any], found: dict[str, Any] | None, error: str
) -> Response:
    with visit.read() as connection:
        agent = get_agent(connection)
        group = target_groups.get_group(connection, group_name)
        uses = steps_using_group(connection, group.id)
        offered = credentials_offered(connection, agent)
    scripts = [] if found is None else found["scripts"]
    return visit.page(
        "target_groups/users.html",
        section="target-groups",
        title=f"Users for {group.name}",
        status=400 if error else 200,
        group=group,
        accesses=[(name.value, spoken_access) for name, spoken_access in _ACCESS.items()],
        wanted={"credential": _usual_credential(agent, uses, offered), "contained": False, "server": ""}
        | {"database": "", "schema": "dbo"}
        | wanted,
        credentials=offered,
        identity=identity_name(agent.identity.resource_id) if agent.identity else "",
        found=found,
        scripts=scripts[:_MOST_SCRIPTS],
        cut=max(0, len(scripts) - _MOST_SCRIPTS),
        error=error,
    )


def _script_file(scripts: list[dict[str, str]]) -> Response:
    """All scripts as one file; each has to be run in its own database."""
    parts = []
    for script in scripts:
        # A name may hold a line end; nothing of it may leave the comment.
        place = " ".join(f"server {script['serverName']}, database {script['databaseName']}".split())
        parts.append(f"-- Run in: {place}\n{script['sql']}\n")
    headers = {"Content-Disposition": 'attachment; filename="users.sql"'}
    return Response("\n".join(parts), media_type="application/sql; charset=utf-8", headers=headers)

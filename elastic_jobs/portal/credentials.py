"""The pages of credentials: their names and where they may go. No page ever shows what is in one.

A password can be set here by who has the role CredentialAdmin, on the way that it takes through the API: in the body of
one request over the same connection, handed to the same handler, and never written into a page again, so that a form
that comes back with an error has an empty password field.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from elastic_jobs.api.auth import Role, require
from elastic_jobs.api.paths import Segment
from elastic_jobs.domain.server_scope import ServerScope
from elastic_jobs.jobdb.definitions import credentials
from elastic_jobs.jobdb.definitions.agent import get_agent
from elastic_jobs.jobdb.definitions.checks import NAME_LENGTH, check_name, check_text
from elastic_jobs.jobdb.definitions.credentials import Credential
from elastic_jobs.jobdb.definitions.identities import identity_name
from elastic_jobs.jobdb.definitions.origins import find_origins
from elastic_jobs.jobdb.definitions.usage import groups_using_credential, steps_using_credential
from elastic_jobs.jobdb.group_list import count_credential_uses
from elastic_jobs.portal.actions import Refusal, act
from elastic_jobs.portal.fields import Fields, lines_of
from elastic_jobs.portal.page import READ, Page, address

router = APIRouter()

KEEP = Depends(require(Role.CREDENTIAL_ADMIN))
PAGE_SIZE = 100
_SHOWN = 100
_PLACES = {"user name": "username", "password": "password", "allowed": "servers", "name of the credential": "name"}
"""Where to say what the API refuses."""


@router.get("/credentials", dependencies=[READ])
def list_credentials(visit: Page, after: Annotated[str, Query()] = "") -> Response:
    with visit.read() as connection:
        agent = visit.agent(connection)
        rows = credentials.list_credentials(connection, after=after or None, limit=PAGE_SIZE + 1)
        shown = rows[:PAGE_SIZE]
        uses = count_credential_uses(connection, [row.name for row in shown])
    identity = None if agent is None else agent.identity
    return visit.page(
        "credentials/list.html",
        section="credentials",
        title="Credentials",
        agent=agent,
        identity=identity,
        identity_name=identity_name(identity.resource_id) if identity else "",
        identity_servers=_servers(identity.allowed_servers) if identity else [],
        deployment=visit.services.settings.allowed_target_servers,
        lines=[(row.name, _servers(row.allowed_servers), uses[row.name.lower()]) for row in shown],
        after=after,
        next=address("credentials", after=shown[-1].name) if len(rows) > PAGE_SIZE else "",
    )


@router.get("/credentials/{credential_name}", dependencies=[READ])
def get_credential(visit: Page, credential_name: Segment) -> Response:
    with visit.read() as connection:
        get_agent(connection)
        found = credentials.get_credential(connection, credential_name)
        steps = steps_using_credential(connection, found.name)
        groups = groups_using_credential(connection, found.name)
        origin = find_origins(connection, [f"credentials/{found.name}"]).get(f"credentials/{found.name}")
    return visit.page(
        "credentials/detail.html",
        section="credentials",
        title=found.name,
        name=found.name,
        servers=_servers(found.allowed_servers),
        deployment=visit.services.settings.allowed_target_servers,
        steps=steps[:_SHOWN],
        more_steps=max(0, len(steps) - _SHOWN),
        groups=groups[:_SHOWN],
        more_groups=max(0, len(groups) - _SHOWN),
        origin=origin,
    )


@router.get("/new-credential", dependencies=[READ])
def new_credential(visit: Page) -> Response:
    """How to set a credential; with the role for it, the form too."""
    with visit.read() as connection:
        get_agent(connection)
    return _form_page(visit, Fields(values={}), None)


@router.post("/new-credential", dependencies=[KEEP])
async def create_credential(visit: Page) -> Response:
    return await _save(visit, None)


@router.get("/credentials/{credential_name}/edit", dependencies=[KEEP])
def edit_credential(visit: Page, credential_name: Segment) -> Response:
    with visit.read() as connection:
        found = credentials.get_credential(connection, credential_name)
    return _form_page(visit, _form_of(found), found)


@router.post("/credentials/{credential_name}/edit", dependencies=[KEEP])
async def save_credential(visit: Page, credential_name: Segment) -> Response:
    return await _save(visit, credential_name)


@router.get("/credentials/{credential_name}/delete", dependencies=[KEEP])
def ask_delete(visit: Page, credential_name: Segment) -> Response:
    with visit.read() as connection:
        found = credentials.get_credential(connection, credential_name)
        uses = count_credential_uses(connection, [found.name])[found.name.lower()]
    title = f"Delete {found.name}"
    return visit.page("credentials/delete.html", section="credentials", title=title, name=found.name, uses=uses)


@router.post("/credentials/{credential_name}/delete", dependencies=[KEEP])
async def delete_credential(visit: Page, credential_name: Segment) -> Response:
    try:
        await act(visit, "DELETE", "credentials", credential_name)
    except Refusal as refusal:
        return visit.go(address("credentials", credential_name), error=str(refusal))
    return visit.go(address("credentials"), done=f"The credential '{credential_name}' was deleted.")


async def _save(visit: Page, credential_name: str | None) -> Response:
    fields = Fields(values=visit.form.raw_of(("name", "username", "servers")))
    password = visit.form.raw("password")

    def look(connection: Connection) -> Credential | None:
        get_agent(connection)
        if credential_name is not None:
            return credentials.get_credential(connection, credential_name)
        return credentials.find_credential(connection, fields["name"])

    found = await visit.reading(look)
    if credential_name is None:
        fields.check("name", lambda: check_name("credential", fields["name"]))
        if found is not None:
            fields.refuse("name", f"There is a credential '{found.name}' already; choose another name, or change it.")
            found = None
    fields.check("username", lambda: check_text("user name", fields["username"], NAME_LENGTH))
    fields.check("password", lambda: check_text("password", password, NAME_LENGTH))
    name = fields["name"] if found is None else found.name
    if fields.is_right:
        properties: dict[str, Any] = {"username": fields["username"], "password": password}
        properties |= _changed_servers(fields["servers"], found)
        try:
            await act(visit, "PUT", "credentials", name, body={"properties": properties})
        except Refusal as refusal:
            fields.blame(str(refusal), _PLACES)
    if not fields.is_right:
        return await run_in_threadpool(_form_page, visit, fields, found)
    return visit.go(address("credentials", name), done=f"The credential '{name}' was saved.")


def _changed_servers(typed: str, found: Credential | None) -> dict[str, Any]:
    """The property that changes the list of servers; none where nobody touched it, so that it stays as it is."""
    wanted = lines_of(typed)
    had = _servers(found.allowed_servers) if found else []
    if wanted == had:
        return {}
    return {"allowedServers": wanted or None}


def _form_of(found: Credential) -> Fields:
    servers = "\n".join(_servers(found.allowed_servers))
    return Fields(values={"name": found.name, "username": found.username, "servers": servers})


def _form_page(visit: Page, fields: Fields, found: Credential | None) -> Response:
    return visit.page(
        "credentials/edit.html",
        section="credentials",
        title="New credential" if found is None else f"Change {found.name}",
        status=200 if fields.is_right else 400,
        name="" if found is None else found.name,
        fields=fields,
        deployment=visit.services.settings.allowed_target_servers,
    )


def _servers(scope: ServerScope | None) -> list[str]:
    return list(scope.patterns) if scope else []

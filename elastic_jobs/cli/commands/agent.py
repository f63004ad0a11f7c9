"""``agent``: the job agent of the deployment."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import typer

from elastic_jobs.cli.client import path
from elastic_jobs.cli.commands.common import Yes, pairs
from elastic_jobs.cli.errors import UsageError
from elastic_jobs.cli.output import Column, moment
from elastic_jobs.cli.session import Session, command

app = typer.Typer(no_args_is_help=True, help="The job agent: one per deployment.")

Size = Annotated[str | None, typer.Option("--sku", help="Size: JA100, JA200, JA400, JA800, ...")]
Identity = Annotated[
    str | None,
    typer.Option("--identity", metavar="ID", help="Resource id of a user-assigned identity for the targets."),
]
Servers = Annotated[
    list[str],
    typer.Option(
        "--allowed-server", metavar="SERVER", help="A server or *.suffix that the identity may go to; repeat."
    ),
]
Tags = Annotated[list[str], typer.Option("--tag", metavar="NAME=VALUE", help="A tag; repeat for several.")]


@command(app, "show", example="elastic-jobs agent show")
def show(session: Session) -> None:
    """The agent."""
    _print(session, session.client.get(""))


@command(app, "create", example="elastic-jobs agent create agent1 --location westeurope --sku JA200")
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the agent.")],
    location: Annotated[str, typer.Option(help="Azure region, for the record.")],
    sku: Size = None,
    identity: Identity = None,
    allowed_server: Servers = [],  # noqa: B006  # Typer copies it
    tag: Tags = [],  # noqa: B006
) -> None:
    """Create the agent; an agent of this name is changed instead."""
    body: dict[str, Any] = {"name": name, "location": location, "tags": pairs(tag, "--tag")}
    _print(session, session.client.put("", {**body, **_size(sku), **_identity(identity, allowed_server)}))
    session.note(f"The agent '{name}' is there.")


@command(
    app,
    "update",
    example="""
        elastic-jobs agent update --sku JA400
        elastic-jobs agent update --no-identity
    """,
)
def update(
    session: Session,
    sku: Size = None,
    identity: Identity = None,
    no_identity: Annotated[bool, typer.Option("--no-identity", help="Take the identity away.")] = False,
    allowed_server: Servers = [],  # noqa: B006
    tag: Tags = [],  # noqa: B006
) -> None:
    """Change size, identity or tags; what is not named stays. Tags replace all tags."""
    if no_identity and (identity or allowed_server):
        raise UsageError("--no-identity takes the identity away; leave --identity and --allowed-server out.")
    body = {**_size(sku), **_identity(identity, allowed_server)}
    if no_identity:
        body["identity"] = {"type": "None"}
    if tag:
        body["tags"] = pairs(tag, "--tag")
    if not body:
        raise UsageError("Nothing is to be changed; name --sku, --identity, --no-identity or --tag.")
    _print(session, session.client.patch("", body))


@command(app, "delete", example="elastic-jobs agent delete --yes")
def delete(session: Session, yes: Yes = False) -> None:
    """Delete the agent with all its jobs, groups, credentials and history. Refused while something runs."""
    agent = session.client.get("")
    session.confirm(f"Delete the agent '{agent['name']}' with everything that it has?", yes=yes)
    session.client.delete("")
    session.note(f"The agent '{agent['name']}' is deleted.")


@command(app, "wake", example="elastic-jobs agent wake")
def wake(session: Session) -> None:
    """Do what is due now, for example after a change in T-SQL, without waiting for the tick."""
    session.client.post(path("wake"))


@command(
    app,
    "audit",
    example="""
        elastic-jobs agent audit --resource jobs/nightly
        elastic-jobs agent audit --caller alice --top 5 -o json
    """,
)
def audit(
    session: Session,
    caller: Annotated[str | None, typer.Option(help="Whose entries; a part of the name does.")] = None,
    action: Annotated[str | None, typer.Option(help="One kind of action, such as 'start job'.")] = None,
    resource: Annotated[str | None, typer.Option(help="What it was done to, such as jobs/nightly.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many entries, newest first.")] = 20,
) -> None:
    """Who changed what, and who started or canceled what."""
    entries = session.client.pages(path("audit"), caller=caller, action=action, resource=resource)
    session.printer.rows(
        islice(entries, top),  # no page is asked for that is not shown
        [
            Column("TIME", lambda row: moment(row["time"])),
            Column("CALLER", lambda row: row["caller"]),
            Column("ACTION", lambda row: row["action"]),
            Column("RESOURCE", lambda row: row["resource"]),
        ],
    )


def _size(sku: str | None) -> dict[str, Any]:
    return {"sku": {"name": sku}} if sku else {}


def _identity(identity: str | None, servers: list[str]) -> dict[str, Any]:
    if identity is None:
        if servers:
            raise UsageError("--allowed-server limits the agent's identity; name it with --identity.")
        return {}
    value = {"allowedServers": servers} if servers else {}
    return {"identity": {"type": "UserAssigned", "userAssignedIdentities": {identity: value}}}


def _print(session: Session, agent: dict[str, Any]) -> None:
    identities = (agent.get("identity") or {}).get("userAssignedIdentities") or {}
    allowed = [server for values in identities.values() for server in values.get("allowedServers", [])]
    session.printer.fields(
        agent,
        [
            ("name", agent["name"]),
            ("location", agent.get("location")),
            ("size", f"{agent['sku']['name']} ({agent['sku']['capacity']} targets at once)"),
            ("identity", list(identities) or "none: jobs use credentials"),
            ("allowed servers", allowed),
            ("tags", agent.get("tags")),
            ("id", agent.get("id")),
        ],
    )

"""``credential``: names, user names and where they may be sent. A secret goes in and never comes out."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from elastic_jobs.cli.client import path
from elastic_jobs.cli.commands.common import CredentialName, Yes, read_secret
from elastic_jobs.cli.errors import UsageError
from elastic_jobs.cli.output import Column
from elastic_jobs.cli.session import Session, command

app = typer.Typer(no_args_is_help=True, help="Credentials: as whom scripts run, where the agent has no identity.")


@command(app, "list", example="elastic-jobs credential list")
def list_credentials(session: Session) -> None:
    """All credentials; no passwords."""
    session.printer.rows(
        session.client.pages(path("credentials")),
        [
            Column("NAME", lambda row: row["name"]),
            Column("USER", lambda row: row["properties"]["username"]),
            Column("ALLOWED SERVERS", lambda row: row["properties"].get("allowedServers"), optional=1),
        ],
    )


@command(app, "show", example="elastic-jobs credential show runner")
def show(session: Session, name: CredentialName) -> None:
    """A credential; no password."""
    _print(session, session.client.get(path("credentials", name)))


@command(
    app,
    "set",
    example="""
        elastic-jobs credential set runner --username jobuser
        elastic-jobs credential set runner --username jobuser --password-env RUNNER_PASSWORD
        pass show runner | elastic-jobs credential set runner --username jobuser --password-stdin
    """,
)
def set_credential(
    session: Session,
    name: CredentialName,
    username: Annotated[str, typer.Option("--username", "-u", help="User or login in the targets.")],
    password_env: Annotated[
        str | None, typer.Option(metavar="VARIABLE", help="Environment variable that holds the password.")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    allowed_server: Annotated[
        list[str], typer.Option("--allowed-server", metavar="SERVER", help="Server or *.suffix it may go to; repeat.")
    ] = [],  # noqa: B006  # Typer copies it
    no_allowed_servers: Annotated[
        bool, typer.Option("--no-allowed-servers", help="Remove its own list: the deployment's counts.")
    ] = False,
) -> None:
    """Create a credential or give it a new password; asked for unless a variable or standard input has it."""
    if allowed_server and no_allowed_servers:
        raise UsageError("--allowed-server sets a list and --no-allowed-servers removes it; name one of them.")
    password = read_secret("password", variable=password_env, stdin=password_stdin)
    properties: dict[str, Any] = {"username": username, "password": password}
    if allowed_server or no_allowed_servers:
        properties["allowedServers"] = allowed_server or None
    _print(session, session.client.put(path("credentials", name), {"properties": properties}))


@command(app, "delete", example="elastic-jobs credential delete runner --yes")
def delete(session: Session, name: CredentialName, yes: Yes = False) -> None:
    """Delete a credential. Refused while a step or a group uses it."""
    session.client.get(path("credentials", name))
    session.confirm(f"Delete the credential '{name}'?", yes=yes)
    session.client.delete(path("credentials", name))
    session.note(f"The credential '{name}' is deleted.")


def _print(session: Session, credential: dict[str, Any]) -> None:
    properties = credential["properties"]
    session.printer.fields(
        credential,
        [
            ("name", credential["name"]),
            ("user", properties["username"]),
            ("allowed servers", properties.get("allowedServers") or "as the deployment allows"),
            ("changed by", (credential.get("systemData") or {}).get("lastModifiedBy")),
        ],
    )

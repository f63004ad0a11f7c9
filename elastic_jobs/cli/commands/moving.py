"""``import``: moving in from an Azure elastic job agent, from another agent of ours, or from a job database."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from shlex import quote
from typing import Annotated

import typer
from rich.text import Text

from elastic_jobs.cli.client import Client, checked_endpoint
from elastic_jobs.cli.commands.common import Yes
from elastic_jobs.cli.commands.files import show
from elastic_jobs.cli.contexts import Context, with_endpoint
from elastic_jobs.cli.errors import ExitCode, NoAccess, UsageError
from elastic_jobs.cli.files.plan import as_json as plan_as_json
from elastic_jobs.cli.moving import report
from elastic_jobs.cli.moving.azure import PUBLIC_CLOUD, AzureAgent, azure_client, read_azure
from elastic_jobs.cli.moving.endpoint import read_endpoint
from elastic_jobs.cli.moving.moving_in import Move, Moved, carry_out, plan_move
from elastic_jobs.cli.moving.source import Source
from elastic_jobs.cli.output import Column, Format, safe
from elastic_jobs.cli.session import Session, command
from elastic_jobs.cli.tokens import token_source

TOKEN, SCOPE, PASSWORD = "ELASTIC_JOBS_SOURCE_TOKEN", "ELASTIC_JOBS_SOURCE_SCOPE", "ELASTIC_JOBS_SOURCE_PASSWORD"
"""Environment variables."""


def register(root: typer.Typer) -> None:
    """Add the command."""
    command(
        root,
        "import",
        panel="Definitions as files",
        example="""
            elastic-jobs import --from-azure /subscriptions/.../jobAgents/NAME
            elastic-jobs import --from-context staging --dry-run
            elastic-jobs import --from-job-database mssql+pyodbc://reader@server.database.windows.net/jobs --yes
        """,
    )(import_)


def import_(
    session: Session,
    from_azure: Annotated[
        str | None, typer.Option(metavar="ID", help="Resource id of an Azure elastic job agent.")
    ] = None,
    from_endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help=f"Another endpoint; its token in {TOKEN} or its scope in {SCOPE}.")
    ] = None,
    from_context: Annotated[str | None, typer.Option(metavar="NAME", help="Another context.")] = None,
    from_job_database: Annotated[
        str | None,
        typer.Option(metavar="URL", help=f"SQLAlchemy URL or ODBC string, without a password; that in {PASSWORD}."),
    ] = None,
    enable: Annotated[
        bool,
        typer.Option("--enable", help="Switch schedules on as they are in the source; else they come switched off."),
    ] = False,
    credentials: Annotated[
        bool, typer.Option(help="Create missing credentials, with secrets still to be set; without them less can move.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    management: Annotated[
        str, typer.Option("--azure-management", metavar="URL", help="Management endpoint of the cloud of --from-azure.")
    ] = PUBLIC_CLOUD,
    yes: Yes = False,
) -> None:
    """Move definitions in: credentials by name, target groups, jobs with their steps and schedules.

    It may be run again: what is here as in the source stays, what differs is shown before it is changed. Ends with 0
    when all has moved, with 1 when something could not; the report says why.
    """
    read = _reader(session, from_azure, from_endpoint, from_context, from_job_database, management)
    move = plan_move(session.client, read(), enable=enable, create_credentials=credentials)
    table = session.printer.form is Format.TABLE
    if table:
        _show(session, move)
    if dry_run:
        if not table:
            shown = plan_as_json(move.plan) | {"credentials": [each.name for each in move.credentials]}
            session.printer.value({"source": move.source.called, "plan": shown})
        return
    if not move.is_empty:
        session.confirm("Import these?", yes=yes)
    moved = carry_out(session.client, move, enable=enable)
    _print(session, move.source, moved)
    if not moved.is_whole:
        raise typer.Exit(ExitCode.FAILED)


def _reader(
    session: Session,
    azure: str | None,
    endpoint: str | None,
    context: str | None,
    database: str | None,
    management: str,
) -> Callable[[], Source]:
    """How to read the one source that was named."""
    given = [option for option in (azure, endpoint, context, database) if option is not None]
    if len(given) != 1:
        raise UsageError("Name one source: --from-azure, --from-endpoint, --from-context or --from-job-database.")
    if azure is not None:
        agent, make_client = AzureAgent.parse(azure), azure_client(management)
        return lambda: read_azure(agent, make_client)
    if database is not None:
        # Its import takes most of a second, which the other commands need not wait for.
        from elastic_jobs.cli.moving.job_database import parse_place, read_job_database

        place = parse_place(database)
        password = _password() if place.needs_password else None
        return lambda: read_job_database(place, password)
    source = _source_context(session, endpoint, context)
    if source.endpoint == session.client.endpoint:
        raise UsageError(f"{source.endpoint} is the source and the agent to move to; name another one.")

    def read() -> Source:
        with Client(source.endpoint, token_source(source)) as client:
            return read_endpoint(client)

    return read


def _source_context(session: Session, endpoint: str | None, context: str | None) -> Context:
    if context is not None:
        return with_endpoint(session.contexts.get(context))
    token, scope = os.environ.get(TOKEN) or None, os.environ.get(SCOPE) or None
    if token is None and scope is None:
        raise NoAccess(f"There is no way to sign in to {endpoint}; set {TOKEN} to a token, or {SCOPE} to a scope.")
    return Context(name="source", endpoint=checked_endpoint(endpoint or ""), token=token, scope=scope)


def _password() -> str:
    found = os.environ.get(PASSWORD)
    if found:
        return found
    if not sys.stdin.isatty():
        raise UsageError(f"Nobody can be asked for the password of the job database here; set {PASSWORD}.")
    return str(typer.prompt("Password of the job database", hide_input=True, err=True))


def _show(session: Session, move: Move) -> None:
    session.printer.line(f"From {safe(move.source.called)}:")
    for credential in move.credentials:
        style = "green" if session.printer.console.is_terminal else ""
        session.printer.line(Text(safe(f"+ credential {credential.name} (its secret is then to be set)"), style=style))
    show(session, move.plan)


def _print(session: Session, source: Source, moved: Moved) -> None:
    printer = session.printer
    if printer.value(report.as_json(source, moved.lines, moved.secrets)):
        return
    printer.line()
    rows = [line.as_json() for line in moved.lines]
    printer.rows(
        rows,
        [
            Column("KIND", lambda row: row["kind"]),
            Column("NAME", lambda row: row["name"]),
            Column("RESULT", lambda row: row["outcome"]),
            Column("REASON", lambda row: row["reason"]),
        ],
    )
    if moved.secrets:
        printer.line()
        printer.line("Secrets still to be set:")
        for name, user in moved.secrets.items():
            option = f" --username {quote(user)}" if user else " --username USER"
            printer.line(safe(f"  elastic-jobs credential set {quote(name)}{option}"))

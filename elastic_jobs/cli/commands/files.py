"""``export``, ``plan``, ``apply`` and ``schema``: definitions as files."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from elastic_jobs.cli.client import Client
from elastic_jobs.cli.commands.common import Yes
from elastic_jobs.cli.errors import CliError, ExitCode, UsageError
from elastic_jobs.cli.files.applying import Tell, apply_plan
from elastic_jobs.cli.files.model import Definitions
from elastic_jobs.cli.files.plan import Plan, as_json, kind_of, make_plan, name_of
from elastic_jobs.cli.files.reading import read_folder
from elastic_jobs.cli.files.rendering import STYLES, lines_of
from elastic_jobs.cli.files.schema import json_schema
from elastic_jobs.cli.files.state import AgentState, read_running, read_state
from elastic_jobs.cli.files.tsql import tsql_script
from elastic_jobs.cli.files.writing import write_folder
from elastic_jobs.cli.output import Format, safe
from elastic_jobs.cli.session import Session, command

CHANGES = 5
"""The exit code of ``plan --exit-code`` when there is something to change."""
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder with 'groups' and 'jobs' in it.")]
Prune = Annotated[bool, typer.Option("--prune", help="Delete the groups and jobs that the files do not define.")]


class FileKind(StrEnum):
    """The kinds of definition files."""

    GROUP = "group"
    JOB = "job"


def register(root: typer.Typer) -> None:
    """Add the commands."""
    panel = "Definitions as files"
    command(
        root,
        "export",
        panel=panel,
        example="""
            elastic-jobs export estate
            elastic-jobs export estate --replace
            elastic-jobs export --to-tsql estate.sql
        """,
    )(export)
    command(root, "plan", panel=panel, example="elastic-jobs plan estate --prune --exit-code")(plan)
    command(root, "apply", panel=panel, example="elastic-jobs apply estate --yes")(apply)
    command(root, "schema", panel=panel, example="elastic-jobs schema job > job.schema.json")(schema)


def export(
    session: Session,
    folder: Annotated[Path | None, typer.Argument(metavar="FOLDER", help="Where the files go.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite the definitions in the folder, and delete what is gone.")
    ] = False,
    to_tsql: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write one script for an Azure job database instead; - prints it."),
    ] = None,
) -> None:
    """Write the agent's groups, jobs, steps and schedules as files, without secrets.

    With --to-tsql they become one script of calls of jobs.sp_add_job and the like, which makes them in the job database
    of an Azure elastic job agent.
    """
    if (folder is None) == (to_tsql is None):
        raise UsageError("Say where to: a folder for files, or --to-tsql with the name of a script.")
    state = read_state(session.client)
    if folder is not None:
        write_folder(folder, state.definitions, replace=replace)
    elif to_tsql is not None:
        _write_script(session, to_tsql, tsql_script(state.definitions, state.credentials), replace=replace)
    counts = f"{len(state.definitions.groups)} target groups and {len(state.definitions.jobs)} jobs"
    session.note(f"Wrote {counts} to {folder or to_tsql}.")


def _write_script(session: Session, file: Path, text: str, *, replace: bool) -> None:
    if str(file) == "-":
        session.printer.console.file.write(text)
        return
    if file.exists() and not replace:
        raise UsageError(f"{file} is there already; say --replace to overwrite it.")
    file.write_bytes(text.encode("utf-8"))


def plan(
    session: Session,
    folder: Folder = Path(),
    prune: Prune = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help=f"End with {CHANGES} when there is something to change.")
    ] = False,
) -> None:
    """Show what 'apply' would change, and change nothing.

    Ends with 0; with 1 when something stands in the way; with 2 when a file is wrong.
    """
    wanted = read_folder(folder)
    _, found = plan_for(session.client, wanted, prune=prune)
    if not session.printer.value(as_json(found)):
        show(session, found)
    if found.problems:
        raise typer.Exit(ExitCode.FAILED)
    if exit_code and found.changes:
        raise typer.Exit(CHANGES)


def apply(
    session: Session,
    folder: Folder = Path(),
    prune: Prune = False,
    expect: Annotated[
        str | None,
        typer.Option(metavar="FINGERPRINT", help="Go on only when the plan is the one that 'plan -o json' showed."),
    ] = None,
    yes: Yes = False,
) -> None:
    """Make the agent hold what the files define.

    The plan is shown first, and applied when that is confirmed. What stops in the middle goes on when it is run again.
    """
    wanted = read_folder(folder)
    state, found = plan_for(session.client, wanted, prune=prune)
    table = session.printer.form is Format.TABLE
    if table:
        show(session, found)
    if expect is not None and expect != found.fingerprint:
        raise CliError(
            f"This is another plan ({found.fingerprint}) than the one that was expected ({expect}): the files or the "
            "agent changed. Nothing was changed; look at a new plan."
        )
    made = carry_out(session, wanted, state, found, prune=prune, yes=yes, tell=session.printer.line if table else None)
    if not table:
        session.printer.value({"plan": as_json(found), "applied": made})


def plan_for(client: Client, wanted: Definitions, *, prune: bool) -> tuple[AgentState, Plan]:
    """The agent as it is now, and how to bring it to the wanted definitions."""
    state = read_state(client)
    found = make_plan(wanted, state, prune=prune)
    if prune and found.deletions:
        found = make_plan(wanted, state, prune=prune, running=read_running(client))
    return state, found


def show(session: Session, found: Plan) -> None:
    """Print a plan for people."""
    console = session.printer.console
    for mark, text in lines_of(found):
        console.print(Text(safe(text), style=STYLES[mark] if console.is_terminal else ""))


def carry_out(
    session: Session, wanted: Definitions, state: AgentState, found: Plan, *, prune: bool, yes: bool, tell: Tell | None
) -> int:
    """Ask, and apply a plan that was shown; how many changes were made.

    Raises:
        CliError: see ``apply_plan``; or something changed while the question stood there.
    """
    if found.problems:
        raise CliError("\n".join(["Nothing was changed:", *found.problems]))
    if not found.changes:
        return 0
    session.confirm(_question(found), yes=yes)
    if not yes:
        state, again = plan_for(session.client, wanted, prune=prune)
        if again.fingerprint != found.fingerprint:
            raise CliError("The agent changed since the plan was shown. Nothing was changed; look at a new plan.")

    def say(text: str) -> None:
        if tell is not None:
            tell(safe(text))

    applied = apply_plan(session.client, found, state.agent_id, tell=say)
    return len(applied.done)


def _question(found: Plan) -> str:
    names = ", ".join(f"{kind_of(change)} '{name_of(change)}'" for change in found.deletions)
    return f"Apply these changes, and delete {names}?" if names else "Apply these changes?"


def schema(
    session: Session,
    kind: Annotated[FileKind, typer.Argument(help="The kind of file.")] = FileKind.JOB,
) -> None:
    """Print the JSON schema of a kind of definition file, for editors."""
    if session.printer.form is not Format.YAML:
        session.printer.console.file.write(json.dumps(json_schema(kind.value), indent=2) + "\n")
    else:
        session.printer.value(json_schema(kind.value))

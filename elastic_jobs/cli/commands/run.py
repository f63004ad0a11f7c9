"""``run``: one script, once, on a target group.

It makes a job for itself, whose name says that it is temporary, runs it and follows it. When it succeeded the job is
deleted; otherwise it stays, so that its messages can be read and the rest can be run again.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from elastic_jobs.cli.client import path
from elastic_jobs.cli.commands import execution as executions
from elastic_jobs.cli.commands import step as steps
from elastic_jobs.cli.commands.common import CancelOnInterrupt, completing
from elastic_jobs.cli.errors import CliError
from elastic_jobs.cli.following import follow, summarize
from elastic_jobs.cli.runs import exit_code, shown
from elastic_jobs.cli.session import Session, command
from elastic_jobs.domain.lifecycle import Lifecycle

PREFIX = "temporary"
STEP = "script"
_LOGS = 20


def register(root: typer.Typer) -> None:
    """Add the command."""
    command(
        root,
        "run",
        example="""
            elastic-jobs run fix.sql --targets customers --credential runner
            elastic-jobs run sizes.sql --targets customers \\
                --output-server reports --output-database results --output-table Sizes
            echo 'EXEC dbo.Tidy' | elastic-jobs run - --targets customers
        """,
    )(run)


def run(
    session: Session,
    script: Annotated[str, typer.Argument(metavar="SCRIPT", help="File of the script; - for standard input.")],
    targets: Annotated[
        str,
        typer.Option("--targets", metavar="GROUP", help="Target group.", autocompletion=completing("targetGroups")),
    ],
    credential: steps.Credential = None,
    output_server: steps.OutServer = None,
    output_database: steps.OutDatabase = None,
    output_table: steps.OutTable = None,
    output_credential: steps.OutCredential = None,
    timeout: steps.Timeout = None,
    retries: steps.Retries = 0,
    max_parallelism: steps.Parallel = None,
    logs: Annotated[bool, typer.Option("--logs", help="Print what the script said, too.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary job also when it succeeded.")] = False,
    cancel_on_interrupt: CancelOnInterrupt = False,
) -> None:
    """Run a script once on a target group and follow it: 0 succeeded, 1 failed, 3 canceled or timed out.

    For that it makes a job whose name begins with 'temporary'. The job is deleted when it succeeded; otherwise it stays
    for its messages and a rerun, until somebody deletes it.
    """
    wanted = steps.Wanted(
        script=script,
        targets=targets,
        credential=credential,
        server=output_server,
        database=output_database,
        table=output_table,
        output_credential=output_credential,
        timeout=timeout,
        retries=retries,
        parallel=max_parallelism,
    ).properties({})
    job = temporary_name(script, datetime.now(UTC), secrets.token_hex(2))
    about = f"Made by 'elastic-jobs run {script}'; may be deleted when it does not run."
    session.client.put(path("jobs", job), {"properties": {"description": about[:500]}})
    try:
        session.client.put(path("jobs", job, "steps", STEP), {"properties": wanted})
        started = session.client.post(path("jobs", job, "start"))
    except (CliError, KeyboardInterrupt):
        session.client.delete(path("jobs", job))
        raise
    execution = str(started["name"])
    session.note(f"The job '{job}' runs it.")
    end = follow(session, job, execution, cancel_on_interrupt=cancel_on_interrupt)
    summarize(session, job, execution, end)
    if logs:
        executions.print_logs(session, job, execution, step=None, database=None, failed=False, top=_LOGS)
    if keep or end.lifecycle is not Lifecycle.SUCCEEDED:
        session.note(f"The job '{job}' stays. Delete it: elastic-jobs job delete {shown(job)}")
    else:
        _forget(session, job)
    raise typer.Exit(exit_code(end.lifecycle))


def _forget(session: Session, job: str) -> None:
    """Delete the job. The script succeeded, and it stays so when this does not."""
    try:
        session.client.delete(path("jobs", job))
    except CliError as error:
        session.warn(f"The job '{job}' could not be deleted: {error} Later: elastic-jobs job delete {shown(job)} --yes")


def temporary_name(script: str, now: datetime, tail: str) -> str:
    """The name of the job: that it is temporary, when it was made, and from which file."""
    stem = "stdin" if script == "-" else Path(script).stem
    clean = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in stem)[:60]
    return f"{PREFIX}-{now:%Y%m%dT%H%M%SZ}-{tail}-{clean}"

"""``execution``: runs of jobs: see, follow, cancel, run again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from elastic_jobs.cli.client import path
from elastic_jobs.cli.commands.common import CancelOnInterrupt, JobName, RunId, Watching, completing
from elastic_jobs.cli.commands.job import started
from elastic_jobs.cli.errors import UsageError
from elastic_jobs.cli.following import SHORT_ID, finish, follow, print_groups, summarize
from elastic_jobs.cli.output import Column, cell, moment, safe, styled
from elastic_jobs.cli.runs import (
    duration,
    find_run,
    has_ended,
    job_of,
    lifecycle_of,
    parse_since,
    run_path,
    seconds_of,
)
from elastic_jobs.cli.session import Session, command
from elastic_jobs.cli.watch import Snapshot, read_steps
from elastic_jobs.domain.lifecycle import Lifecycle

app = typer.Typer(no_args_is_help=True, help="Runs of jobs. Without an id the job's latest run is meant.")
_BAD = frozenset({Lifecycle.FAILED, Lifecycle.TIMED_OUT, Lifecycle.CANCELED, Lifecycle.WAITING_FOR_RETRY})

StepFilter = Annotated[str | None, typer.Option("--step", metavar="STEP", help="Of this step only.")]
DatabaseFilter = Annotated[str | None, typer.Option("--database", metavar="NAME", help="Of this database only.")]
FailedOnly = Annotated[bool, typer.Option("--failed", help="Only where it did not go well.")]


@command(
    app,
    "list",
    example="""
        elastic-jobs execution list --job nightly --since 7d
        elastic-jobs execution list --active
    """,
)
def list_runs(
    session: Session,
    job: Annotated[
        str | None, typer.Option("--job", metavar="JOB", help="Of one job.", autocompletion=completing("jobs"))
    ] = None,
    active: Annotated[bool, typer.Option("--active", help="Only what runs now.")] = False,
    since: Annotated[str | None, typer.Option(metavar="WHEN", help="Started since: 30m, 2h, 7d or an instant.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
) -> None:
    """Runs, newest first."""
    where = path("jobs", job, "executions") if job else path("executions")
    begin = parse_since(since, datetime.now(UTC)).isoformat() if since else None
    query = {"isActive": "true" if active else None, "createTimeMin": begin, "$top": top}
    session.printer.rows(
        session.client.pages(where, **query),
        [
            Column("RUN", lambda row: row["name"], short=SHORT_ID),
            Column("JOB", job_of),
            Column("STATE", lambda row: row["properties"]["lifecycle"]),
            Column("STARTED", lambda row: moment(row["properties"]["createTime"])),
            Column("TOOK", lambda row: duration(seconds_of(row)), optional=1, right=True),
            Column("VERSION", lambda row: row["properties"].get("jobVersion"), optional=3, right=True),
            Column("MESSAGE", lambda row: row["properties"].get("lastMessage"), optional=2, flexible=True),
        ],
    )


@command(app, "show", example="elastic-jobs execution show nightly 7c0e")
def show(session: Session, job: JobName, run: RunId = None) -> None:
    """A run: its steps, how many targets are in which state, and its errors. The exit code is 0 however it ended."""
    execution = find_run(session.client, job, run)
    found = session.client.get(run_path(job, execution))
    summarize(session, job, execution, Snapshot(run=found, steps=read_steps(session.client, job, execution), seconds=0))


@command(
    app,
    "targets",
    example="""
        elastic-jobs execution targets nightly --failed
        elastic-jobs execution targets nightly 7c0e --step rebuild -o json
    """,
)
def targets(
    session: Session, job: JobName, run: RunId = None, step: StepFilter = None, failed: FailedOnly = False
) -> None:
    """The databases of a run, with how it went on each."""
    execution = find_run(session.client, job, run)
    found = _targets(session, job, execution, step, None, failed=failed)
    session.printer.rows(
        found,
        [
            Column("STEP", lambda row: row["properties"]["stepName"]),
            Column("SERVER", lambda row: row["properties"]["target"]["serverName"], optional=2),
            Column("DATABASE", lambda row: row["properties"]["target"]["databaseName"]),
            Column("STATE", lambda row: row["properties"]["lifecycle"]),
            Column("ATTEMPTS", lambda row: row["properties"].get("currentAttempts"), optional=3, right=True),
            Column("TOOK", lambda row: duration(seconds_of(row)), optional=4, right=True),
            Column("MESSAGE", lambda row: row["properties"].get("lastMessage"), optional=1, flexible=True),
        ],
    )


@command(app, "errors", example="elastic-jobs execution errors nightly")
def errors(session: Session, job: JobName, run: RunId = None) -> None:
    """The errors of a run, grouped by what they have in common, the biggest group first."""
    execution = find_run(session.client, job, run)
    found = list(session.client.pages(f"{run_path(job, execution)}/errors"))
    if session.printer.value(found):
        return
    print_groups(session, found, len(found))
    if not found:
        session.note("No target failed.")


@command(
    app,
    "logs",
    example="""
        elastic-jobs execution logs nightly --failed
        elastic-jobs execution logs nightly 7c0e --database crm
    """,
)
def logs(
    session: Session,
    job: JobName,
    run: RunId = None,
    step: StepFilter = None,
    database: DatabaseFilter = None,
    failed: FailedOnly = False,
    top: Annotated[int, typer.Option(min=1, help="Of how many databases at most.")] = 20,
) -> None:
    """What scripts said: PRINT, errors and row counts of every attempt."""
    execution = find_run(session.client, job, run)
    print_logs(session, job, execution, step=step, database=database, failed=failed, top=top)


@command(app, "watch", example="elastic-jobs execution watch nightly")
def watch(session: Session, job: JobName, run: RunId = None, cancel_on_interrupt: CancelOnInterrupt = False) -> None:
    """Follow a run to its end: 0 succeeded, 1 failed, 3 canceled or timed out."""
    execution = find_run(session.client, job, run)
    finish(session, job, execution, follow(session, job, execution, cancel_on_interrupt=cancel_on_interrupt))


@command(app, "cancel", example="elastic-jobs execution cancel nightly")
def cancel(session: Session, job: JobName, run: RunId = None, watch: Watching = False) -> None:
    """Cancel a run: what runs is stopped, what waits does not begin. A run that has ended stays as it is."""
    execution = find_run(session.client, job, run)
    found = session.client.get(run_path(job, execution))
    if has_ended(found):
        session.note(f"The run {execution} has ended already: {lifecycle_of(found)}.")
    else:
        session.client.post(f"{run_path(job, execution)}/cancel")
        session.note(f"The run {execution} is being canceled.")
    if watch:
        finish(session, job, execution, follow(session, job, execution))


@command(app, "rerun", example="elastic-jobs execution rerun nightly --failed --watch")
def rerun(
    session: Session,
    job: JobName,
    run: RunId = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only on what did not succeed (required).")] = False,
    watch: Watching = False,
    cancel_on_interrupt: CancelOnInterrupt = False,
) -> None:
    """Run a run that has ended again where it did not succeed: same version, same steps, only the databases left."""
    if not failed:
        raise UsageError("Say --failed to run again what did not succeed; to run everywhere use 'job start'.")
    execution = find_run(session.client, job, run)
    found = session.client.post(f"{run_path(job, execution)}/rerun")
    started(session, found, watch=watch, cancel_on_interrupt=cancel_on_interrupt)


def print_logs(
    session: Session, job: str, execution: str, *, step: str | None, database: str | None, failed: bool, top: int
) -> None:
    """Print what scripts said, database by database."""
    found = _targets(session, job, execution, step, database, failed=failed)
    said = [(each, _messages(session, job, execution, each)) for each in found[:top]]
    if session.printer.value([{**target, "messages": messages} for target, messages in said]):
        return
    for target, messages in said:
        properties = target["properties"]
        place = properties["target"]
        name = f"{safe(properties['stepName'])}  {safe(place['serverName'])}/{safe(place['databaseName'])}"
        session.printer.line(Text.assemble((name, "bold"), "  ", styled(properties["lifecycle"])))
        last = None
        for message in messages:
            if message["attempt"] != last and (last is not None or message["attempt"] > 1):
                session.printer.line(f"  attempt {message['attempt']}")
            last = message["attempt"]
            session.printer.line("\n".join(f"    {line}" for line in _said(message).splitlines() or [""]))
        if not messages and properties.get("lastMessage"):
            session.printer.line(f"    {cell(properties['lastMessage'])}")
    if len(found) > top:
        session.note(
            f"{len(found) - top} more databases; see them with --top {len(found)}, or name one with --database."
        )


def _said(message: dict[str, Any]) -> str:
    if message["kind"] == "rowcount":
        count = message.get("rowCount", 0)
        return f"({count} row{'' if count == 1 else 's'} affected)"
    return safe(str(message.get("text", ""))).rstrip()


def _messages(session: Session, job: str, execution: str, target: dict[str, Any]) -> list[dict[str, Any]]:
    where = path("steps", target["properties"]["stepName"], "targets", target["name"], "messages")
    return list(session.client.pages(run_path(job, execution) + where))


def _targets(
    session: Session, job: str, execution: str, step: str | None, database: str | None, *, failed: bool
) -> list[dict[str, Any]]:
    where = run_path(job, execution) + (path("steps", step, "targets") if step else path("targets"))
    found = [
        each
        for each in session.client.pages(where)
        if (not failed or lifecycle_of(each) in _BAD)
        and (database is None or each["properties"]["target"]["databaseName"].casefold() == database.casefold())
    ]
    return sorted(
        found,
        key=lambda each: (
            each["properties"].get("stepId", 0),
            each["properties"]["target"]["serverName"],
            each["properties"]["target"]["databaseName"],
        ),
    )

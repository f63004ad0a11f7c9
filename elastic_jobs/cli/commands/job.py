"""``job``: jobs with their schedule."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from elastic_jobs.cli.client import path
from elastic_jobs.cli.commands.common import CancelOnInterrupt, JobName, Watching, Yes, body_of, refuse_existing
from elastic_jobs.cli.errors import UsageError
from elastic_jobs.cli.following import SHORT_ID, finish, follow
from elastic_jobs.cli.output import Column, moment
from elastic_jobs.cli.runs import job_of, parse_instant, shown
from elastic_jobs.cli.schedules import ONCE, iso_interval, schedule_text
from elastic_jobs.cli.session import Session, command

app = typer.Typer(no_args_is_help=True, help="Jobs: what runs, and when.")

Description = Annotated[str | None, typer.Option(help="What it is for.")]
Every = Annotated[
    str | None,
    typer.Option(help="Repeat: 5m, 1h, 1d, 1w, 1mo or an ISO duration such as PT5M; 'once' for a single run."),
]
Start = Annotated[
    str | None, typer.Option(metavar="INSTANT", help="First run, such as 2026-05-01T08:00:00Z; without it: at once.")
]
End = Annotated[str | None, typer.Option(metavar="INSTANT", help="No run after this.")]


@command(app, "list", example="elastic-jobs job list")
def list_jobs(session: Session) -> None:
    """All jobs."""
    session.printer.rows(
        session.client.pages(path("jobs")),
        [
            Column("NAME", lambda row: row["name"]),
            Column("SCHEDULE", lambda row: schedule_text(row["properties"]["schedule"])),
            Column("NEXT RUN", lambda row: moment(row["properties"].get("nextRunTime")), optional=1),
            Column("VERSION", lambda row: row["properties"]["version"], optional=2, right=True),
            Column("DESCRIPTION", lambda row: row["properties"].get("description"), optional=3, flexible=True),
        ],
    )


@command(app, "show", example="elastic-jobs job show nightly")
def show(session: Session, job: JobName) -> None:
    """A job with its schedule and its steps."""
    found = session.client.get(path("jobs", job))
    steps = list(session.client.pages(path("jobs", job, "steps")))
    _print(session, found, [f"{each['properties']['stepId']} {each['name']}" for each in steps])


@command(
    app,
    "create",
    example="""
        elastic-jobs job create nightly --every 1d --start 2026-05-01T01:00:00Z --enable
        elastic-jobs job create cleanup
    """,
)
def create(
    session: Session,
    job: JobName,
    description: Description = None,
    every: Every = None,
    start: Start = None,
    end: End = None,
    enable: Annotated[bool, typer.Option("--enable", help="Run by its schedule; without it only by hand.")] = False,
) -> None:
    """Create a job. Steps are added with 'step create'."""
    known = f"There is a job '{job}' already; change it with: elastic-jobs job update {shown(job)}"
    refuse_existing(session.client, path("jobs", job), known)
    schedule = {**_schedule(every, start, end), "enabled": enable}
    found = session.client.put(path("jobs", job), {"properties": {"description": description, "schedule": schedule}})
    _print(session, found)
    session.note(f"Now give it a step: elastic-jobs step create {shown(job)} STEP --script FILE --targets GROUP")


@command(
    app,
    "update",
    example="""
        elastic-jobs job update nightly --every 12h
        elastic-jobs job update nightly --description ""
    """,
)
def update(
    session: Session,
    job: JobName,
    description: Description = None,
    every: Every = None,
    start: Start = None,
    end: End = None,
) -> None:
    """Change description or schedule; what is not named stays."""
    if description is None and every is None and start is None and end is None:
        raise UsageError("Nothing is to be changed; name --description, --every, --start or --end.")
    _print(
        session,
        _change(
            session, job, {} if description is None else {"description": description}, _schedule(every, start, end)
        ),
    )


@command(app, "enable", example="elastic-jobs job enable nightly")
def enable(session: Session, job: JobName) -> None:
    """Let the schedule start the job."""
    found = _change(session, job, {}, {"enabled": True})
    next_run = moment(found["properties"].get("nextRunTime")) or "not planned"
    session.note(f"The schedule of '{job}' is on; next run: {next_run}.")
    session.printer.value(found)


@command(app, "disable", example="elastic-jobs job disable nightly")
def disable(session: Session, job: JobName) -> None:
    """Stop the schedule from starting the job. It can still be started by hand; what runs goes on."""
    found = _change(session, job, {}, {"enabled": False})
    session.note(f"The schedule of '{job}' is off.")
    session.printer.value(found)


@command(app, "delete", example="elastic-jobs job delete cleanup --yes")
def delete(
    session: Session,
    job: JobName,
    force: Annotated[bool, typer.Option("--force", help="Also while it runs: its runs are canceled.")] = False,
    yes: Yes = False,
) -> None:
    """Delete a job with its steps and its history."""
    found = session.client.get(path("jobs", job))
    session.confirm(f"Delete the job '{found['name']}' with its history?", yes=yes)
    session.client.delete(path("jobs", job), force="true" if force else None)
    session.note(f"The job '{found['name']}' is deleted.")


@command(
    app,
    "start",
    example="""
        elastic-jobs job start nightly --watch
        elastic-jobs job start nightly -o json
    """,
)
def start(
    session: Session, job: JobName, watch: Watching = False, cancel_on_interrupt: CancelOnInterrupt = False
) -> None:
    """Start a job now. With --watch: 0 succeeded, 1 failed, 3 canceled or timed out."""
    found = session.client.post(path("jobs", job, "start"))
    started(session, found, watch=watch, cancel_on_interrupt=cancel_on_interrupt)


@command(app, "versions", example="elastic-jobs job versions nightly")
def versions(session: Session, job: JobName) -> None:
    """The versions of a job; every change of a step makes one."""
    session.printer.rows(
        session.client.pages(path("jobs", job, "versions")), [Column("VERSION", lambda row: row["name"])]
    )


@command(
    app,
    "next",
    example="""
        elastic-jobs job next nightly
        elastic-jobs job next planned --every 1mo --start 2026-01-31T00:00:00Z
    """,
)
def preview(
    session: Session,
    job: JobName,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 10,
    every: Every = None,
    start: Start = None,
    end: End = None,
) -> None:
    """When the schedule starts the job next.

    With --every or --start: when such a schedule would, before it is saved.
    """
    wanted = _schedule(every, start, end)
    found = session.client.get(path("jobs", job, "preview"), count=count, **wanted)
    session.printer.rows([{"time": each} for each in found["value"]], [Column("NEXT", lambda row: moment(row["time"]))])


def started(session: Session, found: dict[str, Any], *, watch: bool, cancel_on_interrupt: bool) -> None:
    """Tell of a run that was started, or follow it."""
    job, execution = job_of(found), str(found["name"])
    if watch:
        finish(session, job, execution, follow(session, job, execution, cancel_on_interrupt=cancel_on_interrupt))
    if not session.printer.value(found):
        session.printer.line(execution)
    session.note(f"Watch it: elastic-jobs execution watch {shown(job)} {execution[:SHORT_ID]}")


def _schedule(every: str | None, start: str | None, end: str | None) -> dict[str, Any]:
    """The properties of a schedule that were named."""
    found: dict[str, Any] = {}
    if every is not None and every.casefold() == ONCE:
        found["type"] = "Once"
    elif every is not None:
        found |= {"type": "Recurring", "interval": iso_interval(every)}
    if start is not None:
        found["startTime"] = parse_instant(start).isoformat()
    if end is not None:
        found["endTime"] = parse_instant(end).isoformat()
    return found


def _change(session: Session, job: str, properties: dict[str, Any], schedule: dict[str, Any]) -> dict[str, Any]:
    current = body_of(session.client.get(path("jobs", job)))
    merged = {**current["schedule"], **schedule}
    if merged.get("type") == "Once":
        merged.pop("interval", None)
    body = {"description": current.get("description"), **properties, "schedule": merged}
    return session.client.put(path("jobs", job), {"properties": body})


def _print(session: Session, job: dict[str, Any], steps: list[str] | None = None) -> None:
    properties = job["properties"]
    schedule = properties["schedule"]
    session.printer.fields(
        job,
        [
            ("name", job["name"]),
            ("description", properties.get("description")),
            ("version", properties["version"]),
            ("schedule", schedule_text(schedule)),
            ("start", moment(schedule.get("startTime"))),
            ("end", moment(schedule.get("endTime"))),
            ("next run", moment(properties.get("nextRunTime"))),
            ("steps", "\n".join(steps or [])),
            ("changed by", (job.get("systemData") or {}).get("lastModifiedBy")),
        ],
    )

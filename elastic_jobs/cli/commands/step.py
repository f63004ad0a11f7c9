"""``step``: what a job does, in which order, on which databases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from elastic_jobs.cli.client import path
from elastic_jobs.cli.commands.common import JobName, StepName, Yes, body_of, completing, read_text, refuse_existing
from elastic_jobs.cli.errors import UsageError
from elastic_jobs.cli.output import Column
from elastic_jobs.cli.runs import name_of, shown
from elastic_jobs.cli.session import Session, command

app = typer.Typer(no_args_is_help=True, help="The steps of a job.")
_OUTPUT, _RETRY = "Where results go", "Time and retries"

Script = Annotated[str | None, typer.Option("--script", metavar="FILE", help="File of the script; - for stdin.")]
Targets = Annotated[
    str | None,
    typer.Option("--targets", metavar="GROUP", help="Target group.", autocompletion=completing("targetGroups")),
]
Credential = Annotated[
    str | None,
    typer.Option("--credential", metavar="NAME", help="Credential; none where the agent has an identity."),
]
Number = Annotated[int | None, typer.Option("--id", min=1, help="Place among the steps; without it: the last.")]
OutServer = Annotated[
    str | None, typer.Option("--output-server", metavar="SERVER", help="Server of results.", rich_help_panel=_OUTPUT)
]
OutDatabase = Annotated[
    str | None, typer.Option("--output-database", metavar="NAME", help="Database of results.", rich_help_panel=_OUTPUT)
]
OutTable = Annotated[
    str | None,
    typer.Option("--output-table", metavar="[SCHEMA.]TABLE", help="Table of results.", rich_help_panel=_OUTPUT),
]
OutCredential = Annotated[
    str | None,
    typer.Option("--output-credential", metavar="NAME", help="Credential of results.", rich_help_panel=_OUTPUT),
]
Timeout = Annotated[
    int | None, typer.Option("--timeout", min=1, metavar="SECONDS", help="Of one attempt.", rich_help_panel=_RETRY)
]
Retries = Annotated[int | None, typer.Option("--retries", min=0, help="After a failure.", rich_help_panel=_RETRY)]
Parallel = Annotated[
    int | None,
    typer.Option("--max-parallelism", min=1, help="Databases of an elastic pool at once.", rich_help_panel=_RETRY),
]
Version = Annotated[int | None, typer.Option("--version", min=0, help="Of an old version of the job.")]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the options of a step name; None for what they do not."""

    script: str | None
    targets: str | None
    credential: str | None
    number: int | None = None
    server: str | None = None
    database: str | None = None
    table: str | None = None
    output_credential: str | None = None
    timeout: int | None = None
    retries: int | None = None
    parallel: int | None = None

    def properties(self, current: dict[str, Any]) -> dict[str, Any]:
        """The properties of the step, over those that it has now.

        Raises:
            UsageError: the script cannot be read, or the output is only half named.
        """
        found = dict(current)
        named = {
            "targetGroup": self.targets,
            "credential": self.credential,
            "stepId": self.number,
            "maxParallelism": self.parallel,
        }
        found |= {key: value for key, value in named.items() if value is not None}
        if self.script is not None:
            found["action"] = {"value": read_text(self.script)}
        options = {"timeoutSeconds": self.timeout, "retryAttempts": self.retries}
        options = {key: value for key, value in options.items() if value is not None}
        if options:
            found["executionOptions"] = {**found.get("executionOptions", {}), **options}
        output = self._output(found.get("output") or {})
        return {**found, "output": output} if output else found

    def _output(self, current: dict[str, Any]) -> dict[str, Any]:
        if not (self.server or self.database or self.table or self.output_credential):
            return current
        schema, _, table = (self.table or "").rpartition(".")
        named = {
            "serverName": self.server,
            "databaseName": self.database,
            "schemaName": schema,
            "tableName": table,
            "credential": self.output_credential,
        }
        found = {**current, **{key: value for key, value in named.items() if value}}
        missing = [
            option
            for key, option in (
                ("serverName", "--output-server"),
                ("databaseName", "--output-database"),
                ("tableName", "--output-table"),
            )
            if not found.get(key)
        ]
        if missing:
            raise UsageError(f"Results need a server, a database and a table; name {' and '.join(missing)} too.")
        return found


@command(app, "list", example="elastic-jobs step list nightly")
def list_steps(session: Session, job: JobName, version: Version = None) -> None:
    """The steps of a job, in their order."""
    session.printer.rows(
        session.client.pages(_steps(job, version)),
        [
            Column("ID", lambda row: row["properties"]["stepId"], right=True),
            Column("NAME", lambda row: row["name"]),
            Column("TARGETS", lambda row: name_of(row["properties"]["targetGroup"])),
            Column("CREDENTIAL", lambda row: name_of(row["properties"].get("credential")), optional=2),
            Column(
                "RETRIES", lambda row: row["properties"]["executionOptions"]["retryAttempts"], optional=3, right=True
            ),
            Column("RESULTS", lambda row: _output_text(row["properties"]), optional=4),
            Column("SCRIPT", lambda row: row["properties"]["action"]["value"][:200], optional=1, flexible=True),
        ],
    )


@command(app, "show", example="elastic-jobs step show nightly rebuild")
def show(session: Session, job: JobName, step: StepName, version: Version = None) -> None:
    """A step with its script."""
    _print(session, session.client.get(_steps(job, version) + path(step)))


@command(
    app,
    "create",
    example="""
        elastic-jobs step create nightly rebuild --script rebuild.sql --targets customers
        elastic-jobs step create report sizes --script sizes.sql --targets customers \\
            --output-server reports --output-database results --output-table Sizes
    """,
)
def create(
    session: Session,
    job: JobName,
    step: StepName,
    script: Script = None,
    targets: Targets = None,
    credential: Credential = None,
    number: Number = None,
    output_server: OutServer = None,
    output_database: OutDatabase = None,
    output_table: OutTable = None,
    output_credential: OutCredential = None,
    timeout: Timeout = None,
    retries: Retries = None,
    max_parallelism: Parallel = None,
) -> None:
    """Add a step to a job. Without --retries and --timeout: 10 retries, 12 hours."""
    if script is None or targets is None:
        raise UsageError("A step needs --script FILE and --targets GROUP.")
    known = f"The job '{job}' has a step '{step}' already; change it with 'step update'."
    refuse_existing(session.client, path("jobs", job, "steps", step), known)
    wanted = Wanted(
        script=script,
        targets=targets,
        credential=credential,
        number=number,
        server=output_server,
        database=output_database,
        table=output_table,
        output_credential=output_credential,
        timeout=timeout,
        retries=retries,
        parallel=max_parallelism,
    )
    found = session.client.put(path("jobs", job, "steps", step), {"properties": wanted.properties({})})
    _print(session, found)
    session.note(f"Run it: elastic-jobs job start {shown(job)} --watch")


@command(
    app,
    "update",
    example="""
        elastic-jobs step update nightly rebuild --script rebuild.sql
        elastic-jobs step update nightly rebuild --retries 2 --timeout 600
        elastic-jobs step update report sizes --no-output
    """,
)
def update(
    session: Session,
    job: JobName,
    step: StepName,
    script: Script = None,
    targets: Targets = None,
    credential: Credential = None,
    number: Number = None,
    output_server: OutServer = None,
    output_database: OutDatabase = None,
    output_table: OutTable = None,
    output_credential: OutCredential = None,
    no_output: Annotated[bool, typer.Option("--no-output", help="Keep no results.", rich_help_panel=_OUTPUT)] = False,
    timeout: Timeout = None,
    retries: Retries = None,
    max_parallelism: Parallel = None,
) -> None:
    """Change a step, which makes a new version of the job; what is not named stays. Runs under way keep theirs."""
    wanted = Wanted(
        script=script,
        targets=targets,
        credential=credential,
        number=number,
        server=output_server,
        database=output_database,
        table=output_table,
        output_credential=output_credential,
        timeout=timeout,
        retries=retries,
        parallel=max_parallelism,
    )
    current = body_of(session.client.get(path("jobs", job, "steps", step)))
    if no_output:
        current.pop("output", None)
    _print(session, session.client.put(path("jobs", job, "steps", step), {"properties": wanted.properties(current)}))


@command(app, "delete", example="elastic-jobs step delete nightly rebuild --yes")
def delete(session: Session, job: JobName, step: StepName, yes: Yes = False) -> None:
    """Take a step out of a job, which makes a new version of it."""
    session.client.get(path("jobs", job, "steps", step))
    session.confirm(f"Take the step '{step}' out of the job '{job}'?", yes=yes)
    session.client.delete(path("jobs", job, "steps", step))
    session.note(f"The job '{job}' has no step '{step}' any more.")


def _steps(job: str, version: int | None) -> str:
    return path("jobs", job, "steps") if version is None else path("jobs", job, "versions", version, "steps")


def _output_text(properties: dict[str, Any]) -> str:
    output = properties.get("output")
    if not output:
        return ""
    return f"{output['serverName']}/{output['databaseName']} {output['schemaName']}.{output['tableName']}"


def _print(session: Session, step: dict[str, Any]) -> None:
    properties = step["properties"]
    options = properties["executionOptions"]
    session.printer.fields(
        step,
        [
            ("name", step["name"]),
            ("id", properties["stepId"]),
            ("targets", name_of(properties["targetGroup"])),
            ("credential", name_of(properties.get("credential"))),
            ("results", _output_text(properties)),
            ("timeout", f"{options['timeoutSeconds']} s"),
            ("retries", _retries(options)),
            ("max parallelism", properties.get("maxParallelism")),
            ("script", properties["action"]["value"]),
        ],
    )


def _retries(options: dict[str, Any]) -> str:
    if not options["retryAttempts"]:
        return "none"
    return (
        f"{options['retryAttempts']}, after {options['initialRetryIntervalSeconds']} s, "
        f"times {options['retryIntervalBackoffMultiplier']:g}, at most {options['maximumRetryIntervalSeconds']} s"
    )

"""``doctor``: finds what is wrong with a set-up."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
import typer
from rich.text import Text

from elastic_jobs.cli import doctor
from elastic_jobs.cli.client import Client, path
from elastic_jobs.cli.doctor import Estate, Finding, Level
from elastic_jobs.cli.errors import ApiError, CliError, ExitCode, NoAccess, Unreachable
from elastic_jobs.cli.output import safe, styled
from elastic_jobs.cli.runs import name_of
from elastic_jobs.cli.session import Session, command
from elastic_jobs.cli.tokens import claims_of, token_source

_PREFLIGHT_SECONDS = 120


def register(root: typer.Typer) -> None:
    """Add the command."""
    command(
        root,
        "doctor",
        example="""
            elastic-jobs doctor
            elastic-jobs doctor --preflight -o json
        """,
    )(examine)


def examine(
    session: Session,
    preflight: Annotated[
        bool, typer.Option("--preflight", help="Try out the databases of all groups that steps use, too.")
    ] = False,
) -> None:
    """Find what is wrong with a set-up and say the way out: 1 when something does not work, 4 without access."""
    findings: list[Finding] = []
    access = True
    people = session.printer.form.value == "table"
    try:
        for finding in _findings(session, preflight=preflight):
            findings.append(finding)
            if people:
                _print(session, finding)
    except NoAccess as error:
        access = False
        _last(session, findings, doctor.problem("token", str(error), "Sign in anew: elastic-jobs login"), people=people)
    except CliError as error:
        way = "Check the endpoint (elastic-jobs context show) and whether the app runs."
        _last(session, findings, doctor.problem("endpoint", str(error), way), people=people)
    session.printer.value(
        [
            {"level": each.level.value, "check": each.check, "found": each.found, "wayOut": each.way_out}
            for each in findings
        ]
    )
    problems = sum(each.level is Level.PROBLEM for each in findings)
    warnings = sum(each.level is Level.WARNING for each in findings)
    session.note(f"{problems} problems, {warnings} warnings.")
    if not access:
        raise typer.Exit(ExitCode.NO_ACCESS)
    if problems:
        raise typer.Exit(ExitCode.FAILED)


def _findings(session: Session, *, preflight: bool) -> Iterator[Finding]:
    context = session.context()
    health = _Health(context.endpoint)
    yield doctor.ok("endpoint", f"{context.endpoint} answers")
    yield doctor.check_tls(context.endpoint, health.certificate_ends, datetime.now(UTC))
    yield doctor.check_clock(health.date, datetime.now(UTC))
    yield from health.findings()
    if health.refused is not None:
        return  # without its job database the API answers nothing else
    token = token_source(context)()
    agent = session.client.agent()
    yield from doctor.check_token(claims_of(token), datetime.now(UTC))
    estate = _estate(session.client, agent)
    yield from doctor.check_agent(estate)
    if agent is None:
        return
    yield from doctor.check_groups(estate)
    yield from doctor.check_jobs(estate)
    yield from doctor.check_motion(estate)
    if preflight:
        yield from _preflights(session.client, estate)


class _Health:
    """What the endpoint answers to anybody."""

    def __init__(self, endpoint: str) -> None:
        self.body: dict[str, Any] = {}
        self.refused: ApiError | None = None
        self.date: str | None = None
        self.certificate_ends: datetime | None = None
        with Client(endpoint, None, sleep=lambda _: None) as client:
            try:
                self.body, answer = client.outside("/health")
            except ApiError as error:
                self.refused = error
                return
            self.date = answer.headers.get("Date")
            self.certificate_ends = _certificate_ends(answer)

    def findings(self) -> Iterator[Finding]:
        if self.refused is None:
            yield from doctor.check_health(self.body)
            return
        way = "See the app's log; check JOB_DATABASE_URL, the firewall, and run 'python -m elastic_jobs.jobdb upgrade'."
        yield doctor.problem("job database", str(self.refused), way)


def _certificate_ends(answer: httpx.Response) -> datetime | None:
    stream = answer.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    # An object of OpenSSL's own, whose type has no public name.
    certificate = tls.getpeercert() if tls is not None else None
    ends = (certificate or {}).get("notAfter")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC) if isinstance(ends, str) else None


def _estate(client: Client, agent: dict[str, Any] | None) -> Estate:
    now = datetime.now(UTC)
    if agent is None:
        return Estate(now=now, agent=None)
    jobs = list(client.pages(path("jobs")))
    return Estate(
        now=now,
        agent=agent,
        groups=list(client.pages(path("targetGroups"))),
        jobs=jobs,
        credentials=list(client.pages(path("credentials"))),
        steps={str(job["name"]): _steps(client, str(job["name"])) for job in jobs},
        active=list(client.pages(path("executions"), isActive="true")),
    )


def _steps(client: Client, job: str) -> list[dict[str, Any]]:
    try:
        return list(client.pages(path("jobs", job, "steps")))
    except ApiError as error:
        if error.status != 404:  # deleted in the meantime
            raise
        return []


def _preflights(client: Client, estate: Estate) -> Iterator[Finding]:
    """Each group once for each credential that steps use on it."""
    wanted = {
        (name_of(step["properties"]["targetGroup"]), name_of(step["properties"].get("credential")))
        for steps in estate.steps.values()
        for step in steps
    }
    for group, credential in sorted(wanted):
        body = {"credential": credential or None, "timeLimitSeconds": _PREFLIGHT_SECONDS}
        try:
            answer = client.post(path("targetGroups", group, "preflight"), body)
        except (ApiError, NoAccess, Unreachable) as error:
            yield doctor.problem("preflight", f"'{group}' could not be tried out", str(error))
        else:
            yield from doctor.check_preflight(group, answer)


def _last(session: Session, findings: list[Finding], finding: Finding, *, people: bool) -> None:
    findings.append(finding)
    if people:
        _print(session, finding)


def _print(session: Session, finding: Finding) -> None:
    level = styled(finding.level.value)
    level.pad_right(9 - len(level))
    session.printer.hanging(level, Text(f"{finding.check}: {safe(finding.found)}"))
    if finding.way_out:
        session.printer.hanging(Text(" " * 9), Text(safe(finding.way_out), style="bold"))

"""Finds what is wrong with a set-up, and says the way out.

Each check looks at one thing and yields findings. What a check needs from the API is read once (``Estate``), so that
the checks are pure. When the endpoint does not answer, or lets nobody in, the checks behind it are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

from elastic_jobs.cli.runs import name_of, parse_instant, shown

CLOCK_TOLERANCE = timedelta(seconds=60)
LATE = timedelta(minutes=2)
"""A due job, or a run that has not begun, this late: the agent's timer or queues stand still. A tick is 10 s."""
TOKEN_SOON = timedelta(minutes=5)
CERTIFICATE_SOON = timedelta(days=14)
_ROLES = ("Reader", "Operator", "Contributor", "CredentialAdmin")


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check found. way_out: what to do; empty when all is well."""

    level: Level
    check: str
    found: str
    way_out: str = ""


@dataclass(frozen=True, kw_only=True)
class Estate:
    """What the API says, as far as it was let known. steps: by job. None: it was not asked or refused."""

    now: datetime
    agent: Mapping[str, Any] | None
    groups: Sequence[Mapping[str, Any]] = ()
    jobs: Sequence[Mapping[str, Any]] = ()
    credentials: Sequence[Mapping[str, Any]] = ()
    steps: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    active: Sequence[Mapping[str, Any]] = ()


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(level=Level.OK, check=check, found=found)


def warning(check: str, found: str, way_out: str) -> Finding:
    """It works, but not as one would think."""
    return Finding(level=Level.WARNING, check=check, found=found, way_out=way_out)


def problem(check: str, found: str, way_out: str) -> Finding:
    """It does not work."""
    return Finding(level=Level.PROBLEM, check=check, found=found, way_out=way_out)


def check_health(health: Mapping[str, Any]) -> Iterator[Finding]:
    """The job database, and what else ``/health`` tells of the inside."""
    yield ok("job database", "it answers")
    for name, value in health.items():
        if name != "status":
            yield ok("health", f"{name}: {value}")


def check_tls(endpoint: str, expires: datetime | None, now: datetime) -> Finding:
    """Whether the connection is encrypted, and for how long its certificate is good."""
    if endpoint.startswith("http:"):
        return ok("tls", "plain http, to this machine only")
    if expires is not None and expires - now < CERTIFICATE_SOON:
        days = (expires - now).days
        return warning("tls", f"the certificate is good for {days} more days", "Renew the endpoint's certificate.")
    until = f" until {expires:%Y-%m-%d}" if expires else ""
    return ok("tls", f"the certificate is verified{until}")


def check_clock(date: str | None, now: datetime) -> Finding:
    """How far this machine's clock is from the endpoint's."""
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return warning(
            "clock", "the endpoint tells no time", "Nothing to do, unless tokens are refused as not yet valid."
        )
    difference = now - theirs.replace(tzinfo=theirs.tzinfo or UTC)
    seconds = round(difference.total_seconds())
    if abs(difference) > CLOCK_TOLERANCE:
        way = "Set the clock of this machine (or of the endpoint): tokens are refused when clocks differ."
        return problem("clock", f"this machine is {abs(seconds)} s {'ahead' if seconds > 0 else 'behind'}", way)
    return ok("clock", f"{abs(seconds)} s apart")


def check_token(claims: Mapping[str, Any], now: datetime) -> Iterator[Finding]:
    """Until when the token is good, and what its roles let one do."""
    if not claims:
        yield warning("token", "it is accepted, but cannot be read here", "Nothing to do.")
        return
    roles = [role for role in _ROLES if role in (claims.get("roles") or [])]
    missing = [role for role in _ROLES if role not in roles]
    if not roles:
        way = "Give the caller a role of the app registration: Reader, Operator, Contributor or CredentialAdmin."
        yield problem("roles", "the token has none", way)
    else:
        text = ", ".join(roles) + (f" (not: {', '.join(missing)})" if missing else "")
        yield ok("roles", text)
    expires = claims.get("exp")
    if not isinstance(expires, (int, float)):
        yield warning("token", "it tells no end", "Nothing to do.")
        return
    left = datetime.fromtimestamp(expires, UTC) - now
    if left < TOKEN_SOON:
        yield warning(
            "token", f"it ends in {max(0, round(left.total_seconds()))} s", "Sign in anew: elastic-jobs login"
        )
    else:
        yield ok("token", f"good for {_span(left)}")


def check_agent(estate: Estate) -> Iterator[Finding]:
    """Whether there is an agent, and as whom it comes to the targets."""
    if estate.agent is None:
        way = "Create it: elastic-jobs agent create NAME --location LOCATION"
        yield problem("agent", "there is none, so nothing can be defined", way)
        return
    yield ok("agent", f"'{estate.agent['name']}', {estate.agent['sku']['capacity']} targets at once")
    if estate.agent.get("identity"):
        yield ok("sign-in to targets", "with the agent's identity")
    elif estate.credentials:
        yield ok("sign-in to targets", f"with credentials ({len(estate.credentials)} there)")
    else:
        way = "Make one: elastic-jobs credential set NAME --username USER; or: elastic-jobs agent update --identity ID"
        yield problem("sign-in to targets", "the agent has neither an identity nor a credential", way)


def check_groups(estate: Estate) -> Iterator[Finding]:
    """Members, and the credentials that they name."""
    known = {str(each["name"]).casefold() for each in estate.credentials}
    wrong = False
    for group in estate.groups:
        name, members = str(group["name"]), group["properties"]["members"]
        if not any(member["membershipType"] == "Include" for member in members):
            wrong = True
            way = f"Add some: elastic-jobs group members add {shown(name)} --server SERVER"
            yield warning("groups", f"'{name}' includes nothing; its steps run nowhere", way)
        used = {name_of(each["refreshCredential"]) for each in members if each.get("refreshCredential")}
        for credential in sorted(each for each in used if each.casefold() not in known):
            wrong = True
            way = f"Make it: elastic-jobs credential set {shown(credential)} --username USER"
            yield problem("groups", f"'{name}' names the credential '{credential}', which is not there", way)
    if estate.groups and not wrong:
        yield ok("groups", f"{len(estate.groups)}, each with members and known credentials")
    elif not estate.groups:
        yield warning("groups", "there is none", "Make one: elastic-jobs group create NAME")


def check_jobs(estate: Estate) -> Iterator[Finding]:
    """Steps, as whom they run, and schedules that will never start anything."""
    findings = [found for job in estate.jobs for found in _check_job(estate, job)]
    yield from findings
    if not estate.jobs:
        yield warning("jobs", "there is none", "Make one: elastic-jobs job create NAME")
    elif not findings:
        yield ok("jobs", f"{len(estate.jobs)}, each with steps that can sign in")


def _check_job(estate: Estate, job: Mapping[str, Any]) -> Iterator[Finding]:
    name, schedule = str(job["name"]), job["properties"]["schedule"]
    steps = estate.steps.get(name, ())
    if not steps:
        way = f"Add one: elastic-jobs step create {shown(name)} STEP --script FILE --targets GROUP"
        yield warning("jobs", f"'{name}' has no step and cannot be started", way)
    known = {str(each["name"]).casefold() for each in estate.credentials}
    by_identity = bool((estate.agent or {}).get("identity"))
    for step in steps:
        credential = name_of(step["properties"].get("credential"))
        where = f"elastic-jobs step update {shown(name)} {shown(str(step['name']))}"
        if not credential and not by_identity:
            text = f"the step '{step['name']}' of '{name}' has no credential, and the agent no identity"
            yield problem("jobs", text, f"Give it one: {where} --credential NAME")
        elif credential and not by_identity and credential.casefold() not in known:
            text = f"the step '{step['name']}' of '{name}' names the credential '{credential}', which is not there"
            yield problem("jobs", text, f"Make it: elastic-jobs credential set {shown(credential)} --username USER")
    if schedule.get("enabled") and parse_instant(schedule["endTime"]) < estate.now:
        way = f"Move its end: elastic-jobs job update {shown(name)} --end INSTANT; or disable it."
        yield warning("jobs", f"the schedule of '{name}' is on, but ended at {schedule['endTime']}", way)


def check_motion(estate: Estate) -> Iterator[Finding]:
    """Whether what is due gets done: the timer by overdue jobs, the queues by runs that do not begin."""
    way = (
        "Look at the app's log and at its functions 'tick', 'expand_step' and 'run_target'; the app must run, and "
        "reach its storage account."
    )
    stuck = False
    for job in estate.jobs:
        due = job["properties"].get("nextRunTime")
        if due and job["properties"]["schedule"].get("enabled") and estate.now - parse_instant(due) > LATE:
            stuck = True
            yield problem("timer", f"'{job['name']}' was due at {due} and has not been started", way)
    for run in estate.active:
        properties = run["properties"]
        waited = estate.now - parse_instant(properties["createTime"])
        if properties["lifecycle"] == "Created" and waited > LATE:
            stuck = True
            yield problem("queues", f"the run {run['name']} was started {_span(waited)} ago and has not begun", way)
    if not stuck:
        yield ok("timer and queues", f"nothing is overdue; {len(estate.active)} runs under way")


def check_preflight(group: str, answer: Mapping[str, Any]) -> Iterator[Finding]:
    """What a preflight of a group found."""
    for failure in answer["failures"]:
        yield problem("preflight", f"'{group}': the {failure['what']} could not be asked", str(failure["error"]))
    for target in answer["targets"]:
        place = f"'{group}': {target['serverName']}/{target['databaseName']}"
        for check in target["checks"]:
            if check["status"] == "failed":
                yield problem("preflight", f"{place} fails at {check['check']}", str(check["message"]))
            elif check["status"] == "warning":
                yield warning("preflight", f"{place}, {check['check']}", str(check["message"]))
    if answer["ready"]:
        yield ok("preflight", f"'{group}': {len(answer['targets'])} databases are ready")


def _span(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} days"

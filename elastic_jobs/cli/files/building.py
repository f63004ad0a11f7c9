"""From what was read to definitions: rules that go over more than one key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from elastic_jobs.cli.files.model import GroupDefinition, JobDefinition, describe, key
from elastic_jobs.cli.files.nodes import Entry
from elastic_jobs.cli.files.problems import Problem
from elastic_jobs.domain.durations import parse_duration
from elastic_jobs.domain.model import Output, StepDefinition
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.domain.schedule import DEFAULT_END, DEFAULT_START, IntervalType, Schedule
from elastic_jobs.domain.targets import Member, MembershipType, TargetType

_REQUIRED = {
    TargetType.SQL_SERVER: frozenset[str](),
    TargetType.SQL_DATABASE: frozenset({"databaseName"}),
    TargetType.SQL_ELASTIC_POOL: frozenset({"elasticPoolName"}),
    TargetType.SQL_SHARD_MAP: frozenset({"databaseName", "shardMapName"}),
}
"""Which names a member of each type has beside the server's; the others must be absent."""
_NAMES = ("databaseName", "elasticPoolName", "shardMapName")

ReadScript = Callable[[str, "Reporter", int], str | None]
"""Takes a script's path, and where it is named; None when it cannot be read, which then was reported."""


class Reporter:
    """Notes the problems of one file."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file, self._problems = file, problems

    def report(self, line: int, reason: str) -> None:
        """Note one problem."""
        self._problems.append(Problem(self.file, line, reason))

    def checked_name(self, what: str, name: str | None, line: int) -> str | None:
        """The name, or None when no definition can be called so."""
        if name is None:
            return None
        if name != name.strip():
            self.report(line, f"The name '{name}' begins or ends with a blank; remove it.")
        elif name in {".", ".."} or (what == "job" and "%" in name):
            self.report(line, f"A {what} cannot be called '{name}'.")
        else:
            return name
        return None


def build_group(name: str, entry: Entry, reporter: Reporter) -> GroupDefinition:
    """The target group in a document."""
    members: list[Member] = []
    seen: dict[tuple[str | None, ...], int] = {}
    for item in entry.get("members", []):
        member = _member(item, reporter)
        if member is None:
            continue
        own = (member.server_name, member.database_name, member.elastic_pool_name, member.shard_map_name)
        twin = (member.membership_type, member.target_type, *(text and text.casefold() for text in own))
        earlier = seen.setdefault(twin, item.line)
        if earlier != item.line:
            reporter.report(item.line, f"The member {describe(member)} stands in line {earlier}, too; leave one out.")
        members.append(member)
    return GroupDefinition(name=name, members=tuple(members))


def _member(entry: Entry, reporter: Reporter) -> Member | None:
    kind, server = entry.get("type"), entry.get("serverName")
    if kind is None or server is None:
        return None
    target_type = TargetType(kind)
    for name in _NAMES:
        given, needed = name in entry.lines, name in _REQUIRED[target_type]
        if needed and not given:
            reporter.report(entry.line, f"The member has no '{name}'; a {kind} needs one.")
        elif given and not needed:
            reporter.report(entry.at(name), f"The member has a '{name}'; leave it out of a {kind}.")
    return Member(
        target_type=target_type,
        server_name=server,
        membership_type=MembershipType(entry.get("membershipType", MembershipType.INCLUDE)),
        database_name=entry.get("databaseName"),
        elastic_pool_name=entry.get("elasticPoolName"),
        shard_map_name=entry.get("shardMapName"),
        refresh_credential_name=entry.get("refreshCredential"),
    )


def build_job(name: str, entry: Entry, reporter: Reporter, groups: set[str], script: ReadScript) -> JobDefinition:
    """The job in a document. ``groups``: what makes the names of the target groups that are defined the same."""
    steps: list[StepDefinition] = []
    taken: dict[str, int] = {}
    for item in entry.get("steps", []):
        step = _step(item, reporter, groups, script)
        if step is None:
            continue
        earlier = taken.setdefault(key(step.name), item.at("name"))
        if earlier != item.at("name"):
            reporter.report(item.at("name"), f"The step '{step.name}' stands in line {earlier}, too; rename one.")
        steps.append(step)
    schedule = entry.get("schedule")
    return JobDefinition(
        name=name,
        description=entry.get("description", ""),
        schedule=Schedule() if schedule is None else _schedule(schedule, reporter),
        steps=tuple(steps),
    )


def _schedule(entry: Entry, reporter: Reporter) -> Schedule:
    kind, count = IntervalType.ONCE, 1
    if "interval" in entry.values:
        try:
            kind, count = parse_duration(entry.get("interval"))
        except ValueError as error:
            reporter.report(entry.at("interval"), str(error))
    start = _instant(entry, "startTime", DEFAULT_START, reporter)
    end = _instant(entry, "endTime", DEFAULT_END, reporter)
    start = start if start.year > 1 else DEFAULT_START
    if end < start:
        reporter.report(entry.at("endTime"), "The schedule ends before it starts.")
    return Schedule(
        interval_type=kind, interval_count=count, start_time=start, end_time=end, enabled=entry.get("enabled", False)
    )


def _instant(entry: Entry, name: str, default: datetime, reporter: Reporter) -> datetime:
    text: str | None = entry.get(name)
    if text is None:
        return default
    try:
        return parse_instant(text)
    except (ValueError, OverflowError):
        reporter.report(entry.at(name), f"'{name}' is no instant of the calendar: '{text}'.")
        return default


def parse_instant(text: str) -> datetime:
    """An instant in UTC; without a zone it is UTC already.

    Raises:
        ValueError, OverflowError: it is none, or none that exists in UTC.
    """
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        return found.replace(tzinfo=UTC)
    try:
        return found.astimezone(UTC)
    except OverflowError:
        if found.year == 1:  # it means that there is none
            return DEFAULT_START
        raise


def _step(entry: Entry, reporter: Reporter, groups: set[str], script: ReadScript) -> StepDefinition | None:
    name = reporter.checked_name("step", entry.get("name"), entry.at("name"))
    group: str | None = entry.get("targetGroup")
    if group is not None and key(group) not in groups:
        reporter.report(entry.at("targetGroup"), f"There is no target group '{group}' in the files.")
    command: str | None = entry.get("sql")
    if "script" in entry.values:
        command = script(entry.get("script"), reporter, entry.at("script"))
    retry, timeout = _options(entry.get("executionOptions"), reporter)
    output = _output(entry.get("output"))
    if name is None or group is None or command is None:
        return None
    return StepDefinition(
        name=name,
        command=command,
        target_group_name=group,
        credential_name=entry.get("credential"),
        retry=retry,
        timeout_seconds=timeout,
        output=output,
        max_parallelism=entry.get("maxParallelism"),
    )


def _options(entry: Entry | None, reporter: Reporter) -> tuple[RetryPolicy, int]:
    default, timeout = RetryPolicy(), StepDefinition(name="", command="", target_group_name="").timeout_seconds
    if entry is None:
        return default, timeout
    retry = RetryPolicy(
        attempts=entry.get("retryAttempts", default.attempts),
        initial_interval_seconds=entry.get("initialRetryIntervalSeconds", default.initial_interval_seconds),
        maximum_interval_seconds=entry.get("maximumRetryIntervalSeconds", default.maximum_interval_seconds),
        backoff_multiplier=float(entry.get("retryIntervalBackoffMultiplier", default.backoff_multiplier)),
    )
    if retry.maximum_interval_seconds < retry.initial_interval_seconds:
        reporter.report(
            entry.at("maximumRetryIntervalSeconds"),
            f"The longest wait before a retry ({retry.maximum_interval_seconds} s) is shorter than the first one "
            f"({retry.initial_interval_seconds} s).",
        )
    return retry, entry.get("timeoutSeconds", timeout)


def _output(entry: Entry | None) -> Output | None:
    if entry is None or any(entry.get(name) is None for name in ("serverName", "databaseName", "tableName")):
        return None
    subscription: str | None = entry.get("subscriptionId")
    return Output(
        server_name=entry.get("serverName"),
        database_name=entry.get("databaseName"),
        table_name=entry.get("tableName"),
        schema_name=entry.get("schemaName", "dbo"),
        credential_name=entry.get("credential"),
        subscription_id=None if subscription is None else UUID(subscription),
        resource_group_name=entry.get("resourceGroupName"),
    )

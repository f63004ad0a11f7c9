"""Definitions as one script of the documented procedures, for the job database of an Azure elastic job agent.

It is meant for a job database without these groups and jobs. Schedules are switched on at its end, so that a script
that stops in the middle starts nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from elastic_jobs.cli.files.model import Definitions, GroupDefinition, JobDefinition, credential_uses, key
from elastic_jobs.domain.model import StepDefinition
from elastic_jobs.domain.schedule import Schedule
from elastic_jobs.domain.targets import Member, MembershipType

_SPLIT = re.compile(r"(?im)^([ \t]*g)(o[ \t]*(?:[0-9]+[ \t]*)?;?[ \t]*(?:--[^\r\n]*)?\r?)$|\$\(")
Argument = tuple[str, str | None]


def tsql_script(definitions: Definitions, users: Mapping[str, str]) -> str:
    """The script. users: the user names of credentials, as far as they are known."""
    return "\n".join(_lines(definitions, users)) + "\n"


def _lines(definitions: Definitions, users: Mapping[str, str]) -> Iterator[str]:
    yield "-- Definitions of elastic jobs, for the job database of an Azure elastic job agent. All times are UTC."
    yield "-- Run it in that database once; what is there already under one of these names makes it fail."
    yield "SET XACT_ABORT ON;"
    short = sorted(set(_short_servers(definitions)))
    if short:
        yield f"-- Azure wants whole server names; these have no suffix: {', '.join(short)}."
    yield from _credentials(definitions, users)
    for group in definitions.groups:
        yield from _group(group)
    for job in definitions.jobs:
        yield from _job(job)
    enabled = [job for job in definitions.jobs if job.schedule.enabled]
    if enabled:
        yield "\n-- Schedules are switched on last."
    for job in enabled:
        yield from _call("sp_update_job", [("job_name", text(job.name)), *_schedule(job.schedule, enabled=True)])


def _short_servers(definitions: Definitions) -> Iterator[str]:
    names = [member.server_name for group in definitions.groups for member in group.members]
    names += [step.output.server_name for job in definitions.jobs for step in job.steps if step.output is not None]
    return (" ".join(name.split()) for name in names if "." not in name)


def _credentials(definitions: Definitions, users: Mapping[str, str]) -> Iterator[str]:
    names = {key(use.credential): use.credential for use in credential_uses(definitions) if use.credential}
    if not names:
        return
    known = {key(name): user for name, user in users.items()}
    yield "\n-- Create these credentials first; their secrets are not known here."
    for folded, name in sorted(names.items()):
        bracketed = "[" + name.replace("]", "]]") + "]"
        # On one line, so that nothing of it gets out of the comment.
        user = "'" + " ".join(known.get(folded, "<user>").split()).replace("'", "''") + "'"
        yield f"--   CREATE DATABASE SCOPED CREDENTIAL {bracketed} WITH IDENTITY = {user}, SECRET = '<secret>';"


def _group(group: GroupDefinition) -> Iterator[str]:
    yield ""
    yield from _call("sp_add_target_group", [("target_group_name", text(group.name))])
    for member in group.members:
        yield from _call("sp_add_target_group_member", [("target_group_name", text(group.name)), *_member(member)])


def _member(member: Member) -> Sequence[Argument]:
    excluded = member.membership_type is MembershipType.EXCLUDE
    return [
        ("membership_type", text(member.membership_type.value) if excluded else None),
        ("target_type", text(member.target_type.value)),
        ("refresh_credential_name", _optional(member.refresh_credential_name)),
        ("server_name", text(member.server_name)),
        ("database_name", _optional(member.database_name)),
        ("elastic_pool_name", _optional(member.elastic_pool_name)),
        ("shard_map_name", _optional(member.shard_map_name)),
    ]


def _job(job: JobDefinition) -> Iterator[str]:
    yield ""
    arguments = [("job_name", text(job.name)), ("description", text(job.description) if job.description else None)]
    yield from _call("sp_add_job", [*arguments, *_schedule(job.schedule, enabled=False)])
    for place, step in enumerate(job.steps, 1):
        yield from _call("sp_add_jobstep", [("job_name", text(job.name)), ("step_id", str(place)), *_step(step)])


def _schedule(schedule: Schedule, *, enabled: bool) -> Sequence[Argument]:
    return [
        ("enabled", str(int(enabled))),
        ("schedule_interval_type", text(schedule.interval_type.value)),
        ("schedule_interval_count", str(schedule.interval_count)),
        ("schedule_start_time", _instant(schedule.start_time)),
        ("schedule_end_time", _instant(schedule.end_time)),
    ]


def _step(step: StepDefinition) -> Sequence[Argument]:
    retry, output = step.retry, step.output
    arguments: list[Argument] = [
        ("step_name", text(step.name)),
        ("command", text(step.command)),
        ("credential_name", _optional(step.credential_name)),
        ("target_group_name", text(step.target_group_name)),
        ("initial_retry_interval_seconds", str(retry.initial_interval_seconds)),
        ("maximum_retry_interval_seconds", str(retry.maximum_interval_seconds)),
        ("retry_interval_backoff_multiplier", repr(retry.backoff_multiplier)),
        ("retry_attempts", str(retry.attempts)),
        ("step_timeout_seconds", str(step.timeout_seconds)),
        ("max_parallelism", None if step.max_parallelism is None else str(step.max_parallelism)),
    ]
    if output is not None:
        subscription = output.subscription_id
        arguments += [
            ("output_type", "N'SqlDatabase'"),
            ("output_credential_name", _optional(output.credential_name)),
            ("output_subscription_id", None if subscription is None else f"'{subscription}'"),
            ("output_resource_group_name", _optional(output.resource_group_name)),
            ("output_server_name", text(output.server_name)),
            ("output_database_name", text(output.database_name)),
            ("output_schema_name", text(output.schema_name)),
            ("output_table_name", text(output.table_name)),
        ]
    return arguments


def _call(procedure: str, arguments: Sequence[Argument]) -> Iterator[str]:
    """One call. What had to be taken apart stands in a variable: arguments of EXEC take no expressions."""
    given = []
    for name, value in arguments:
        if isinstance(value, _Expression):
            yield f"DECLARE @the_{name} nvarchar(max) =\n    {value};"
            given.append(f"    @{name} = @the_{name}")
        elif value is not None:
            given.append(f"    @{name} = {value}")
    yield f"EXEC jobs.{procedure}"
    yield ",\n".join(given) + ";"
    yield "GO"


class _Expression(str):
    """T-SQL that is more than a literal."""

    __slots__ = ()


def text(value: str) -> str:
    """A text in T-SQL: a literal, or several where sqlcmd would read a GO of its own or a variable in one."""

    def part(match: re.Match[str]) -> str:
        return f"{match[1]}' + N'{match[2]}" if match[1] else "$' + N'("

    literal = "N'" + value.replace("'", "''") + "'"
    broken = _SPLIT.sub(part, literal)
    # Literals of up to 4000 characters together would be cut there, but not with a max in front.
    return literal if broken == literal else _Expression(f"CAST(N'' AS nvarchar(max)) + {broken}")


def _optional(value: str | None) -> str | None:
    return None if value is None else text(value)


def _instant(value: datetime) -> str:
    return f"'{value.replace(tzinfo=None).isoformat(sep='T', timespec='microseconds')}'"

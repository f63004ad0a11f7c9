"""Writes definitions as files, always in the same form, so that a folder only changes where a definition did.

Scripts stand in files of their own, byte for byte. A script that begins with a byte order mark as a character gets
another one in front, which is the file's and goes when it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from elastic_jobs.cli.errors import UsageError
from elastic_jobs.cli.files import names
from elastic_jobs.cli.files.model import Definitions, GroupDefinition, JobDefinition
from elastic_jobs.cli.files.reading import GROUPS, JOBS
from elastic_jobs.domain.durations import format_duration
from elastic_jobs.domain.model import Output, StepDefinition
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.domain.schedule import DEFAULT_END, IntervalType, Schedule
from elastic_jobs.domain.targets import Member, MembershipType

_MARK = "\ufeff"
_ATTRIBUTES = ".gitattributes"
_AS_THEY_ARE = b"# Scripts are kept byte for byte: line ends are part of what the agent holds.\n*.sql -text\n"


def rendered(definitions: Definitions) -> dict[str, bytes]:
    """The content of every file, by its path from the folder on."""
    files: dict[str, bytes] = {}
    group_stems = names.file_stems(group.name for group in definitions.groups)
    for group in definitions.groups:
        files[f"{GROUPS}/{group_stems[group.name]}.yaml"] = _yaml(group_content(group))
    job_stems = names.file_stems(job.name for job in definitions.jobs)
    for job in definitions.jobs:
        stem = job_stems[job.name]
        step_stems = names.file_stems(step.name for step in job.steps)
        scripts = {step.name: f"{stem}/{step_stems[step.name]}.sql" for step in job.steps}
        files[f"{JOBS}/{stem}.yaml"] = _yaml(job_content(job, scripts))
        for step in job.steps:
            files[f"{JOBS}/{scripts[step.name]}"] = _script(step.command)
    return files


def write_folder(folder: Path, definitions: Definitions, *, replace: bool) -> None:
    """Make the folder hold these definitions and no others.

    replace: whether there may be definitions already; what is not defined any more is then deleted.

    Raises:
        UsageError: there are definitions and ``replace`` is not set, or a link would lead out of the folder.
    """
    files = rendered(definitions)
    present = list(_present(folder))
    if present and not replace:
        raise UsageError(f"{folder} holds definitions already ({present[0]}, ...); say --replace to overwrite them.")
    for path in [*files, *present]:
        _refuse_links(folder, path)
    for name in (GROUPS, JOBS):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if not (folder / _ATTRIBUTES).exists():
        (folder / _ATTRIBUTES).write_bytes(_AS_THEY_ARE)
    for path in present:
        if path not in files:
            (folder / path).unlink()
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(exist_ok=True)
        if not file.exists() or file.read_bytes() != content:
            file.write_bytes(content)
    _remove_empty(folder / JOBS)


def _present(folder: Path) -> Iterable[str]:
    """The files that hold definitions, from the folder on."""
    for kind, patterns in ((GROUPS, ("*.yaml",)), (JOBS, ("*.yaml", "*/*.sql"))):
        for pattern in patterns:
            yield from sorted(file.relative_to(folder).as_posix() for file in (folder / kind).glob(pattern))


def _refuse_links(folder: Path, path: str) -> None:
    place = folder
    for part in Path(path).parts:
        place = place / part
        if place.is_symlink():
            raise UsageError(f"{place} is a link; nothing was written. Remove it, or choose another folder.")


def _remove_empty(jobs: Path) -> None:
    for place in jobs.iterdir():
        if place.is_dir() and not place.is_symlink() and not any(place.iterdir()):
            place.rmdir()


def _script(command: str) -> bytes:
    return (_MARK + command if command.startswith(_MARK) else command).encode("utf-8")


class _Dumper(yaml.SafeDumper):
    """Writes texts that hold more than printable characters with escapes, so that they are read back as they were."""


def _represent_text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    plain = value.isprintable() and value == value.strip()
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if plain else '"')


_Dumper.add_representer(str, _represent_text)


def _yaml(content: Mapping[str, Any]) -> bytes:
    text = yaml.dump(
        dict(content),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=2**20,
        line_break="\n",
    )
    return str(text).encode("utf-8")


def _known(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if value is not None}


def group_content(group: GroupDefinition) -> dict[str, Any]:
    """A target group as its file has it."""
    return {"name": group.name, "members": [_member(member) for member in group.members]}


def _member(member: Member) -> dict[str, Any]:
    excluded = member.membership_type is MembershipType.EXCLUDE
    return _known(
        {
            "type": member.target_type.value,
            "membershipType": member.membership_type.value if excluded else None,
            "serverName": member.server_name,
            "databaseName": member.database_name,
            "elasticPoolName": member.elastic_pool_name,
            "shardMapName": member.shard_map_name,
            "refreshCredential": member.refresh_credential_name,
        }
    )


def job_content(job: JobDefinition, scripts: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A job as its file has it. scripts: the file of each step's script; without them the scripts stand in it."""
    return _known(
        {
            "name": job.name,
            "description": job.description or None,
            "schedule": _schedule(job.schedule),
            "steps": [_step(step, None if scripts is None else scripts[step.name]) for step in job.steps] or None,
        }
    )


def _schedule(schedule: Schedule) -> dict[str, Any]:
    once = schedule.interval_type is IntervalType.ONCE
    return _known(
        {
            "enabled": schedule.enabled,
            "interval": None if once else format_duration(schedule.interval_type, schedule.interval_count),
            "startTime": instant(schedule.start_time) if schedule.has_start else None,
            "endTime": instant(schedule.end_time) if schedule.end_time != DEFAULT_END else None,
        }
    )


def instant(value: datetime) -> str:
    """RFC 3339 in UTC, as the management API writes it."""
    return value.isoformat().replace("+00:00", "Z")


def _step(step: StepDefinition, script: str | None) -> dict[str, Any]:
    return _known(
        {
            "name": step.name,
            "targetGroup": step.target_group_name,
            "credential": step.credential_name,
            "script": script,
            "sql": step.command if script is None else None,
            "maxParallelism": step.max_parallelism,
            "executionOptions": _options(step) or None,
            "output": None if step.output is None else _output(step.output),
        }
    )


def _options(step: StepDefinition) -> dict[str, Any]:
    """What differs from the defaults."""
    plain = StepDefinition(name="", command="", target_group_name="")
    ours, theirs = options_of(step.retry, step.timeout_seconds), options_of(plain.retry, plain.timeout_seconds)
    return {name: value for name, value in ours.items() if value != theirs[name]}


def options_of(retry: RetryPolicy, timeout_seconds: int) -> dict[str, Any]:
    """Execution options as the management API and the files call them."""
    multiplier = retry.backoff_multiplier
    return {
        "timeoutSeconds": timeout_seconds,
        "retryAttempts": retry.attempts,
        "initialRetryIntervalSeconds": retry.initial_interval_seconds,
        "maximumRetryIntervalSeconds": retry.maximum_interval_seconds,
        "retryIntervalBackoffMultiplier": int(multiplier) if multiplier.is_integer() else multiplier,
    }


def _output(output: Output) -> dict[str, Any]:
    return _known(
        {
            "serverName": output.server_name,
            "databaseName": output.database_name,
            "schemaName": output.schema_name if output.schema_name != "dbo" else None,
            "tableName": output.table_name,
            "credential": output.credential_name,
            "subscriptionId": None if output.subscription_id is None else str(output.subscription_id),
            "resourceGroupName": output.resource_group_name,
        }
    )

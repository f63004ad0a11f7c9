"""Definitions as the management API writes them, ours and Azure's, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from elastic_jobs.cli.files.building import parse_instant
from elastic_jobs.cli.files.model import GroupDefinition, JobDefinition
from elastic_jobs.cli.files.writing import instant, options_of
from elastic_jobs.cli.runs import name_of
from elastic_jobs.domain.durations import format_duration, parse_duration
from elastic_jobs.domain.model import Output, StepDefinition
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.domain.schedule import DEFAULT_END, DEFAULT_START, IntervalType, Schedule
from elastic_jobs.domain.targets import Member, MembershipType, TargetType

Json = Mapping[str, Any]


def named_by(reference: str | None) -> str | None:
    """The name at the end of a resource id."""
    return name_of(reference) if reference else None


def read_group(resource: Json) -> GroupDefinition:
    """A target group. Raises ValueError for what this command does not know."""
    members = (resource.get("properties") or {}).get("members") or []
    return GroupDefinition(name=str(resource["name"]), members=tuple(_member(member) for member in members))


def _member(body: Json) -> Member:
    return Member(
        target_type=TargetType(body["type"]),
        server_name=body.get("serverName") or "",
        membership_type=MembershipType(body.get("membershipType") or MembershipType.INCLUDE),
        database_name=body.get("databaseName") or None,
        elastic_pool_name=body.get("elasticPoolName") or None,
        shard_map_name=body.get("shardMapName") or None,
        refresh_credential_name=named_by(body.get("refreshCredential")),
    )


def read_job(resource: Json, steps: Iterable[Json]) -> JobDefinition:
    """A job with the steps of its current version. Raises ValueError for what this command does not know."""
    properties = resource.get("properties") or {}
    ordered = sorted(steps, key=lambda step: int(step["properties"].get("stepId") or 0))
    return JobDefinition(
        name=str(resource["name"]),
        description=properties.get("description") or "",
        schedule=_schedule(properties.get("schedule") or {}),
        steps=tuple(_step(step) for step in ordered),
    )


def _schedule(body: Json) -> Schedule:
    kind, count = IntervalType.ONCE, 1
    if str(body.get("type") or "Once").lower() == "recurring":
        kind, count = parse_duration(str(body.get("interval") or ""))
    start = parse_instant(body["startTime"]) if body.get("startTime") else DEFAULT_START
    return Schedule(
        interval_type=kind,
        interval_count=count,
        start_time=start if start.year > 1 else DEFAULT_START,
        end_time=parse_instant(body["endTime"]) if body.get("endTime") else DEFAULT_END,
        enabled=bool(body.get("enabled")),
    )


def _step(resource: Json) -> StepDefinition:
    body = resource["properties"]
    action, options = body.get("action") or {}, body.get("executionOptions") or {}
    plain, default = StepDefinition(name="", command="", target_group_name=""), RetryPolicy()

    def option(name: str, otherwise: float) -> Any:
        value = options.get(name)
        return otherwise if value is None else value

    return StepDefinition(
        name=str(resource["name"]),
        command=action.get("value") or "",
        target_group_name=named_by(body.get("targetGroup")) or "",
        credential_name=named_by(body.get("credential")),
        retry=RetryPolicy(
            attempts=option("retryAttempts", default.attempts),
            initial_interval_seconds=option("initialRetryIntervalSeconds", default.initial_interval_seconds),
            maximum_interval_seconds=option("maximumRetryIntervalSeconds", default.maximum_interval_seconds),
            backoff_multiplier=float(option("retryIntervalBackoffMultiplier", default.backoff_multiplier)),
        ),
        timeout_seconds=option("timeoutSeconds", plain.timeout_seconds),
        output=_output(body["output"]) if body.get("output") else None,
        max_parallelism=body.get("maxParallelism"),
    )


def _output(body: Json) -> Output:
    subscription = body.get("subscriptionId")
    return Output(
        server_name=body.get("serverName") or "",
        database_name=body.get("databaseName") or "",
        table_name=body.get("tableName") or "",
        schema_name=body.get("schemaName") or "dbo",
        credential_name=named_by(body.get("credential")),
        subscription_id=UUID(subscription) if subscription else None,
        resource_group_name=body.get("resourceGroupName") or None,
    )


@dataclass(frozen=True)
class Bodies:
    """Writes the bodies of PUT. ``agent_id``: the agent's resource id; ids can name what begins with a slash, too."""

    agent_id: str

    def _id(self, kind: str, name: str | None) -> str | None:
        return None if name is None else f"{self.agent_id}/{kind}/{name.replace('%', '%25').replace('/', '%2F')}"

    def group(self, group: GroupDefinition) -> dict[str, Any]:
        """Of a target group."""
        return {"properties": {"members": [self._member(member) for member in group.members]}}

    def _member(self, member: Member) -> dict[str, Any]:
        return {
            "membershipType": member.membership_type.value,
            "type": member.target_type.value,
            "serverName": member.server_name,
            "databaseName": member.database_name,
            "elasticPoolName": member.elastic_pool_name,
            "shardMapName": member.shard_map_name,
            "refreshCredential": self._id("credentials", member.refresh_credential_name),
        }

    def job(self, job: JobDefinition) -> dict[str, Any]:
        """Of a job, which is without its steps."""
        schedule = job.schedule
        once = schedule.interval_type is IntervalType.ONCE
        return {
            "properties": {
                "description": job.description,
                "schedule": {
                    "type": "Once" if once else "Recurring",
                    "interval": format_duration(schedule.interval_type, schedule.interval_count),
                    "enabled": schedule.enabled,
                    "startTime": instant(schedule.start_time),
                    "endTime": instant(schedule.end_time),
                },
            }
        }

    def step(self, step: StepDefinition, place: int) -> dict[str, Any]:
        """Of a step at a place from 1."""
        return {
            "properties": {
                "stepId": place,
                "targetGroup": self._id("targetGroups", step.target_group_name),
                "credential": self._id("credentials", step.credential_name),
                "action": {"type": "TSql", "source": "Inline", "value": step.command},
                "output": None if step.output is None else self._output(step.output),
                "executionOptions": options_of(step.retry, step.timeout_seconds),
                # Absent would keep what is set.
                "maxParallelism": -1 if step.max_parallelism is None else step.max_parallelism,
            }
        }

    def _output(self, output: Output) -> dict[str, Any]:
        return {
            "type": "SqlDatabase",
            "subscriptionId": None if output.subscription_id is None else str(output.subscription_id),
            "resourceGroupName": output.resource_group_name,
            "serverName": output.server_name,
            "databaseName": output.database_name,
            "schemaName": output.schema_name,
            "tableName": output.table_name,
            "credential": self._id("credentials", output.credential_name),
        }

"""What the API answers: the Azure envelope (id, name, type, properties) around each definition and execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from elastic_jobs.agent.trial import Tried
from elastic_jobs.api.auth import described
from elastic_jobs.domain.durations import format_duration
from elastic_jobs.domain.error_groups import ErrorGroup
from elastic_jobs.domain.lifecycle import ACTIVE, Level, Lifecycle
from elastic_jobs.domain.model import Agent, Identity, Job, Output, Step, StepDefinition, TargetGroup
from elastic_jobs.domain.rehearsal import Rehearsed
from elastic_jobs.domain.schedule import IntervalType, Schedule
from elastic_jobs.domain.server_scope import ServerScope
from elastic_jobs.domain.targets import Member, ServerNames, TargetDatabase, TargetType
from elastic_jobs.jobdb.definitions.credentials import Credential
from elastic_jobs.jobdb.definitions.origins import Origin, Trace
from elastic_jobs.jobdb.definitions.private_endpoints import PrivateEndpoint
from elastic_jobs.jobdb.history import Execution, Message, StepProgress
from elastic_jobs.settings import Settings
from elastic_jobs.targets.user_setup import SetupScript

_TYPE = "Microsoft.Sql/servers/jobAgents"
_TYPE_OF_LEVEL = {
    Level.JOB: f"{_TYPE}/jobs/executions",
    Level.STEP: f"{_TYPE}/jobs/executions/steps",
    Level.TARGET: f"{_TYPE}/jobs/executions/steps/targets",
}
_ENDED_WELL = frozenset({Lifecycle.SUCCEEDED, Lifecycle.SUCCEEDED_WITH_SKIPPED, Lifecycle.SKIPPED})


def instant(value: datetime | None) -> str | None:
    """RFC 3339 in UTC with ``Z``; four digits of the year also for the year 1."""
    return None if value is None else value.isoformat().replace("+00:00", "Z")


def provisioning_state(lifecycle: Lifecycle) -> str:
    """How Azure's second word for the state follows from the first."""
    if lifecycle is Lifecycle.CREATED:
        return "Created"
    if lifecycle in ACTIVE:
        return "InProgress"
    if lifecycle in _ENDED_WELL:
        return "Succeeded"
    return "Canceled" if lifecycle is Lifecycle.CANCELED else "Failed"


def segment(name: str) -> str:
    """A name inside an id. Only what would part the id is encoded, so that ids read like Azure's."""
    return name.replace("%", "%25").replace("/", "%2F")


class Envelope:
    """Writes resources of one agent. Ids are full ARM ids, whichever spelling of the path was asked."""

    def __init__(self, settings: Settings, agent: Agent, origins: Mapping[str, Origin] | None = None) -> None:
        """origins: who made and changed what is written, by its path below the agent; what is missing is left out."""
        self._settings, self._agent, self._origins = settings, agent, origins or {}
        self._names = ServerNames(settings.sql_server_suffix)
        self._server = (
            f"/subscriptions/{settings.subscription_id}/resourceGroups/{settings.resource_group}"
            f"/providers/Microsoft.Sql/servers/{settings.server_name}"
        )
        self.agent_id = f"{self._server}/jobAgents/{segment(agent.name)}"

    def id(self, *segments: str) -> str:
        """The id of a resource below the agent: ``id('jobs', 'nightly')``."""
        return "/".join((self.agent_id, *(segment(part) for part in segments)))

    def agent(self) -> dict[str, Any]:
        agent = self._agent
        answer = {
            "id": self.agent_id,
            "name": agent.name,
            "type": _TYPE,
            "location": agent.location,
            "tags": dict(agent.tags),
            "sku": {"name": agent.sku_name, "capacity": agent.capacity},
            "properties": {
                "databaseId": f"{self._server}/databases/{self._settings.database_name}",
                "state": "Ready",
            },
        }
        if agent.identity is not None:
            answer["identity"] = self._identity(agent.identity)
        return self._with_origin(answer, "agent")

    def credential(self, credential: Credential) -> dict[str, Any]:
        properties: dict[str, Any] = {"username": credential.username}
        if credential.allowed_servers is not None:
            properties["allowedServers"] = self._allowed(credential.allowed_servers)
        return self._resource("credentials", credential.name, properties)

    def target_group(self, group: TargetGroup) -> dict[str, Any]:
        members = [self._member(member) for _, member in group.members]
        return self._resource("targetGroups", group.name, {"members": members})

    def private_endpoint(self, endpoint: PrivateEndpoint) -> dict[str, Any]:
        properties = {
            "targetServerAzureResourceId": endpoint.target_server_id,
            "privateEndpointId": endpoint.private_endpoint_id,
            "connectionState": {"status": endpoint.status.value, "description": endpoint.description},
        }
        return self._resource("privateEndpoints", endpoint.name, properties)

    def job(self, job: Job) -> dict[str, Any]:
        properties = {"description": job.description, "version": job.version, "schedule": _schedule(job.schedule)}
        if job.next_run_time is not None:
            properties["nextRunTime"] = instant(job.next_run_time)
        return self._resource("jobs", job.name, properties)

    def version(self, job: Job, version: int) -> dict[str, Any]:
        return {
            "id": self.id("jobs", job.name, "versions", str(version)),
            "name": str(version),
            "type": f"{_TYPE}/jobs/versions",
        }

    def step(self, job: Job, step: Step, *, version: int | None = None) -> dict[str, Any]:
        """version: the old version that was asked for, which then is part of id and type."""
        name = step.definition.name
        below = ("steps", name) if version is None else ("versions", str(version), "steps", name)
        answer = {
            "id": self.id("jobs", job.name, *below),
            "name": name,
            "type": f"{_TYPE}/jobs/steps" if version is None else f"{_TYPE}/jobs/versions/steps",
            "properties": self._step_properties(step),
        }
        return answer if version is not None else self._with_origin(answer, f"jobs/{job.name}/steps/{name}")

    def execution(self, execution: Execution) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "jobVersion": execution.job_version,
            "jobExecutionId": str(execution.job_execution_id),
            "lifecycle": execution.lifecycle.value,
            "provisioningState": provisioning_state(execution.lifecycle),
            "createTime": instant(execution.create_time),
            "startTime": instant(execution.start_time),
            "endTime": instant(execution.end_time),
            "currentAttempts": execution.current_attempts,
            "currentAttemptStartTime": instant(execution.current_attempt_start_time),
            "nextAttemptStartTime": instant(execution.next_attempt_start_time),
            "scheduledFor": instant(execution.scheduled_for),
            "rerunOf": None if execution.rerun_of is None else str(execution.rerun_of),
            "lastMessage": execution.last_message,
            "stepName": execution.step_name,
            "stepId": execution.step_id,
            "errorNumber": execution.error_number,
        }
        if execution.server_name is not None:
            properties["target"] = {
                "type": TargetType.SQL_DATABASE.value,
                "serverName": self._names.short(execution.server_name),
                "databaseName": execution.database_name,
            }
        below = ["jobs", execution.job_name, "executions", str(execution.job_execution_id)]
        name = str(execution.id)
        if execution.step_name is not None:
            below += ["steps", execution.step_name]
            name = execution.step_name if execution.level is Level.STEP else name
        if execution.level is Level.TARGET:
            below += ["targets", name]
        return {
            "id": self.id(*below),
            "name": name,
            "type": _TYPE_OF_LEVEL[execution.level],
            "properties": _known(properties),
        }

    def error_group(self, run: Execution, group: ErrorGroup) -> dict[str, Any]:
        """Targets of a run with the same kind of error (not part of Azure's API)."""
        example = group.example
        below = ("executions", str(run.id), "steps", example.step_name, "targets", example.target_execution_id)
        return _known(
            {
                "errorNumber": group.error_number,
                "message": group.shape,
                "targets": group.count,
                "lifecycles": {state.value: count for state, count in group.lifecycles.items()},
                "example": {
                    "id": self.id("jobs", run.job_name, *below),
                    "stepName": example.step_name,
                    "serverName": self._names.short(example.server_name),
                    "databaseName": example.database_name,
                    "message": example.message,
                },
            }
        )

    def rehearsed(self, found: Rehearsed) -> dict[str, Any]:
        """What a target group means now (not part of Azure's API)."""
        return {
            "complete": not found.failures,
            "targets": [self._database(target) for target in found.targets],
            "refused": [{**self._database(each.target), "reason": each.reason} for each in found.refused],
            "failures": [{"what": each.what, "error": each.error} for each in found.failures],
        }

    def tried(self, found: Tried) -> dict[str, Any]:
        """What a preflight found (not part of Azure's API)."""
        return {
            "ready": found.is_ready,
            "targets": [
                {
                    "serverName": self._names.short(report.server_name),
                    "databaseName": report.database_name,
                    "ready": report.is_ready,
                    "checks": [
                        {
                            "check": result.check.value,
                            "status": result.status.value,
                            "milliseconds": result.milliseconds,
                            "message": result.message,
                        }
                        for result in report.checks
                    ],
                }
                for report in found.targets
            ],
            "failures": [{"what": each.what, "error": each.error} for each in found.failures],
        }

    def user_setup(self, found: Rehearsed, scripts: Sequence[SetupScript]) -> dict[str, Any]:
        """The T-SQL that lets the agent in (not part of Azure's API)."""
        answer = self.rehearsed(found)
        answer["scripts"] = [
            {
                "serverName": self._names.short(script.server_name),
                "databaseName": script.database_name,
                "sql": script.sql,
            }
            for script in scripts
        ]
        del answer["targets"]  # each has its script
        return answer

    def _database(self, target: TargetDatabase) -> dict[str, Any]:
        return _known(
            {
                "serverName": self._names.short(target.server_name),
                "databaseName": target.database_name,
                "elasticPoolName": target.elastic_pool_name,
            }
        )

    def _resource(self, kind: str, name: str, properties: dict[str, Any]) -> dict[str, Any]:
        answer = {"id": self.id(kind, name), "name": name, "type": f"{_TYPE}/{kind}", "properties": properties}
        return self._with_origin(answer, f"{kind}/{name}")

    def _with_origin(self, answer: dict[str, Any], resource: str) -> dict[str, Any]:
        origin = self._origins.get(resource)
        if origin is not None:
            answer["systemData"] = _system_data(origin)
        return answer

    def _identity(self, identity: Identity) -> dict[str, Any]:
        values: dict[str, Any] = {} if identity.client_id is None else {"clientId": identity.client_id}
        if identity.allowed_servers is not None:
            values["allowedServers"] = self._allowed(identity.allowed_servers)
        return {"type": "UserAssigned", "userAssignedIdentities": {identity.resource_id: values}}

    def _allowed(self, scope: ServerScope) -> list[str]:
        """What a list really allows: the deployment's own list may have become shorter since it was saved."""
        deployment = ServerScope(
            tuple(
                name if name.startswith("*.") else self._names.canonical(name)
                for name in self._settings.allowed_target_servers
            )
        )
        own = {pattern for pattern in scope.patterns if deployment.allows(pattern)}
        return sorted(own | {pattern for pattern in deployment.patterns if scope.allows(pattern)})

    def _credential_id(self, name: str | None) -> str | None:
        return None if name is None else self.id("credentials", name)

    def _member(self, member: Member) -> dict[str, Any]:
        return _known(
            {
                "membershipType": member.membership_type.value,
                "type": member.target_type.value,
                "serverName": member.server_name,
                "databaseName": member.database_name,
                "elasticPoolName": member.elastic_pool_name,
                "shardMapName": member.shard_map_name,
                "refreshCredential": self._credential_id(member.refresh_credential_name),
            }
        )

    def _step_properties(self, step: Step) -> dict[str, Any]:
        definition = step.definition
        return _known(
            {
                "stepId": step.step_id,
                "targetGroup": self.id("targetGroups", definition.target_group_name),
                "credential": self._credential_id(definition.credential_name),
                "action": {"type": "TSql", "source": "Inline", "value": definition.command},
                "output": None if definition.output is None else self._output(definition.output),
                "executionOptions": _options(definition),
                "maxParallelism": definition.max_parallelism,
            }
        )

    def _output(self, output: Output) -> dict[str, Any]:
        return _known(
            {
                "type": "SqlDatabase",
                "subscriptionId": str(output.subscription_id) if output.subscription_id else None,
                "resourceGroupName": output.resource_group_name,
                "serverName": output.server_name,
                "databaseName": output.database_name,
                "schemaName": output.schema_name,
                "tableName": output.table_name,
                "credential": self._credential_id(output.credential_name),
            }
        )


def _system_data(origin: Origin) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for prefix, trace in (("created", origin.created), ("lastModified", origin.modified)):
        if isinstance(trace, Trace):
            who, kind = described(trace.caller)
            answer |= {f"{prefix}By": who, f"{prefix}ByType": kind, f"{prefix}At": instant(trace.time)}
    return answer


def message(said: Message) -> dict[str, Any]:
    """One captured message of a target execution (not part of Azure's API)."""
    return _known(
        {
            "attempt": said.attempt,
            "ordinal": said.ordinal,
            "batch": said.batch,
            "kind": said.kind,
            "number": said.number,
            "rowCount": said.row_count,
            "text": said.text,
        }
    )


def step_progress(step: StepProgress) -> dict[str, Any]:
    """How many targets of a step are in which state (not part of Azure's API)."""
    return {
        "stepId": step.step_id,
        "stepName": step.step_name,
        "lifecycle": step.lifecycle.value,
        "targets": {state.value: count for state, count in step.targets.items()},
    }


def listing(values: Sequence[dict[str, Any]], next_link: str | None) -> dict[str, Any]:
    """A page of a list."""
    answer: dict[str, Any] = {"value": list(values)}
    if next_link is not None:
        answer["nextLink"] = next_link
    return answer


def _known(properties: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in properties.items() if value is not None}


def _schedule(schedule: Schedule) -> dict[str, Any]:
    once = schedule.interval_type is IntervalType.ONCE
    return _known(
        {
            "startTime": instant(schedule.start_time),
            "endTime": instant(schedule.end_time),
            "type": "Once" if once else "Recurring",
            "enabled": schedule.enabled,
            "interval": format_duration(schedule.interval_type, schedule.interval_count),
        }
    )


def _options(definition: StepDefinition) -> dict[str, Any]:
    retry = definition.retry
    return {
        "timeoutSeconds": definition.timeout_seconds,
        "retryAttempts": retry.attempts,
        "initialRetryIntervalSeconds": retry.initial_interval_seconds,
        "maximumRetryIntervalSeconds": retry.maximum_interval_seconds,
        "retryIntervalBackoffMultiplier": retry.backoff_multiplier,
    }

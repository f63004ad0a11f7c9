"""What a scenario can do to a job database, and two ways of doing it: Python definitions and the HTTP API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx

from elastic_jobs.domain.model import Output, StepDefinition
from elastic_jobs.domain.schedule import IntervalType, Schedule
from elastic_jobs.domain.targets import Member
from elastic_jobs.errors import ElasticJobsError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions import credentials, jobs, steps, target_groups
from elastic_jobs.jobdb.definitions.checks import Edit
from elastic_jobs.jobdb.executions import canceling, purging, starting
from elastic_jobs.targets.servers import TargetServers
from tests.api.support import AGENT, VERSION, Server, settings
from tests.tsql.conftest import ServerHand

FOR_EVER = datetime.max.replace(tzinfo=UTC)
_INTERVALS = {
    IntervalType.MINUTES: "PT{}M",
    IntervalType.HOURS: "PT{}H",
    IntervalType.DAYS: "P{}D",
    IntervalType.WEEKS: "P{}W",
    IntervalType.MONTHS: "P{}M",
}


class RefusedError(Exception):
    """What was asked for is not done; the sentence says why."""


class Hand(Protocol):
    """One face of the agent. Every method raises RefusedError with the sentence that its caller gets."""

    database: JobDatabase

    def add_group(self, name: str) -> None: ...
    def add_member(self, group: str, member: Member) -> None: ...
    def drop_member(self, group: str, member: Member) -> None: ...
    def drop_group(self, name: str) -> None: ...
    def add_job(self, name: str, description: str, schedule: Schedule) -> None: ...
    def change_job(self, name: str, description: str, schedule: Schedule) -> None: ...
    def rename_job(self, name: str, new_name: str) -> None: ...
    def drop_job(self, name: str, *, force: bool = False) -> None: ...
    def add_step(self, job: str, step: StepDefinition, place: int | None = None) -> None: ...
    def change_step(self, job: str, step: StepDefinition, place: int | None = None) -> None: ...
    def rename_step(self, job: str, name: str, step: StepDefinition) -> None: ...
    def drop_step(self, job: str, name: str) -> None: ...
    def start(self, job: str) -> UUID: ...
    def stop(self, job: str, execution: UUID) -> None: ...
    def purge(self, job: str, before: datetime | None) -> None: ...


@contextmanager
def refusals() -> Iterator[None]:
    """Turns the product's own errors into RefusedError."""
    try:
        yield
    except ElasticJobsError as error:
        raise RefusedError(str(error)) from error


def prepare(database: JobDatabase) -> None:
    """An agent with three credentials; ``narrow`` may be sent to ``server1`` and to ``*.example.com`` only."""
    hand = ServerHand(database)
    hand.agent()
    hand.credential("runner")
    hand.credential("refresher")
    narrow = credentials.NewCredential(
        name="narrow", username="u", password="Pa55word", allowed_servers=("server1", "*.example.com")
    )
    with database.write() as connection:
        credentials.save_credential(connection, hand.edit, narrow, hand.sealer)


class _CheckedHand(ServerHand):
    """Refuses servers as the app does."""

    @property
    def edit(self) -> Edit:
        return replace(super().edit, check_server=TargetServers.from_settings(settings()).require)


class PythonHand:
    """Calls the functions that every other face ends in."""

    def __init__(self, database: JobDatabase) -> None:
        self.database = database
        self._hand = _CheckedHand(database)

    def add_group(self, name: str) -> None:
        self._save_group(name, [])

    def add_member(self, group: str, member: Member) -> None:
        with refusals(), self.database.write() as connection:
            found = target_groups.get_group(connection, group)
            members = [*(old for _, old in found.members), member]
            target_groups.save_group(connection, self._hand.edit, found.name, members)

    def drop_member(self, group: str, member: Member) -> None:
        with self.database.read() as connection:
            found = [old for _, old in target_groups.get_group(connection, group).members]
        self._save_group(group, [old for old in found if old != member])

    def drop_group(self, name: str) -> None:
        with refusals(), self.database.write() as connection:
            assert target_groups.delete_group(connection, self._hand.edit, name)

    def add_job(self, name: str, description: str, schedule: Schedule) -> None:
        self.change_job(name, description, schedule)

    def change_job(self, name: str, description: str, schedule: Schedule) -> None:
        with refusals(), self.database.write() as connection:
            jobs.save_job(connection, self._hand.edit, name, description=description, schedule=schedule)

    def rename_job(self, name: str, new_name: str) -> None:
        with refusals(), self.database.write() as connection:
            old = jobs.get_job(connection, name)
            jobs.save_job(
                connection,
                self._hand.edit,
                name,
                description=old.description,
                schedule=old.schedule,
                new_name=new_name,
            )

    def drop_job(self, name: str, *, force: bool = False) -> None:
        with refusals(), self.database.write() as connection:
            assert jobs.delete_job(connection, self._hand.edit, name, force=force)

    def add_step(self, job: str, step: StepDefinition, place: int | None = None) -> None:
        self.change_step(job, step, place)

    def change_step(self, job: str, step: StepDefinition, place: int | None = None) -> None:
        with refusals(), self.database.write() as connection:
            steps.save_step(connection, self._hand.edit, job, step, step_id=place)

    def rename_step(self, job: str, name: str, step: StepDefinition) -> None:
        with refusals(), self.database.write() as connection:
            steps.save_step(connection, self._hand.edit, job, step, current_name=name)

    def drop_step(self, job: str, name: str) -> None:
        with refusals(), self.database.write() as connection:
            assert steps.delete_step(connection, self._hand.edit, job, name)

    def start(self, job: str) -> UUID:
        with refusals(), self.database.write() as connection:
            return starting.start(connection, self.database, job, ids=uuid4).execution_id

    def stop(self, job: str, execution: UUID) -> None:
        del job
        with refusals(), self.database.write() as connection:
            canceling.request_cancel(connection, self.database, execution)

    def purge(self, job: str, before: datetime | None) -> None:
        with self.database.read() as connection:
            job_id = jobs.get_job(connection, job).id
        more = True
        while more:
            with self.database.write() as connection:
                more = purging.purge_some(connection, before or FOR_EVER, job_id)

    def _save_group(self, name: str, members: list[Member]) -> None:
        with refusals(), self.database.write() as connection:
            target_groups.save_group(connection, self._hand.edit, name, members)


class HttpHand(PythonHand):
    """Sends requests. Azure's HTTP API has no renaming and no purging: these are inherited."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.database)
        self._http = server.http
        self._members: dict[str, list[Member]] = {}

    def add_group(self, name: str) -> None:
        self._put_group(name, [])

    def add_member(self, group: str, member: Member) -> None:
        self._put_group(group, [*self._members[group], member])

    def drop_member(self, group: str, member: Member) -> None:
        self._put_group(group, [old for old in self._members[group] if old != member])

    def drop_group(self, name: str) -> None:
        self._call("DELETE", f"targetGroups/{name}")

    def change_job(self, name: str, description: str, schedule: Schedule) -> None:
        body = {"description": description, "schedule": _schedule(schedule)}
        self._call("PUT", f"jobs/{name}", {"properties": body})

    def drop_job(self, name: str, *, force: bool = False) -> None:
        self._call("DELETE", f"jobs/{name}", **({"force": "true"} if force else {}))

    def change_step(self, job: str, step: StepDefinition, place: int | None = None) -> None:
        self._call("PUT", f"jobs/{job}/steps/{step.name}", {"properties": _step(step, place)})

    def drop_step(self, job: str, name: str) -> None:
        self._call("DELETE", f"jobs/{job}/steps/{name}")

    def start(self, job: str) -> UUID:
        return UUID(self._call("POST", f"jobs/{job}/start").json()["name"])

    def stop(self, job: str, execution: UUID) -> None:
        self._call("POST", f"jobs/{job}/executions/{execution}/cancel")

    def _put_group(self, name: str, members: list[Member]) -> None:
        self._call("PUT", f"targetGroups/{name}", {"properties": {"members": [_member(each) for each in members]}})
        self._members[name] = members

    def _call(self, method: str, path: str, body: object = None, **query: str) -> httpx.Response:
        answer = self._http.request(method, f"{AGENT}/{quote(path)}", params=VERSION | query, json=body)
        if answer.status_code == 400:
            raise RefusedError(answer.json()["error"]["message"])
        assert answer.is_success, answer.text
        assert answer.status_code != 204, f"There was nothing: {method} {path}"
        return answer


def _member(member: Member) -> dict[str, object]:
    return {
        "membershipType": member.membership_type,
        "type": member.target_type,
        "serverName": member.server_name,
        "databaseName": member.database_name,
        "elasticPoolName": member.elastic_pool_name,
        "shardMapName": member.shard_map_name,
        "refreshCredential": _credential(member.refresh_credential_name),
    }


def _schedule(schedule: Schedule) -> dict[str, object]:
    once = schedule.interval_type is IntervalType.ONCE
    return {
        "type": "Once" if once else "Recurring",
        "interval": None if once else _INTERVALS[schedule.interval_type].format(schedule.interval_count),
        "startTime": schedule.start_time.isoformat(),
        "endTime": schedule.end_time.isoformat(),
        "enabled": schedule.enabled,
    }


def _step(step: StepDefinition, place: int | None) -> dict[str, Any]:
    return {
        "stepId": place,
        "targetGroup": f"{AGENT}/targetGroups/{step.target_group_name}",
        "credential": _credential(step.credential_name),
        "action": {"value": step.command},
        "output": None if step.output is None else _output(step.output),
        "executionOptions": {
            "timeoutSeconds": step.timeout_seconds,
            "retryAttempts": step.retry.attempts,
            "initialRetryIntervalSeconds": step.retry.initial_interval_seconds,
            "maximumRetryIntervalSeconds": step.retry.maximum_interval_seconds,
            "retryIntervalBackoffMultiplier": step.retry.backoff_multiplier,
        },
        "maxParallelism": -1 if step.max_parallelism is None else step.max_parallelism,
    }


def _output(output: Output) -> dict[str, object]:
    return {
        "serverName": output.server_name,
        "databaseName": output.database_name,
        "schemaName": output.schema_name,
        "tableName": output.table_name,
        "credential": _credential(output.credential_name),
        "subscriptionId": None if output.subscription_id is None else str(output.subscription_id),
        "resourceGroupName": output.resource_group_name,
    }


def _credential(name: str | None) -> str | None:
    return None if name is None else f"{AGENT}/credentials/{name}"

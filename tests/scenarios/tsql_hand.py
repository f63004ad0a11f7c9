"""The procedures of the schema ``jobs``, called as a person with a query window calls them."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from elastic_jobs.domain.model import StepDefinition
from elastic_jobs.domain.schedule import Schedule
from elastic_jobs.domain.targets import Member
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions import deployment
from elastic_jobs.jobdb.definitions.schedule_edits import arm_edited_jobs
from tests.scenarios.hands import RefusedError
from tests.tsql.face import Face, TsqlError

_FIND_MEMBER = (
    "SELECT target_id FROM jobs.target_group_members WHERE target_group_name = ? AND membership_type = ?"
    " AND target_type = ? AND server_name = ? AND COALESCE(database_name, '') = ?"
    " AND COALESCE(elastic_pool_name, '') = ? AND COALESCE(shard_map_name, '') = ?"
)


class TsqlHand:
    """One session. After each call the tick makes up for what T-SQL cannot compute: when a job is due next."""

    def __init__(self, database: JobDatabase, face: Face) -> None:
        self.database = database
        self._face = face
        deployment.publish(database, server_suffix=".database.windows.net", allowed_servers=["*.database.windows.net"])

    def add_group(self, name: str) -> None:
        self._call("sp_add_target_group", target_group_name=name)

    def add_member(self, group: str, member: Member) -> None:
        self._call(
            "sp_add_target_group_member",
            target_group_name=group,
            membership_type=member.membership_type,
            target_type=member.target_type,
            refresh_credential_name=member.refresh_credential_name,
            server_name=member.server_name,
            database_name=member.database_name,
            elastic_pool_name=member.elastic_pool_name,
            shard_map_name=member.shard_map_name,
        )

    def drop_member(self, group: str, member: Member) -> None:
        named = (member.server_name, member.database_name, member.elastic_pool_name, member.shard_map_name)
        found = self._face.value(
            _FIND_MEMBER, group, str(member.membership_type), str(member.target_type), *(name or "" for name in named)
        )
        self._call("sp_delete_target_group_member", target_group_name=group, target_id=str(found))

    def drop_group(self, name: str) -> None:
        self._call("sp_delete_target_group", target_group_name=name)

    def add_job(self, name: str, description: str, schedule: Schedule) -> None:
        self._call("sp_add_job", job_name=name, description=description, **_schedule(schedule))

    def change_job(self, name: str, description: str, schedule: Schedule) -> None:
        self._call("sp_update_job", job_name=name, description=description, **_schedule(schedule))

    def rename_job(self, name: str, new_name: str) -> None:
        self._call("sp_update_job", job_name=name, new_name=new_name)

    def drop_job(self, name: str, *, force: bool = False) -> None:
        self._call("sp_delete_job", job_name=name, force=int(force))

    def add_step(self, job: str, step: StepDefinition, place: int | None = None) -> None:
        more = {} if step.output is None else {"output_subscription_id": _text(step.output.subscription_id)}
        if step.output is not None:
            more["output_resource_group_name"] = step.output.resource_group_name
        self._call("sp_add_jobstep", job_name=job, step_id=place, step_name=step.name, **_step(step), **more)

    def change_step(self, job: str, step: StepDefinition, place: int | None = None) -> None:
        self._update(job, step.name, step, {"new_id": place})

    def rename_step(self, job: str, name: str, step: StepDefinition) -> None:
        self._update(job, name, step, {"new_name": step.name})

    def drop_step(self, job: str, name: str) -> None:
        self._call("sp_delete_jobstep", job_name=job, step_name=name)

    def start(self, job: str) -> UUID:
        call = "DECLARE @e uniqueidentifier; EXEC jobs.sp_start_job ?, @e OUTPUT; SELECT @e"
        try:
            return UUID(str(self._face.value(call, job)))
        except TsqlError as error:
            raise _refused(error) from error

    def stop(self, job: str, execution: UUID) -> None:
        del job
        self._call("sp_stop_job", job_execution_id=str(execution))

    def purge(self, job: str, before: datetime | None) -> None:
        self._call("sp_purge_jobhistory", job_name=job, oldest_date=None if before is None else _time(before))

    def _update(self, job: str, name: str, step: StepDefinition, place: dict[str, object]) -> None:
        wanted = _step(step)
        # NULL keeps what is there.
        if step.output is None:
            wanted["output_type"] = ""
        if step.max_parallelism is None:
            wanted["max_parallelism"] = -1
        wanted["credential_name"] = step.credential_name or ""
        self._call("sp_update_jobstep", job_name=job, step_name=name, **wanted, **place)

    def _call(self, procedure: str, **arguments: object) -> None:
        given = {name: value for name, value in arguments.items() if value is not None}
        assigned = ", ".join(f"@{name} = ?" for name in given)
        try:
            self._face.run(f"EXEC jobs.{procedure} {assigned}", *given.values())
        except TsqlError as error:
            raise _refused(error) from error
        with self.database.write() as connection:
            arm_edited_jobs(connection)


def _refused(error: TsqlError) -> Exception:
    return RefusedError(error.sentence) if error.number == 50000 else error


def _schedule(schedule: Schedule) -> dict[str, object]:
    return {
        "enabled": int(schedule.enabled),
        "schedule_interval_type": str(schedule.interval_type),
        "schedule_interval_count": schedule.interval_count,
        "schedule_start_time": _time(schedule.start_time),
        "schedule_end_time": _time(schedule.end_time),
    }


def _step(step: StepDefinition) -> dict[str, object]:
    found: dict[str, object] = {
        "command": step.command,
        "credential_name": step.credential_name,
        "target_group_name": step.target_group_name,
        "initial_retry_interval_seconds": step.retry.initial_interval_seconds,
        "maximum_retry_interval_seconds": step.retry.maximum_interval_seconds,
        "retry_interval_backoff_multiplier": step.retry.backoff_multiplier,
        "retry_attempts": step.retry.attempts,
        "step_timeout_seconds": step.timeout_seconds,
        "max_parallelism": step.max_parallelism,
    }
    if step.output is not None:
        found |= {
            "output_type": "SqlDatabase",
            "output_credential_name": step.output.credential_name,
            "output_server_name": step.output.server_name,
            "output_database_name": step.output.database_name,
            "output_schema_name": step.output.schema_name,
            "output_table_name": step.output.table_name,
        }
    return found


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def _time(instant: datetime) -> str:
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")

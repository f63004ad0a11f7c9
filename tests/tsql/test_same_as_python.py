"""What T-SQL writes is what the management API's own code writes; and the tick takes it from there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, select

from elastic_jobs.domain.lifecycle import Level
from elastic_jobs.domain.model import Output
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.domain.schedule import IntervalType, Schedule
from elastic_jobs.domain.targets import Member, MembershipType, TargetType
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions.schedule_edits import arm_edited_jobs
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions
from elastic_jobs.jobdb.executions import advancing, canceling, repairs, starting
from elastic_jobs.jobdb.executions.due import find_duties
from elastic_jobs.jobdb.tables import job_steps, job_versions, jobs, target_group_members, target_groups
from tests.definitions.conftest import Hand
from tests.tsql.face import Face
from tests.tsql.test_samples_tutorial import create_table_job

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def told(connection: Connection, *tables: Any) -> list[list[dict[str, Any]]]:
    """The rows of tables without what differs by nature: ids and times of the writing."""
    return [sorted((_plain(row) for row in connection.execute(select(table)).mappings()), key=str) for table in tables]


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    own = {"create_time", "dispatch_time", "sent_messages", "next_run_time", "schedule_anchor", "cancel_request_time"}
    return {
        str(name): value
        for name, value in row.items()
        if not isinstance(value, UUID) and name not in own and not (name == "end_time" and value is not None)
    }


def by_python(hand: Hand) -> None:
    server = Member(
        target_type=TargetType.SQL_SERVER, server_name="server1", refresh_credential_name="refresh_credential"
    )
    gone = Member(
        target_type=TargetType.SQL_DATABASE,
        server_name="server1",
        database_name="d",
        membership_type=MembershipType.EXCLUDE,
    )
    hand.group("group1", server, gone)
    start = datetime(2099, 1, 1, tzinfo=UTC)
    hand.job(schedule=Schedule(interval_type=IntervalType.DAYS, interval_count=3, start_time=start), description="said")
    output = Output(server_name="server1", database_name="d", table_name="t", credential_name="job_credential")
    step = {"credential_name": "job_credential", "target_group_name": "group1"}
    hand.step("a", **step, output=output, retry=RetryPolicy(attempts=3, backoff_multiplier=1.3))
    hand.step("b", **step, step_id=1, max_parallelism=7)
    hand.step("c", **step, current_name="a", step_id=1, timeout_seconds=5)


TSQL = (
    "EXEC jobs.sp_add_target_group 'group1'",
    "EXEC jobs.sp_add_target_group_member 'group1', 'include', 'sqlserver', 'REFRESH_credential', 'server1'",
    "EXEC jobs.sp_add_target_group_member 'group1', 'exclude', 'sqldatabase', NULL, 'server1', 'd'",
    "EXEC jobs.sp_add_job 'job1', 'said', 0, 'days', 3, '2099-01-01'",
    "EXEC jobs.sp_add_jobstep 'job1', @step_name = 'a', @command = 'SELECT 1', @credential_name = 'JOB_credential',"
    " @target_group_name = 'GROUP1', @retry_attempts = 3, @retry_interval_backoff_multiplier = 1.3,"
    " @output_type = 'sqldatabase', @output_server_name = 'server1', @output_database_name = 'd',"
    " @output_table_name = 't', @output_credential_name = 'job_credential'",
    "EXEC jobs.sp_add_jobstep 'job1', 1, 'b', @command = 'SELECT 1', @credential_name = 'job_credential',"
    " @target_group_name = 'group1', @max_parallelism = 7",
    "EXEC jobs.sp_update_jobstep 'job1', @step_name = 'a', @new_id = 1, @new_name = 'c', @step_timeout_seconds = 5,"
    " @output_type = '', @retry_attempts = 10, @retry_interval_backoff_multiplier = 2",
)


def test_definitions_become_the_same_rows(face: Face, server_hand: Hand, server_database: JobDatabase) -> None:
    tables = (target_groups, target_group_members, jobs, job_versions, job_steps)
    for call in TSQL:
        face.run(call)
    with server_database.read() as connection:
        mine = told(connection, *tables)
    for table in reversed(tables):
        face.run(f"DELETE FROM {table.fullname}")
    by_python(server_hand)
    with server_database.read() as connection:
        assert mine == told(connection, *tables)


def test_runs_and_their_cancellation_become_the_same_rows(face: Face, server_database: JobDatabase) -> None:
    create_table_job(face)
    execution = face.value(
        "DECLARE @e uniqueidentifier; EXEC jobs.sp_start_job 'CreateTableTest', @e OUTPUT; SELECT @e"
    )
    with server_database.read() as connection:
        started = told(connection, job_executions, step_executions)
    face.run("EXEC jobs.sp_stop_job ?", execution)
    with server_database.read() as connection:
        stopped = told(connection, job_executions, step_executions)
    face.run("DELETE FROM jobs_internal.job_executions")
    with server_database.write() as connection:
        run = starting.start(connection, server_database, "CreateTableTest", ids=uuid4)
    with server_database.read() as connection:
        assert started == told(connection, job_executions, step_executions)
    with server_database.write() as connection:
        assert canceling.request_cancel(connection, server_database, run.execution_id)
    with server_database.read() as connection:
        assert stopped == told(connection, job_executions, step_executions)


def test_the_tick_sends_what_was_started_and_ends_what_was_canceled(face: Face, server_database: JobDatabase) -> None:
    create_table_job(face)
    now = datetime.now(UTC)
    with server_database.write() as connection:
        assert arm_edited_jobs(connection) == 1, "it got its first step"
    with server_database.read() as connection:
        assert not find_duties(connection, server_database, now, LONG_AGO).any
    execution = face.value(
        "DECLARE @e uniqueidentifier; EXEC jobs.sp_start_job 'CreateTableTest', @e OUTPUT; SELECT @e"
    )
    with server_database.read() as connection:
        assert find_duties(connection, server_database, now, LONG_AGO).messages
    with server_database.write() as connection:
        assert len(repairs.unsent(connection, server_database, Level.STEP)) == 1
    face.run("EXEC jobs.sp_stop_job ?", execution)
    with server_database.read() as connection:
        assert find_duties(connection, server_database, now, LONG_AGO).runs
        (stranded,) = repairs.stranded_runs(connection)
    with server_database.write() as connection:
        advancing.advance(connection, server_database, stranded, uuid4)
    ended = face.rows("SELECT lifecycle, last_message FROM jobs.job_executions WHERE step_id IS NULL")
    assert ended == [{"lifecycle": "Canceled", "last_message": "Job execution canceled."}]


def test_the_tick_arms_what_was_scheduled(face: Face, server_database: JobDatabase) -> None:
    create_table_job(face)
    face.run(
        "EXEC jobs.sp_update_job 'CreateTableTest', @enabled = 1, @schedule_interval_type = 'Minutes',"
        " @schedule_interval_count = 15, @schedule_start_time = '2099-01-01'"
    )
    with server_database.read() as connection:
        duties = find_duties(connection, server_database, datetime.now(UTC), LONG_AGO)
        assert duties.edits
        assert duties.next_run_time is None
    with server_database.write() as connection:
        assert arm_edited_jobs(connection) == 1
    with server_database.read() as connection:
        duties = find_duties(connection, server_database, datetime.now(UTC), LONG_AGO)
    assert not duties.edits
    assert duties.next_run_time == datetime(2099, 1, 1, tzinfo=UTC)
    face.run("EXEC jobs.sp_update_job 'CreateTableTest', @enabled = 0")
    with server_database.read() as connection:
        assert find_duties(connection, server_database, datetime.now(UTC), LONG_AGO).next_run_time is None

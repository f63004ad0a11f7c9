"""The samples of the reference pages, and the scripts that Microsoft publishes beside them, in our own words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tsql.face import Face
from tests.tsql.test_samples_tutorial import create_table_job

GROUP = "Servers Maintaining Customer Information"


def members(face: Face, group: str) -> set[tuple[str, str, str, str | None]]:
    rows = face.rows("SELECT * FROM jobs.target_group_members WHERE target_group_name = ?", group)
    return {(row["membership_type"], row["target_type"], row["server_name"], row["database_name"]) for row in rows}


def test_a_group_whose_name_has_blanks(face: Face) -> None:
    face.run(f"EXEC jobs.sp_add_target_group @target_group_name = N'{GROUP}'")
    for server in ("London.database.windows.net", "NewYork.database.windows.net"):
        face.run(
            f"EXEC jobs.sp_add_target_group_member @target_group_name = N'{GROUP}', @target_type = N'SqlServer',"
            " @refresh_credential_name = N'refresh_credential', @server_name = ?",
            server,
        )
    assert members(face, GROUP) == {
        ("Include", "SqlServer", "London.database.windows.net", None),
        ("Include", "SqlServer", "NewYork.database.windows.net", None),
    }


def test_a_server_without_two_databases(face: Face) -> None:
    face.run("EXEC jobs.sp_add_target_group N'ServerGroup'")
    face.run(
        "EXEC jobs.sp_add_target_group_member N'ServerGroup', @membership_type = N'Include',"
        " @target_type = N'SqlServer',"
        " @refresh_credential_name = N'refresh_credential', @server_name = N'server1.database.windows.net'"
    )
    for database in ("MappingDB", "MappingDB2"):
        face.run(
            "EXEC jobs.sp_add_target_group_member N'ServerGroup', @membership_type = N'Exclude',"
            " @target_type = N'SqlDatabase', @server_name = N'server1.database.windows.net', @database_name = ?",
            database,
        )
    assert {(kind, database) for kind, _, _, database in members(face, "ServerGroup")} == {
        ("Include", None),
        ("Exclude", "MappingDB"),
        ("Exclude", "MappingDB2"),
    }


def test_a_member_is_removed_by_the_id_that_the_view_shows(face: Face) -> None:
    face.run("EXEC jobs.sp_add_target_group 'ServerGroup1'")
    for server in ("server1.database.windows.net", "server2.database.windows.net"):
        face.run(
            "EXEC jobs.sp_add_target_group_member 'ServerGroup1', @target_type = 'SqlServer',"
            " @refresh_credential_name = 'refresh_credential', @server_name = ?",
            server,
        )
    face.run(
        "DECLARE @tid uniqueidentifier; SELECT @tid = target_id FROM jobs.target_group_members"
        " WHERE target_group_name = 'ServerGroup1' AND server_name = 'server1.database.windows.net';"
        " EXEC jobs.sp_delete_target_group_member @target_group_name = N'ServerGroup1', @target_id = @tid"
    )
    assert members(face, "ServerGroup1") == {("Include", "SqlServer", "server2.database.windows.net", None)}
    assert face.value("SELECT position FROM jobs_internal.target_group_members") == 1
    face.run("EXEC jobs.sp_delete_target_group @target_group_name = N'ServerGroup1'")
    assert face.rows("SELECT * FROM jobs.target_groups") == []


def test_a_step_is_updated_without_saying_which_when_it_is_the_only_one(face: Face) -> None:
    create_table_job(face)
    answer = face.value(
        "DECLARE @v int; EXEC jobs.sp_update_jobstep @job_name = 'CreateTableTest', @command = N'SELECT 2',"
        " @target_group_name = 'PoolGroup', @job_version = @v OUTPUT; SELECT @v"
    )
    assert answer == 2
    (step,) = face.rows("SELECT * FROM jobs.jobsteps")
    assert (step["command"], step["job_version"], step["credential_name"], step["step_name"]) == (
        "SELECT 2",
        2,
        "job_credential",
        "JobStep",
    )
    versions = face.rows("SELECT job_version, command FROM jobs.jobstep_versions ORDER BY job_version")
    assert [row["job_version"] for row in versions] == [1, 2]


def test_stop_by_an_id_that_was_read_from_the_view(face: Face) -> None:
    create_table_job(face)
    face.run("EXEC jobs.sp_start_job 'CreateTableTest'")
    wanted = (
        "job_execution_id, job_name, job_version, step_id, is_active, lifecycle, start_time, current_attempts,"
        " current_attempt_start_time, last_message, target_group_name, target_server_name, target_database_name"
    )
    (run, _) = face.rows(f"SELECT {wanted} FROM jobs.job_executions WHERE is_active = 1 ORDER BY step_id")
    assert len(run) == 13
    face.run(f"EXEC jobs.sp_stop_job '{run['job_execution_id']}'")
    (root,) = face.rows("SELECT last_message FROM jobs.job_executions WHERE step_id IS NULL")
    assert root["last_message"] == "Cancellation was requested."


def test_enabled_jobs_and_the_steps_of_one_job(face: Face) -> None:
    create_table_job(face)
    assert face.rows("SELECT * FROM jobs.jobs WHERE enabled = 1") == []
    assert face.rows("SELECT * FROM jobs.jobstep_versions WHERE job_name = 'Rebuild job'") == []
    assert len(face.rows("SELECT * FROM jobs.jobstep_versions WHERE job_name = 'createtabletest'")) == 1, "without case"


def catalog_script(face: Face) -> None:
    """A script with variables as arguments: a server and two databases, a job that is enabled before it has a step."""
    face.run(
        """
        DECLARE @server1 nvarchar(50) = 'tenants1-user.database.windows.net';
        DECLARE @server2 nvarchar(50) = 'catalog-user.database.windows.net';
        EXEC jobs.sp_add_target_group @target_group_name = 'DemoServerGroup';
        EXEC jobs.sp_add_target_group_member @target_group_name = 'DemoServerGroup', @membership_type = 'Include',
            @target_type = 'SqlServer', @refresh_credential_name = 'refresh_credential', @server_name = @server1;
        EXEC jobs.sp_add_target_group_member @target_group_name = 'DemoServerGroup', @membership_type = 'Include',
            @target_type = 'Sqldatabase', @server_name = @server2, @database_name = 'basetenantdb';
        EXEC jobs.sp_add_target_group_member @target_group_name = 'DemoServerGroup', @membership_type = 'Include',
            @target_type = 'sqldatabase', @server_name = @server2, @database_name = 'adhocreporting';
        """
    )


def test_reference_data_for_all_tenants(face: Face) -> None:
    catalog_script(face)
    assert {kind for _, kind, _, _ in members(face, "DemoServerGroup")} == {"SqlServer", "SqlDatabase"}
    face.run(
        "EXEC jobs.sp_add_job @job_name='Reference Data Deployment', @description='Deploy', @enabled=1,"
        " @schedule_interval_type='Once'"
    )
    script = (
        "MERGE INTO dbo.VenueTypes AS t USING (VALUES ('a')) AS s(n) ON t.n = s.n WHEN NOT MATCHED"
        " THEN INSERT VALUES (n);\nGO"
    )
    face.run(
        "EXEC jobs.sp_add_jobstep @job_name='Reference Data Deployment', @command = ?,"
        " @credential_name='job_credential',"
        " @target_group_name='DemoServerGroup'",
        script,
    )
    assert face.rows("SELECT command FROM jobs.jobsteps") == [{"command": script}]
    # The step came in a later batch than the schedule: the single run is yet to come.
    assert face.value("SELECT COUNT(*) FROM jobs_internal.schedule_edits") == 1


def test_a_weekly_job_since_2017(face: Face) -> None:
    catalog_script(face)
    face.run(
        "EXEC jobs.sp_add_job @job_name='Reindex', @description='Online', @enabled=1, @schedule_interval_type='Weeks',"
        " @schedule_interval_count=1, @schedule_start_time='2017-03-19 22:00:00.0000000'"
    )
    (job,) = face.rows("SELECT * FROM jobs.jobs")
    assert (job["schedule_interval_type"], str(job["schedule_start_time"])) == ("Weeks", "2017-03-19 22:00:00")


@pytest.mark.parametrize("schema", [None, "dbo"])
def test_results_with_and_without_a_schema(face: Face, schema: str | None) -> None:
    catalog_script(face)
    face.run(
        "EXEC jobs.sp_add_job @job_name='Tickets', @enabled=1, @schedule_interval_type='Minutes',"
        " @schedule_interval_count=60"
    )
    command = (
        "DECLARE @x int = 1; WITH t AS (SELECT @x AS x) SELECT $(job_execution_id) AS id, x FROM"
        " t;\nGO\nUPDATE dbo.T SET x = 1"
    )
    values: list[Any] = [command, schema]
    face.run(
        "EXEC jobs.sp_add_jobstep @job_name='Tickets', @command=?, @credential_name='job_credential',"
        " @target_group_name='DemoServerGroup', @output_type='SqlDatabase', @output_credential_name='job_credential',"
        " @output_server_name='catalog-user.database.windows.net', @output_database_name='tenantanalytics',"
        " @output_schema_name=?, @output_table_name='AllTickets'",
        *values,
    )
    (step,) = face.rows("SELECT * FROM jobs.jobsteps")
    assert (step["output_schema_name"], step["output_table_name"], step["command"]) == ("dbo", "AllTickets", command)

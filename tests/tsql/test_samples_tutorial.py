"""The T-SQL tutorial of Azure SQL elastic jobs, in our own words: each of its calls, and the rows that come of it.

The numbers are those of section 12.1 of the fact sheet. Statements on target servers (1, 2) and the parts that only a
running agent can show (what a script answers) are tested elsewhere.
"""

from __future__ import annotations

from uuid import UUID, uuid4

from tests.tsql.face import Face

SERVER = "server1.database.windows.net"
CREATE_TABLE = """IF NOT EXISTS (SELECT * FROM sys.tables WHERE object_id = object_id('Test'))
CREATE TABLE [dbo].[Test]([TestId] [int] NOT NULL);"""
STATISTICS = "SELECT $(job_execution_id) AS job_execution_id, avg_cpu_percent FROM sys.dm_db_resource_stats"


def pool_group(face: Face) -> None:
    face.run("EXEC jobs.sp_add_target_group 'PoolGroup'")
    face.run(
        "EXEC jobs.sp_add_target_group_member 'PoolGroup', @target_type = 'SqlElasticPool',"
        " @refresh_credential_name = 'refresh_credential', @server_name = 'server1.database.windows.net',"
        " @elastic_pool_name = 'ElasticPool-1'"
    )


def create_table_job(face: Face) -> None:
    pool_group(face)
    face.run("EXEC jobs.sp_add_job @job_name = 'CreateTableTest', @description = 'Create Table Test'")
    face.run(
        "EXEC jobs.sp_add_jobstep @job_name = 'CreateTableTest', @command = ?, @credential_name = 'job_credential',"
        " @target_group_name = 'PoolGroup'",
        CREATE_TABLE,
    )


def test_3_a_group_of_a_server(face: Face) -> None:
    face.run("EXEC jobs.sp_add_target_group 'ServerGroup1'")
    face.run(
        "EXEC jobs.sp_add_target_group_member @target_group_name = 'ServerGroup1', @target_type = 'SqlServer',"
        " @refresh_credential_name = 'refresh_credential', @server_name = 'server1.database.windows.net'"
    )
    (group,) = face.rows("SELECT * FROM jobs.target_groups WHERE target_group_name = 'ServerGroup1'")
    (member,) = face.rows("SELECT * FROM jobs.target_group_members WHERE target_group_name = 'ServerGroup1'")
    assert UUID(str(group["target_group_id"])) == UUID(str(member["target_group_id"]))
    del member["target_group_id"], member["target_id"]
    assert member == {
        "target_group_name": "ServerGroup1",
        "membership_type": "Include",
        "target_type": "SqlServer",
        "refresh_credential_name": "refresh_credential",
        "subscription_id": None,
        "resource_group_name": None,
        "server_name": SERVER,
        "database_name": None,
        "elastic_pool_name": None,
        "shard_map_name": None,
    }


def test_4_servers_without_one_database(face: Face) -> None:
    face.run("EXEC [jobs].sp_add_target_group N'ServerGroup'")
    for server in ("London.database.windows.net", "server2.database.windows.net"):
        face.run(
            "EXEC [jobs].sp_add_target_group_member @target_group_name = N'ServerGroup', @membership_type = N'Include',"
            " @target_type = N'SqlServer', @refresh_credential_name = N'refresh_credential', @server_name = ?",
            server,
        )
    face.run(
        "EXEC [jobs].sp_add_target_group_member @target_group_name = N'ServerGroup', @membership_type = N'Exclude',"
        " @target_type = N'SqlDatabase', @server_name = N'server1.database.windows.net', @database_name = N'MappingDB'"
    )
    found = face.rows("SELECT * FROM jobs.target_group_members WHERE target_group_name = N'ServerGroup'")
    assert sorted((row["membership_type"], row["server_name"], row["database_name"] or "") for row in found) == [
        ("Exclude", SERVER, "MappingDB"),
        ("Include", "London.database.windows.net", ""),
        ("Include", "server2.database.windows.net", ""),
    ]


def test_5_a_group_of_a_pool(face: Face) -> None:
    pool_group(face)
    assert len(face.rows("SELECT * FROM jobs.target_groups WHERE target_group_name = N'PoolGroup'")) == 1
    (member,) = face.rows("SELECT * FROM jobs.target_group_members WHERE target_group_name = N'PoolGroup'")
    assert (member["target_type"], member["server_name"], member["elastic_pool_name"]) == (
        "SqlElasticPool",
        SERVER,
        "ElasticPool-1",
    )


def test_6_a_job_that_deploys_a_table(face: Face) -> None:
    create_table_job(face)
    (job,) = face.rows("SELECT * FROM jobs.jobs")
    assert (job["job_name"], job["description"], job["job_version"], job["enabled"]) == (
        "CreateTableTest",
        "Create Table Test",
        1,
        False,
    )
    assert (job["schedule_interval_type"], job["schedule_interval_count"]) == ("Once", 1)
    assert str(job["schedule_start_time"]) == "0001-01-01 00:00:00"
    assert str(job["schedule_end_time"]) == "9999-12-31 11:59:59"
    (step,) = face.rows("SELECT * FROM jobs.jobsteps")
    known = {name: step[name] for name in step if not name.endswith("_id")}
    assert known == {
        "job_name": "CreateTableTest",
        "job_version": 1,
        "step_name": "JobStep",
        "command_type": "TSql",
        "command_source": "Inline",
        "command": CREATE_TABLE,
        "credential_name": "job_credential",
        "target_group_name": "PoolGroup",
        "initial_retry_interval_seconds": 1,
        "maximum_retry_interval_seconds": 120,
        "retry_interval_backoff_multiplier": 2.0,
        "retry_attempts": 10,
        "step_timeout_seconds": 43200,
        "output_type": None,
        "output_credential_name": None,
        "output_resource_group_name": None,
        "output_server_name": None,
        "output_database_name": None,
        "output_schema_name": None,
        "output_table_name": None,
        "max_parallelism": None,
    }
    assert step["step_id"] == 1


def test_7_and_8_results_into_a_table_with_names_that_were_left_as_placeholders(face: Face) -> None:
    pool_group(face)
    face.run(
        "EXEC jobs.sp_add_job @job_name ='ResultsJob', @description='Collection Performance data from all customers'"
    )
    face.run(
        "EXEC jobs.sp_add_jobstep @job_name='ResultsJob', @command= ?, @credential_name = 'job_credential',"
        " @target_group_name='PoolGroup', @output_type='SqlDatabase', @output_credential_name = 'job_credential',"
        " @output_server_name='server1.database.windows.net', @output_database_name='<resultsdb>',"
        " @output_table_name='<output_table_name>'",
        STATISTICS,
    )
    (step,) = face.rows("SELECT * FROM jobs.jobsteps WHERE job_name = 'ResultsJob'")
    assert step["command"] == STATISTICS
    assert [
        step[f"output_{name}"] for name in ("type", "server_name", "database_name", "schema_name", "table_name")
    ] == [
        "SqlDatabase",
        SERVER,
        "<resultsdb>",
        "dbo",
        "<output_table_name>",
    ]


def test_9_and_11_a_job_on_a_schedule(face: Face) -> None:
    face.run("EXEC jobs.sp_add_target_group 'ElasticJobGroup'")
    face.run(
        "EXEC jobs.sp_add_target_group_member @target_group_name='ElasticJobGroup', @target_type='SqlDatabase',"
        " @server_name='server1.database.windows.net', @database_name='master'"
    )
    face.run(
        "EXEC jobs.sp_add_job @job_name='ResultsPoolsJob', @description='Demo: Collection"
        " Performance data from all pools',"
        " @schedule_interval_type='Minutes', @schedule_interval_count=15"
    )
    face.run(
        "EXEC jobs.sp_add_jobstep @job_name='ResultsPoolsJob', @command=N'DECLARE @now datetime;"
        " SELECT @now = getutcdate();',"
        " @credential_name='job_credential', @target_group_name='ElasticJobGroup'"
    )
    wanted = "SELECT enabled, schedule_interval_type, schedule_interval_count FROM jobs.jobs"
    assert [tuple(row.values()) for row in face.rows(wanted)] == [(False, "Minutes", 15)]
    face.run(
        "EXEC jobs.sp_update_job @job_name='ResultsPoolsJob', @enabled=1, @schedule_interval_type='Minutes',"
        " @schedule_interval_count=15"
    )
    assert [tuple(row.values()) for row in face.rows(wanted)] == [(True, "Minutes", 15)]


def test_10_start_with_and_without_asking_for_the_id(face: Face) -> None:
    create_table_job(face)
    face.run("EXEC jobs.sp_start_job 'CreateTableTest'")
    (started,) = face.rows(
        "DECLARE @je uniqueidentifier; EXEC jobs.sp_start_job 'CreateTableTest', @job_execution_id = @je OUTPUT;"
        " SELECT @je AS je, COUNT(*) AS rows_of_run FROM jobs.job_executions WHERE"
        " job_execution_id = @je GROUP BY job_execution_id"
    )
    assert started["je"] is not None
    assert started["rows_of_run"] == 2
    runs = face.rows("SELECT * FROM jobs.job_executions WHERE step_id IS NULL ORDER BY create_time")
    assert [run["lifecycle"] for run in runs] == ["Created", "Created"]
    last = runs[-1]
    assert UUID(str(last["job_execution_id"])) == UUID(str(started["je"]))
    assert (last["is_active"], last["current_attempts"], last["job_version"]) == (True, 0, 1)
    assert last["last_message"] == "Job execution created."
    assert last["target_type"] is last["start_time"] is last["end_time"] is None
    (step,) = face.rows("SELECT * FROM jobs.job_executions WHERE job_execution_id = ? AND step_id = 1", started["je"])
    assert (step["lifecycle"], step["step_name"], step["target_group_name"]) == ("Created", "JobStep", "PoolGroup")


def test_10_the_withdrawn_way_to_run_an_old_version_fails(face: Face) -> None:
    """Documentation before 2022 passed a version number; there is none to pass, and the server says so itself."""
    create_table_job(face)
    try:
        face.run("EXEC jobs.sp_start_job 'CreateTableTest', 1")
    except AssertionError:
        assert face.rows("SELECT * FROM jobs.job_executions") == []
    else:
        raise AssertionError("a version was accepted as an id")


def test_12_definitions(face: Face) -> None:
    create_table_job(face)
    face.run(
        "EXEC jobs.sp_add_jobstep 'CreateTableTest', @step_name = 'two', @command = 'SELECT 2',"
        " @credential_name = 'job_credential', @target_group_name = 'PoolGroup'"
    )
    assert len(face.rows("SELECT * FROM jobs.jobs")) == 1
    joined = face.rows(
        "SELECT js.* FROM jobs.jobsteps js JOIN jobs.jobs j ON j.job_id = js.job_id AND j.job_version = js.job_version"
    )
    assert [(row["step_id"], row["step_name"]) for row in joined] == [(1, "JobStep"), (2, "two")]
    assert len(face.rows("SELECT * FROM jobs.jobsteps")) == 2
    assert len(face.rows("SELECT * FROM jobs.jobstep_versions")) == 3
    versions = face.rows("SELECT job_version FROM jobs.job_versions ORDER BY job_version")
    assert [row["job_version"] for row in versions] == [0, 1, 2]


def test_13_monitoring(face: Face) -> None:
    create_table_job(face)
    for _ in range(2):
        face.run("EXEC jobs.sp_start_job 'CreateTableTest'")
    for query, rows in (
        (
            "SELECT * FROM jobs.job_executions WHERE job_name = 'CreateTableTest' AND step_id IS NULL"
            " ORDER BY start_time DESC",
            2,
        ),
        ("SELECT * FROM jobs.job_executions WHERE step_id IS NULL ORDER BY start_time DESC", 2),
        ("SELECT * FROM jobs.job_executions ORDER BY start_time DESC", 4),
        ("SELECT * FROM jobs.job_executions WHERE is_active = 1 ORDER BY start_time DESC", 4),
        ("SELECT * FROM jobs.job_executions WHERE lifecycle = 'failed'", 0),
    ):
        assert len(face.rows(query)) == rows, query


def test_14_cancel(face: Face) -> None:
    create_table_job(face)
    active = (
        "SELECT * FROM jobs.job_executions WHERE is_active = 1 AND job_name = 'CreateTableTest' AND step_id IS NULL"
    )
    face.run("EXEC jobs.sp_start_job 'CreateTableTest'")
    (run,) = face.rows(active)
    for _ in range(4):
        face.run("EXEC jobs.sp_stop_job ?", run["job_execution_id"])
    (step,) = face.rows("SELECT * FROM jobs.job_executions WHERE step_id = 1")
    assert (step["lifecycle"], step["is_active"], step["last_message"]) == (
        "Canceled",
        False,
        "Canceled before it began.",
    )
    unknown = uuid4()
    assert face.refused("EXEC jobs.sp_stop_job ?", str(unknown)) == f"There is no execution '{unknown}'."


def test_15_purge_of_a_name_that_is_misspelt_in_the_tutorial(face: Face) -> None:
    """Decided: an unknown name is an error, not silence."""
    create_table_job(face)
    assert face.refused("EXEC jobs.sp_purge_jobhistory 'ResultPoolsJob', @oldest_date='2016-07-01 00:00:00'") == (
        "There is no job 'ResultPoolsJob'."
    )
    face.run("EXEC jobs.sp_purge_jobhistory 'CreateTableTest', @oldest_date='2016-07-01 00:00:00'")


def test_16_delete_and_then_purge(face: Face) -> None:
    create_table_job(face)
    face.run("EXEC jobs.sp_delete_job @job_name='CreateTableTest'")
    for view in ("jobs", "job_versions", "jobsteps", "jobstep_versions", "job_executions"):
        assert face.rows(f"SELECT * FROM jobs.{view}") == []
    assert (
        face.refused("EXEC jobs.sp_purge_jobhistory @job_name='CreateTableTest'")
        == "There is no job 'CreateTableTest'."
    )
    face.run("EXEC [jobs].[sp_delete_target_group] 'PoolGroup'")
    assert face.rows("SELECT * FROM jobs.target_group_members") == []

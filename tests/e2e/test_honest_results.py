"""A script that failed is Failed, and what it said can be read."""

from __future__ import annotations

import pytest

from local.api_client import ApiError
from local.stack import TARGET_SERVER
from tests.e2e.support import MANY_SERVER, Bench, wait_for


def test_division_by_zero_without_an_output_table_fails_and_names_8134(bench: Bench) -> None:
    run, (target,) = bench.run(bench.job("SELECT 1/0", bench.member("database1")))
    assert run["lifecycle"] == "Failed"
    assert target["lifecycle"] == "Failed"
    assert "8134" in target["lastMessage"]


def test_an_error_behind_the_first_statement_fails(bench: Bench) -> None:
    script = "CREATE TABLE #t (a int); INSERT #t VALUES (1); SELECT a FROM #t; SELECT 1/0"
    run, (target,) = bench.run(bench.job(script, bench.member("database1")))
    assert run["lifecycle"] == "Failed"
    assert "8134" in target["lastMessage"]


def test_print_output_and_row_counts_can_be_read_through_the_api(bench: Bench) -> None:
    script = "PRINT 'before'; CREATE TABLE #t (a int); INSERT #t VALUES (1), (2);\nGO\nPRINT 'after'"
    job = bench.job(script, bench.member("database1"))
    execution = bench.start(job)
    assert bench.ended(job, execution)["lifecycle"] == "Succeeded"
    (target,) = bench.targets(job, execution)
    said = bench.messages(job, execution, target["id"])
    assert [m["text"] for m in said if m["kind"] == "message"] == ["before", "after"]
    assert [m["batch"] for m in said if m["kind"] == "message"] == [1, 2]
    assert 2 in [m.get("rowCount") for m in said if m["kind"] == "rowcount"]


def test_a_syntax_error_fails_with_the_server_s_words_and_nothing_is_half_done(bench: Bench) -> None:
    script = "CREATE TABLE dbo.HalfDone (a int); SELEC 1"
    run, (target,) = bench.run(bench.job(script, bench.member("database1")))
    assert run["lifecycle"] == "Failed"
    assert "Msg 102" in target["lastMessage"] or "Msg 2812" in target["lastMessage"]
    if "Msg 102" in target["lastMessage"]:
        assert bench.sql("database1", "SELECT name FROM sys.tables WHERE name = 'HalfDone'") == []


def test_a_wrong_password_says_which_user_on_which_server(bench: Bench) -> None:
    bench.api.put("/credentials/wrong", {"username": "sqladmin", "password": "not-the-password"})
    job = bench.job("SELECT 1", bench.member("database1"))
    bench.add_step(job, "SELECT 1", job, credential=f"{bench.api.agent}/credentials/wrong")
    run, (target,) = bench.run(job)
    assert run["lifecycle"] == "Failed"
    assert "sqladmin" in target["lastMessage"]
    assert TARGET_SERVER in target["lastMessage"]
    assert "not-the-password" not in target["lastMessage"]


def test_a_database_that_is_gone_when_its_turn_comes_fails_alone(bench: Bench) -> None:
    bench.emulator.create_database(TARGET_SERVER, "shortlived")
    job = bench.job("SELECT 1", bench.member("shortlived"), bench.member("database1"))
    bench.emulator.drop_database(TARGET_SERVER, "shortlived")
    run, targets = bench.run(job, 120)
    assert run["lifecycle"] == "Failed"
    ends = {target["target"]["databaseName"]: target["lifecycle"] for target in targets}
    assert ends == {"shortlived": "Failed", "database1": "Succeeded"}
    (gone,) = (t for t in targets if t["target"]["databaseName"] == "shortlived")
    assert "shortlived" in gone["lastMessage"]


def test_an_unknown_target_group_is_refused_by_name(bench: Bench) -> None:
    job = bench.job("SELECT 1", bench.member("database1"))
    with pytest.raises(ApiError, match="nowhere") as refused:
        bench.add_step(job, "SELECT 1", "nowhere", name="step2")
    assert refused.value.status in {400, 404}
    assert bench.api.call("GET", f"/jobs/{job}")["properties"]["version"] == 1


def test_a_missing_credential_is_refused_by_name(bench: Bench) -> None:
    job = bench.job("SELECT 1", bench.member("database1"))
    with pytest.raises(ApiError, match="nobody") as refused:
        bench.add_step(job, "SELECT 1", job, name="step2", credential=f"{bench.api.agent}/credentials/nobody")
    assert refused.value.status in {400, 404}


def test_a_server_outside_the_allow_list_is_refused_when_it_is_named(bench: Bench) -> None:
    with pytest.raises(ApiError, match=r"evil\.example"):
        bench.api.put("/targetGroups/evil", {"members": [bench.member("d", server="evil.example")]})
    with pytest.raises(ApiError) as missing:
        bench.api.call("GET", "/targetGroups/evil")
    assert missing.value.status == 404


def test_a_step_that_runs_too_long_times_out_and_is_stopped_on_the_server(bench: Bench) -> None:
    job = bench.job("WAITFOR DELAY '00:05:00'", bench.member("database1"), executionOptions={"timeoutSeconds": 1})
    run, (target,) = bench.run(job)
    assert (run["lifecycle"], target["lifecycle"]) == ("TimedOut", "TimedOut")
    wait_for(lambda: not bench.emulator.running(text="00:05:00"), 10)


def test_cancel_stops_running_scripts_within_five_seconds(bench: Bench) -> None:
    job = bench.job("WAITFOR DELAY '00:04:00'", bench.member("database1"), bench.member("database2"))
    execution = bench.start(job)
    wait_for(lambda: len(bench.emulator.running(text="00:04:00")) == 2, 30)
    bench.api.call("POST", f"/jobs/{job}/executions/{execution}/cancel")
    assert bench.ended(job, execution, 5)["lifecycle"] == "Canceled"
    assert bench.emulator.running(text="00:04:00") == []


def test_a_second_run_of_a_busy_step_is_skipped_on_that_database(bench: Bench) -> None:
    job = bench.job("WAITFOR DELAY '00:00:03'", bench.member("database1"))
    first = bench.start(job)
    wait_for(lambda: bench.emulator.running(text="00:00:03"), 30)
    second = bench.start(job)
    assert bench.ended(job, second)["lifecycle"] == "SucceededWithSkipped"
    assert [t["lifecycle"] for t in bench.targets(job, second)] == ["Skipped"]
    assert bench.ended(job, first)["lifecycle"] == "Succeeded"


def test_a_failing_script_is_retried_as_often_as_the_step_says(bench: Bench) -> None:
    options = {"retryAttempts": 2, "initialRetryIntervalSeconds": 1, "maximumRetryIntervalSeconds": 1}
    job = bench.job("THROW 50001, 'again', 1", bench.member("database1"), executionOptions=options)
    run, (target,) = bench.run(job)
    assert run["lifecycle"] == "Failed"
    assert target["currentAttempts"] == 3
    assert "again" in target["lastMessage"]


def test_steps_stop_after_a_failed_one(bench: Bench) -> None:
    job = bench.job("THROW 50001, 'no', 1", bench.member("database1"))
    bench.add_step(job, "CREATE TABLE dbo.NeverMade (a int)", job, name="step2")
    run, targets = bench.run(job)
    assert run["lifecycle"] == "Failed"
    assert len(targets) == 1
    assert bench.sql("database1", "SELECT name FROM sys.tables WHERE name = 'NeverMade'") == []


def test_the_output_table_holds_the_first_result_set(bench: Bench) -> None:
    output = {
        "serverName": TARGET_SERVER,
        "databaseName": "database2",
        "tableName": "Collected",
        "credential": f"{bench.api.agent}/credentials/admin",
    }
    script = "SELECT DB_NAME() AS database_name, $(job_execution_id) AS job_execution_id"
    job = bench.job(script, bench.member("database1"), bench.member("database2"), output=output)
    run, _ = bench.run(job)
    assert run["lifecycle"] == "Succeeded", run
    rows = bench.sql("database2", "SELECT database_name, internal_execution_id FROM dbo.Collected ORDER BY 1")
    assert [row[0] for row in rows] == ["database1", "database2"]
    assert len({row[1] for row in rows}) == 2


def test_max_parallelism_holds_in_a_pool(bench: Bench) -> None:
    pool = {
        "type": "SqlElasticPool",
        "serverName": TARGET_SERVER,
        "elasticPoolName": "pool1",
        "refreshCredential": f"{bench.api.agent}/credentials/admin",
    }
    job = bench.job("WAITFOR DELAY '00:00:00.3'", pool)
    run, targets = bench.run(job)
    assert run["lifecycle"] == "Succeeded"
    assert len(targets) == 8


def test_output_goes_to_another_server_with_another_credential(bench: Bench) -> None:
    for statement in (
        "CREATE LOGIN collector WITH PASSWORD='collect!123'",
        "CREATE USER collector FROM LOGIN collector",
    ):
        bench.sql("master", statement, MANY_SERVER)
    for statement in ("CREATE USER collector FROM LOGIN collector", "ALTER ROLE db_owner ADD MEMBER collector"):
        bench.sql("many1", statement, MANY_SERVER)
    bench.api.put("/credentials/collector", {"username": "collector", "password": "collect!123"})
    output = {
        "serverName": MANY_SERVER,
        "databaseName": "many1",
        "tableName": "FromElsewhere",
        "credential": f"{bench.api.agent}/credentials/collector",
    }
    job = bench.job("SELECT DB_NAME() AS source", bench.member("database1"), bench.member("database2"), output=output)
    run, _ = bench.run(job)
    assert run["lifecycle"] == "Succeeded", run
    rows = bench.sql("many1", "SELECT source FROM dbo.FromElsewhere ORDER BY source", MANY_SERVER)
    assert [row[0] for row in rows] == ["database1", "database2"]
    logins = bench.emulator.journal(kind="login", server=MANY_SERVER, database="many1")
    assert "collector" in {record["user"] for record in logins}

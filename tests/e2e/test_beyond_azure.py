"""Dry run, groups of errors and rerun, on real targets."""

from __future__ import annotations

from tests.e2e.support import Bench, wait_for


def test_what_failed_is_found_repaired_and_run_again(bench: Bench) -> None:
    script = "INSERT INTO dbo.rerun_log (n) VALUES (1)"
    for database in ("database1", "database2"):
        bench.sql(database, "IF OBJECT_ID('dbo.rerun_log') IS NOT NULL DROP TABLE dbo.rerun_log; SELECT 1")
    bench.sql("database1", "CREATE TABLE dbo.rerun_log (n int); SELECT 1")
    job = bench.job(script, bench.member("database1"), bench.member("database2"))
    bench.add_step(job, "SELECT 1", job, name="step2")
    dry = bench.api.call("POST", f"/targetGroups/{job}/resolve")
    assert dry["complete"]
    assert [target["databaseName"] for target in dry["targets"]] == ["database1", "database2"]
    first = bench.start(job)
    assert bench.ended(job, first)["lifecycle"] == "Failed"
    (group,) = bench.api.call("GET", f"/jobs/{job}/executions/{first}/errors")["value"]
    assert (group["errorNumber"], group["targets"]) == (208, 1)
    assert group["example"]["databaseName"] == "database2"
    bench.sql("database2", "CREATE TABLE dbo.rerun_log (n int); SELECT 1")
    again = bench.api.call("POST", f"/jobs/{job}/executions/{first}/rerun")
    assert again["properties"]["rerunOf"] == first
    ended = bench.ended(job, again["name"])
    assert ended["lifecycle"] == "Succeeded", ended
    touched = {(target["stepName"], target["target"]["databaseName"]) for target in bench.targets(job, again["name"])}
    assert touched == {("step1", "database2"), ("step2", "database1"), ("step2", "database2")}
    for database in ("database1", "database2"):
        assert [row[0] for row in bench.sql(database, "SELECT COUNT(*) FROM dbo.rerun_log")] == [1]


def test_a_dry_run_names_the_server_that_cannot_be_asked(bench: Bench) -> None:
    bench.api.put("/credentials/wrong", {"username": "nobody", "password": "no such Pa55word"})
    member = bench.member() | {"refreshCredential": f"{bench.api.agent}/credentials/wrong"}
    bench.api.put("/targetGroups/asked", {"members": [member]})
    dry = wait_for(lambda: bench.api.call("POST", "/targetGroups/asked/resolve"), 60)
    assert (dry["complete"], dry["targets"]) == (False, [])
    (failure,) = dry["failures"]
    assert "18456" in failure["error"]
    assert "no such Pa55word" not in str(dry)

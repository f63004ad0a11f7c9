"""What really happened on the targets, by the emulator's own journal and not by our tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from local.stack import TARGET_SERVER
from tests.e2e.support import Bench, wait_for


def _runs(bench: Bench, marker: str) -> list[dict[str, Any]]:
    """The finished statements that hold a marker, in the order in which they began."""
    return sorted(bench.emulator.journal(kind="batch", text=marker), key=lambda record: record["started_monotonic"])


def test_retries_come_after_the_documented_delays(bench: Bench) -> None:
    options = {
        "retryAttempts": 3,
        "initialRetryIntervalSeconds": 1,
        "maximumRetryIntervalSeconds": 3,
        "retryIntervalBackoffMultiplier": 2.0,
    }
    job = bench.job("THROW 50001, 'delays-marker', 1", bench.member("database1"), executionOptions=options)
    run, _ = bench.run(job)
    assert run["lifecycle"] == "Failed"
    runs = _runs(bench, "delays-marker")
    assert len(runs) == 4
    gaps = [later["started_monotonic"] - earlier["ended_monotonic"] for earlier, later in pairwise(runs)]
    for gap, delay in zip(gaps, (1, 2, 3), strict=True):
        assert delay <= gap < delay + 2.5, gaps


def test_two_runs_of_a_step_never_overlap_on_a_database(bench: Bench) -> None:
    job = bench.job(
        "WAITFOR DELAY '00:00:00.5' -- overlap-marker", bench.member("database1"), bench.member("database2")
    )
    executions = [bench.start(job) for _ in range(4)]
    ends = [bench.ended(job, execution)["lifecycle"] for execution in executions]
    assert ends.count("Succeeded") >= 1
    assert set(ends) <= {"Succeeded", "SucceededWithSkipped"}
    for database in ("database1", "database2"):
        runs = [record for record in _runs(bench, "overlap-marker") if record["database"] == database]
        assert runs
        for earlier, later in pairwise(runs):
            assert earlier["ended_monotonic"] <= later["started_monotonic"]


def test_output_is_there_exactly_once_although_the_first_attempt_was_lost(bench: Bench) -> None:
    output = {
        "serverName": TARGET_SERVER,
        "databaseName": "database2",
        "tableName": "ExactlyOnce",
        "credential": f"{bench.api.agent}/credentials/admin",
    }
    script = "SELECT 1 AS a UNION ALL SELECT 2\nGO\nPRINT 'exactly-once-marker'"
    options = {"retryAttempts": 2, "initialRetryIntervalSeconds": 1}
    job = bench.job(script, bench.member("database1"), output=output, executionOptions=options)
    faults = [
        # The script's last batch runs, but its answer never comes; later the same happens to the output's rows.
        bench.emulator.add_fault("drop", "after", text="exactly-once-marker", count=1),
        bench.emulator.add_fault("drop", "after", text="INSERT INTO [dbo].[ExactlyOnce]", count=1),
    ]
    try:
        run, (target,) = bench.run(job)
    finally:
        for fault in faults:
            bench.emulator.remove_fault(fault)
    assert run["lifecycle"] == "Succeeded", run
    assert target["currentAttempts"] >= 2
    rows = bench.sql("database2", "SELECT a, internal_execution_id FROM dbo.ExactlyOnce ORDER BY a")
    assert [row[0] for row in rows] == [1, 2]
    assert {str(row[1]).lower() for row in rows} == {target["id"]}


def test_a_paused_database_is_woken_up_without_using_up_a_retry(bench: Bench) -> None:
    fault = bench.emulator.pause(3, database="database1")
    try:
        run, (target,) = bench.run(bench.job("SELECT 'resumed'", bench.member("database1")))
    finally:
        bench.emulator.remove_fault(fault)
    assert run["lifecycle"] == "Succeeded", run
    assert target["currentAttempts"] == 1


def test_a_schedule_starts_its_job_on_the_instant(bench: Bench) -> None:
    job = bench.job("PRINT 'schedule-marker'", bench.member("database1"))
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4)
    schedule = {
        "type": "Recurring",
        "interval": "PT1M",
        "startTime": due.isoformat().replace("+00:00", "Z"),
        "enabled": True,
    }
    bench.api.put(f"/jobs/{job}", {"schedule": schedule})
    wait_for(lambda: _runs(bench, "schedule-marker"), 30)
    bench.api.put(f"/jobs/{job}", {"schedule": {"type": "Once", "enabled": False}})
    (first, *_) = _runs(bench, "schedule-marker")
    began = datetime.fromisoformat(first["started"])
    assert timedelta() <= began - due < timedelta(seconds=3)

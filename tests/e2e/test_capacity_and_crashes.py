"""The agent's capacity as the targets see it, and what is left of a run when a worker process is killed."""

from __future__ import annotations

import os
import signal

from bench.machine import sockets_of
from tests.e2e.conftest import MANY
from tests.e2e.support import MANY_SERVER, Bench, wait_for


def test_110_targets_never_run_more_than_100_at_once_and_the_others_wait(bench: Bench) -> None:
    # Long enough for a busy machine to have opened a hundred connections before the first of them ends.
    job = bench.job("WAITFOR DELAY '00:00:12' -- 110 targets", bench.member(server=MANY_SERVER))
    bench.emulator.reset_gauges()
    execution = bench.start(job)
    wait_for(lambda: len(bench.emulator.running(text="110 targets")) == 100, 30, lambda: bench.emulator.gauges())
    states = [target["lifecycle"] for target in bench.targets(job, execution)]
    assert len(states) == 110
    assert states.count("Created") >= 10
    assert bench.ended(job, execution, 90)["lifecycle"] == "Succeeded"
    assert bench.emulator.gauges(text="110 targets")["matching"]["executing_high_water"] == 100


def test_a_killed_worker_process_loses_no_target(bench: Bench) -> None:
    script = (
        "IF OBJECT_ID('dbo.Effect') IS NULL CREATE TABLE dbo.Effect (a int);\n"
        "WAITFOR DELAY '00:00:04';\n"
        "INSERT dbo.Effect VALUES (1);"
    )
    job = bench.job(script, *(bench.member(name, server=MANY_SERVER) for name in MANY[:50]))
    execution = bench.start(job)
    wait_for(lambda: len(bench.emulator.running(text="dbo.Effect")) >= 40, 30)
    before = bench.stack.worker_pids
    os.kill(max(before, key=sockets_of), signal.SIGKILL)
    run = bench.ended(job, execution, 90)
    assert run["lifecycle"] == "Succeeded", run
    targets = bench.targets(job, execution)
    assert len(targets) == 50
    assert {target["lifecycle"] for target in targets} == {"Succeeded"}
    assert any(target["currentAttempts"] > 1 for target in targets), "The killed process had no target."
    for name in MANY[:50]:
        assert bench.sql(name, "SELECT COUNT(*) FROM dbo.Effect", MANY_SERVER)[0][0] >= 1
    wait_for(lambda: len(set(bench.stack.worker_pids) - set(before)) == 1, 30)

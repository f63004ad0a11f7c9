"""Recovery: worker processes are killed with SIGKILL under load; how long until every target has ended.

    python -m bench.recovery [--targets 1000] [--concurrency 64] [--runs 3]

Each target waits a second, so that a kill hits many in the middle. Three kinds of run, in turn: nobody is killed, one
of two workers is killed, both are. The host replaces what was killed, as Azure does; what the dead held comes back when
its lease ends (30 s). At the end every target must have ended in success, and be seen in its database's journal.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import charts
from bench.arena import (
    TICK_SCHEDULE,
    TICK_SECONDS,
    Arena,
    ArenaOptions,
    BenchError,
    parse_time,
    running_arena,
    wait_for,
)
from bench.machine import sockets_of
from bench.report import Demand, Json, Report, Spread, options_of, parser

MARK = "recovery"
SCRIPT = f"WAITFOR DELAY '00:00:01'; SELECT 1 AS one -- {MARK}"
KINDS = {"nobody killed": 0, "one of two workers killed": 1, "both workers killed": 2}
LEASE_SECONDS = 30.0
BOUND = LEASE_SECONDS + TICK_SECONDS[False] + 20.0
"""Lease, one tick, one more message, and what was in front of it: above this something was not taken back in time."""


@dataclass(kw_only=True)
class Found:
    """Runs of one kind. Seconds; one value per run, and ``back`` one per target that was taken again."""

    whole: list[float] = field(default_factory=list)
    after_kill: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    targets: int = 0
    ended_well: int = 0


def one(arena: Arena, kill: int, found: Found) -> None:
    """One run, with so many workers killed in its middle."""
    control = arena.emulator.control
    before, asked = control.last_sequence(), time.time()
    execution = arena.start("load")
    killed = 0.0
    if kill:
        half = min(arena.options.concurrency, len(arena.estate.databases)) // 2
        wait_for(lambda: len(control.running(text=MARK)) >= half, 60, "half of the slots to be busy", every=0.1)
        # The busiest first: a small load may lie with one worker alone.
        victims = sorted(arena.stack.worker_pids, key=sockets_of, reverse=True)[:kill]
        killed = time.time()
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
    run = arena.ended("load", execution, 600)
    found.whole.append(parse_time(run["endTime"]) - asked)
    targets = [item["properties"] for item in arena.api.list(f"/jobs/load/executions/{execution}/targets")]
    found.targets += len(arena.estate.databases)
    found.ended_well += sum(target["lifecycle"] == "Succeeded" for target in targets)
    if killed:
        found.after_kill.append(parse_time(run["endTime"]) - killed)
        again = [parse_time(target["endTime"]) - killed for target in targets if target["currentAttempts"] > 1]
        if not again:
            raise BenchError("The killed workers held no target; nothing was measured.")
        found.back += again
    records = control.journal(after=before, kind="batch", text=MARK)
    done = {record["database"] for record in records if record["outcome"] == "ok"}
    if done != set(arena.estate.databases):
        raise BenchError(f"The journals of {len(arena.estate.databases) - len(done)} databases show no success.")
    wait_for(lambda: len(arena.stack.worker_pids) == arena.options.workers, 60, "the workers to be replaced")


def main(arguments: list[str]) -> int:
    made = parser("From SIGKILL under load until every target has ended.")
    made.add_argument("--targets", type=int, default=1000)
    made.add_argument("--concurrency", type=int, default=64)
    made.add_argument("--runs", type=int, default=3, help="of each kind")
    options = made.parse_args(arguments)
    report = Report(part="recovery", title="Recovery", options=options_of(options))
    targets, concurrency, runs = (8, 4, 1) if options.tiny else (options.targets, options.concurrency, options.runs)
    # The tiny form has a short lease, for the test's sake.
    settings = {"LEASE_SECONDS": "3", "HEARTBEAT_SECONDS": "1", "TICK_SCHEDULE": TICK_SCHEDULE[True]}
    arena_options = ArenaOptions(
        databases=targets, concurrency=concurrency, workers=2, settings=settings if options.tiny else {}
    )
    kinds = {kind: kill for kind, kill in KINDS.items() if kill == 2 or not options.tiny}
    found = {kind: Found() for kind in kinds}
    with running_arena(arena_options) as arena:
        arena.job("warmup", "SELECT 1 AS one", arena.estate.databases[:4])
        arena.run("warmup")
        arena.job("load", SCRIPT)
        for number in range(runs):
            for kind, kill in kinds.items():
                one(arena, kill, found[kind])
                report.say(f"run {number + 1}, {kind}: {found[kind].whole[-1]:.1f} s")
    tell(found, report, tiny=options.tiny)
    if charts.available():
        draw(found, options.results / "recovery.png")
    return report.finish(options.results)


def tell(found: dict[str, Found], report: Report, *, tiny: bool) -> None:
    """Table, JSON and verdicts."""
    rows: list[Sequence[str]] = []
    for kind, each in found.items():
        after = Spread.of(each.after_kill).text(1) if each.after_kill else ""
        back = Spread.of(each.back).text(1) if each.back else ""
        again = f"{len(each.back) / len(each.whole):.0f}"
        rows.append([kind, Spread.of(each.whole).text(1), after, again, back, f"{each.ended_well}/{each.targets}"])
        figures: dict[str, Json] = {
            "whole_seconds": each.whole,
            "after_kill_seconds": each.after_kill,
            "taken_again_seconds": sorted(each.back),
            "targets": each.targets,
            "succeeded": each.ended_well,
        }
        report.data[kind] = figures
    columns = [
        "",
        "whole run, s",
        "kill to the end, s",
        "targets taken again",
        "their end after the kill, s",
        "succeeded",
    ]
    report.table("Recovery from SIGKILL under load", columns, rows)
    well = min(each.ended_well / each.targets for each in found.values())
    report.demands.append(Demand(what="targets that ended in success", value=well, limit=1.0, at_least=True))
    if not tiny:
        last = max(second for each in found.values() for second in each.back)
        report.demands.append(
            Demand(what="last target taken again, after the kill", value=last, limit=BOUND, unit=" s")
        )


def draw(found: dict[str, Found], file: Path) -> None:
    """Whole runs by kind."""
    values = {kind: Spread.of(each.whole) for kind, each in found.items()}
    with charts.figure(file, height=2.2) as axes:
        charts.bars(
            axes[0],
            {kind: (each.median, each.least, each.most) for kind, each in values.items()},
            title="From asking to the last end",
            unit="seconds (median; least to most)",
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

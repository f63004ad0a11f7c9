"""Waiting costs nothing: what targets that do nothing but wait on their server cost one instance, against bare threads.

    python -m bench.waiting [--targets 800] [--seconds 60]

One worker process runs a script that waits, on so many databases at once; beside it, in a second round, a bare process
with a thread per database does the same. Memory is what only that process holds, less what it held before.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import charts
from bench.arena import WARM_UP, Arena, ArenaOptions, running_arena, wait_for
from bench.charts import OURS
from bench.contenders import Bare
from bench.machine import CpuMark, resident_bytes, threads_of
from bench.report import Demand, Report, options_of, parser

BARE = "bare threads"
MARK = "waiting costs nothing"
WAITFOR = f"WAITFOR DELAY '00:15:00' -- {MARK}"
TRIVIAL = "SELECT 1 AS one"
LIMIT = 1.5


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What a process used while all its targets waited. Memory in bytes, CPU in seconds."""

    before: int
    during: int
    threads: int
    cpu_seconds: float
    seconds: float
    targets: int

    @property
    def per_target_kib(self) -> float:
        return (self.during - self.before) / self.targets / 1024

    @property
    def cpu_per_minute(self) -> float:
        return self.cpu_seconds / self.seconds * 60


def observe(arena: Arena, pid: int, targets: int, seconds: float, begin: Callable[[], None]) -> Waiting:
    """Begin, wait until all targets wait, and watch the process for a while."""
    before = resident_bytes(pid)
    begin()
    control = arena.emulator.control
    wait_for(lambda: len(control.running(text=MARK)) == targets, 300, f"{targets} targets to wait at once", every=1.0)
    time.sleep(min(5.0, seconds))  # what the start itself still does
    mark = CpuMark.now({"process": [pid]})
    time.sleep(seconds)
    cpu = mark.since()["process"]
    during = resident_bytes(pid)
    still = len(control.running(text=MARK))
    assert still == targets, f"Only {still} of {targets} targets still wait."
    return Waiting(
        before=before, during=during, threads=threads_of(pid), cpu_seconds=cpu, seconds=seconds, targets=targets
    )


def product(arena: Arena, targets: int, seconds: float) -> Waiting:
    """One worker process of the product."""
    arena.job("warmup", TRIVIAL, arena.estate.databases[:WARM_UP])
    arena.run("warmup")
    arena.job("waiting", WAITFOR)
    (pid,) = arena.stack.worker_pids
    started: list[str] = []
    found = observe(arena, pid, targets, seconds, lambda: started.append(arena.start("waiting")))
    arena.api.call("POST", f"/jobs/waiting/executions/{started[0]}/cancel")
    arena.ended("waiting", started[0], 120)
    return found


def bare(arena: Arena, targets: int, seconds: float) -> Waiting:
    """A process with a thread per database. It is ended while they wait, as there is nobody to cancel them."""
    databases = arena.estate.databases[:targets]
    with tempfile.TemporaryDirectory(prefix="waiting-") as name:
        # The same process runs a trivial script first, as the product's did.
        pool = Bare(BARE, Path(name), arena.estate, TRIVIAL, concurrency=targets)
        try:
            pool.fan_out(databases[:WARM_UP])
            order = threading.Thread(target=_ask, args=(pool, databases), name="bare", daemon=True)
            return observe(arena, pool.pid, targets, seconds, order.start)
        finally:
            pool.kill()


def _ask(pool: Bare, databases: tuple[str, ...]) -> None:
    with contextlib.suppress(Exception):  # it is killed while it waits, and that is no news
        pool.fan_out(databases, statement=WAITFOR)


def main(arguments: list[str]) -> int:
    made = parser("What waiting targets cost one instance, against bare threads.")
    made.add_argument("--targets", type=int, default=800)
    made.add_argument("--seconds", type=float, default=60.0, help="how long they are watched")
    options = made.parse_args(arguments)
    report = Report(part="waiting", title="Waiting costs nothing", options=options_of(options))
    targets, seconds = (6, 1.0) if options.tiny else (options.targets, options.seconds)
    arena_options = ArenaOptions(databases=targets, concurrency=targets, workers=1)
    with running_arena(arena_options) as arena:
        found = {OURS: product(arena, targets, seconds), BARE: bare(arena, targets, seconds)}
    rows = [
        [
            name,
            *(f"{each.before / 2**20:.1f}", f"{each.during / 2**20:.1f}", f"{each.per_target_kib:.0f}"),
            *(str(each.threads), f"{each.cpu_per_minute:.2f}"),
        ]
        for name, each in found.items()
    ]
    columns = ["", "MiB before", "MiB waiting", "KiB per target", "threads", "CPU s per minute"]
    report.table(f"{targets} targets in WAITFOR on one instance", columns, rows)
    for name, each in found.items():
        report.data[name] = {**vars(each), "per_target_kib": each.per_target_kib, "cpu_per_minute": each.cpu_per_minute}
    if not options.tiny:
        ratio = found[OURS].per_target_kib / found[BARE].per_target_kib
        report.demands.append(
            Demand(what="memory per waiting target over that of a bare thread", value=ratio, limit=LIMIT)
        )
    if charts.available():
        draw(found, options.results / "waiting.png")
    return report.finish(options.results)


def draw(found: dict[str, Waiting], file: Path) -> None:
    """Memory and CPU, side by side."""
    with charts.figure(file, columns=2, height=2.2) as axes:
        memory = {name: each.per_target_kib for name, each in found.items()}
        charts.bars(
            axes[0],
            {name: (kib, kib, kib) for name, kib in memory.items()},
            title="Memory",
            unit="KiB per waiting target",
        )
        cpu = {name: each.cpu_per_minute for name, each in found.items()}
        title = f"CPU of {found[OURS].targets} waiting targets"
        charts.bars(axes[1], {name: (s, s, s) for name, s in cpu.items()}, title=title, unit="CPU seconds per minute")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

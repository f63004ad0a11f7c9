"""What is asked of the job database and of storage: by an agent with nothing to do, and per target by one at work.

    python -m bench.idle [--seconds 300] [--workers 2] [--targets 1000]

Counted in the worker processes themselves: every statement that SQLAlchemy sends, every request to storage.
First a run over many databases; then, with jobs, a schedule and finished runs in the job database so that the tick has
something to look at, some minutes in which nothing becomes due.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import charts
from bench.arena import TICK_SCHEDULE, TICK_SECONDS, Arena, ArenaOptions, running_arena
from bench.machine import CpuMark
from bench.report import Demand, Report, options_of, parser

APP = Path(__file__).with_name("counting_app.py")
FRAMES = ("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA")
"""What begins and ends a transaction on SQLite; on SQL Server the tick's one statement needs none."""
WRITE = "BEGIN IMMEDIATE"
CONCURRENCY = 64


@dataclass(frozen=True)
class Counted:
    """What the workers noted in some time, and their seconds of CPU."""

    notes: Sequence[dict[str, Any]]
    cpu: float
    seconds: float

    def statements(self) -> int:
        """Statements, without those that only begin and end transactions."""
        return sum(not note["text"].startswith(FRAMES) for note in self._of("statement"))

    def frames(self) -> int:
        """Statements that only begin and end transactions."""
        return len(self._of("statement")) - self.statements()

    def writes(self) -> int:
        """Writing transactions."""
        return sum(note["text"].startswith(WRITE) for note in self._of("statement"))

    def storage(self, by: str) -> int:
        """Storage operations: of the ``app`` itself, or of the ``host`` that fetches and deletes messages."""
        return sum(note["by"] == by for note in self._of("storage"))

    def texts(self) -> dict[str, int]:
        """The most frequent statements."""
        return dict(Counter(note["text"] for note in self._of("statement")).most_common(20))

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [note for note in self.notes if note["kind"] == kind]


def read(folder: Path, since: float, until: float) -> list[dict[str, Any]]:
    """What the workers noted between two instants."""
    lines = (line for file in folder.glob("*.jsonl") for line in file.read_text(encoding="utf-8").splitlines())
    return [note for note in map(json.loads, lines) if since <= note["at"] < until]


def main(arguments: list[str]) -> int:
    made = parser("What an agent asks of its job database and its storage: idle, and per target.")
    made.add_argument("--seconds", type=float, default=300.0, help="how long the idle agent is watched")
    made.add_argument("--workers", type=int, default=2)
    made.add_argument("--targets", type=int, default=1000)
    options = made.parse_args(arguments)
    if options.tiny:
        options.seconds, options.targets = 4.0, 10
    report = Report(part="idle", title="Idle, and per target", options=options_of(options))
    idle, busy = watch(options.tiny, options.workers, options.seconds, options.targets)
    tell(idle, busy, options.targets, TICK_SECONDS[options.tiny], report)
    if not options.tiny:
        ticks = options.seconds / TICK_SECONDS[False]
        # Half a tick more or less may lie within the time.
        what, limit = "statements per tick", round((ticks + 1) / ticks, 2)
        report.demands.append(Demand(what=what, value=idle.statements() / ticks, limit=limit))
    if charts.available():
        draw(report.data, options.results / "idle.png")
    return report.finish(options.results)


def watch(tiny: bool, workers: int, seconds: float, targets: int) -> tuple[Counted, Counted]:
    """What an idle agent asks for, and one that runs a job over so many targets."""
    with tempfile.TemporaryDirectory(prefix="idle-") as name:
        arena_options = ArenaOptions(
            databases=targets,
            concurrency=min(CONCURRENCY, targets),
            workers=workers,
            settings={"TICK_SCHEDULE": TICK_SCHEDULE[tiny], "BENCH_COUNTS": name},
            app=APP,
        )
        with running_arena(arena_options) as arena:
            schedule = {"type": "Recurring", "interval": "P1D", "enabled": True, "startTime": "2020-01-01T03:00:00Z"}
            arena.job("nightly", "SELECT 1 AS one", schedule=schedule)
            arena.job("byhand", "SELECT 1 AS one")
            arena.run("byhand")
            # The tick after a change of schedules looks twice, and what is done is let go of.
            time.sleep(TICK_SECONDS[tiny] * 2)
            busy = _count(arena, Path(name), lambda: arena.run("byhand"))
            time.sleep(TICK_SECONDS[tiny] * 2)
            idle = _count(arena, Path(name), lambda: time.sleep(seconds))
            return idle, busy


def _count(arena: Arena, folder: Path, work: Any) -> Counted:
    mark, since = CpuMark.now({"workers": arena.stack.worker_pids}), time.time()
    work()
    until = time.time()
    return Counted(read(folder, since, until), mark.since()["workers"], until - since)


def tell(idle: Counted, busy: Counted, targets: int, tick: float, report: Report) -> None:
    """Tables and JSON."""
    hour = 3600 / idle.seconds
    figures = {
        "statements per tick": idle.statements() / (idle.seconds / tick),
        "statements per hour": idle.statements() * hour,
        "begin and end of transactions per hour": idle.frames() * hour,
        "storage operations per hour, the app's own": idle.storage("app") * hour,
        "storage operations per hour, the host's polling": idle.storage("host") * hour,
        "CPU of the workers, seconds per hour": idle.cpu * hour,
    }
    rows = [[name, f"{value:,.1f}"] for name, value in figures.items()]
    report.table(f"Idle, watched for {idle.seconds:.0f} s", ["", "measured"], rows)
    per_target = {
        "statements": busy.statements() / targets,
        "writing transactions": busy.writes() / targets,
        "storage operations, the app's own": busy.storage("app") / targets,
        "storage operations, the host's": busy.storage("host") / targets,
    }
    rows = [[name, f"{value:,.2f}"] for name, value in per_target.items()]
    report.table(f"A run over {targets:,} targets (polls and ticks meanwhile included)", ["per target", ""], rows)
    report.data.update(idle=figures, per_target=per_target, idle_texts=idle.texts(), busy_texts=busy.texts())


def draw(data: dict[str, Any], file: Path) -> None:
    """Both, side by side."""
    idle, busy = data["idle"], data["per_target"]
    shown = {
        "statements": idle["statements per hour"],
        "storage, the app": idle["storage operations per hour, the app's own"],
        "storage, the host": idle["storage operations per hour, the host's polling"],
    }
    with charts.figure(file, columns=2, height=2.4) as axes:
        charts.bars(axes[0], {name: (value,) * 3 for name, value in shown.items()}, title="Idle", unit="per hour")
        charts.bars(axes[1], {name: (value,) * 3 for name, value in busy.items()}, title="At work", unit="per target")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Fan-out: one trivial script on many databases, against the limit and the peers, in one run on one machine.

    python -m bench.fanout [--cases 1000x64,10000x100] [--waiting 800] [--runs 5] ...

For each case everybody is started, warmed up, and then measured in rounds, in an order that changes
from round to round (seeded). The time is from asking until all outcomes are recorded. After each round the emulator's
own journal must show exactly one successful execution per database, whoever did it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import charts
from bench.arena import TARGETS, WARM_UP, Arena, ArenaOptions, BenchError, Estate, running_arena
from bench.charts import OURS
from bench.contenders import Bare, Contender, Product
from bench.machine import CpuMark
from bench.peers.celery_peer import CeleryPeer
from bench.peers.procrastinate_peer import ProcrastinatePeer
from bench.peers.servers import MissingServerError
from bench.report import Demand, Report, Spread, options_of, parser

LIMIT, LOOP = "bare thread pool (the limit)", "sequential loop"
CELERY, PROCRASTINATE = "Celery + Redis", "Procrastinate + PostgreSQL"
GIVEN = "{}, with our roots"
"""A peer that was told which roots the driver is to read; see ``Estate.as_it_comes``."""
EVERYBODY = (OURS, LIMIT, CELERY, PROCRASTINATE, GIVEN.format(CELERY), GIVEN.format(PROCRASTINATE), LOOP)
ASKER = "asker"
"""The process that asks and waits: this one."""
TRIVIAL = "SELECT 1 AS one -- fan-out"
WAITING = "WAITFOR DELAY '00:00:{seconds:02}'; SELECT 1 AS one -- fan-out"
JUDGED = (1000, 64)
"""Targets and concurrency of the case that the demands are about, and in which everybody takes part."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is measured at once.

    waits: seconds that each target waits before it answers. everybody: also those who take long, because the driver
    reads all roots of the system for them.
    """

    targets: int
    concurrency: int
    runs: int
    waits: int = 0
    everybody: bool = False

    @property
    def name(self) -> str:
        kind = f"waiting {self.waits} s" if self.waits else "trivial"
        return f"{self.targets:,} {kind} targets, C = {self.concurrency}"

    @property
    def statement(self) -> str:
        return WAITING.format(seconds=self.waits) if self.waits else TRIVIAL


@dataclass(kw_only=True)
class Measured:
    """One contender in one case. cpu: seconds by process, of each run."""

    targets: int
    seconds: list[float] = field(default_factory=list)
    cpu: list[dict[str, float]] = field(default_factory=list)

    def rate(self) -> Spread:
        return Spread.of([self.targets / seconds for seconds in self.seconds])

    def cpu_ms(self) -> dict[str, float]:
        """Median milliseconds of CPU per target, by process."""
        names = self.cpu[0]
        return {name: Spread.of([each[name] / self.targets * 1000 for each in self.cpu]).median for name in names}


@contextlib.contextmanager
def contenders(case: Case, arena: Arena, folder: Path, report: Report, names: set[str]) -> Iterator[list[Contender]]:
    """Everybody who takes part, started; who cannot is left out with a sentence."""

    estate, as_it_comes = arena.estate, arena.estate.as_it_comes()

    def peer(kind: Callable[..., Contender], name: str, at: Estate) -> Contender:
        place = folder / f"{kind.__name__}-{at.roots.stem}"
        return kind(name, place, at, case.statement, concurrency=case.concurrency, workers=arena.options.workers)

    makers: dict[str, Callable[[], Contender]] = {
        OURS: lambda: Product(arena, case.statement),
        LIMIT: lambda: Bare(LIMIT, folder / "bare", estate, case.statement, concurrency=case.concurrency),
        # They import their packages, which may be missing, only when they are made.
        GIVEN.format(CELERY): lambda: peer(CeleryPeer, GIVEN.format(CELERY), estate),
        GIVEN.format(PROCRASTINATE): lambda: peer(ProcrastinatePeer, GIVEN.format(PROCRASTINATE), estate),
    }
    if case.everybody:
        makers[CELERY] = lambda: peer(CeleryPeer, CELERY, as_it_comes)
        makers[PROCRASTINATE] = lambda: peer(ProcrastinatePeer, PROCRASTINATE, as_it_comes)
        makers[LOOP] = lambda: Bare(LOOP, folder / "loop", as_it_comes, case.statement, concurrency=1)
    with contextlib.ExitStack() as cleanup:
        found: list[Contender] = []
        for name, make in makers.items():
            if name not in names:
                continue
            try:
                contender = make()
            except (MissingServerError, ModuleNotFoundError) as error:
                sentence = f"{name}: {error}"
                if sentence not in report.left_out:
                    report.leave_out(sentence)
                continue
            cleanup.callback(contender.stop)
            found.append(contender)
        yield found


def measure(case: Case, options: argparse.Namespace, report: Report) -> dict[str, Measured]:
    """All contenders in one case."""
    dice = random.Random(f"{options.seed} {case.name}")  # noqa: S311  an order, no secret
    report.say(f"\n{case.name}: starting everybody")
    arena_options = ArenaOptions(
        databases=case.targets,
        concurrency=case.concurrency,
        workers=options.workers,
        servers=options.servers,
        job_database=options.job_database,
    )
    found: dict[str, Measured] = {}
    with (
        tempfile.TemporaryDirectory(prefix="fanout-") as name,
        running_arena(arena_options) as arena,
        contenders(case, arena, Path(name), report, set(options.contenders)) as everybody,
    ):
        all_databases = arena.estate.databases
        for contender in everybody:
            contender.fan_out(all_databases[:WARM_UP])
        for number in range(case.runs):
            dice.shuffle(everybody)
            for contender in everybody:
                measured = found.setdefault(contender.name, Measured(targets=len(all_databases)))
                _one(arena, contender, all_databases, measured)
                rate = measured.targets / measured.seconds[-1]
                report.say(f"  run {number + 1}: {contender.name}: {rate:,.1f} targets/s")
    return found


def _one(arena: Arena, contender: Contender, databases: Sequence[str], measured: Measured) -> None:
    """One fan-out, measured and then proved by the emulator's journal."""
    journals = [(emulator.control, emulator.control.last_sequence()) for emulator in arena.emulators]
    mark = CpuMark.now({**contender.pids(), TARGETS: arena.pids()[TARGETS], ASKER: [os.getpid()]})
    seconds = contender.fan_out(databases)
    measured.cpu.append(mark.since())
    measured.seconds.append(seconds)
    contender.check(databases)
    records = [
        record for journal, before in journals for record in journal.journal(after=before, kind="batch", text="fan-out")
    ]
    done = sorted(record["database"] for record in records if record["outcome"] == "ok")
    if done != sorted(databases):
        raise BenchError(
            f"{contender.name} reports {len(databases)} successes; the databases' journal shows {len(done)} executions"
            f" on {len(set(done))} databases."
        )


def summarise(results: dict[Case, dict[str, Measured]], report: Report) -> None:
    """Tables, JSON and verdicts."""
    rows: list[dict[str, Any]] = []
    for case, found in results.items():
        limit = found[LIMIT].rate().median if LIMIT in found else None
        shown: list[list[str]] = []
        for name, measured in sorted(found.items(), key=lambda item: -item[1].rate().median):
            rate, cpu = measured.rate(), measured.cpu_ms()
            ratio = None if limit is None else rate.median / limit
            own = {part: value for part, value in cpu.items() if part not in {TARGETS, ASKER}}
            shown.append(
                [
                    name,
                    rate.text(1),
                    "" if ratio is None else f"{ratio:.2f}",
                    *(f"{cpu.get('workers', 0):.2f}", f"{sum(own.values()) - own.get('workers', 0):.2f}"),
                    *(f"{cpu[ASKER]:.2f}", f"{cpu[TARGETS]:.2f}"),
                ]
            )
            rows.append(
                {
                    "case": case.name,
                    "targets": case.targets,
                    "concurrency": case.concurrency,
                    "waits": case.waits,
                    "contender": name,
                    "seconds": measured.seconds,
                    "rate": {"median": rate.median, "least": rate.least, "most": rate.most},
                    "of_limit": ratio,
                    "cpu_ms_per_target": cpu,
                }
            )
        columns = ["", "targets/s", "of the limit", "workers", "storage", "asker", "targets"]
        report.table(f"{case.name}; CPU in ms per target by process", columns, shown)
    report.data["cases"] = rows
    _demands(results, report)


def _demands(results: dict[Case, dict[str, Measured]], report: Report) -> None:
    case = next((case for case in results if (case.targets, case.concurrency, case.waits) == (*JUDGED, 0)), None)
    if case is None or OURS not in results[case] or report.options["servers"] != 1:
        return
    found = results[case]
    ours = found[OURS].rate().median
    for name, limit in ((LIMIT, 0.70), (CELERY, 1.5), (PROCRASTINATE, 1.5)):
        if name in found:
            value = ours / found[name].rate().median
            report.demands.append(
                Demand(what=f"{case.name}: rate over that of {name}", value=value, limit=limit, at_least=True)
            )


def draw(results: dict[Case, dict[str, Measured]], file: Path) -> None:
    """Rates and CPU of the case in the middle."""
    case = next((each for each in results if (each.targets, each.concurrency) == JUDGED), next(iter(results)))
    found = results[case]
    order = sorted(found, key=lambda name: -found[name].rate().median)
    rates = {name: (found[name].rate().median, found[name].rate().least, found[name].rate().most) for name in order}
    cpu: dict[str, dict[str, float]] = {}
    for name in order:
        parts = found[name].cpu_ms()
        storage = sum(value for part, value in parts.items() if part.startswith("storage"))
        cpu[name] = {
            "workers": parts["workers"],
            "queue and store": storage,
            "asker": parts[ASKER],
            "targets": parts[TARGETS],
        }
    with charts.figure(file, columns=2, height=3.2) as axes:
        charts.bars(axes[0], rates, title=case.name, unit="targets per second (median; least to most)")
        charts.stacked(axes[1], cpu, title="CPU by process", unit="ms per target")
        axes[1].set_yticklabels([])


def main(arguments: list[str]) -> int:
    made = parser("Fan-out over many databases, against the limit and the peers.")
    made.add_argument(
        "--cases", default="1000x64", help="trivial targets and how many at once, of all workers together"
    )
    made.add_argument("--waiting", type=int, default=0, help="targets at once that wait; 0: none")
    made.add_argument("--runs", type=int, default=5, help="rounds of each case")
    made.add_argument("--workers", type=int, default=2, help="worker processes of the product and of each peer")
    made.add_argument("--servers", type=int, default=1, help="logical servers, each in an emulator process of its own")
    made.add_argument("--name", default="fanout", help="of the JSON and the chart")
    made.add_argument("--job-database", help="SQLAlchemy URL of an empty one; default: SQLite")
    made.add_argument("--contenders", nargs="*", default=EVERYBODY)
    options = made.parse_args(arguments)
    options.workers = 1 if options.tiny else options.workers
    report = Report(part=options.name, title="Fan-out", options=options_of(options))
    results: dict[Case, dict[str, Measured]] = {}
    for case in cases(options):
        results[case] = measure(case, options, report)
    summarise(results, report)
    if charts.available():
        draw(results, options.results / f"{options.name}.png")
    return report.finish(options.results)


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """What is measured: trivial targets in each size, and targets that wait."""
    if options.tiny:
        yield Case(targets=12, concurrency=4, runs=1, everybody=True)
        return
    for case in options.cases.split(","):
        targets, concurrency = (int(number) for number in case.split("x"))
        judged = (targets, concurrency) == JUDGED and options.servers == 1
        yield Case(targets=targets, concurrency=concurrency, runs=options.runs, everybody=judged)
    if options.waiting:
        yield Case(targets=options.waiting * 2, concurrency=options.waiting, runs=options.runs, waits=5)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

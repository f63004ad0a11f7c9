"""Start lag: from asking for a run, or from its scheduled instant, to the first statement on a target.

    python -m bench.lag [--samples 40] [--load 1000] [--concurrency 100]

The end of the lag is when the target's own journal says that the script began; all clocks are one machine's. Idle means
that nothing ran for some seconds before, so that the host polls its queues as seldom as it may. Under load means that
a job over many databases holds all slots all the time.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
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
from bench.report import Demand, Report, options_of, parser, percentile
from elastic_jobs.domain.lifecycle import TERMINAL
from local.api_client import ApiClient

PAUSES = (3.0, 5.0)
"""Seconds of rest before each start: longer than it takes the host to come to its slowest polling."""
LIMITS = {"asked, idle": 0.5, "scheduled, idle": 1.0}
TIMEOUT = 120.0


def asked(arena: Arena, samples: int, dice: random.Random, pauses: tuple[float, float], tick: float) -> list[float]:
    """Seconds from the request to the first statement, for one target, again and again."""
    del tick  # whoever asks wakes the app up
    database = arena.estate.databases[0]
    arena.job("asked", "SELECT 1 AS one -- lag asked", [database])
    found: list[float] = []
    for _ in range(samples):
        time.sleep(dice.uniform(*pauses))
        before = arena.emulator.control.last_sequence()
        began = time.time()
        arena.ended("asked", arena.start("asked"), TIMEOUT)
        found.append(_first(arena, before, "lag asked") - began)
    return found


def scheduled(arena: Arena, samples: int, dice: random.Random, pauses: tuple[float, float], tick: float) -> list[float]:
    """Seconds from the scheduled instant to the first statement, for jobs that run once, one after the other."""
    database = arena.estate.databases[0]
    before = arena.emulator.control.last_sequence()
    names = [f"scheduled{before}n{number}x" for number in range(1, samples + 1)]
    for name in names:
        arena.job(name, f"SELECT 1 AS one -- lag {name}", [database])
    # What is saved less than a tick before its instant may be noticed by the next tick only: that is not measured here.
    due = datetime.now(UTC) + timedelta(seconds=tick + 0.2 * samples + 2)
    soonest = due + timedelta(seconds=pauses[0] - tick)
    instants: dict[str, datetime] = {}
    for name in names:
        due += timedelta(seconds=dice.uniform(*pauses))
        instants[name] = due
        schedule = {"type": "Once", "enabled": True, "startTime": due.isoformat().replace("+00:00", "Z")}
        arena.api.put(f"/jobs/{name}", {"schedule": schedule})
    if datetime.now(UTC) > soonest:
        raise BenchError("Saving the schedules took longer than expected; the machine is too busy for this.")
    last = max(instants.values())
    wait_for(lambda: datetime.now(UTC) > last, 3600, "the last scheduled instant", every=0.5)
    final = names[-1]
    wait_for(
        lambda: arena.emulator.control.journal(after=before, kind="batch", text=f"lag {final}"),
        TIMEOUT,
        "the last scheduled run",
        every=0.5,
    )
    return [_first(arena, before, f"lag {name}") - instant.timestamp() for name, instant in instants.items()]


def _first(arena: Arena, after: int, text: str) -> float:
    """When the first statement with this text began on its target, as POSIX seconds."""

    def look() -> list[float]:
        records = arena.emulator.control.journal(after=after, kind="batch", text=text)
        return [parse_time(record["started"]) for record in records]

    return min(wait_for(look, TIMEOUT, f"a statement with '{text}'", every=0.2))


@contextlib.contextmanager
def load(arena: Arena) -> Iterator[None]:
    """Runs over all databases, one after the other, so that no slot is ever free."""
    stop = threading.Event()
    failures: list[Exception] = []

    def work(job: str) -> None:
        api = ApiClient(arena.endpoint, "agent1")
        try:
            while not stop.is_set():
                execution = api.call("POST", f"/jobs/{job}/start")["name"]
                while not stop.wait(0.5):
                    run = api.call("GET", f"/jobs/{job}/executions/{execution}")["properties"]
                    if run["lifecycle"] in TERMINAL:
                        break
        except Exception as error:
            failures.append(error)
        finally:
            api.close()

    # Two jobs at a time: when a run of one comes to its end, that of the other fills its slots.
    jobs = ("load1", "load2")
    for job in jobs:
        arena.job(job, f"SELECT 1 AS one -- {job}")
    threads = [threading.Thread(target=work, args=(job,), name=job) for job in jobs]
    for thread in threads:
        thread.start()
        time.sleep(0.5)
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failures:
        raise BenchError(f"The load could not be kept up: {failures[0]}")


def main(arguments: list[str]) -> int:
    made = parser("From asking for a run, or its scheduled instant, to the first statement on a target.")
    made.add_argument("--samples", type=int, default=40)
    made.add_argument("--load", type=int, default=1000, help="databases of the job that keeps all slots busy")
    made.add_argument("--concurrency", type=int, default=100, help="the agent's capacity too, if it is a tier")
    options = made.parse_args(arguments)
    report = Report(part="lag", title="Start lag", options=options_of(options))
    found = measure(options, report)
    rows = []
    for name, values in found.items():
        p50, p95, p99 = (percentile(values, share) for share in (0.50, 0.95, 0.99))
        rows.append([name, str(len(values)), f"{p50:.2f}", f"{p95:.2f}", f"{p99:.2f}", f"{max(values):.2f}"])
        report.data[name] = {"p50": p50, "p95": p95, "p99": p99, "seconds": values}
        if name in LIMITS and not options.tiny:
            report.demands.append(Demand(what=f"start lag, {name}, p95", value=p95, limit=LIMITS[name], unit=" s"))
    report.table("Start lag in seconds", ["", "runs", "p50", "p95", "p99", "longest"], rows)
    if charts.available():
        draw(found, options.results / "lag.png")
    return report.finish(options.results)


def measure(options: argparse.Namespace, report: Report) -> dict[str, list[float]]:
    """All lags by name, in seconds; the first run of each kind is the warm-up and does not count."""
    samples, databases = (2, 6) if options.tiny else (options.samples, options.load)
    pauses = (0.1, 0.2) if options.tiny else PAUSES
    tick = TICK_SECONDS[options.tiny]
    dice = random.Random(options.seed)  # noqa: S311  pauses, no secret
    found: dict[str, list[float]] = {}
    arena_options = ArenaOptions(
        databases=databases,
        concurrency=min(options.concurrency, databases),
        settings={"TICK_SCHEDULE": TICK_SCHEDULE[options.tiny]},
    )
    with running_arena(arena_options) as arena:
        for name, kind in (("asked", asked), ("scheduled", scheduled)):
            report.say(f"{name}, idle")
            found[f"{name}, idle"] = kind(arena, samples + 1, dice, pauses, tick)[1:]
        with load(arena):
            for name, kind in (("asked", asked), ("scheduled", scheduled)):
                report.say(f"{name}, under load")
                found[f"{name}, under load"] = kind(arena, samples + 1, dice, pauses, tick)[1:]
    return found


def draw(found: dict[str, list[float]], file: Path) -> None:
    """How many of the starts were at least as quick."""
    curves = {
        name: (sorted(values), [100 * (rank + 1) / len(values) for rank in range(len(values))])
        for name, values in found.items()
    }
    with charts.figure(file, height=3.4) as axes:
        charts.lines(
            axes[0],
            curves,
            title="Start lag: asked or due, to the first statement",
            x="seconds",
            y="% of starts that were as quick",
            markers=False,
        )
        axes[0].set_xlim(left=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

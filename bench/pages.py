"""Writes the measured numbers into the documentation, so that nobody copies them by hand.

    python -m bench.pages [--results bench/results] [--check]

Between ``<!-- bench: name -->`` and ``<!-- end -->`` a page holds what the function of that name makes of the results.
With --check nothing is written; exit code 1 when a page differs from its results.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import model
from bench.arena import TARGETS, TICK_SECONDS
from bench.charts import OURS
from bench.report import RESULTS, percentile
from bench.waiting import BARE
from local.stack import ROOT

PAGES = (ROOT / "docs" / "performance.md", ROOT / "docs" / "scale.md")
_BLOCK = re.compile(r"(<!-- bench: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_SLOTS = 100
"""Of the agent in the part that counts."""
Results = dict[str, Any]


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def load(folder: Path) -> Results:
    """All results by part."""
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))}


def machine(results: Results) -> str:
    """On what it was measured, and when."""
    part = results["fanout"]
    lines = [f"- {name}: {value}" for name, value in part["machine"].items()]
    return "\n".join([f"- measured: {part['began'][:10]}", *lines])


def demands(results: Results) -> str:
    """What the suite must show, and whether it does."""
    rows = [
        [
            each["what"],
            f"{each['value']:.2f}{each['unit']}",
            f"{'at least' if each['at_least'] else 'at most'} {each['limit']:g}",
            "met" if each["met"] else "**missed**",
        ]
        for part in results.values()
        for each in part["demands"]
    ]
    return table(["", "measured", "demand", ""], rows)


def fanout(results: Results) -> str:
    """Rates of all cases."""
    return _fanout(results["fanout"])


def fanout_spread(results: Results) -> str:
    """The same with the targets on two processes."""
    return _fanout(results["fanout-spread"])


def fanout_sizes(results: Results) -> str:
    """Other sizes and concurrencies, and targets that wait."""
    return _fanout(results["fanout-sizes"])


def _fanout(part: Any) -> str:
    cases: dict[str, list[Any]] = {}
    for row in part["data"]["cases"]:
        cases.setdefault(row["case"], []).append(row)
    rows: list[list[str]] = []
    for case, found in cases.items():
        for row in sorted(found, key=lambda each: -each["rate"]["median"]):
            cpu, rate = row["cpu_ms_per_target"], row["rate"]
            storage = sum(value for name, value in cpu.items() if name.startswith("storage"))
            spread = f"{rate['least']:.0f}-{rate['most']:.0f}" if len(row["seconds"]) > 1 else ""
            ratio = "" if row["of_limit"] is None else f"{row['of_limit']:.2f}"
            name = f"**{row['contender']}**" if row["contender"] == OURS else row["contender"]
            figures = [f"{rate['median']:.0f}", spread, ratio, *(f"{cpu[each]:.1f}" for each in ("workers", "asker"))]
            rows.append([case, name, *figures, f"{storage:.1f}", f"{cpu[TARGETS]:.1f}"])
            case = ""
    columns = ["case", "", "targets/s", "least-most", "of the limit", "workers", "asker", "queue, store", "targets"]
    return table(columns, rows)


def lag(results: Results) -> str:
    """Percentiles of the start lag."""
    rows = [
        [name, len(kind["seconds"]), *(f"{kind[p]:.2f} s" for p in ("p50", "p95", "p99"))]
        for name, kind in results["lag"]["data"].items()
    ]
    return table(["", "starts", "p50", "p95", "p99"], rows)


def waiting(results: Results) -> str:
    """Memory and CPU of waiting targets."""
    data = results["waiting"]["data"]
    rows = [
        [name, *(f"{data[name][key]:.{digits}f}" for key, digits in (("per_target_kib", 0), ("cpu_per_minute", 2)))]
        for name in (OURS, BARE)
    ]
    return table([f"{data[OURS]['targets']} targets in WAITFOR", "KiB per target", "CPU seconds per minute"], rows)


def growth(results: Results) -> str:
    """Both tables of the growth part."""
    data = results["growth"]["data"]
    rows: list[list[str]] = []
    for each in data["expansion"]:
        cpu, wall = percentile(each["cpu"], 0.5), percentile(each["wall"], 0.5)
        rows.append([f"{each['targets']:,}", f"{wall:.2f} s", f"{cpu / each['targets'] * 1e6:.0f} µs"])
    expansion = table(["targets in the group", "expanded in", "CPU per target"], rows)
    sizes = list(next(iter(data["history"].values())))
    rows = [[name, *(f"{by[size]:.2f}" for size in sizes)] for name, by in data["history"].items()]
    columns = ["CPU in ms, by finished targets in the history", *(f"{int(size):,}" for size in sizes)]
    return f"{expansion}\n\n{table(columns, rows)}"


def idle(results: Results) -> str:
    """Idle and per target."""
    data = results["idle"]["data"]
    rows = [[name, f"{value:,.1f}"] for name, value in data["idle"].items()]
    busy = [[name, f"{value:,.2f}"] for name, value in data["per_target"].items()]
    return f"{table(['idle', ''], rows)}\n\n{table(['per target of a run over 1,000', ''], busy)}"


def recovery(results: Results) -> str:
    """Runs under SIGKILL."""
    rows: list[list[str]] = []
    for kind, each in results["recovery"]["data"].items():
        again = each["taken_again_seconds"]
        last = f"{max(again):.0f} s" if again else ""
        whole = f"{percentile(each['whole_seconds'], 0.5):.0f} s"
        rows.append([kind, whole, str(len(again)), last, f"{each['succeeded']:,} of {each['targets']:,}"])
    columns = ["", "whole run (median)", "targets taken again", "the last of them ended after", "ended in success"]
    return table(columns, rows)


def measured(results: Results) -> model.Measured:
    """The constants of the model."""
    ours = next(
        row
        for row in results["fanout"]["data"]["cases"]
        if row["contender"] == OURS and (row["targets"], row["concurrency"], row["waits"]) == (1000, 64, 0)
    )
    data, per_target = results["idle"]["data"]["idle"], results["idle"]["data"]["per_target"]
    large = next(each for each in results["growth"]["data"]["expansion"] if each["targets"] == 10_000)
    storage = (
        data["storage operations per hour, the app's own"],
        data["storage operations per hour, the host's polling"],
    )
    return model.Measured(
        worker_ms=ours["cpu_ms_per_target"]["workers"],
        statements=per_target["statements"],
        storage_per_message=(
            per_target["storage operations, the app's own"] + per_target["storage operations, the host's"]
        )
        * results["idle"]["options"]["targets"]
        / _SLOTS,
        plan_us=percentile(large["cpu"], 0.5) / large["targets"] * 1e6,
        start_lag=results["lag"]["data"]["asked, idle"]["p50"],
        waiting_kib=results["waiting"]["data"][OURS]["per_target_kib"],
        idle_statements=data["statements per hour"],
        idle_storage=sum(storage) / results["idle"]["options"]["workers"],
    )


def constants(results: Results) -> str:
    """What goes into the model."""
    found, assumed = measured(results), model.Assumed()
    rows = [
        ["worker CPU per target", f"{found.worker_ms:.1f} ms", "measured: fan-out, 1,000 targets, C = 64"],
        ["statements against the job database per target", f"{found.statements:.1f}", "measured: at work"],
        ["planning per target", f"{found.plan_us:.0f} µs", "measured: growth, 10,000 targets"],
        ["start lag", f"{found.start_lag:.2f} s", "measured: asked, idle, median"],
        ["memory per waiting target", f"{found.waiting_kib:.0f} KiB", "measured: waiting"],
        ["time of one trivial target t", f"{assumed.target_seconds} s", "assumed: in the region, no pooling"],
        [
            "cores of an instance",
            f"{assumed.cores:g}",
            "documented: 2,048 MB on Flex Consumption; its speed is assumed",
        ],
        ["CPU of the job database per statement", f"{assumed.statement_ms} ms", "assumed; measure it with your tier"],
    ]
    return table(["constant", "value", "from"], rows)


def runs(results: Results) -> str:
    """The model for 1,000, 10,000 and 100,000 databases."""
    found, assumed = measured(results), model.Assumed()
    rows: list[list[str]] = []
    for targets in (1_000, 10_000, 100_000):
        for capacity in (100, 800, 3200):
            if capacity > targets:
                continue
            some = model.run(targets, capacity, found, assumed)
            wide = model.run(targets, capacity, found, assumed, -(-capacity // model.best_concurrency(found, assumed)))
            for each in (some, wide):
                rows.append(
                    [
                        f"{targets:,}",
                        f"JA{capacity}",
                        str(each.instances),
                        f"{min(each.rates.values()):,.0f}",
                        f"{each.seconds:,.0f} s",
                        each.limited_by,
                        f"{each.cores_of_job_database:.1f}",
                        f"{each.dollars:.4f}",
                    ]
                )
    columns = [
        "databases",
        "tier",
        "instances",
        "targets/s",
        "run lasts",
        "limited by",
        "job database, cores",
        "dollars",
    ]
    return table(columns, rows)


def concurrency(results: Results) -> str:
    """Where CPU and slots meet."""
    found = measured(results)
    rows = []
    for seconds in (0.1, 0.25, 1.0, 5.0, 60.0):
        best = model.best_concurrency(found, model.Assumed(target_seconds=seconds))
        memory = min(best, 800) * found.waiting_kib / 1024
        rows.append([f"{seconds:g} s", f"{best:,}", f"{memory:.0f} MiB"])
    return table(["one target takes", "targets at once that one core can serve", "their memory (800 at most)"], rows)


def idle_month(results: Results) -> str:
    """A month of nothing."""
    found = model.idle_month(measured(results), model.Assumed(), TICK_SECONDS[False])
    rows = [
        ["ticks", f"{found.ticks:,.0f}"],
        ["statements against the job database", f"{found.statements:,.0f}"],
        ["storage operations (one instance, if the host polled all the time)", f"{found.storage_operations:,.0f}"],
        ["gigabyte-seconds", f"{found.gigabyte_seconds:,.0f}"],
        ["dollars, without the job database", f"{found.dollars:.2f}"],
    ]
    return table(["an idle month", ""], rows)


MAKERS: dict[str, Callable[[Results], str]] = {
    "machine": machine,
    "demands": demands,
    "fanout": fanout,
    "fanout-spread": fanout_spread,
    "fanout-sizes": fanout_sizes,
    "lag": lag,
    "waiting": waiting,
    "growth": growth,
    "idle": idle,
    "recovery": recovery,
    "constants": constants,
    "runs": runs,
    "concurrency": concurrency,
    "idle-month": idle_month,
}


def filled(text: str, results: Results) -> str:
    """A page with its blocks made anew; those whose part has no results yet stay as they are."""

    def block(found: re.Match[str]) -> str:
        try:
            made = MAKERS[found["name"]](results)
        except KeyError as missing:
            if found["name"] not in MAKERS:
                raise
            print(f"'{found['name']}' stays as it is: there is no {missing} among the results.", file=sys.stderr)
            return found[0]
        return f"{found[1]}\n{made}\n\n{found[3]}"

    return _BLOCK.sub(block, text)


def main(arguments: list[str]) -> int:
    made = argparse.ArgumentParser(description="Writes the measured numbers into the documentation.")
    made.add_argument("--results", type=Path, default=RESULTS)
    made.add_argument("--check", action="store_true")
    options = made.parse_args(arguments)
    results = load(options.results)
    stale = []
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = filled(before, results)
        if after != before:
            stale.append(page.name)
            if not options.check:
                page.write_text(after, encoding="utf-8")
    print(f"{'Stale' if options.check else 'Written'}: {', '.join(stale) or 'nothing'}")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""``python -m tests.chaos``: many seeded runs, the broken laws, the recovery time."""

# ruff: noqa: T201  # a command: printing is what it is for

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.chaos import broken, recovery
from tests.chaos.campaign import Campaign, Verdict

SHOWN = 6
"""Violations that are printed of one run."""
BROKEN_SEEDS = 20
"""Seeds after which a broken law that went unnoticed counts as a failure of the suite."""


def main() -> int:
    """The exit code: 0 when every law held, and every broken one was noticed."""
    options = _arguments()
    if options.recovery:
        return _recovery()
    if options.show_broken:
        return _show_broken(options.seed)
    seeds = range(options.seed, options.seed + options.runs)
    return _campaign(seeds, options.emphasis, options.fresh_every, options.keep, options.break_law)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="how many seeds, one after the other")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--fresh-every", type=int, default=25, metavar="K", help="a new stack after so many runs")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave job databases and logs there")
    parser.add_argument("--emphasis", action="append", default=[], metavar="KIND", help="mischief that must be done")
    parser.add_argument("--break", dest="break_law", choices=broken.BREAKS, default="", help="break a law on purpose")
    parser.add_argument("--show-broken", action="store_true", help="break each law and show that it is noticed")
    parser.add_argument("--recovery", action="store_true", help="measure the recovery after SIGKILL under load")
    return parser.parse_args()


def _campaign(seeds: range, emphasis: Sequence[str], fresh_every: int, keep: Path | None, break_law: str) -> int:
    began = time.monotonic()
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    verdicts: list[Verdict] = []
    with Campaign(break_law=break_law, fresh_every=fresh_every, keep=keep) as campaign:
        for seed in seeds:
            verdicts.append(campaign.run(seed, emphasis=emphasis))
            _say(verdicts[-1])
    _table(verdicts, time.monotonic() - began)
    extra = "".join(f" --emphasis '{kind}'" for kind in emphasis) + (f" --break {break_law}" if break_law else "")
    for verdict in verdicts:
        if not verdict.good:
            print(f"Again: python -m tests.chaos --runs 1 --seed {verdict.plan.seed}{extra}")
    return any(not verdict.good for verdict in verdicts)


def _say(verdict: Verdict) -> None:
    plan = verdict.plan
    ends = " ".join(f"{number} {state}" for state, number in sorted(verdict.ends.items()))
    missed = f" (not reached: {', '.join(sorted(set(verdict.missed)))})" if verdict.missed else ""
    print(
        f"seed {plan.seed:<5} {'ok    ' if verdict.good else 'BROKEN'} {verdict.seconds:5.1f} s,"
        f" settled in {verdict.settled:4.1f} s | {len(plan.runs)} runs, capacity {plan.capacity},"
        f" {verdict.scripts} scripts: {ends} | {', '.join(str(action) for action in plan.mischief)}{missed}",
        flush=True,
    )
    for violation in verdict.violations[:SHOWN]:
        print(f"    {violation}", flush=True)
    if len(verdict.violations) > SHOWN:
        print(f"    and {len(verdict.violations) - SHOWN} more", flush=True)


def _table(verdicts: list[Verdict], seconds: float) -> None:
    done = Counter(action.kind for verdict in verdicts for action in verdict.plan.mischief)
    points = Counter(
        action.details["point"]
        for verdict in verdicts
        for action in verdict.plan.mischief
        if action.kind == "point" and action.details["point"] not in verdict.missed
    )
    ends = Counter[str]()
    for verdict in verdicts:
        ends.update(verdict.ends)
    rows = [
        ("runs", f"{len(verdicts)} in {seconds / 60:.1f} min"),
        ("without a broken law", str(sum(verdict.good for verdict in verdicts))),
        ("targets", f"{sum(ends.values())}: " + ", ".join(f"{number} {state}" for state, number in ends.most_common())),
        ("scripts seen by the servers", str(sum(verdict.scripts for verdict in verdicts))),
        ("longest until settled", f"{max(verdict.settled for verdict in verdicts):.1f} s"),
        ("mischief", ", ".join(f"{number} {kind}" for kind, number in done.most_common())),
        ("died at", ", ".join(f"{number} {point}" for point, number in points.most_common())),
    ]
    print()
    for name, value in rows:
        print(f"{name:<28} {value}")


def _show_broken(seed: int) -> int:
    unnoticed = 0
    for name in broken.BREAKS:
        print(f"\n{name}:")
        if not notices(name, seed):
            print("    was not noticed.")
            unnoticed += 1
    return bool(unnoticed)


def notices(name: str, seed: int) -> bool:
    """Whether a run notices that this law is broken, within ``BROKEN_SEEDS`` seeds; says what it saw."""
    with Campaign(break_law=name) as campaign:
        for number in range(seed, seed + BROKEN_SEEDS):
            verdict = campaign.run(number, emphasis=broken.EMPHASIS[name])
            _say(verdict)
            if not verdict.good:
                return True
    return False


def _recovery() -> int:
    measured = recovery.measure()
    print(measured)
    return not measured.good


if __name__ == "__main__":
    sys.exit(main())

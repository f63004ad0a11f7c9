"""Many seeded runs, one after the other, over a stack that is used again and again."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import facts, proof, witness
from tests.chaos.mischief import Conductor
from tests.chaos.plan import Plan, make_plan
from tests.chaos.stage import RESTART_SECONDS, Site, active, wait_for

SETTLE_SECONDS = 45.0
"""After the end of the mischief everything is terminal within lease, sweep and the scripts' own retries."""
ZOMBIE_SECONDS = 10.0
"""How long a script of a run that has ended may go on where its server answers; then its process is killed."""


@dataclass(kw_only=True)
class Verdict:
    """How a seeded run ended. seconds: all of it; settled: from the end of the mischief until all was terminal.

    missed: orders (points to die at, messages to lose) that nothing came by.
    """

    plan: Plan
    seconds: float = 0.0
    settled: float = 0.0
    targets: int = 0
    scripts: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.violations


class Campaign:
    """Runs seeds on one site; ``fresh_every`` runs the site is made anew. A context manager."""

    def __init__(self, *, break_law: str = "", fresh_every: int = 25, keep: Path | None = None) -> None:
        self._break_law, self._fresh_every, self._keep = break_law, fresh_every, keep
        self._exit = contextlib.ExitStack()
        self._site: Site | None = None
        self._runs = 0

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, *error: object) -> None:
        self._exit.close()

    def run(self, seed: int, *, emphasis: Sequence[str] = ()) -> Verdict:
        """Do what the seed says, wait until it has settled, and compare it with the laws."""
        if self._site is None or self._runs % self._fresh_every == 0:
            self._exit.close()
            self._site = self._exit.enter_context(_site(self._break_law, self._keep))
        self._runs += 1
        plan = make_plan(seed, prefix=f"s{seed}r{self._runs}", emphasis=emphasis)
        verdict = Verdict(plan=plan)
        began = time.monotonic()
        try:
            run_plan(self._site, verdict)
        except Exception as error:
            # One run that cannot be carried out must not end a campaign of hours; it counts as a broken one.
            verdict.violations.append(f"the run was not carried out to its end: {error!r}")
        verdict.seconds = time.monotonic() - began
        if not verdict.good:
            self._runs = 0  # whatever it left behind shall not fail the next seed
        return verdict


@contextlib.contextmanager
def _site(break_law: str, keep: Path | None) -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=keep))
    try:
        with Site(folder, break_law=break_law) as site:
            yield site
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def run_plan(site: Site, verdict: Verdict) -> None:
    """One run: define, do mischief, wait, prove, clean up. What came of it is written into the verdict."""
    plan = verdict.plan
    site.define(plan)
    verdict.missed = Conductor(site, plan).run()
    calm = time.monotonic()
    watch = _Watch(site, plan)
    if not wait_for(watch.settled, SETTLE_SECONDS):
        verdict.violations.append(f"not settled within {SETTLE_SECONDS:g} s: {active(site)}")
    verdict.settled = time.monotonic() - calm
    verdict.violations += watch.excess
    if not _scripts_have_ended(site, plan):
        verdict.violations.append("scripts still run although every worker process was killed")
    found = facts.collect(plan, site.job_database, site.emulator, site.endpoint["sql"]["password"])
    if not verdict.violations:
        verdict.violations += proof.violations(plan, found)
    verdict.targets, verdict.scripts = len(found.targets), len(found.scripts)
    for target in found.targets:
        verdict.ends[target.lifecycle] = verdict.ends.get(target.lifecycle, 0) + 1
    site.forget(plan)


def _scripts_have_ended(site: Site, plan: Plan) -> bool:
    """Wait for scripts that outlived their run. Only the end of the process leaves a server that has gone silent."""

    def none() -> bool:
        return not site.emulator.control.running(text=f"-- {plan.prefix}j")

    if wait_for(none, ZOMBIE_SECONDS):
        return True
    site.kill_workers()
    return wait_for(none, ZOMBIE_SECONDS) and wait_for(site.workers_are_whole, RESTART_SECONDS)


class _Watch:
    """Looks at the job database while the runs end."""

    def __init__(self, site: Site, plan: Plan) -> None:
        self._site, self._plan = site, plan
        self.excess: list[str] = []

    def settled(self) -> bool:
        """Whether all runs have ended; looks at the admissions on the way."""
        for row in facts.read_rows(self._site.job_database, witness.ADMITTED_TOO_MANY):
            self.excess.append(f"{row.used} targets are admitted in pool {row.elastic_pool_name}, of {row.allowed}")
        return not active(self._site)

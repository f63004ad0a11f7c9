"""Who takes part in the fan-out: the product and its peers, behind one interface."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from bench.arena import WARM_UP, Arena, BenchError, Estate
from bench.charts import OURS
from bench.peers import work
from local.stack import ROOT


class Contender(Protocol):
    """Something that can run one statement on many databases and record every outcome."""

    name: str

    def fan_out(self, databases: Sequence[str]) -> float:
        """Run on these databases; seconds from asking until all outcomes are recorded."""
        ...

    def check(self, databases: Sequence[str]) -> None:
        """AssertionError or BenchError unless the last fan-out recorded a success for each of these."""
        ...

    def pids(self) -> Mapping[str, Sequence[int]]:
        """Its processes, by what they do, besides the targets."""
        ...

    def stop(self) -> None: ...


class Product:
    """Elastic Jobs: the job's group is the server, so that listing its databases is in the time."""

    name = OURS

    def __init__(self, arena: Arena, statement: str) -> None:
        self._arena = arena
        everything = arena.estate.databases
        arena.job("everything", statement)
        self._few = everything[:WARM_UP]
        arena.job("few", statement, self._few)
        self._all = everything
        self._last = ""

    def fan_out(self, databases: Sequence[str]) -> float:
        if tuple(databases) not in {self._all, self._few}:
            raise BenchError("The product has no job over these databases.")
        self._last = "everything" if len(databases) == len(self._all) else "few"
        return self._arena.run(self._last)

    def check(self, databases: Sequence[str]) -> None:
        """The run's success is that of all its targets; how many there were is in its count of targets."""
        newest = self._arena.api.call("GET", f"/jobs/{self._last}/executions", **{"$top": 1})["value"][0]
        path = f"/jobs/{self._last}/executions/{newest['name']}/targets"
        states = [item["properties"]["lifecycle"] for item in self._arena.api.list(path)]
        if states != ["Succeeded"] * len(databases):
            raise BenchError(f"The run has {len(states)} targets, {states.count('Succeeded')} of them succeeded.")

    def pids(self) -> Mapping[str, Sequence[int]]:
        pids = self._arena.pids()
        return {name: pids[name] for name in ("workers", "storage (Azurite)")}

    def stop(self) -> None:
        """The arena stops it."""


class Bare:
    """The limit (a thread pool) or the floor (a loop), in a process of its own."""

    def __init__(self, name: str, folder: Path, estate: Estate, statement: str, *, concurrency: int) -> None:
        self.name, self._concurrency = name, concurrency
        self._outcomes = folder / "outcomes.txt"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.peers.bare"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=work.save(estate, statement, folder / "estate.json"),
        )
        self._succeeded = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def fan_out(self, databases: Sequence[str], *, statement: str | None = None) -> float:
        """statement: another one than the contender was made with."""
        order = {
            "concurrency": self._concurrency,
            "databases": list(databases),
            "outcomes": str(self._outcomes),
            "statement": statement,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        began = time.perf_counter()
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        seconds = time.perf_counter() - began
        if not answer:
            raise BenchError(f"{self.name} ended with code {self._process.wait()}.")
        self._succeeded = json.loads(answer)["succeeded"]
        return seconds

    def check(self, databases: Sequence[str]) -> None:
        if self._succeeded != len(databases):
            raise BenchError(f"{self.name}: {self._succeeded} of {len(databases)} succeeded.")

    def pids(self) -> Mapping[str, Sequence[int]]:
        return {"workers": [self._process.pid]}

    def kill(self) -> None:
        """End it in the middle of what it does."""
        self._process.kill()
        self.stop()

    def stop(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

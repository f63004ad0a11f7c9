"""What every part of the suite does with its figures: medians and spread, a table, a JSON file, a verdict."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import machine

RESULTS = Path(__file__).with_name("results")
Json = str | float | int | bool | None | Sequence["Json"] | Mapping[str, "Json"]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Several runs of one measurement: the median, and the smallest and largest."""

    median: float
    least: float
    most: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median=statistics.median(values), least=min(values), most=max(values), runs=len(values))

    def text(self, digits: int = 2) -> str:
        """For a table: ``median (least-most)``."""
        if self.runs == 1:
            return f"{self.median:,.{digits}f}"
        return f"{self.median:,.{digits}f} ({self.least:,.{digits}f}-{self.most:,.{digits}f})"


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: a value that was measured; ``share`` from 0 to 1.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("There are no values to take a percentile of.")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a figure must be at least, or at most."""

    what: str
    value: float
    limit: float
    at_least: bool = False
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def sentence(self) -> str:
        side = "at least" if self.at_least else "at most"
        return f"{'met ' if self.met else 'MISSED'}  {self.what}: {self.value:.2f}{self.unit} ({side} {self.limit:g})"


@dataclass(kw_only=True)
class Report:
    """The figures of one part. Tables are printed; ``data`` is what charts and documentation are made of."""

    part: str
    title: str
    options: dict[str, Json]
    machine: dict[str, str] = field(default_factory=machine.describe)
    began: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    seconds: float = 0.0
    data: dict[str, Json] = field(default_factory=dict)
    demands: list[Demand] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Sentences on what was not measured, and why."""
    _started: float = field(default_factory=time.monotonic)
    _console: Console = field(default_factory=lambda: Console(width=120, soft_wrap=True))

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table: the first column to the left, the others to the right."""
        table = Table(title=title, title_justify="left", title_style="bold")
        for number, column in enumerate(columns):
            table.add_column(column, justify="right" if number else "left")
        for row in rows:
            table.add_row(*row)
        self._console.print(table)

    def leave_out(self, sentence: str) -> None:
        self.left_out.append(sentence)
        self.say(f"Left out: {sentence}")

    def finish(self, folder: Path) -> int:
        """Print the verdicts, write ``<part>.json``; the exit code: 1 when a demand is missed."""
        self.seconds = round(time.monotonic() - self._started, 1)
        folder.mkdir(parents=True, exist_ok=True)
        for demand in self.demands:
            self.say(demand.sentence())
        document = {
            "part": self.part,
            "title": self.title,
            "began": self.began,
            "seconds": self.seconds,
            "machine": self.machine,
            "options": self.options,
            "demands": [{**asdict(demand), "met": demand.met} for demand in self.demands],
            "left_out": self.left_out,
            "data": self.data,
        }
        file = folder / f"{self.part}.json"
        file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        self.say(f"{self.seconds:.0f} s; {file}")
        return 0 if all(demand.met for demand in self.demands) else 1


def parser(description: str) -> argparse.ArgumentParser:
    """The options that all parts have."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--results", type=Path, default=RESULTS, help="where JSON and chart go; default: bench/results")
    made.add_argument("--seed", type=int, default=1, help="of the order in which things are measured")
    made.add_argument("--tiny", action="store_true", help="the smallest form: shows that it works, measures nothing")
    return made


def options_of(arguments: argparse.Namespace) -> dict[str, Json]:
    """The options of a run for its JSON."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(arguments).items()}

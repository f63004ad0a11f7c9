"""Aggregates that SQLite lacks or computes differently: exact decimal sums, STRING_AGG in order, deviations."""

from __future__ import annotations

import math
import sqlite3
from decimal import Decimal
from typing import Any

from . import convert


class DecimalSum:
    def __init__(self) -> None:
        self.total: Decimal | None = None

    def step(self, value: str | None) -> None:
        if value is not None:
            self.total = convert.WIDE.add(self.total or Decimal(0), Decimal(value))

    def finalize(self) -> str | None:
        return None if self.total is None else format(self.total, "f")


class DecimalAverage(DecimalSum):
    """Result with twelve digits more than any decimal needs; the compiler cuts it to the scale of AVG."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def step(self, value: str | None) -> None:
        super().step(value)
        self.count += value is not None

    def finalize(self) -> str | None:
        if self.total is None:
            return None
        return format(
            convert.WIDE.divide(self.total, Decimal(self.count)).quantize(Decimal("1e-40"), context=convert.WIDE), "f"
        )


class StringAggregate:
    """STRING_AGG: values that are NULL are left out; the separator of the first value counts."""

    def __init__(self) -> None:
        self.items: list[tuple[Any, str]] = []
        self.separator: str | None = None
        self.descending = False

    def step(self, value: str | None, separator: str | None, key: Any, descending: int) -> None:
        if self.separator is None:
            self.separator, self.descending = separator or "", bool(descending)
        if value is not None:
            self.items.append((key, value))

    def finalize(self) -> str | None:
        if not self.items:
            return None
        if any(key is not None for key, _ in self.items):
            self.items.sort(key=_sort_key, reverse=self.descending)
        return (self.separator or "").join(value for _, value in self.items)


def _sort_key(item: tuple[Any, str]) -> tuple[Any, ...]:
    key = item[0]
    return (key is not None, key.casefold() if isinstance(key, str) else (0 if key is None else key))


class Deviation:
    """VAR and STDEV: of a sample, or of the population (names that end in P)."""

    population = False
    root = False

    def __init__(self) -> None:
        self.values: list[float] = []

    def step(self, value: float | None) -> None:
        if value is not None:
            self.values.append(float(value))

    def finalize(self) -> float | None:
        divisor = len(self.values) - (0 if self.population else 1)
        if divisor <= 0:
            return None
        mean = math.fsum(self.values) / len(self.values)
        variance = math.fsum((value - mean) ** 2 for value in self.values) / divisor
        return math.sqrt(variance) if self.root else variance


def _deviation(population: bool, root: bool) -> type[Deviation]:
    return type("Deviation", (Deviation,), {"population": population, "root": root})


_AGGREGATES: dict[str, tuple[int, type[Any]]] = {
    "a_dec_sum": (1, DecimalSum), "a_dec_avg": (1, DecimalAverage), "a_string_agg": (4, StringAggregate),
    "a_var": (1, _deviation(False, False)), "a_varp": (1, _deviation(True, False)),
    "a_stdev": (1, _deviation(False, True)), "a_stdevp": (1, _deviation(True, True)),
}  # fmt: skip


def install(connection: sqlite3.Connection) -> None:
    for name, (arguments, kind) in _AGGREGATES.items():
        connection.create_aggregate(name, arguments, kind)

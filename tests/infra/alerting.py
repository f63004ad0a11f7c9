"""What Azure Monitor does with the alert rules, as far as these rules use it: the queries over rows of AppMetrics.

The queries are written in a small part of KQL. This knows that part and refuses the rest, so that a query which nobody
has evaluated cannot slip in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.infra.bicep import Evaluator, template

Row = Mapping[str, Any]
"""A row of AppMetrics: TimeGenerated, Name, Sum, Min, Max, ItemCount and Properties (the dimensions)."""

PARAMETERS = {"silenceMinutes": 5, "queueAgeMinutes": 15, "capacityFullMinutes": 30}
"""The defaults of main.bicep; a test compares."""
_UNITS = {"m": "minutes", "s": "seconds", "h": "hours"}


@dataclass(frozen=True)
class Rule:
    """One alert rule as it is deployed."""

    name: str
    query: str
    column: str
    operator: str
    threshold: float
    window: timedelta
    dimensions: tuple[str, ...]

    def firing(self, rows: Iterable[Row], now: datetime) -> list[dict[str, str]]:
        """The dimensions of each alert that is fired; one empty dict for a rule without dimensions."""
        seen = [row for row in rows if now - self.window < row["TimeGenerated"] <= now]
        sums: dict[tuple[str, ...], float] = {}
        for result in run(self.query, seen, now):
            if result[self.column] is not None:
                key = tuple(result[name] for name in self.dimensions)
                sums[key] = sums.get(key, 0) + result[self.column]
        compare: dict[str, Callable[[float], bool]] = {
            "GreaterThan": lambda value: value > self.threshold,
            "LessThan": lambda value: value < self.threshold,
        }
        return [
            dict(zip(self.dimensions, key, strict=True)) for key, value in sums.items() if compare[self.operator](value)
        ]


def rules() -> list[Rule]:
    """The rules of infra/app/alerts.bicep with the default parameters."""
    evaluator = Evaluator(template("app/alerts.bicep"), PARAMETERS)
    return [
        Rule(
            name=rule["name"],
            query=rule["query"],
            column=rule["column"],
            operator=rule["operator"],
            threshold=rule["threshold"],
            window=_duration(rule["window"]),
            dimensions=tuple(dimension["name"] for dimension in rule["dimensions"]),
        )
        for rule in evaluator.variable("rules")
    ]


def fired(rows: Sequence[Row], now: datetime) -> dict[str, list[dict[str, str]]]:
    """Every rule that fires on these rows, with the dimensions of its alerts."""
    return {rule.name: alerts for rule in rules() if (alerts := rule.firing(rows, now))}


def run(query: str, rows: Sequence[Row], now: datetime) -> list[dict[str, Any]]:
    """The result of a query on rows of AppMetrics. Raises ``ValueError`` naming a line that is not understood."""
    lines = [line.strip() for line in query.splitlines() if line.strip() and not line.strip().startswith("//")]
    if lines[0] != "AppMetrics":
        raise ValueError(f"not a query on AppMetrics: {lines[0]}")
    found: list[dict[str, Any]] = [dict(row) for row in rows]
    for line in lines[1:]:
        found = _step(line, found, now)
    return found


def _step(line: str, rows: list[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    if match := re.fullmatch(r"\| where (\w+) == '([^']*)'", line):
        return [row for row in rows if row[match[1]] == match[2]]
    if match := re.fullmatch(r"\| where TimeGenerated > ago\((.+)\)", line):
        since = now - sum((_span(part) for part in match[1].split("+")), timedelta())
        return [row for row in rows if row["TimeGenerated"] > since]
    if match := re.fullmatch(r"\| where isnotnull\((\w+)\)", line):
        return [row for row in rows if row[match[1]] is not None]
    if line.startswith("| extend "):
        columns = [_column(part) for part in line.removeprefix("| extend ").split(", ")]
        return [{**row, **{name: str(row["Properties"].get(key, "")) for name, key in columns}} for row in rows]
    if match := re.fullmatch(r"\| summarize (\w+) = (\w+)\((\w*)\)(?: by (.+))?", line):
        return _summarize(rows, match[1], match[2], match[3], match[4].split(", ") if match[4] else [])
    raise ValueError(f"this line is not understood: {line}")


def _column(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"(\w+) = tostring\(Properties\.(\w+)\)", text)
    if match is None:
        raise ValueError(f"this column is not understood: {text}")
    return match[1], match[2]


def _summarize(rows: list[dict[str, Any]], name: str, kind: str, of: str, by: list[str]) -> list[dict[str, Any]]:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {} if by else {(): []}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in by), []).append(row)
    kinds: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
        "sum": lambda group: sum(row[of] for row in group),
        "max": lambda group: max((row[of] for row in group), default=None),
        "count": len,
    }
    return [{**dict(zip(by, key, strict=True)), name: kinds[kind](group)} for key, group in groups.items()]


def _span(text: str) -> timedelta:
    match = re.fullmatch(r"\s*(\d+)([msh])\s*", text)
    if match is None:
        raise ValueError(f"this time span is not understood: {text}")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"PT(\d+)([MH])", text)
    if match is None:
        raise ValueError(f"this duration is not understood: {text}")
    return timedelta(**{_UNITS[match[2].lower()]: int(match[1])})

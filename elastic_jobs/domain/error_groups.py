"""Groups errors of many targets by what they have in common, so that ten thousand failures read as three.

Two messages are of one shape when they differ only in names, numbers and ids.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from elastic_jobs.domain.lifecycle import Lifecycle

LONGEST_SHAPE = 400
"""Characters of a message that count; behind them mostly comes what differs anyway."""
_VARYING = (
    (re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"), "<id>"),
    (re.compile(r"'[^']*'"), "'...'"),
    (re.compile(r'"[^"]*"'), '"..."'),
    (re.compile(r"\[[^\[\]]*\]"), "[...]"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "#"),
)
_RETRY = re.compile(r" Retry \d+ of \d+ begins after \S+ s\.$")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The last error of one target. error_number: SQL Server's, None when it came from elsewhere."""

    target_execution_id: str
    step_name: str
    server_name: str
    database_name: str
    lifecycle: Lifecycle
    error_number: int | None
    message: str


@dataclass(frozen=True, kw_only=True)
class ErrorGroup:
    """Failures of one number and shape. ``example`` is the first of them in the order they were given."""

    error_number: int | None
    shape: str
    lifecycles: Mapping[Lifecycle, int]
    example: Failure

    @property
    def count(self) -> int:
        """How many targets."""
        return sum(self.lifecycles.values())


def shape_of(message: str) -> str:
    """A message without what differs between targets: quoted names, numbers, ids, and whether a retry follows."""
    shape = _RETRY.sub("", message)[: 4 * LONGEST_SHAPE]
    for varying, instead in _VARYING:
        shape = varying.sub(instead, shape)
    return shape[:LONGEST_SHAPE]


def group(failures: Iterable[Failure]) -> list[ErrorGroup]:
    """The groups, largest first; of the same size in the order of their first failure."""
    examples: dict[tuple[int | None, str], Failure] = {}
    counts: dict[tuple[int | None, str], Counter[Lifecycle]] = {}
    for failure in failures:
        key = (failure.error_number, shape_of(failure.message))
        examples.setdefault(key, failure)
        counts.setdefault(key, Counter())[failure.lifecycle] += 1
    groups = [
        ErrorGroup(error_number=number, shape=shape, lifecycles=counts[number, shape], example=example)
        for (number, shape), example in examples.items()
    ]
    return sorted(groups, key=lambda found: -found.count)

"""How far a run is: its states in the order in which bars and lists show them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from elastic_jobs.domain.lifecycle import TERMINAL, Lifecycle

_WIDTH, _LEAST = 1000, 10.0
ORDER = (
    Lifecycle.FAILED,
    Lifecycle.TIMED_OUT,
    Lifecycle.SUCCEEDED,
    Lifecycle.SUCCEEDED_WITH_SKIPPED,
    Lifecycle.SKIPPED,
    Lifecycle.CANCELED,
    Lifecycle.IN_PROGRESS,
    Lifecycle.WAITING_FOR_CHILD_JOB_EXECUTIONS,
    Lifecycle.WAITING_FOR_RETRY,
    Lifecycle.CREATED,
)
"""What failed comes first: it is what people look for."""


def in_order(counts: Mapping[Lifecycle, int]) -> dict[Lifecycle, int]:
    """The counts that are not 0, failures first, what waits last."""
    return {state: counts[state] for state in ORDER if counts.get(state)}


def shares(counts: Mapping[Lifecycle, int]) -> list[tuple[Lifecycle, float, float]]:
    """The parts of a bar of 1000 units: state, where it begins, and how wide it is. What is there can be seen."""
    shown = in_order(counts)
    total = sum(shown.values())
    widths = {state: max(_LEAST, count * _WIDTH / total) for state, count in shown.items()}
    scale = _WIDTH / sum(widths.values()) if widths else 1.0
    parts, x = [], 0.0
    for state, width in widths.items():
        parts.append((state, round(x, 1), round(width * scale, 1)))
        x += width * scale
    return parts


def ended(counts: Mapping[Lifecycle, int]) -> int:
    """How many have ended, however."""
    return sum(count for state, count in counts.items() if state in TERMINAL)


def together(each: Iterable[Mapping[Lifecycle, int]]) -> dict[Lifecycle, int]:
    """The sums over steps or hours, in order."""
    total: Counter[Lifecycle] = Counter()
    for counts in each:
        total.update(counts)
    return in_order(total)

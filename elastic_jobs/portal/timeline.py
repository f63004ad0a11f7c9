"""The picture of when targets waited, ran and ended: a lane for each, or bands when there are many. Pure.

All shapes live in a box of 1000 units by ``height``; the page stretches it to its width, so no text is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from math import ceil
from typing import Any

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.jobdb.run_targets import Span
from elastic_jobs.portal import words

WIDTH = 1000
MOST_LANES = 100
"""Targets that get a lane of their own; of more, nobody could see one."""
COLUMNS = 120
"""Moments at which bands are counted."""
BANDS_HEIGHT = 120
_LANES_HEIGHT = 240
_LEAST_PITCH, _MOST_PITCH = 4, 14
_LEAST = 2.0
"""Width of the shortest span, so that it can be seen."""
_SHORTEST = 0.1
"""Seconds that the picture shows at least."""
ORDER = (
    Lifecycle.FAILED,
    Lifecycle.TIMED_OUT,
    Lifecycle.CANCELED,
    Lifecycle.SKIPPED,
    Lifecycle.SUCCEEDED,
    Lifecycle.IN_PROGRESS,
    Lifecycle.WAITING_FOR_RETRY,
    Lifecycle.CREATED,
)
"""Bands from the bottom up: what has ended, what runs, what waits."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A part of a lane."""

    state: Lifecycle
    x: float
    width: float


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One target."""

    title: str
    y: int
    boxes: tuple[Box, ...]


@dataclass(frozen=True, kw_only=True)
class Band:
    """The number of targets in one state over time, as the outline of an area (SVG path data)."""

    state: Lifecycle
    path: str


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The picture. Either ``lanes`` or ``bands`` is empty; states: those that occur, for the legend."""

    start: datetime
    end: datetime
    height: int
    targets: int
    lane_height: int = 0
    lanes: tuple[Lane, ...] = ()
    bands: tuple[Band, ...] = ()
    states: tuple[Lifecycle, ...] = ()

    @property
    def description(self) -> str:
        """The picture in words."""
        what = words.plural(self.targets, "target")
        return f"Timeline of {what} over {words.duration(self.end - self.start)}"


def draw(spans: Sequence[Span], now: datetime) -> Timeline | None:
    """The picture of these targets, which is up to ``now`` while one of them has not ended; None without targets."""
    if not spans:
        return None
    start = min(span.created for span in spans)
    ended = [span.ended for span in spans if span.ended is not None]
    end = max(ended) if len(ended) == len(spans) else max([now.timestamp(), *ended])
    # Targets that were skipped end when they are planned: some width is needed to divide by.
    end = max(end, start + _SHORTEST)
    frame: dict[str, Any] = {
        "start": datetime.fromtimestamp(start, UTC),
        "end": datetime.fromtimestamp(end, UTC),
        "targets": len(spans),
    }
    if len(spans) > MOST_LANES:
        bands = _bands(spans, start, end)
        return Timeline(**frame, height=BANDS_HEIGHT, bands=bands, states=tuple(band.state for band in bands))
    # Those that started first on top: their ends then show at a glance how evenly the run went.
    spans = sorted(spans, key=lambda span: (span.started is None, span.started or span.created, span.name))
    pitch = _pitch(len(spans))
    lanes = tuple(_lane(span, place * pitch, start, end) for place, span in enumerate(spans))
    found = {box.state for lane in lanes for box in lane.boxes}
    states = tuple(state for state in ORDER if state in found)
    return Timeline(**frame, height=len(spans) * pitch, lane_height=pitch - 1 - pitch // 6, lanes=lanes, states=states)


def _pitch(lanes: int) -> int:
    """The distance between lanes: few are thick, many still fit on a page."""
    return max(_LEAST_PITCH, min(_MOST_PITCH, _LANES_HEIGHT // lanes))


def _lane(span: Span, y: int, start: float, end: float) -> Lane:
    scale = WIDTH / (end - start)
    boxes = []
    for state, low, high in _stays(span):
        until = end if high is None else high
        if until > low or state == span.lifecycle:
            x = min((low - start) * scale, WIDTH - _LEAST)
            width = min(max(_LEAST, (until - low) * scale), WIDTH - x)
            boxes.append(Box(state=state, x=round(x, 1), width=round(width, 1)))
    return Lane(title=_title(span, end), y=y, boxes=tuple(boxes))


def _title(span: Span, end: float) -> str:
    said = f"{span.name}: {words.state_name(span.lifecycle)}"
    until = end if span.ended is None else span.ended
    if span.started is None:
        return f"{said}, waited {words.duration(timedelta(seconds=until - span.created))}"
    waited, ran = (timedelta(seconds=length) for length in (span.started - span.created, until - span.started))
    return f"{said}, waited {words.duration(waited)}, ran {words.duration(ran)}"


def _stays(span: Span) -> Iterable[tuple[Lifecycle, float, float | None]]:
    """How a target spent its time: waiting, earlier attempts, the last attempt in the colour of how it ended."""
    state = Lifecycle(span.lifecycle)
    if span.started is None:
        if span.ended is None or span.ended > span.created:
            yield Lifecycle.CREATED, span.created, span.ended
        if span.ended is not None:
            yield state, span.ended, span.ended
        return
    yield Lifecycle.CREATED, span.created, span.started
    # Attempts before the last are known only as a whole.
    last = span.started if span.attempt is None else max(span.started, span.attempt)
    if last > span.started:
        yield Lifecycle.WAITING_FOR_RETRY, span.started, last
    yield state, last, span.ended


def _bands(spans: Sequence[Span], start: float, end: float) -> tuple[Band, ...]:
    """How many targets are in which state at each of the moments, one upon the other."""
    changes = {state: [0] * (COLUMNS + 2) for state in ORDER}
    step = (end - start) / COLUMNS

    def column(moment: float) -> int:
        return min(COLUMNS + 1, max(0, ceil((moment - start) / step)))

    def stay(state: Lifecycle, low: float, high: float | None) -> None:
        changes[state][column(low)] += 1
        if high is not None:
            changes[state][column(high)] -= 1

    for span in spans:
        state = Lifecycle(span.lifecycle)
        # While it ran its later state was not known: in bands it ran then.
        for known, low, high in _stays(span):
            stay(Lifecycle.IN_PROGRESS if known is state and span.ended is not None else known, low, high)
        if span.ended is not None:
            stay(state, span.ended, None)
    return _stacked(changes, len(spans))


def _stacked(changes: Mapping[Lifecycle, Sequence[int]], most: int) -> tuple[Band, ...]:
    base = [0] * (COLUMNS + 1)
    bands = []
    for state in ORDER:
        counts = list(accumulate(changes[state][: COLUMNS + 1]))
        if any(counts):
            top = [low + count for low, count in zip(base, counts, strict=True)]
            bands.append(Band(state=state, path=_area(base, top, most)))
            base = top
    return tuple(bands)


def _area(base: Sequence[int], top: Sequence[int], most: int) -> str:
    def points(row: Sequence[int], order: Iterable[int]) -> str:
        return "L".join(
            f"{place * WIDTH / COLUMNS:.4g} {BANDS_HEIGHT * (1 - row[place] / most):.4g}" for place in order
        )

    return f"M{points(top, range(len(top)))}L{points(base, reversed(range(len(base))))}Z"

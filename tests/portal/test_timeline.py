"""The pictures: lanes and bands of targets, columns of hours, shares of a bar."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from elastic_jobs import portal
from elastic_jobs.domain.lifecycle import TERMINAL, Lifecycle
from elastic_jobs.jobdb.run_targets import Span
from elastic_jobs.portal import overview, progress, timeline, words

START = 1_700_000_000.0
NOW = datetime.fromtimestamp(START + 100, UTC)


def span(state: Lifecycle, *times: float | None, name: str = "db") -> Span:
    created, started, attempt, ended = (None if time is None else START + time for time in times)
    assert created is not None
    return Span(name, state, created, started, attempt, ended)


def test_a_lane_tells_waiting_earlier_attempts_and_the_end() -> None:
    drawn = timeline.draw([span(Lifecycle.FAILED, 0, 20, 60, 100)], NOW)
    assert drawn is not None
    (lane,) = drawn.lanes
    assert [(box.state, box.x, box.width) for box in lane.boxes] == [
        (Lifecycle.CREATED, 0, 200),
        (Lifecycle.WAITING_FOR_RETRY, 200, 400),
        (Lifecycle.FAILED, 600, 400),
    ]
    assert lane.title == "db: Failed, waited 20 s, ran 1 min 20 s"
    assert drawn.description == "Timeline of 1 target over 1 min 40 s"


def test_what_has_not_ended_goes_up_to_now() -> None:
    spans = [span(Lifecycle.IN_PROGRESS, 0, 50, 50, None), span(Lifecycle.CREATED, 0, None, None, None)]
    drawn = timeline.draw(spans, NOW)
    assert drawn is not None
    assert drawn.end == NOW
    assert [(box.state, box.x, box.width) for lane in drawn.lanes for box in lane.boxes] == [
        (Lifecycle.CREATED, 0, 500),
        (Lifecycle.IN_PROGRESS, 500, 500),
        (Lifecycle.CREATED, 0, 1000),
    ]


def test_without_targets_there_is_no_picture_and_skipped_ones_have_one() -> None:
    assert timeline.draw([], NOW) is None
    drawn = timeline.draw([span(Lifecycle.SKIPPED, 0, None, None, 0)], NOW)
    assert drawn is not None
    assert [box.state for box in drawn.lanes[0].boxes] == [Lifecycle.SKIPPED]


def test_many_targets_become_bands_that_end_at_their_counts() -> None:
    spans = [span(Lifecycle.SUCCEEDED, 0, number / 10, number / 10, 1 + number / 10) for number in range(900)]
    spans += [span(Lifecycle.FAILED, 0, 1, 1, 2)] * 100
    drawn = timeline.draw(spans, NOW)
    assert drawn is not None
    assert not drawn.lanes
    assert [band.state for band in drawn.bands][:2] == [Lifecycle.FAILED, Lifecycle.SUCCEEDED]
    failed, succeeded = (outline(band.path) for band in drawn.bands[:2])
    at_the_end = timeline.COLUMNS
    assert failed[at_the_end][1] == timeline.BANDS_HEIGHT * 0.9
    assert succeeded[at_the_end][1] == 0
    assert sum(len(band.path) for band in drawn.bands) < 20_000


def outline(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.e+-]+) ([\d.e+-]+)", path)]


moments = st.floats(0, 1000, allow_nan=False)


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(Lifecycle)), moments, moments, moments, st.integers(0, 3)),
        min_size=1,
        max_size=250,
    )
)
def test_whatever_the_times_are_all_shapes_are_inside(rows: list[tuple[Lifecycle, float, float, float, int]]) -> None:
    spans = []
    for state, created, waited, ran, known in rows:
        times = (created, created + waited, created + waited, created + waited + ran)
        ended = times[3] if state in TERMINAL else None
        began = times[1] if known else None
        spans.append(span(state, times[0], began, times[2] if known > 1 else None, ended))
    drawn = timeline.draw(spans, NOW)
    assert drawn is not None
    for lane in drawn.lanes:
        assert 0 <= lane.y < drawn.height
        for box in lane.boxes:
            assert box.x >= 0
            assert box.width >= 1.9
            assert box.x + box.width <= timeline.WIDTH + 0.2
    for band in drawn.bands:
        for x, y in outline(band.path):
            assert 0 <= x <= timeline.WIDTH
            assert -0.01 <= y <= timeline.BANDS_HEIGHT + 0.01


def test_an_hours_column_stands_on_its_failures() -> None:
    start = datetime(2026, 11, 23, tzinfo=UTC)
    columns = overview.draw([{}, {Lifecycle.SUCCEEDED: 3, Lifecycle.FAILED: 1}], start)
    assert columns[0].pieces == ()
    failed, succeeded = columns[1].pieces
    assert (failed.state, succeeded.state) == (Lifecycle.FAILED, Lifecycle.SUCCEEDED)
    assert failed.y + failed.height == 72
    assert succeeded.y + succeeded.height == failed.y
    assert columns[1].start == start + timedelta(hours=1)


@given(st.dictionaries(st.sampled_from(sorted(Lifecycle)), st.integers(0, 100_000)))
def test_the_shares_of_a_bar_fill_it_and_none_disappears(counts: dict[Lifecycle, int]) -> None:
    parts = progress.shares(counts)
    assert [state for state, _, _ in parts] == list(progress.in_order(counts))
    if parts:
        assert all(width >= 8 for _, _, width in parts)
        assert abs(sum(width for _, _, width in parts) - 1000) < 2


def test_durations_and_distances_are_told_in_two_units_at_most() -> None:
    told = [0.04, 9.96, 12, 59.6, 65, 3600, 3660, 26 * 3600, 50 * 3600, 48 * 3600]
    assert [words.duration(timedelta(seconds=each)) for each in told] == [
        "0.0 s",
        "10.0 s",
        "12 s",
        "1 min",
        "1 min 05 s",
        "1 h",
        "1 h 01 min",
        "26 h",
        "2 d 2 h",
        "2 d",
    ]
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert words.ago(now - timedelta(seconds=3), now) == "now"
    assert words.ago(now - timedelta(minutes=90), now) == "1 h ago"
    assert words.ago(now + timedelta(days=2), now) == "in 2 d"
    assert words.first_line("one\ntwo") == "one"
    assert words.first_line("x" * 200, 10) == "x" * 9 + "…"
    assert words.first_line(None) == ""


def test_each_state_has_a_colour_and_a_shape() -> None:
    sheet = (Path(portal.__file__).parent / "static" / "portal.css").read_text(encoding="utf-8")
    for state in Lifecycle:
        (rule,) = [line for line in sheet.splitlines() if line.startswith(f".{words.state_class(state)} {{")]
        assert "--tone: var(" in rule
        assert "--shape: url(" in rule

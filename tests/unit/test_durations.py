from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jobs.domain.durations import format_duration, parse_duration
from elastic_jobs.domain.schedule import IntervalType


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT5M", (IntervalType.MINUTES, 5)),
        ("pt1h", (IntervalType.HOURS, 1)),
        ("P1D", (IntervalType.DAYS, 1)),
        ("P7D", (IntervalType.DAYS, 7)),
        ("P1W", (IntervalType.WEEKS, 1)),
        ("P1M", (IntervalType.MONTHS, 1)),
        ("P1Y6M", (IntervalType.MONTHS, 18)),
        ("PT60M", (IntervalType.MINUTES, 60)),
        ("PT1H30M", (IntervalType.MINUTES, 90)),
        ("P1DT12H", (IntervalType.HOURS, 36)),
        ("P6DT24H", (IntervalType.WEEKS, 1)),
        ("PT120S", (IntervalType.MINUTES, 2)),
        ("PT5M0.0S", (IntervalType.MINUTES, 5)),
    ],
)
def test_durations(text: str, expected: tuple[IntervalType, int]) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "PT0M", "PT30S", "PT1.5H", "P1M1D", "P-1D", "1D", "5", "P1D ago", "P1111111111D", "PT5M1S"]
)
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration that a schedule can have; use whole minutes"):
        parse_duration(text)


@given(kind=st.sampled_from([k for k in IntervalType if k is not IntervalType.ONCE]), count=st.integers(1, 10**9 - 1))
def test_what_is_written_is_read_again(kind: IntervalType, count: int) -> None:
    written = format_duration(kind, count)
    assert written is not None
    assert parse_duration(written) == (kind, count)


def test_once_has_no_duration() -> None:
    assert format_duration(IntervalType.ONCE, 1) is None

"""Tables that fit, texts that cannot play tricks, and words for schedules, times and runs."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from elastic_jobs.cli.errors import UsageError
from elastic_jobs.cli.output import Column, Format, Printer, cell, fitting, moment, safe
from elastic_jobs.cli.runs import duration, name_of, parse_since, shown
from elastic_jobs.cli.schedules import iso_interval, schedule_text

COLUMNS = [
    Column("NAME", lambda row: row["name"]),
    Column("COUNT", lambda row: row.get("count"), optional=1, right=True),
    Column("TEXT", lambda row: row.get("text"), optional=2, flexible=True),
]

ALL = {"NAME", "COUNT", "TEXT"}


def printed(form: Format, rows: list[dict[str, object]]) -> str:
    stream = io.StringIO()
    Printer(form, stream).rows(rows, COLUMNS)
    return stream.getvalue()


def test_a_plain_table_is_aligned_and_has_no_spaces_at_line_ends() -> None:
    rows: list[dict[str, object]] = [{"name": "日本", "count": 5}, {"name": "a long one", "count": 12}]
    assert printed(Format.TABLE, rows) == "NAME        COUNT\n日本            5\na long one     12\n"


def test_programs_get_what_came() -> None:
    rows: list[dict[str, object]] = [{"name": "ä\x1b[31m", "other": [1, None, {"deep": True}]}]
    assert json.loads(printed(Format.JSON, rows)) == rows
    assert yaml.safe_load(printed(Format.YAML, rows)) == rows


def terminal(width: int) -> tuple[Printer, io.StringIO]:
    stream = io.StringIO()
    printer = Printer(Format.TABLE, stream)
    printer.console = Console(file=stream, width=width, force_terminal=True, markup=False, emoji=False, highlight=False)
    return printer, stream


def test_a_narrow_terminal_loses_optional_columns_first() -> None:
    rows = [{"name": "n" * 20, "count": 1, "text": "t" * 60}]
    for width, titles in ((120, ALL), (60, ALL), (40, {"NAME", "COUNT"}), (22, {"NAME"}), (10, {"NAME"})):
        printer, stream = terminal(width)
        printer.rows(rows, COLUMNS)
        lines = stream.getvalue().splitlines()
        assert {word for word in ALL if word in lines[0]} == titles
        assert len(lines) == 2


@given(st.lists(st.text(max_size=50), min_size=3, max_size=3), st.integers(5, 200))
def test_what_is_kept_fits_or_cannot_be_left_out(row: list[str], width: int) -> None:
    cells = [[cell(each) for each in row]]
    kept = fitting(COLUMNS, cells, width)
    need = sum(kept.values()) + 2 * len(kept) - 2
    assert need <= width or list(kept) == [0]
    assert all(kept[n] <= max(cell_len(COLUMNS[n].title), cell_len(cells[0][n])) for n in kept)


@given(st.text())
def test_no_control_character_reaches_the_terminal(text: str) -> None:
    for shown_text in (safe(text), cell(text)):
        assert not any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 for c in shown_text)
        assert not any("\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069" for c in shown_text)


def test_markup_in_names_is_text() -> None:
    printer, stream = terminal(80)
    printer.fields({}, [("name", "[red]x[/red] :smile:")])
    assert "[red]x[/red] :smile:" in stream.getvalue()


def test_fields_keep_their_lines() -> None:
    stream = io.StringIO()
    Printer(Format.TABLE, stream).fields({}, [("name", "a"), ("script", "SELECT 1\n  GO"), ("none", None)])
    assert stream.getvalue() == "name    a\nscript  SELECT 1\n          GO\n"


@pytest.mark.parametrize(
    ("text", "shown_as"),
    [
        ("2026-05-01T08:00:00.123Z", "2026-05-01 08:00:00Z"),
        ("0001-01-01T00:00:00Z", ""),
        ("9999-12-31T11:59:59Z", ""),
        (None, ""),
    ],
)
def test_times_are_utc_and_say_so(text: str | None, shown_as: str) -> None:
    assert moment(text) == shown_as


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("5m", "PT5M"),
        ("2 hours", "PT2H"),
        ("1d", "P1D"),
        ("3W", "P3W"),
        ("1mo", "P1M"),
        ("pt5m", "PT5M"),
        ("P1Y", "P1Y"),
    ],
)
def test_intervals(text: str, iso: str) -> None:
    assert iso_interval(text) == iso


@pytest.mark.parametrize("text", ["", "5", "0m", "5 parsecs", "-5m", "5s"])
def test_what_is_no_interval(text: str) -> None:
    with pytest.raises(UsageError, match="no interval"):
        iso_interval(text)


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ({"type": "Once", "enabled": False}, "by hand"),
        ({"type": "Once", "enabled": True}, "once"),
        ({"type": "Recurring", "interval": "PT5M", "enabled": True}, "every 5 minutes"),
        ({"type": "Recurring", "interval": "P1M", "enabled": False}, "every month, off"),
        ({"type": "Recurring", "interval": "PT1H30M", "enabled": True}, "every PT1H30M"),
    ],
)
def test_schedules_in_words(schedule: dict[str, object], text: str) -> None:
    assert schedule_text(schedule) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0, "0.0 s"),
        (-1, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (3725, "1 h 2 min"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_since() -> None:
    now = datetime(2026, 5, 2, 12, tzinfo=UTC)
    assert parse_since("2h", now) == now - timedelta(hours=2)
    assert parse_since("7d", now) == now - timedelta(days=7)
    assert parse_since("2026-05-01", now) == datetime(2026, 5, 1, tzinfo=UTC)
    for wrong in ("yesterday", "5", "h"):
        with pytest.raises(UsageError, match="no instant"):
            parse_since(wrong, now)


def test_names_in_ids_and_in_shells() -> None:
    assert name_of("/subscriptions/x/jobAgents/a/targetGroups/a%2Fb%25") == "a/b%"
    assert name_of("plain") == "plain"
    assert name_of(None) == ""
    assert shown("nightly-1") == "nightly-1"
    assert shown("a b") == "'a b'"
    assert shown("it's") == "'it'\\''s'"
    assert shown("-x") == "'-x'"

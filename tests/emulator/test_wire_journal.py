"""The journal and its gauges by themselves."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from local.sqlserver.journal import Connection, Filter, Journal, peak_overlap


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def make(file: Path | None = None, capacity: int = 100) -> tuple[Journal, Clock]:
    clock = Clock()
    return Journal(file, capacity, clock=clock, monotonic=clock), clock


WHO = Connection("server1", "db1", "job", "app", 51)


def test_records_have_rising_numbers_in_the_order_in_which_they_ended(tmp_path: Path) -> None:
    journal, clock = make(tmp_path / "journal.jsonl")
    journal.login(WHO, "ok")
    first = journal.batch_started(WHO, "first", 0)
    second = journal.batch_started(Connection("server2", "db2", spid=52), "second", 3)
    clock.now += 2.5
    journal.batch_ended(second, "error", 208)
    journal.batch_ended(first, "ok")
    journal.logout(WHO)
    records = journal.query()
    assert [(r.sequence, r.kind, r.text, r.outcome) for r in records] == [
        (1, "login", "", "ok"), (2, "batch", "second", "error"), (3, "batch", "first", "ok"), (4, "logout", "", "ok")
    ]  # fmt: skip
    assert [r.sequence for r in journal.query(after=2)] == [3, 4]
    assert journal.query(after=4) == []
    assert [r.sequence for r in journal.query(limit=1)] == [1]
    journal.close()
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert lines == [record.as_json() for record in records]
    assert lines[1] | {"text": "second", "parameters": 3, "error_number": 208} == lines[1]
    assert lines[1]["started"] == "1970-01-01T00:16:40.000000+00:00"
    assert lines[1]["ended_monotonic"] - lines[1]["started_monotonic"] == 2.5


def test_filters() -> None:
    journal, _ = make()
    for server, database, text in (("s1", "db1", "select a"), ("s1", "db2", "select b"), ("s2", "db1", "update a")):
        journal.batch_ended(journal.batch_started(Connection(server, database), text, 0), "ok")
    journal.login(Connection("s1"), "ok")

    def found(**wanted: str) -> list[int]:
        return [r.sequence for r in journal.query(0, Filter(**wanted))]

    assert found(kind="batch") == [1, 2, 3]
    assert found(server="S1") == [1, 2, 4]
    assert found(database="DB1") == [1, 3]
    assert found(text="a", server="s2") == [3]
    assert found(text="nothing") == []


def test_old_records_make_room() -> None:
    journal, _ = make(capacity=3)
    for _number in range(5):
        journal.login(WHO, "ok")
    assert [r.sequence for r in journal.query()] == [3, 4, 5]
    assert journal.last_sequence == 5


def test_gauges_rise_fall_and_are_reset() -> None:
    journal, clock = make()
    journal.login(WHO, "ok")
    journal.login(WHO, "error", 18456)
    running = [journal.batch_started(WHO, f"job {number}", 0) for number in range(3)]
    journal.batch_started(WHO, "COMMIT TRANSACTION", 0, kind="transaction")
    clock.now += 1
    journal.batch_ended(running[0], "ok")
    expected = {"executing": 2, "executing_high_water": 3, "sessions": 1, "sessions_high_water": 1}
    assert journal.gauges() == {"total": expected, "servers": {"server1": expected}}
    assert journal.matching(Filter(text="job")) == {"executing": 2, "executing_high_water": 3, "batches": 3}
    assert journal.matching(Filter(text="job 1")) == {"executing": 1, "executing_high_water": 1, "batches": 1}
    clock.now += 1
    journal.reset_gauges()
    clock.now += 1
    expected["executing_high_water"] = 2
    assert journal.gauges()["total"] == expected
    assert journal.matching(Filter()) == {"executing": 2, "executing_high_water": 2, "batches": 2}


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 10)), max_size=30))
def test_the_peak_is_what_counting_at_every_instant_gives(items: list[tuple[int, int]]) -> None:
    intervals = [(float(start), float(start + length)) for start, length in items]
    expected = max((sum(s <= t + 0.5 < e for s, e in intervals) for t in range(32)), default=0)
    assert peak_overlap(intervals) == expected

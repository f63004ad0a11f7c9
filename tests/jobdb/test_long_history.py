"""A long history slows nothing down: what the planner of SQLite says of every statement, and the measurement itself."""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from bench.history import Filled, fill, main, report, works

NEWEST_FIRST = "SCAN job_executions USING INDEX ix_job_executions_create_time"
"""Reads runs in the order of the list and stops when the page is full."""
WORKS = [
    "tick",
    "record, and claim the next",
    "runs: first page",
    "runs: page in the middle",
    "runs of a job",
    "runs that are active",
    "runs of a job that are active",
    "runs that have ended",
    "runs created within 20 minutes",
    "runs ended within 20 minutes",
    "runs ended since now",
    "steps of a run",
    "targets of a run",
    "targets of a step",
    "progress of a run",
    "purge, one transaction",
]
READ_IN_ORDER = {"runs: first page", "runs that have ended"}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    filled = fill(tmp_path_factory.mktemp("history") / "jobs.db", 2000)
    yield filled
    filled.database.dispose()


def plans(filled: Filled, work: Callable[[], None]) -> list[str]:
    """The steps of the query plans of everything that is sent meanwhile."""
    found: list[str] = []

    def explain(conn: Any, cursor: Any, sql: str, parameters: Any, context: Any, many: bool) -> None:
        if not many and sql.split(None, 1)[0] in {"SELECT", "UPDATE", "DELETE"}:
            found.extend(row[3] for row in cursor.connection.execute("EXPLAIN QUERY PLAN " + sql, parameters))

    event.listen(filled.database.engine, "before_cursor_execute", explain)
    try:
        work()
    finally:
        event.remove(filled.database.engine, "before_cursor_execute", explain)
    return [step.replace("main.", "") for step in found]


def test_every_work_that_is_measured_is_looked_at(filled: Filled) -> None:
    assert list(works(filled)) == WORKS


@pytest.mark.parametrize("name", WORKS)
def test_no_statement_reads_all_executions(filled: Filled, name: str) -> None:
    steps = plans(filled, works(filled)[name])
    assert steps
    whole = re.compile(
        r"SCAN (job|step|target)_(executions|messages)( USING (INDEX|COVERING INDEX) sqlite_autoindex.*)?"
    )
    assert [step for step in steps if whole.fullmatch(step)] == []
    in_order = [step for step in steps if step.startswith("SCAN job_executions USING INDEX ix_job_executions_create")]
    assert bool(in_order) <= (name in READ_IN_ORDER), in_order
    if "that are active" in name:
        assert any("ix_job_executions_active" in step for step in steps), steps
    if name.startswith("runs"):
        assert not [step for step in steps if "TEMP B-TREE FOR ORDER BY" in step and "active" not in name]


def _steps_of(file: Path, query: str) -> tuple[int, int]:
    """How many rows a query finds, and how many instructions SQLite's machine needs for it."""
    connection, steps = sqlite3.connect(file), itertools.count()
    try:
        connection.set_progress_handler(lambda: next(steps) and 0, 1)
        found = len(connection.execute(query).fetchall())
    finally:
        connection.close()
    return found, next(steps)


def test_the_view_of_executions_finds_what_is_active_without_the_history(tmp_path: Path) -> None:
    files = [tmp_path / "short.db", tmp_path / "long.db"]
    for file, targets in zip(files, (200, 2000), strict=True):
        fill(file, targets).database.dispose()
    active = "SELECT * FROM jobs_job_executions WHERE is_active = 1"
    (found, few), (also, many) = (_steps_of(file, active) for file in files)
    assert found == also == 402, "a run, its step, its targets"
    assert few == many
    ended = "SELECT * FROM jobs_job_executions WHERE is_active = 0"
    assert _steps_of(files[1], ended)[1] > 3 * _steps_of(files[0], ended)[1], "the counting counts"


def test_the_measurement_runs_and_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--sizes", "100,200", "--folder", str(tmp_path), "--repeats", "2"])
    table = capsys.readouterr().out
    assert all(f"\n{name} " in table for name in WORKS)


def test_a_ratio_above_the_limit_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert report([1, 2], [{"tick": 0.001}, {"tick": 0.0014}]) == 0
    assert report([1, 2], [{"tick": 0.001}, {"tick": 0.0016}]) == 1
    assert "1.60" in capsys.readouterr().out

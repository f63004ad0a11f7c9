"""HTTP, Python and T-SQL leave the same rows behind, and refuse the same things with the same sentences."""

from __future__ import annotations

from pathlib import Path

import pytest

from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.tables import metadata
from tests.api.support import running
from tests.scenarios.hands import HttpHand, PythonHand, prepare
from tests.scenarios.rows import without
from tests.scenarios.scenario import Stage, play
from tests.scenarios.tsql_hand import TsqlHand
from tests.tsql.face import Face

NOT_SENT = {"step_executions": frozenset({"dispatch_time", "sent_messages"})}
"""A run that T-SQL started has no message yet: the tick sends it."""
REFUSED = {
    "member twice",
    "member without a credential",
    "member of another kind",
    "server that is not allowed",
    "server that is none",
    "group with a wrong name",
    "rename to a name that is taken",
    "job with a wrong name",
    "too rarely",
    "end before start",
    "start without steps",
    "place that is none",
    "step without a script",
    "step without a group",
    "step without a credential",
    "wrong retries",
    "no time",
    "drop a group in use",
    "server that the step's credential may not go to",
    "server that the member's credential may not go to",
    "group that the credential may not go to",
    "output that the credential may not go to",
    "last included member",
    "delete a job that runs",
}


def by_python(folder: Path) -> list[Stage]:
    database = JobDatabase(f"sqlite:///{folder}/python.db")
    try:
        metadata.create_all(database.engine)
        prepare(database)
        return list(play(PythonHand(database)))
    finally:
        database.dispose()


def by_http(folder: Path) -> list[Stage]:
    with running(folder) as server:
        prepare(server.database)
        return list(play(HttpHand(server)))


def same(some: list[Stage], others: list[Stage], besides: dict[str, frozenset[str]]) -> None:
    """Stage by stage, so that a difference is shown where it begins."""
    for one, other in zip(some, others, strict=True):
        assert (one.action, one.refused) == (other.action, other.refused)
        mine, theirs = without(one.rows, besides), without(other.rows, besides)
        for table, rows in mine.items():
            assert rows == theirs[table], f"{one.action}: {table}"


def test_http_and_python(tmp_path: Path) -> None:
    stages = by_python(tmp_path)
    assert {stage.action for stage in stages if stage.refused} == REFUSED
    same(by_http(tmp_path), stages, {})


@pytest.mark.timeout(900)  # a slow engine takes seconds for a call
def test_t_sql_and_python(tmp_path: Path, bare: Face, server_database: JobDatabase) -> None:
    prepare(server_database)
    same(list(play(TsqlHand(server_database, bare))), by_python(tmp_path), NOT_SENT)


def test_every_table_comes_into_it(tmp_path: Path) -> None:
    stages = by_python(tmp_path)
    filled = {table for stage in stages for table, rows in stage.rows.items() if rows}
    assert set(stages[-1].rows) - filled == {"schedule_edits", "rerun_targets"}, "written by T-SQL and reruns only"

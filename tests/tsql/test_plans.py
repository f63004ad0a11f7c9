"""What the server's planner makes of queries over the views."""

from __future__ import annotations

import re

import pytest

from tests.tsql.face import Face

HISTORY = re.compile(r"is_active\]?\s*=\s*\(?0")
"""How a plan names what has ended, in SQL Server and in Babelfish."""


def plan(face: Face, query: str) -> str:
    """The plan in words; the query is not run."""
    option = "BABELFISH_SHOWPLAN_ALL" if face.is_babelfish else "SHOWPLAN_TEXT"
    face.run(f"SET {option} ON")
    try:
        return "\n".join(str(value) for rows in face.results(query) for row in rows for value in row.values())
    finally:
        face.run(f"SET {option} OFF")


@pytest.mark.parametrize("more", ["", " AND job_name = 'CreateTableTest'", " AND step_id IS NULL"])
def test_a_query_for_what_is_active_does_not_read_the_history(face: Face, more: str) -> None:
    active = plan(face, f"SELECT * FROM jobs.job_executions WHERE is_active = 1{more}")
    assert "job_executions" in active
    assert not HISTORY.search(active)
    assert HISTORY.search(plan(face, f"SELECT * FROM jobs.job_executions WHERE is_active = 0{more}"))

"""Listings of many executions: a page costs a few statements, whatever its length, and little time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, insert, select

from elastic_jobs.jobdb.execution_tables import job_executions
from elastic_jobs.jobdb.tables import jobs
from tests.api.support import Server

RUNS = 1000
PAGE_SECONDS = 0.05
"""What a page may cost in the median, in CPU time of server and client together: a busy machine only makes it wait."""


@contextmanager
def counted(server: Server) -> Iterator[list[str]]:
    """The statements that the job database gets meanwhile."""
    said: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        said.append(statement)

    event.listen(server.database.engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        event.remove(server.database.engine, "before_cursor_execute", note)


@pytest.fixture
def many(server: Server) -> Server:
    """A job with a thousand finished runs."""
    server.ready_job()
    now = datetime.now(UTC)
    with server.database.write() as connection:
        job_id: UUID = connection.execute(select(jobs.c.id)).scalar_one()
        rows = [
            {
                "id": uuid4(),
                "job_id": job_id,
                "job_name": "job1",
                "job_version": 1,
                "lifecycle": "Succeeded",
                "is_active": 0,
                "create_time": now - timedelta(seconds=number),
                "start_time": now,
                "end_time": now,
                "last_message": "Job execution succeeded.",
            }
            for number in range(RUNS)
        ]
        connection.execute(insert(job_executions), rows)
    return server


@pytest.mark.parametrize("path", ["/agent/executions", "/agent/jobs/job1/executions"])
def test_a_thousand_executions_are_listed_in_quick_pages_without_a_statement_per_row(many: Server, path: str) -> None:
    statements: set[int] = set()
    seconds: list[float] = []
    names: list[str] = []
    link: str | None = path
    while link is not None:
        with counted(many) as said:
            began = time.process_time()
            page = many.http.get(link).json()
            seconds.append(time.process_time() - began)
        statements.add(len(said))
        names += [run["name"] for run in page["value"]]
        link = page.get("nextLink")
    assert len(names) == len(set(names)) == RUNS
    assert len(seconds) == 10
    assert max(statements) <= 4, statements
    assert statistics.median(seconds) < PAGE_SECONDS


def test_lists_of_definitions_cost_no_statement_per_row(server: Server) -> None:
    server.ready_job()
    lengths = []
    for count in (2, 40):
        for number in range(count):
            server.http.put(
                f"/agent/credentials/c{number}", json={"properties": {"username": "u", "password": "Pa55word"}}
            )
            server.http.put(f"/agent/jobs/j{number}", json={})
        for path in ("/agent/credentials", "/agent/jobs", "/agent/targetGroups", "/agent/jobs/job1/steps"):
            with counted(server) as said:
                server.http.get(path)
            lengths.append(len(said))
    assert lengths[:4] == lengths[4:]

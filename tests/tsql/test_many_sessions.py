"""Several sessions and the management API change one job at once: nothing is lost, nobody is left in a deadlock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from sqlalchemy import select

from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.tables import job_steps, job_versions, jobs
from local.real_server import RealServer
from tests.api.support import AGENT, VERSION, DirectControl, running
from tests.tsql.conftest import Sessions
from tests.tsql.face import Face, TsqlError
from tests.tsql.test_samples_tutorial import create_table_job

pytestmark = pytest.mark.timeout(600)  # some engines compile all procedures anew in each session, for seconds
WAITING_SECONDS = 1.0
"""A call that has not come back for so long waits for a lock; the lock is released right afterwards."""
PATIENCE_SECONDS = 120.0
START = "EXEC jobs.sp_start_job 'CreateTableTest'"
DELETE = "EXEC jobs.sp_delete_job 'CreateTableTest'"
T = TypeVar("T")


@pytest.fixture
def other(face: Face, real_server: RealServer, server_database: JobDatabase) -> Iterator[Face]:
    """A session beside that of ``face``; the job of the tutorial is there."""
    create_table_job(face)
    more = Sessions(real_server, str(server_database.engine.url.database))
    yield Face(more.current(), more.another)
    more.close()


@pytest.fixture
def http(server_database: JobDatabase, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of the management API on the same job database."""
    control = DirectControl(server_database)
    with running(tmp_path, wrap=lambda made: replace(made, database=server_database, control=control)) as server:
        yield server.http


@contextmanager
def held(face: Face, *calls: str) -> Iterator[None]:
    """A transaction that did these calls and is committed at the end of the block."""
    face.run("BEGIN TRANSACTION")
    try:
        for call in calls:
            face.run(call)
        yield
        face.run("COMMIT TRANSACTION")
    finally:
        face.run("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")


def meanwhile(call: Callable[[], T]) -> Future[T]:
    """The call in a thread of its own; it must wait for somebody's lock."""
    ended: Future[T] = Future()

    def run() -> None:
        try:
            ended.set_result(call())
        except BaseException as error:
            ended.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    with pytest.raises(TimeoutError):
        ended.result(WAITING_SECONDS)
    return ended


def add_step(name: str) -> str:
    return (
        f"EXEC jobs.sp_add_jobstep 'CreateTableTest', @step_name = '{name}', @command = 'SELECT 1',"
        " @credential_name = 'job_credential', @target_group_name = 'PoolGroup'"
    )


def put_step(http: httpx.Client, name: str) -> int:
    properties = {
        "targetGroup": f"{AGENT}/targetGroups/PoolGroup",
        "credential": f"{AGENT}/credentials/job_credential",
        "action": {"value": "SELECT 1"},
    }
    path = f"{AGENT}/jobs/CreateTableTest/steps/{name}"
    answer = http.put(path, params=VERSION, json={"properties": properties}, timeout=PATIENCE_SECONDS)
    return answer.status_code


def step_names(face: Face) -> list[str]:
    return [row["step_name"] for row in face.rows("SELECT step_name FROM jobs.jobsteps ORDER BY step_id")]


def test_two_steps_added_at_once_are_both_there(face: Face, other: Face) -> None:
    with held(face, add_step("mine")):
        theirs = meanwhile(lambda: other.run(add_step("theirs")))
    theirs.result(PATIENCE_SECONDS)
    assert step_names(face) == ["JobStep", "mine", "theirs"]
    versions = face.rows("SELECT job_version, COUNT(*) AS steps FROM jobs.jobstep_versions GROUP BY job_version")
    assert {row["job_version"]: row["steps"] for row in versions} == {1: 1, 2: 2, 3: 3}


def test_a_job_that_is_being_deleted_is_not_started(face: Face, other: Face) -> None:
    with held(face, DELETE):
        started = meanwhile(lambda: other.refused(START))
    assert started.result(PATIENCE_SECONDS) == "There is no job 'CreateTableTest'."
    assert face.value("SELECT COUNT(*) FROM jobs_internal.job_executions") == 0


def test_a_job_whose_deletion_is_taken_back_is_started(face: Face, other: Face) -> None:
    with held(face, DELETE):
        started = meanwhile(lambda: other.run(START))
        face.run("ROLLBACK TRANSACTION")
        started.result(PATIENCE_SECONDS)
        face.run("BEGIN TRANSACTION")
    assert face.value("SELECT COUNT(*) FROM jobs.job_executions WHERE step_id IS NULL") == 1


def test_a_job_that_is_being_started_is_not_deleted(face: Face, other: Face) -> None:
    with held(face, START):
        deleted = meanwhile(lambda: other.refused(DELETE))
    assert "has active executions" in deleted.result(PATIENCE_SECONDS)
    assert face.value("SELECT COUNT(*) FROM jobs.job_executions WHERE is_active = 1 AND step_id IS NULL") == 1


def test_edits_in_t_sql_and_over_http_wait_for_each_other(face: Face, other: Face, http: httpx.Client) -> None:
    del other  # it made the job
    with held(face, "EXEC jobs.sp_update_job 'CreateTableTest', @description = 'in T-SQL', @enabled = 1"):
        put = meanwhile(lambda: put_step(http, "over HTTP"))
    assert put.result(PATIENCE_SECONDS) == 201
    assert step_names(face) == ["JobStep", "over HTTP"]
    (job,) = face.rows("SELECT description, enabled, job_version FROM jobs.jobs")
    assert (job["description"], job["enabled"], job["job_version"]) == ("in T-SQL", True, 2)
    # The edit over HTTP made up for what T-SQL could not compute.
    assert face.value("SELECT COUNT(*) FROM jobs_internal.schedule_edits") == 0
    assert face.value("SELECT next_run_time FROM jobs_internal.jobs") is not None


def test_many_edits_from_everywhere_lose_nothing(
    face: Face, other: Face, http: httpx.Client, server_database: JobDatabase
) -> None:
    def by_tsql(session: Face, who: str) -> None:
        for number in range(3):
            session.run(add_step(f"{who}{number}"))
            session.run(f"EXEC jobs.sp_update_job 'CreateTableTest', @enabled = {number % 2}")
            session.run(START)
        session.run(f"EXEC jobs.sp_delete_jobstep 'CreateTableTest', @step_name = '{who}1'")

    def by_http() -> None:
        for number in range(3):
            assert put_step(http, f"http{number}") == 201
            assert http.post(f"{AGENT}/jobs/CreateTableTest/start", params=VERSION, timeout=120).status_code == 200

    with ThreadPoolExecutor() as pool:
        works = [pool.submit(by_tsql, face, "a"), pool.submit(by_tsql, other, "b"), pool.submit(by_http)]
        for work in works:
            work.result(4 * PATIENCE_SECONDS)  # no error of any kind, a deadlock neither
    wanted = {"JobStep", "a0", "a2", "b0", "b2", "http0", "http1", "http2"}
    assert set(step_names(face)) == wanted
    assert face.value("SELECT COUNT(*) FROM jobs.job_executions WHERE step_id IS NULL") == 9
    _check_versions(server_database, last=1 + 3 + 3 + 3 + 2)


def _check_versions(database: JobDatabase, *, last: int) -> None:
    """No version was written twice or skipped, each differs from the one before by one step, and no place is empty."""
    with database.read() as connection:
        assert connection.execute(select(jobs.c.version)).scalar_one() == last
        versions = connection.execute(select(job_versions.c.version)).scalars().all()
        rows = connection.execute(select(job_steps.c.job_version, job_steps.c.step_id, job_steps.c.name)).all()
    assert sorted(versions) == list(range(last + 1))
    steps: dict[int, dict[int, Any]] = {version: {} for version in versions}
    for row in rows:
        steps[row.job_version][row.step_id] = row.name
    for version in range(1, last + 1):
        assert sorted(steps[version]) == list(range(1, len(steps[version]) + 1))
        assert len(set(steps[version].values()) ^ set(steps[version - 1].values())) == 1


def test_whoever_waits_too_long_is_told_so(face: Face, other: Face) -> None:
    """The wait ends as the session says (LOCK_TIMEOUT); nothing was done, and the same call works afterwards."""
    other.run("SET LOCK_TIMEOUT 500")
    with held(face, add_step("mine")), pytest.raises(TsqlError) as caught:
        other.run(add_step("theirs"))
    assert caught.value.number == 1222 or other.is_babelfish, "gap: it has numbers of its own"
    other.run(add_step("theirs"))
    assert step_names(face) == ["JobStep", "mine", "theirs"]

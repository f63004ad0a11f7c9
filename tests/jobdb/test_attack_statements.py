"""What is really sent: indexes that SQLite uses, text that SQL Server accepts, errors that mean "try again"."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyodbc
import pytest
from sqlalchemy import event, insert, select
from sqlalchemy.dialects.mssql.pyodbc import MSDialect_pyodbc
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from sqlalchemy.sql.elements import ClauseElement

from elastic_jobs.domain.lifecycle import Level
from elastic_jobs.domain.outcome import AttemptResult, Outcome
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.errors import JobDatabaseUnavailableError, SettingsError
from elastic_jobs.jobdb import schema
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions
from elastic_jobs.jobdb.executions import advancing, canceling, claims, purging, repairs, slots
from elastic_jobs.jobdb.executions.claims import Claimant
from elastic_jobs.jobdb.executions.due import find_duties
from elastic_jobs.jobdb.executions.recording import Ending, record_all
from elastic_jobs.jobdb.executions.schedules import start_due_jobs
from tests.jobdb.conftest import Engine, ManualClock, databases
from tests.jobdb.record import record

RUNS, TARGETS = 20, 100


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job database with a history of 2,000 target executions, and a run of 250 that is active.

    Size is no part of the proof: without ANALYZE, SQLite plans by the indexes alone.
    """
    file = tmp_path_factory.mktemp("history") / "jobs.db"
    database = JobDatabase(f"sqlite:///{file}", clock=ManualClock())
    schema.upgrade(database)
    engine = Engine(database, ManualClock())
    engine.define(capacity=100, max_parallelism=50)
    engine.planned([*databases(150, pool="p"), *databases(100, prefix="single")])
    ended = {"lifecycle": "Succeeded", "is_active": 0, "end_time": engine.clock.now()}
    with database.write() as connection:
        run = dict(connection.execute(select(job_executions)).mappings().one())
        step = dict(connection.execute(select(step_executions)).mappings().one())
        target = dict(connection.execute(select(target_executions).limit(1)).mappings().one())
        for _ in range(RUNS):
            keys = {"job_execution_id": uuid4(), "step_execution_id": uuid4()}
            connection.execute(insert(job_executions).values(**{**run, **ended, "id": keys["job_execution_id"]}))
            old_step = {**step, **ended, "id": keys["step_execution_id"], "job_execution_id": keys["job_execution_id"]}
            connection.execute(insert(step_executions).values(**old_step))
            connection.exec_driver_sql(
                "INSERT INTO target_executions (id, step_execution_id, job_execution_id, job_id, step_uid, server_name,"
                " database_name, turn, admitted, lifecycle, is_active, create_time, end_time, cancel_requested,"
                " current_attempts, failed_attempts, lost_attempts, sent_messages)"
                " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
                " SELECT lower(hex(randomblob(16))), ?, ?, ?, ?, 's1', 'old' || i, i, 1, 'Succeeded', 0, ?, ?, 0,"
                " 1, 0, 0, 1 FROM n",
                (
                    TARGETS,
                    keys["step_execution_id"].hex,
                    keys["job_execution_id"].hex,
                    target["job_id"].hex,
                    target["step_uid"].hex,
                    "2026-11-23 12:00:00.000000",
                    "2026-11-23 12:00:00.000000",
                ),
            )
    database.dispose()
    return file


@pytest.fixture
def full(history: Path, tmp_path: Path) -> Iterator[Engine]:
    shutil.copy(history, tmp_path / "full.db")
    database = JobDatabase(f"sqlite:///{tmp_path}/full.db", clock=ManualClock())
    yield Engine(database, ManualClock())
    database.dispose()


def _dispatched(engine: Engine) -> list[Any]:
    with engine.database.read() as connection:
        query = select(target_executions.c.id).where(target_executions.c.dispatch_time.is_not(None))
        return list(connection.execute(query).scalars())


def _record(engine: Engine, outcome: Outcome) -> object:
    claim = engine.claim(_dispatched(engine)[0])
    assert claim is not None
    result = AttemptResult(outcome=outcome, message="x")
    with engine.database.write() as connection:
        return record(connection, engine.database, claim, result, RetryPolicy())


def _record_some(engine: Engine, count: int) -> object:
    held = [engine.claim(target) for target in _dispatched(engine)[:count]]
    result = AttemptResult(outcome=Outcome.SUCCEEDED, message="x")
    endings = [
        Ending(
            claim=claim,
            result=result,
            policy=RetryPolicy(),
            max_parallelism=None,
            claimant=Claimant(token=uuid4(), holder=engine.holder),
        )
        for claim in held
        if claim is not None
    ]
    with engine.database.write() as connection:
        recorded = record_all(connection, engine.database, endings)
    assert [one.following is not None for one in recorded if one is not None] == [True] * count
    return recorded


def _write(work: Callable[[Any, Engine], object]) -> Callable[[Engine], object]:
    def run(engine: Engine) -> object:
        with engine.database.write() as connection:
            return work(connection, engine)

    return run


def _active_run(engine: Engine) -> Any:
    with engine.database.read() as connection:
        return connection.execute(select(step_executions).where(step_executions.c.is_active == 1)).one()


HOT: dict[str, Callable[[Engine], object]] = {
    "claim": lambda e: e.claim(_dispatched(e)[0]),
    "renew targets": _write(lambda c, e: claims.renew(c, e.database, Level.TARGET, [uuid4()], e.holder.lease)),
    "record": lambda e: _record(e, Outcome.SUCCEEDED),
    "record some, and claim the next": lambda e: _record_some(e, 2),
    "record a retry": lambda e: _record(e, Outcome.FAILED),
    "take": _write(lambda c, e: slots.take(c, e.database)),
    "take one": _write(lambda c, e: slots.take_one(c, e.database, uuid4())),
    "has active targets": _write(lambda c, e: advancing.has_active_targets(c, _active_run(e).id)),
    "stranded": _write(lambda c, _: repairs.stranded_runs(c)),
    "advance": _write(lambda c, e: advancing.advance(c, e.database, _active_run(e).job_execution_id, uuid4)),
    "expire targets": _write(lambda c, e: repairs.expire_claims(c, e.database, Level.TARGET)),
    "unsent steps": _write(lambda c, e: repairs.unsent(c, e.database, Level.STEP)),
    "unsent targets": _write(lambda c, e: repairs.unsent(c, e.database, Level.TARGET)),
    "purge": _write(lambda c, e: purging.purge_some(c, e.clock.now() - timedelta(days=45))),
    "cancel": _write(lambda c, e: canceling.request_cancel(c, e.database, _active_run(e).job_execution_id)),
}
COLD: dict[str, Callable[[Engine], object]] = {
    "find duties": _write(lambda c, e: find_duties(c, e.database, e.clock.now(), e.clock.now() - timedelta(days=45))),
    "renew steps": _write(lambda c, e: claims.renew(c, e.database, Level.STEP, [uuid4()], e.holder.lease)),
    "expire steps": _write(lambda c, e: repairs.expire_claims(c, e.database, Level.STEP)),
}


def _scans(engine: Engine, work: Callable[[Engine], object]) -> list[str]:
    """The steps of query plans that read a whole table of executions."""
    found: list[str] = []

    def explain(conn: Any, cursor: Any, sql: str, parameters: Any, context: Any, many: bool) -> None:
        if not many and sql.split(None, 1)[0] in {"SELECT", "UPDATE", "DELETE"}:
            for row in cursor.connection.execute("EXPLAIN QUERY PLAN " + sql, parameters):
                if re.fullmatch(r"SCAN (main\.)?\w+_executions( USING INDEX sqlite_autoindex.*)?", row[3]):
                    found.append(f"{row[3]}: {sql}")

    event.listen(engine.database.engine, "before_cursor_execute", explain)
    try:
        work(engine)
    finally:
        event.remove(engine.database.engine, "before_cursor_execute", explain)
    return found


def test_a_statement_that_reads_the_whole_history_is_noticed(full: Engine) -> None:
    search = select(target_executions.c.id).where(target_executions.c.last_message == "x")
    assert len(_scans(full, _write(lambda c, _: c.execute(search)))) == 1


@pytest.mark.parametrize("name", HOT)
def test_no_hot_statement_reads_the_whole_history(full: Engine, name: str) -> None:
    assert _scans(full, HOT[name]) == []


@pytest.mark.parametrize("name", COLD)
def test_no_statement_of_the_tick_and_the_heartbeat_reads_the_whole_history(full: Engine, name: str) -> None:
    assert _scans(full, COLD[name]) == []


def _for_sql_server(engine: Engine) -> list[str]:
    """Every statement of a whole life of the engine, as SQL Server would get it."""
    found: list[str] = []
    dialect = MSDialect_pyodbc()  # type: ignore[no-untyped-call]  # SQLAlchemy's own

    def compile_it(conn: Any, clause: Any, many: Any, one: Any, options: Any) -> None:
        if isinstance(clause, ClauseElement):
            # A statement that gets its values at execution keeps the places of its lists.
            expanded = {} if many or one else {"render_postcompile": True}
            found.append(str(clause.compile(dialect=dialect, compile_kwargs=expanded)))

    engine.define(capacity=3, steps=2, max_parallelism=1)
    event.listen(engine.database.engine, "before_execute", compile_it)
    engine.policy = RetryPolicy(attempts=1)
    execution, dispatched = engine.planned([*databases(3, pool="p1"), *databases(4, prefix="single")])
    _record(engine, Outcome.FAILED)
    engine.run_all(dispatched)
    engine.clock.move(seconds=40)
    with engine.database.write() as connection:
        for level in (Level.STEP, Level.TARGET):
            claims.renew(connection, engine.database, level, [uuid4()], engine.holder.lease)
            repairs.expire_claims(connection, engine.database, level)
            repairs.unsent(connection, engine.database, level)
        repairs.stranded_runs(connection)
        repairs.jobs_to_delete(connection)
        find_duties(connection, engine.database, engine.clock.now(), engine.clock.now())
        start_due_jobs(connection, engine.database, engine.clock.now(), uuid4)
        slots.take(connection, engine.database)
        slots.take_one(connection, engine.database, uuid4())
    engine.advance(execution)
    engine.cancel(execution)
    engine.advance(execution)
    with engine.database.write() as connection:
        purging.purge_some(connection, engine.clock.now() + timedelta(days=1))
    event.remove(engine.database.engine, "before_execute", compile_it)
    return found


def test_every_statement_has_a_form_that_sql_server_knows(engine: Engine) -> None:
    statements = _for_sql_server(engine)
    assert len(statements) > 40
    for sql in statements:
        assert not re.search(r"\b(LIMIT|RETURNING|TRUE|FALSE|strftime)\b|\bIS [01]\b|= (true|false)\b", sql), sql
        assert not re.search(r"(FROM|UPDATE|INTO|JOIN) (?!jobs_internal\.|\()\w+_executions\b", sql), sql
        assert not re.search(r"(SELECT|,) (NOT )?EXISTS\b", sql), sql
        assert sql.count("?") < 2100, sql
    assert any("UPDLOCK, READPAST" in sql for sql in statements)
    assert any("OUTPUT inserted." in sql for sql in statements)


def _complaint(kind: type[pyodbc.Error], state: str, text: str, number: int) -> pyodbc.Error:
    """An error as pyodbc words those of the Microsoft driver."""
    driver = "[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]"
    return kind(state, f"[{state}] {driver}{text} ({number}) (SQLExecDirectW)")


DEADLOCK = _complaint(pyodbc.Error, "40001", "Transaction was chosen as the deadlock victim.", 1205)
UNAVAILABLE = _complaint(pyodbc.ProgrammingError, "42000", "Database 'jobs' is not currently available.", 40613)
BUSY = _complaint(pyodbc.ProgrammingError, "42000", "The service is currently busy.", 40501)
RECONFIGURED = _complaint(pyodbc.Error, "HY000", "The service has encountered an error.", 40197)
NO_LOCK = _complaint(
    pyodbc.ProgrammingError, "42000", "The lock of the job database was not granted in 30 seconds.", 51222
)
FULL = _complaint(pyodbc.ProgrammingError, "42000", "The database 'jobs' has reached its size quota.", 40544)
WRONG = _complaint(pyodbc.ProgrammingError, "42S02", "Invalid object name 'jobs_internal.agent'.", 208)


@pytest.mark.parametrize(
    "error",
    [
        DEADLOCK,
        UNAVAILABLE,
        BUSY,
        RECONFIGURED,
        NO_LOCK,
        FULL,
        None,
    ],
)
def test_a_job_database_that_is_away_for_a_moment_is_called_unavailable(
    database: JobDatabase, error: pyodbc.Error | None
) -> None:
    """Else a worker that has run its script gives up recording the outcome at the first try."""
    raised: Exception = NoConnectionError("QueuePool limit of size 16 overflow 0 reached, connection timed out")
    if error is not None:
        raised = DBAPIError.instance("UPDATE", {}, error, pyodbc.Error)
    with pytest.raises(JobDatabaseUnavailableError), database.write():
        raise raised


def test_an_error_that_does_not_pass_is_not_called_unavailable(database: JobDatabase) -> None:
    """Else a worker would try for minutes what can never work."""
    raised = DBAPIError.instance("UPDATE", {}, WRONG, pyodbc.Error)
    with pytest.raises(DBAPIError, match="Invalid object name"), database.write():
        raise raised


def test_a_full_disk_is_told_from_a_job_database_that_is_away(database: JobDatabase) -> None:
    """SQLite's own error, from a file that may not grow; and that of SQL Server."""

    def grow() -> None:
        with database.write() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            connection.exec_driver_sql("CREATE TABLE large AS SELECT zeroblob(1000000)")

    with pytest.raises(JobDatabaseUnavailableError, match="is full and takes nothing") as full:
        grow()
    assert full.value.full
    assert not full.value.nothing_changed
    with database.read() as connection:
        assert connection.execute(select(job_executions.c.id)).all() == []
    with pytest.raises(JobDatabaseUnavailableError) as quota, database.write():
        raise DBAPIError.instance("UPDATE", {}, FULL, pyodbc.Error)
    assert quota.value.full


@pytest.mark.parametrize("url", ["mssql+pyodbc://u:secret@ss:w0rd@h/db", "mssql+pyodbc://u:p@h:abc/db"])
def test_a_wrong_url_becomes_a_sentence_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        JobDatabase(url)
    assert "w0rd" not in str(caught.value)


def test_a_place_that_cannot_be_made_becomes_a_sentence() -> None:
    with pytest.raises(SettingsError):
        JobDatabase("sqlite:////proc/nothing/jobs.db")


def test_a_file_that_is_no_database_becomes_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "jobs.db"
    file.write_text("This is not a database, and it is long enough to have a header." * 20)
    database = JobDatabase(f"sqlite:///{file}")
    with pytest.raises(JobDatabaseUnavailableError, match="not a SQLite database"), database.read() as connection:
        connection.execute(select(job_executions.c.id))
    database.dispose()


def test_a_job_database_of_another_version_is_refused(tmp_path: Path) -> None:
    database = JobDatabase(f"sqlite:///{tmp_path}/jobs.db")
    with pytest.raises(SettingsError, match="upgrade"):
        schema.check(database)
    schema.upgrade(database)
    schema.check(database)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SettingsError, match="9999"):
        schema.check(database)
    database.dispose()

"""The connection to the job database: one class, two engines.

SQLite (WAL) is the embedded default, SQL Server / Azure SQL the engine of a deployment. Everything above this file is
written once; what differs (schema, clock, locks) is told here and in ``types``.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, literal, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.sql.elements import ColumnElement

from elastic_jobs.domain.ports import Clock
from elastic_jobs.errors import JobDatabaseUnavailableError, SettingsError
from elastic_jobs.jobdb.tables import SCHEMA
from elastic_jobs.jobdb.types import DatabaseNow, UtcDateTime

BUSY_TIMEOUT = timedelta(seconds=8)
"""How long a SQLite writer of another process is waited for before an error says so: well below a lease, so that claims
can be renewed after one such error."""

TRANSIENT_NUMBERS = frozenset(
    {926, 1204, 1205, 1222, 4060, 4221, 10053, 10054, 10060, 10928, 10929, 10936, 40143, 40197, 40501, 40540, 40613}
    | {41301, 41302, 41305, 41325, 41839, 42108, 42109, 49918, 49919, 49920, 233, 615, 997}
    | {51222}
)
"""Errors of SQL Server that pass: documented for Azure SQL, what SqlClient and EF Core retry, and 51222, our own for an
application lock that was not granted in time."""
_NUMBER = re.compile(r"\((-?\d+)\) \(SQL\w+")
_PASSING_STATES = ("08", "HYT", "40001")


class JobDatabase:
    """Hands out transactions on the job database.

    Args:
        url: SQLAlchemy URL, e.g. ``sqlite:////data/jobs.db``.
        clock: a clock to use instead of the database's own, for tests that move time.
        pool_size: connections kept per process.

    Raises:
        SettingsError: the URL cannot be used.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, pool_size: int = 16) -> None:
        try:
            parsed = make_url(url)
            self.is_sqlite = parsed.get_backend_name() == "sqlite"
            self.engine = self._create_engine(url, pool_size)
        except (ArgumentError, ModuleNotFoundError, ValueError):
            # Without the cause: its text may hold a part of the URL, and so of a password.
            raise SettingsError(
                "JOB_DATABASE_URL is not a usable database URL; write for example sqlite:////data/jobs.db."
            ) from None
        self._clock = clock
        # SQLite has one writer. Threads of this process wait for it here; only processes meet SQLite's busy wait.
        self._writer = threading.Lock() if self.is_sqlite else None

    def _create_engine(self, url: str, pool_size: int) -> Engine:
        if not self.is_sqlite:
            return create_engine(url, pool_size=pool_size, max_overflow=0, pool_pre_ping=True, hide_parameters=True)
        file = make_url(url).database
        if not file or file == ":memory:":
            raise SettingsError("JOB_DATABASE_URL must name a file: instances share the job database.")
        try:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"The folder of JOB_DATABASE_URL's file {file} cannot be made: {error.strerror}."
            ) from None
        engine = create_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            hide_parameters=True,  # an error's text must not carry what was saved
            connect_args={"timeout": BUSY_TIMEOUT.total_seconds(), "check_same_thread": False},
            execution_options={"schema_translate_map": {SCHEMA: None}},
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def now(self, offset: timedelta = timedelta()) -> ColumnElement[Any]:
        """The job database's present (plus an offset) as an SQL expression; leases are measured by nothing else."""
        if self._clock is not None:
            return literal(self._clock.now() + offset, UtcDateTime)
        return DatabaseNow(offset)

    def lock(self, connection: Connection, resource: str) -> None:
        """Keep every other transaction that asks for ``resource`` waiting until this one ends.

        On SQLite a writing transaction excludes all others anyway.
        """
        if self.is_sqlite:
            return
        connection.execute(
            text(
                "DECLARE @got int; EXEC @got = sp_getapplock @Resource = :resource, @LockMode = 'Exclusive',"
                " @LockOwner = 'Transaction', @LockTimeout = 30000;"
                " IF @got < 0 THROW 51222, 'The lock of the job database was not granted in 30 seconds.', 1;"
            ),
            {"resource": f"elastic_jobs:{resource}"},
        )

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for queries. Nothing is written and no lock is kept."""
        with _sentences(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction: committed at the end of the block, rolled back when it raises."""
        with _sentences():
            if self._writer is None:
                with self.engine.begin() as connection:
                    yield connection
                return
            with self._writer, self.engine.connect().execution_options(writer=True) as connection, connection.begin():
                yield connection

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _prepare_sqlite(connection: sqlite3.Connection, record: object) -> None:
    del record
    connection.isolation_level = None  # SQLAlchemy's "begin" event says how a transaction begins
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the write lock at once: a transaction that reads first and writes later could not be retried.
    writer = connection.get_execution_options().get("writer")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")


@contextmanager
def _sentences() -> Iterator[None]:
    """Turns the driver's complaint about a job database that cannot be reached or used now into a sentence."""
    try:
        yield
    except PoolTimeoutError as error:
        raise JobDatabaseUnavailableError("The job database is busy: no connection came free in time.") from error
    except DBAPIError as error:
        if _not_a_database(error):
            raise JobDatabaseUnavailableError(
                "The file of the job database is not a SQLite database; move it away or restore it from a backup."
            ) from error
        if _passes(error):
            raise JobDatabaseUnavailableError(f"The job database does not answer: {error.orig}.") from error
        raise


def _not_a_database(error: DBAPIError) -> bool:
    return isinstance(error.orig, sqlite3.DatabaseError) and "not a database" in str(error.orig)


def _passes(error: DBAPIError) -> bool:
    """Whether the same statement may work a while later, on a new connection."""
    if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.Error) or error.orig is None:
        return False
    state, text = (*(str(part) for part in error.orig.args), "", "")[:2]
    number = _NUMBER.search(text)
    return state.startswith(_PASSING_STATES) or (number is not None and int(number.group(1)) in TRANSIENT_NUMBERS)

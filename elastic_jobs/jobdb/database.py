"""The connection to the job database: one class, two engines.

SQLite (WAL) is the embedded default, SQL Server / Azure SQL the engine of a deployment. Everything above this file is
written once; what differs (schema, clock, locks) is told here and in ``types``.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

from sqlalchemy import URL, Connection, Engine, RootTransaction, create_engine, event, literal, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.sql.elements import ColumnElement

from elastic_jobs.domain.ports import Clock
from elastic_jobs.errors import JobDatabaseUnavailableError, SettingsError
from elastic_jobs.jobdb.driver_errors import unavailable
from elastic_jobs.jobdb.sql_server import SqlServer
from elastic_jobs.jobdb.tables import SCHEMA
from elastic_jobs.jobdb.types import DatabaseNow, UtcDateTime
from elastic_jobs.jobdb.unused import close_unused

BUSY_TIMEOUT = timedelta(seconds=8)
"""How long a SQLite writer of another process is waited for before an error says so: well below a lease, so that claims
can be renewed after one such error."""
REPEAT_SECONDS = (0.1, 0.5, 2.0, 5.0)
"""Waits before a transaction that was rolled back by a deadlock or a failover is done again, on average."""

_T = TypeVar("_T")


class JobDatabase:
    """Hands out transactions on the job database.

    Args:
        url: SQLAlchemy URL, e.g. ``sqlite:////data/jobs.db``.
        clock: a clock to use instead of the database's own, for tests that move time.
        pool_size: connections kept per process; on SQL Server twice as many, see ``sql_server``.
        close_unused_after: close the pooled connections when none was used for so long; None: keep them.
        pause, fraction: how to wait, and a random number from 0 to 1, for transactions that are done again.
        sql_server: makes what opens connections to SQL Server.

    Raises:
        SettingsError: the URL cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock | None = None,
        pool_size: int = 16,
        close_unused_after: timedelta | None = None,
        pause: Callable[[float], None] = time.sleep,
        fraction: Callable[[], float] = random.random,
        sql_server: Callable[[URL], SqlServer] = SqlServer,
    ) -> None:
        try:
            parsed = make_url(url)
            self.is_sqlite = parsed.get_backend_name() == "sqlite"
            if self.is_sqlite:
                self.engine = self.reader = _sqlite_engine(url, pool_size)
            else:
                server = sql_server(parsed)
                self.engine = server.engine(pool_size, autocommit=False)
                self.reader = server.engine(pool_size, autocommit=True)
        except (ArgumentError, ModuleNotFoundError, ValueError):
            # Without the cause: its text may hold a part of the URL, and so of a password.
            raise SettingsError(
                "JOB_DATABASE_URL is not a usable database URL; write for example sqlite:////data/jobs.db, or"
                " mssql+pyodbc://server.database.windows.net/database."
            ) from None
        if close_unused_after is not None:
            close_unused({self.engine, self.reader}, close_unused_after)
        self._clock = clock
        self._pause, self._fraction = pause, fraction
        self._statements: dict[object, Any] = {}
        self._writing = self.engine.execution_options(writer=True) if self.is_sqlite else self.engine
        # SQLite has one writer. Threads of this process wait for it here; only processes meet SQLite's busy wait.
        self._writer: AbstractContextManager[object] = threading.Lock() if self.is_sqlite else nullcontext()

    def now(self, offset: timedelta = timedelta()) -> ColumnElement[Any]:
        """The job database's present (plus an offset) as an SQL expression; leases are measured by nothing else."""
        if self._clock is not None:
            return literal(self._clock.now() + offset, UtcDateTime)
        return DatabaseNow(offset)

    def statement(self, make: Callable[..., _T], *arguments: Hashable) -> _T:
        """``make(self, *arguments)``, kept: to build a statement costs more than SQLite needs to execute it.

        make: a function of a module. With a clock of a test, whose present is part of the statement, it is made anew.
        """
        if self._clock is not None:
            return make(self, *arguments)
        key = (make, arguments)
        if key not in self._statements:
            self._statements[key] = make(self, *arguments)
        return cast("_T", self._statements[key])

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
        with _sentences(), self.reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction: committed at the end of the block, rolled back when it raises.

        Raises:
            JobDatabaseUnavailableError: see there for whether it may be done again; ``transact`` does that.
        """
        committing = False
        try:
            with self._writer, self._writing.connect() as connection:
                transaction = connection.begin()
                try:
                    yield connection
                    committing = True
                    transaction.commit()
                except BaseException:
                    _roll_back(connection, transaction)
                    raise
        except (DBAPIError, PoolTimeoutError) as error:
            _raise_as_sentence(error, committing=committing)

    def transact(self, work: Callable[[Connection], _T]) -> _T:
        """Do ``work`` in a transaction, and do it again when it was rolled back by something that passes.

        That is a deadlock, a failover, a server that is busy; at most ``len(REPEAT_SECONDS)`` times. Not when the
        answer to COMMIT was lost: then nobody knows whether the work is done. ``work`` must do nothing but work on
        its connection.

        Raises:
            JobDatabaseUnavailableError: it did not pass, or the outcome is unknown.
        """
        for seconds in REPEAT_SECONDS:
            try:
                with self.write() as connection:
                    return work(connection)
            except JobDatabaseUnavailableError as error:
                if not error.nothing_changed:
                    raise
            # Two that were in each other's way shall not meet again.
            self._pause(seconds * (0.5 + self._fraction()))
        with self.write() as connection:
            return work(connection)

    def dispose(self) -> None:
        """Close all connections that are not in use."""
        self.engine.dispose()
        if self.reader is not self.engine:
            self.reader.dispose()


def _roll_back(connection: Connection, transaction: RootTransaction) -> None:
    try:
        transaction.rollback()
    except DBAPIError as error:
        # The server may have done it already; what matters is the error that brought us here. Nobody uses it again.
        connection.invalidate(error)


def _sqlite_engine(url: str, pool_size: int) -> Engine:
    file = make_url(url).database
    if not file or file == ":memory:":
        raise SettingsError("JOB_DATABASE_URL must name a file: instances share the job database.")
    try:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"The folder of JOB_DATABASE_URL's file {file} cannot be made: {error.strerror}.") from None
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
    except (DBAPIError, PoolTimeoutError) as error:
        _raise_as_sentence(error, committing=False)


def _raise_as_sentence(error: DBAPIError | PoolTimeoutError, *, committing: bool) -> NoReturn:
    if isinstance(error, PoolTimeoutError):
        raise JobDatabaseUnavailableError("The job database is busy: no connection came free in time.") from error
    known = unavailable(error, committing=committing)
    if known is None:
        raise error
    raise known from error

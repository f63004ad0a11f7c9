"""A job database on a real T-SQL engine, when ELASTIC_JOBS_TEST_SQLSERVER names one; otherwise these tests are skipped.

The variable has the form of TARGET_SQL: ``host,port;user;password``, of a login that may create databases.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import quote
from uuid import uuid4

import pyodbc
import pytest

from elastic_jobs.domain.ports import SystemClock
from elastic_jobs.jobdb import schema
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.tables import metadata
from local.real_server import RealServer
from local.target_sql import connect
from tests.definitions.conftest import Hand
from tests.tsql.face import Face

REAL_SERVER = "ELASTIC_JOBS_TEST_SQLSERVER"


@pytest.fixture(scope="session")
def real_server() -> RealServer:
    value = os.environ.get(REAL_SERVER)
    if not value:
        pytest.skip(f"{REAL_SERVER} names no SQL Server; the procedures need one")
    return RealServer.parse(value)


@pytest.fixture(scope="session")
def server_database(real_server: RealServer) -> Iterator[JobDatabase]:
    """A new database, brought to this version's schema with its procedures and views."""
    name = f"tsql_test_{uuid4().hex[:12]}"
    real_server.create_databases((name,))
    password = quote(real_server.password, safe="")
    address = f"{quote(real_server.user, safe='')}:{password}@{real_server.host}:{real_server.port}"
    database = JobDatabase(f"mssql+pyodbc://{address}/{name}?TrustServerCertificate=yes", pool_size=4)
    schema.upgrade(database)
    yield database
    database.dispose()
    master = connect(vars(real_server), "master")
    master.execute(f"DROP DATABASE [{name}]")
    master.close()


class Sessions:
    """The session that tests share: each new one compiles all procedures anew, which takes some engines seconds."""

    def __init__(self, server: RealServer, database: str) -> None:
        self._server, self._database = server, database
        self._open: pyodbc.Connection | None = None

    def current(self) -> pyodbc.Connection:
        if self._open is None:
            self._open = connect(vars(self._server), self._database)
        return self._open

    def another(self) -> pyodbc.Connection:
        self.close()
        return self.current()

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
        self._open = None


@pytest.fixture(scope="session")
def sessions(real_server: RealServer, server_database: JobDatabase) -> Iterator[Sessions]:
    made = Sessions(real_server, str(server_database.engine.url.database))
    yield made
    made.close()


@pytest.fixture
def bare(sessions: Sessions) -> Face:
    """The T-SQL face of a job database in which there is nothing, not even an agent."""
    face = Face(sessions.current(), sessions.another)
    face.run("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
    face.run(";".join(f"DELETE FROM {table.fullname}" for table in reversed(metadata.sorted_tables)))
    return face


@pytest.fixture
def ends_sessions(sessions: Sessions, server_database: JobDatabase) -> Iterator[None]:
    """For tests that create or drop something in the job database."""
    yield
    sessions.close()
    server_database.dispose()


class ServerHand(Hand):
    """Saves definitions as the management API does, with the present time."""

    def __init__(self, database: JobDatabase) -> None:
        super().__init__(database)
        self.now = SystemClock().now()


@pytest.fixture
def server_hand(bare: Face, server_database: JobDatabase) -> Hand:
    """With an agent that has no identity, and the credentials that Microsoft's samples use."""
    del bare
    made = ServerHand(server_database)
    made.agent()
    for name in ("job_credential", "refresh_credential"):
        made.credential(name)
    return made


@pytest.fixture
def face(bare: Face, server_hand: Hand) -> Face:
    """The T-SQL face of a job database with an agent and credentials."""
    del server_hand
    return bare


def gap(face: Face, reason: str) -> None:
    """Skip on Babelfish what it cannot do or does otherwise than SQL Server."""
    if face.is_babelfish:
        pytest.skip(f"gap: {reason}")

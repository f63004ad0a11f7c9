"""Where tests get job databases from: SQLite, or the SQL Server that ELASTIC_JOBS_TEST_SQLSERVER names.

``clean`` is what nearly all tests want: the schema and no row. It costs a copied file on SQLite; on SQL Server there is
one database for the whole session, which is emptied each time.
"""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import quote
from uuid import uuid4

from sqlalchemy import delete, make_url
from sqlalchemy.exc import DBAPIError

from elastic_jobs.domain.ports import Clock
from elastic_jobs.jobdb import schema
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.sql_server import SqlServer
from elastic_jobs.jobdb.tables import metadata

REAL_SERVER = "ELASTIC_JOBS_TEST_SQLSERVER"
"""``host,port;user;password`` of a SQL Server whose certificate need not be verified. Its user may create databases."""


class Places(Protocol):
    """Gives out job databases, each to one test at a time."""

    engine_name: str
    """``sqlite``, ``sqlserver`` or ``babelfish``."""

    def clean(self, clock: Clock | None = None) -> JobDatabase:
        """One with the schema of this version and nothing in it."""
        ...

    def bare(self) -> JobDatabase:
        """A new one without a schema."""
        ...

    def url_of(self, database: JobDatabase) -> str:
        """With which another process opens it."""
        ...


class SqlitePlaces:
    """Files below a folder."""

    engine_name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._template = folder / "template.db"
        database = JobDatabase(f"sqlite:///{self._template}")
        schema.upgrade(database)
        database.dispose()
        self._opened: list[JobDatabase] = []

    def clean(self, clock: Clock | None = None) -> JobDatabase:
        file = self._file()
        shutil.copy(self._template, file)
        return self._open(file, clock)

    def bare(self) -> JobDatabase:
        return self._open(self._file(), None)

    def url_of(self, database: JobDatabase) -> str:
        return f"sqlite:///{database.engine.url.database}"

    def _file(self) -> Path:
        return self._folder / f"{uuid4().hex}.db"

    def _open(self, file: Path, clock: Clock | None) -> JobDatabase:
        self._opened.append(JobDatabase(f"sqlite:///{file}", clock=clock))
        return self._opened[-1]

    def close(self) -> None:
        """Close all files."""
        for database in self._opened:
            database.dispose()


class SqlServerPlaces:
    """Databases of their own on a server, dropped in the end."""

    def __init__(self, server: str) -> None:
        """server: as in ``ELASTIC_JOBS_TEST_SQLSERVER``."""
        address, user, password = server.split(";", 2)
        host, _, port = address.partition(",")
        self._url = f"mssql+pyodbc://{quote(user)}:{quote(password, safe='')}@{host}:{port or 1433}/"
        self._made: list[JobDatabase] = []
        self._shared: JobDatabase | None = None
        self.engine_name = "babelfish" if "Babelfish" in self._in_master("SELECT @@VERSION") else "sqlserver"

    def clean(self, clock: Clock | None = None) -> JobDatabase:
        if self._shared is None:
            self._shared = self.bare()
            schema.upgrade(self._shared)
        with self._shared.write() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(delete(table))
        mine = copy.copy(self._shared)
        mine._clock = clock
        return mine

    def bare(self) -> JobDatabase:
        name = f"mssql_dev_{uuid4().hex[:12]}"
        self._in_master(f"CREATE DATABASE [{name}]")
        with suppress(DBAPIError):  # Babelfish reads by versions anyway and does not know the option
            self._in_master(f"ALTER DATABASE [{name}] SET READ_COMMITTED_SNAPSHOT ON")
        self._made.append(JobDatabase(self._place(name)))
        return self._made[-1]

    def url_of(self, database: JobDatabase) -> str:
        return self._place(str(database.engine.url.database))

    def close(self) -> None:
        """Drop all databases."""
        for database in self._made:
            name = database.engine.url.database
            database.dispose()
            with suppress(DBAPIError):
                self._in_master(f"ALTER DATABASE [{name}] SET SINGLE_USER WITH ROLLBACK IMMEDIATE")
            self._in_master(f"DROP DATABASE [{name}]")

    def _place(self, database: str) -> str:
        return f"{self._url}{database}?TrustServerCertificate=yes"

    def _in_master(self, sql: str) -> str:
        server = SqlServer(make_url(self._place("master")))
        engine = server.engine(1, autocommit=True)
        try:
            with engine.connect() as connection:
                answer = connection.exec_driver_sql(sql)
                return str(answer.scalar()) if answer.returns_rows else ""
        finally:
            engine.dispose()


@contextmanager
def places(folder: Path) -> Iterator[Places]:
    """The job databases that this run of the tests is for."""
    server = os.environ.get(REAL_SERVER, "")
    found = SqlServerPlaces(server) if server else SqlitePlaces(folder)
    try:
        yield found
    finally:
        found.close()

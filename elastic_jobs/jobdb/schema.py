"""Brings a job database to the schema of this version, and tells whether it is there."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Connection, String, inspect, select, table, text

from elastic_jobs.errors import SettingsError
from elastic_jobs.jobdb import execution_tables, tsql_tables
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.sql_server import wait_for_ever
from elastic_jobs.jobdb.tables import SCHEMA, metadata
from elastic_jobs.jobdb.tsql.install import install, uninstall

__all__ = ["check", "execution_tables", "head", "metadata", "revision", "tsql_tables", "upgrade"]

_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(database: JobDatabase, to: str = "head") -> None:
    """Apply the revisions that are missing, in one transaction; harmless when several do it at once.

    Raises:
        JobDatabaseUnavailableError: the job database cannot be reached or is not one.
    """
    with database.write() as connection:
        database.lock(connection, "schema")
        if not database.is_sqlite:
            wait_for_ever(connection)
            connection.execute(text(f"IF SCHEMA_ID('{SCHEMA}') IS NULL EXEC('CREATE SCHEMA {SCHEMA}')"))
        # A table with views upon it cannot be rebuilt, and SQLite changes tables by rebuilding them.
        uninstall(connection)
        _apply(connection, to)
        if to == "head":
            install(connection)


def check(database: JobDatabase) -> None:
    """Refuse to work on a job database of another version.

    Raises:
        SettingsError: the job database has no schema, an older one, or one of a newer version of the product.
    """
    with database.read() as connection:
        found, wanted = revision(connection), head()
    if found != wanted:
        raise SettingsError(
            f"The job database is at schema revision {found or 'none'}, this version needs {wanted}; "
            "run: python -m elastic_jobs.jobdb upgrade"
        )


def head() -> str:
    """The revision that this version of the product needs: they are numbered, and their files begin with the number."""
    return max(file.name for file in (_MIGRATIONS / "versions").glob("[0-9]*.py")).partition("_")[0]


def revision(connection: Connection) -> str | None:
    """The revision that a job database is at, or None."""
    schema = None if connection.dialect.name == "sqlite" else SCHEMA
    if not inspect(connection).has_table("alembic_version", schema):
        return None
    version: Column[str] = Column("version_num", String)
    return connection.scalar(select(version).select_from(table("alembic_version", version, schema=schema)))


def _apply(connection: Connection, to: str) -> None:
    # Alembic and what it brings are a tenth of what an app imports to start, and a start only compares two numbers.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, to)

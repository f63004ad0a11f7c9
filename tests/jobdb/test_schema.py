"""The schema: revisions build exactly the tables of the code, and a wrong job database is refused in a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import CheckConstraint, Connection, text

from elastic_jobs.errors import JobDatabaseUnavailableError, SettingsError
from elastic_jobs.jobdb import schema
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.tables import metadata
from elastic_jobs.jobdb.tsql.install import install


def _definitions(connection: Connection) -> dict[str, list[str]]:
    """Each table, index and constraint as the words of its definition: clauses may stand in another order."""
    rows = connection.execute(
        text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'")
    )
    return {row.name: sorted(re.findall(r"\w+|[^\w\s\"]", row.sql)) for row in rows}


def test_migrated_equals_created(tmp_path: Path) -> None:
    migrated, created = (JobDatabase(f"sqlite:///{tmp_path}/{name}.db") for name in ("migrated", "created"))
    schema.upgrade(migrated)
    metadata.create_all(created.engine)
    with created.write() as connection:
        install(connection)
    with migrated.read() as one, created.read() as other:
        assert _definitions(one) == _definitions(other)


def test_every_check_constraint_arrives(tmp_path: Path) -> None:
    database = JobDatabase(f"sqlite:///{tmp_path}/jobs.db")
    schema.upgrade(database)
    with database.read() as connection:
        found = {word for words in _definitions(connection).values() for word in words}
    for table in metadata.tables.values():
        for constraint in table.constraints:
            if isinstance(constraint, CheckConstraint):
                assert str(constraint.name) in found


def test_upgrading_twice_changes_nothing(tmp_path: Path) -> None:
    database = JobDatabase(f"sqlite:///{tmp_path}/jobs.db")
    schema.upgrade(database)
    schema.upgrade(database)
    schema.check(database)


def test_a_job_database_without_schema_is_refused_with_the_command_to_run(tmp_path: Path) -> None:
    database = JobDatabase(f"sqlite:///{tmp_path}/jobs.db")
    with pytest.raises(SettingsError, match=r"revision none.*python -m elastic_jobs.jobdb upgrade"):
        schema.check(database)


def test_a_file_that_is_no_database_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(JobDatabaseUnavailableError, match="not a SQLite database"):
        schema.upgrade(JobDatabase(f"sqlite:///{tmp_path}/jobs.db"))


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "nosuchdialect://x/y"])
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="JOB_DATABASE_URL"):
        JobDatabase(url)

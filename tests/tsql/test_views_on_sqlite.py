"""The views of the embedded job database: the same columns as on SQL Server, over real rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, text

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.domain.model import Output
from elastic_jobs.jobdb import schema
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import step_executions, target_executions
from elastic_jobs.jobdb.executions import starting
from elastic_jobs.jobdb.tsql import install
from tests.definitions.conftest import DATABASE, SERVER, Hand
from tests.tsql.contract import VIEWS


@pytest.fixture
def migrated(tmp_path: Path) -> Iterator[Hand]:
    database = JobDatabase(f"sqlite:///{tmp_path}/jobs.db")
    schema.upgrade(database)
    hand = Hand(database)
    hand.agent()
    hand.credential("runner")
    hand.credential("refresher")
    yield hand
    database.dispose()


def rows(hand: Hand, view: str) -> list[dict[str, Any]]:
    with hand.database.read() as connection:
        found = connection.execute(text(f"SELECT * FROM {install.sqlite_name(view)}")).mappings()
        return [dict(row) for row in found]


@pytest.mark.parametrize("view", VIEWS)
def test_columns_and_their_order(migrated: Hand, view: str) -> None:
    with migrated.database.read() as connection:
        keys = connection.execute(text(f"SELECT * FROM {install.sqlite_name(view)}")).keys()
    assert list(keys) == [name for name, _ in VIEWS[view]]


def test_definitions(migrated: Hand) -> None:
    group = migrated.group("group1", SERVER, DATABASE)
    job = migrated.job(description="said")
    output = Output(
        server_name="server1", database_name="d", table_name="t", credential_name="runner", subscription_id=uuid4()
    )
    migrated.step(output=output, max_parallelism=3)
    migrated.step("step2")
    assert rows(migrated, "jobs") == [
        {
            "job_name": "job1",
            "job_id": str(job.id),
            "job_version": 2,
            "description": "said",
            "enabled": 0,
            "schedule_interval_type": "Once",
            "schedule_interval_count": 1,
            "schedule_start_time": "0001-01-01 00:00:00.000000",
            "schedule_end_time": "9999-12-31 11:59:59.000000",
        }
    ]
    assert [row["job_version"] for row in rows(migrated, "job_versions")] == [0, 1, 2]
    assert {(row["job_version"], row["step_name"]) for row in rows(migrated, "jobstep_versions")} == {
        (1, "step1"),
        (2, "step1"),
        (2, "step2"),
    }
    first, second = sorted(rows(migrated, "jobsteps"), key=lambda row: int(row["step_id"]))
    assert (first["output_type"], first["output_subscription_id"]) == ("SqlDatabase", str(output.subscription_id))
    assert (first["output_schema_name"], first["max_parallelism"]) == ("dbo", 3)
    assert (second["output_type"], second["output_subscription_id"]) == (None, None)
    assert first["target_group_id"] == str(group.id)
    assert rows(migrated, "target_groups") == [{"target_group_name": "group1", "target_group_id": str(group.id)}]
    server, database = rows(migrated, "target_group_members")
    assert (server["target_type"], server["refresh_credential_name"]) == ("SqlServer", "refresher")
    assert (database["target_id"], database["database_name"]) == (str(group.members[1][0]), "database1")


def test_the_three_levels_of_a_run(migrated: Hand) -> None:
    group = migrated.group()
    job = migrated.job()
    uid = migrated.step().step.uid
    target = uuid4()
    with migrated.database.write() as connection:
        run = starting.start(connection, migrated.database, "job1", ids=uuid4)
        connection.execute(
            insert(target_executions).values(
                id=target,
                step_execution_id=run.step_execution_id,
                job_execution_id=run.execution_id,
                job_id=job.id,
                step_uid=uid,
                server_name="server1.database.windows.net",
                database_name="database1",
                elastic_pool_name="pool1",
                turn=1,
                admitted=True,
                lifecycle=Lifecycle.FAILED,
                is_active=0,
                create_time=migrated.now,
                end_time=migrated.now,
                current_attempts=2,
                last_message="no",
            )
        )
    root, step, database = rows(migrated, "job_executions")
    assert {UUID(row["job_execution_id"]) for row in (root, step, database)} == {run.execution_id}
    assert {row["job_id"] for row in (root, step, database)} == {str(job.id)}
    assert (root["step_id"], root["is_active"], root["target_type"]) == (None, 1, None)
    assert (step["step_id"], step["target_type"], step["target_id"]) == (1, "TargetGroup", str(group.id))
    assert (step["target_group_name"], step["step_name"], step["job_version"]) == ("group1", "step1", 1)
    assert (database["lifecycle"], database["is_active"], database["current_attempts"]) == ("Failed", 0, 2)
    assert (database["target_type"], database["target_id"]) == ("SqlDatabase", str(target))
    assert database["target_server_name"] == "server1.database.windows.net"
    assert (database["target_database_name"], database["target_elastic_pool_name"]) == ("database1", "pool1")


def test_what_was_deleted_is_not_shown(migrated: Hand) -> None:
    migrated.group()
    job = migrated.job()
    migrated.step()
    migrated.execution(job)
    with migrated.database.write() as connection:
        connection.execute(text("UPDATE jobs SET delete_time = create_time"))
    for view in ("jobs", "job_versions", "jobsteps", "jobstep_versions", "job_executions"):
        assert rows(migrated, view) == []


def test_views_are_there_after_an_upgrade_from_the_first_revision(tmp_path: Path) -> None:
    database = JobDatabase(f"sqlite:///{tmp_path}/jobs.db")
    schema.upgrade(database, "0001")
    schema.upgrade(database)
    schema.upgrade(database)
    with database.read() as connection:
        found = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'view'")).scalars().all()
    assert set(found) == {install.sqlite_name(view) for view in VIEWS}
    assert step_executions.name not in found
    database.dispose()

"""A job database in a file, and a hand that writes definitions into it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select

from elastic_jobs.credentials.sealing import Sealer
from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.domain.model import Agent, Identity, Job, StepDefinition, TargetGroup
from elastic_jobs.domain.schedule import Schedule
from elastic_jobs.domain.targets import Member, ServerNames, TargetType
from elastic_jobs.errors import ServerNotAllowedError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions import agent, credentials, jobs, steps, target_groups
from elastic_jobs.jobdb.definitions.checks import Edit
from elastic_jobs.jobdb.execution_tables import job_executions
from elastic_jobs.jobdb.tables import audit_entries
from tests.jobdb.conftest import job_databases
from tests.jobdb.places import Places

__all__ = ["job_databases"]

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
NAMES = ServerNames(".database.windows.net")
SERVER = Member(target_type=TargetType.SQL_SERVER, server_name="server1", refresh_credential_name="refresher")
DATABASE = Member(target_type=TargetType.SQL_DATABASE, server_name="server1", database_name="database1")


def allow(server_name: str) -> None:
    if NAMES.canonical(server_name).startswith("evil"):
        raise ServerNotAllowedError(f"Server '{server_name}' is not on the list of allowed target servers.")


class Hand:
    """Saves definitions the way a caller does: each in a transaction of its own."""

    def __init__(self, database: JobDatabase) -> None:
        self.database = database
        self.now = NOW
        self.sealer = Sealer(bytes(32))

    @property
    def edit(self) -> Edit:
        return Edit(caller="alice", now=self.now, new_id=uuid4, names=NAMES, check_server=allow)

    def later(self, **delta: int) -> None:
        self.now += timedelta(**delta)

    def agent(self, name: str = "agent1", *, identity: str | None = None, **values: Any) -> Agent:
        with self.database.write() as connection:
            described = Agent(
                name=name,
                location="westeurope",
                identity=Identity(resource_id=identity) if identity else None,
                **values,
            )
            return agent.save_agent(connection, self.edit, described)[0]

    def credential(self, name: str = "runner", username: str = "job", password: str = "") -> bool:
        with self.database.write() as connection:
            new = credentials.NewCredential(name=name, username=username, password=password or f"Pa55word of {name}")
            return credentials.save_credential(connection, self.edit, new, self.sealer)[1]

    def group(self, name: str = "group1", *members: Member) -> TargetGroup:
        with self.database.write() as connection:
            return target_groups.save_group(connection, self.edit, name, members or (DATABASE,))[0]

    def job(self, name: str = "job1", schedule: Schedule | None = None, **values: Any) -> Job:
        with self.database.write() as connection:
            values = {"description": "", **values}
            return jobs.save_job(connection, self.edit, name, schedule=schedule or Schedule(), **values)[0]

    def step(self, name: str = "step1", *, job: str = "job1", **values: Any) -> steps.SavedStep:
        place = {key: values.pop(key) for key in ("step_id", "current_name") if key in values}
        content = {
            "command": "SELECT 1",
            "target_group_name": "group1",
            "credential_name": "runner",
        } | values
        with self.database.write() as connection:
            return steps.save_step(connection, self.edit, job, StepDefinition(name=name, **content), **place)

    def step_names(self, job: str = "job1", version: int | None = None) -> list[str]:
        with self.database.read() as connection:
            found = jobs.get_job(connection, job)
            listed = steps.list_steps(connection, found.id, found.version if version is None else version)
            assert [step.step_id for step in listed] == list(range(1, len(listed) + 1))
            return [step.definition.name for step in listed]

    def execution(self, job: Job, lifecycle: Lifecycle = Lifecycle.IN_PROGRESS, **values: Any) -> UUID:
        """Writes a root execution down as it is."""
        active = lifecycle in {Lifecycle.IN_PROGRESS, Lifecycle.CREATED}
        row = {
            "id": uuid4(),
            "job_id": job.id,
            "job_name": job.name,
            "job_version": job.version,
            "lifecycle": lifecycle,
            "is_active": int(active),
            "create_time": self.now,
            "end_time": None if active else self.now,
        } | values
        with self.database.write() as connection:
            connection.execute(insert(job_executions).values(**row))
        identifier = row["id"]
        assert isinstance(identifier, UUID)
        return identifier

    def audit(self) -> list[dict[str, Any]]:
        with self.database.read() as connection:
            rows = connection.execute(select(audit_entries).order_by(audit_entries.c.id)).mappings()
            return [dict(row) for row in rows]


@pytest.fixture
def database(job_databases: Places) -> Iterator[JobDatabase]:
    database = job_databases.clean()
    yield database
    if database.is_sqlite:
        database.dispose()


@pytest.fixture
def empty(database: JobDatabase) -> Hand:
    """A job database without an agent."""
    return Hand(database)


@pytest.fixture
def hand(empty: Hand) -> Hand:
    """A job database with an agent in credential mode, two credentials and a target group."""
    empty.agent()
    empty.credential("runner")
    empty.credential("refresher")
    empty.group()
    return empty

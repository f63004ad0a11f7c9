"""The dry run of a target group: real servers are asked, with the logins of the job database, and nothing is run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from elastic_jobs.agent.logins import Logins
from elastic_jobs.agent.rehearsal import Rehearsal
from elastic_jobs.credentials.sealing import Sealer
from elastic_jobs.domain.model import Agent
from elastic_jobs.domain.ports import SystemClock
from elastic_jobs.domain.targets import Member, MembershipType, ServerNames, TargetType
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions.agent import save_agent
from elastic_jobs.jobdb.definitions.checks import Edit
from elastic_jobs.jobdb.definitions.credentials import NewCredential, save_credential
from elastic_jobs.jobdb.tables import metadata
from elastic_jobs.targets.authentication import ManagedIdentityTokens
from tests.targets.lab import OTHER_SERVER, SERVER, Lab

NAMES = ServerNames(".database.windows.net")


@pytest.fixture
def logins(tmp_path: Path, lab: Lab) -> Logins:
    """Credentials ``right`` and ``wrong`` in a job database."""
    database, sealer = JobDatabase(f"sqlite:///{tmp_path}/jobs.db"), Sealer(bytes(32))
    metadata.create_all(database.engine)
    edit = Edit(caller="test", now=datetime.now(UTC), new_id=uuid4, names=NAMES, check_server=lambda _: None)
    with database.write() as connection:
        save_agent(connection, edit, Agent(name="agent1", location="x"))
        for name, password in (("right", lab.login.password), ("wrong", "no such password")):
            new = NewCredential(name=name, username=lab.login.username, password=password)
            save_credential(connection, edit, new, sealer)
    return Logins(database, sealer, ManagedIdentityTokens(SystemClock()))


def rehearsal(lab: Lab, logins: Logins, **changed: float) -> Rehearsal:
    return Rehearsal(lab.connector(), logins, **changed)


def server(name: str, credential: str = "right") -> Member:
    return Member(target_type=TargetType.SQL_SERVER, server_name=name, refresh_credential_name=credential)


def test_what_the_servers_hold_now_less_what_is_excluded(lab: Lab, logins: Logins) -> None:
    assert lab.control
    excluded = Member(
        target_type=TargetType.SQL_DATABASE,
        server_name=SERVER,
        database_name="LISTED1",
        membership_type=MembershipType.EXCLUDE,
    )
    found = rehearsal(lab, logins).resolve([server(SERVER), excluded])
    assert found.failures == ()
    names = {target.database_name: target.elastic_pool_name for target in found.targets}
    assert {"listed2", "pooled1", lab.database} <= names.keys()
    assert "listed1" not in names
    assert names["pooled1"] == "pool1"


def test_each_server_that_cannot_be_asked_is_named_with_its_reason(lab: Lab, logins: Logins) -> None:
    assert lab.control
    members = [server(SERVER), server(OTHER_SERVER, "wrong"), server("server9", "ghost")]
    found = rehearsal(lab, logins).resolve(members)
    assert found.targets == ()
    reasons = {failure.what: failure.error for failure in found.failures}
    assert set(reasons) == {f"server '{OTHER_SERVER}'", "server 'server9.database.windows.net'"}
    assert "18456" in reasons[f"server '{OTHER_SERVER}'"]
    assert "no such password" not in str(reasons)
    assert "ghost" in reasons["server 'server9.database.windows.net'"]


def test_a_server_that_says_nothing_is_not_waited_for(lab: Lab, logins: Logins) -> None:
    assert lab.control
    found = rehearsal(lab, logins, patience_seconds=0.0).resolve([server(SERVER), server(OTHER_SERVER)])
    assert [failure.what for failure in found.failures] == ["target group"]
    assert "within 0 s" in found.failures[0].error


def test_databases_that_are_named_need_no_server(lab: Lab, logins: Logins) -> None:
    member = Member(target_type=TargetType.SQL_DATABASE, server_name=SERVER, database_name="d")
    found = rehearsal(lab, logins).resolve([member])
    assert [(target.server_name, target.database_name) for target in found.targets] == [(SERVER, "d")]

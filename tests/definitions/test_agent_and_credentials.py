from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.domain.model import Agent
from elastic_jobs.errors import ConflictError, InvalidDefinitionError, NotFoundError
from elastic_jobs.jobdb import execution_tables, tables
from elastic_jobs.jobdb.definitions import agent, credentials
from tests.definitions.conftest import DATABASE, SERVER, Hand


def test_an_agent_is_created_once_and_then_changed(empty: Hand) -> None:
    with empty.database.read() as connection:
        assert agent.find_agent(connection) is None
        with pytest.raises(NotFoundError):
            agent.get_agent(connection)
    created = empty.agent(tags={"a": "b"}, sku_name="JA200", capacity=200)
    empty.now += timedelta(hours=1)
    changed = empty.agent("AGENT1", identity="/subscriptions/s/x")
    assert (created.create_time, changed.create_time) == (created.create_time, created.create_time)
    with empty.database.read() as connection:
        stored = agent.get_agent(connection, "Agent1")
    assert stored == changed
    assert (stored.name, stored.capacity, stored.tags) == ("agent1", 100, {})
    assert stored.identity is not None
    assert stored.identity.resource_id == "/subscriptions/s/x"
    assert [entry["action"] for entry in empty.audit()] == ["create agent", "update agent"]


def test_a_second_agent_is_refused_and_told_whose_the_database_is(hand: Hand) -> None:
    with pytest.raises(InvalidDefinitionError, match="belongs to the job agent 'agent1'") as error:
        hand.agent("agent2")
    assert error.value.code == "JobAgentDatabaseAlreadyLinked"


def test_the_location_of_an_agent_stays(hand: Hand) -> None:
    with hand.database.write() as connection:
        saved, new = agent.save_agent(connection, hand.edit, Agent(name="agent1", location="West Europe"))
    assert (saved.location, new) == ("westeurope", False)
    with (
        pytest.raises(InvalidDefinitionError, match="westeurope") as error,
        hand.database.write() as connection,
    ):
        agent.save_agent(connection, hand.edit, Agent(name="agent1", location="eastus"))
    assert error.value.code == "PropertyChangeUnsupported"


def test_an_agent_named_in_the_settings_is_there_from_the_start(empty: Hand) -> None:
    for _ in range(2):
        with empty.database.write() as connection:
            assert agent.ensure_agent(connection, empty.edit, "agent1", "westeurope").name == "agent1"
    assert len(empty.audit()) == 1
    with pytest.raises(InvalidDefinitionError, match="agent1"), empty.database.write() as connection:
        agent.ensure_agent(connection, empty.edit, "other", "westeurope")


@pytest.mark.parametrize(("name", "expected"), [("JA100", 100), ("ja800", 800), ("JA3200", 3200)])
def test_tiers_go_on_by_doubling(name: str, expected: int) -> None:
    assert agent.capacity_of(name, 5000) == (name.upper(), expected)


@pytest.mark.parametrize("name", ["JA1600", "JA300", "JA50", "Agent", ""])
def test_other_tiers_are_refused(name: str) -> None:
    with pytest.raises(InvalidDefinitionError, match="JA100, JA200, JA400, JA800") as error:
        agent.capacity_of(name, 800)
    assert error.value.code == "ElasticJobAgentEditionUnsupported"


def test_deleting_the_agent_empties_the_job_database(hand: Hand) -> None:
    hand.step(job=hand.job().name)
    hand.execution(hand.job(), Lifecycle.SUCCEEDED)
    with hand.database.write() as connection:
        agent.delete_agent(connection, hand.edit)
    with hand.database.read() as connection:
        for table in tables.metadata.tables.values():
            rows = connection.execute(select(func.count()).select_from(table)).scalar_one()
            assert rows == 0 or table is tables.audit_entries, table.name
    assert hand.agent("another").name == "another"


def test_an_agent_with_active_executions_is_not_deleted(hand: Hand) -> None:
    execution = hand.execution(hand.job())
    with pytest.raises(ConflictError, match="1 active job execution"), hand.database.write() as connection:
        agent.delete_agent(connection, hand.edit)
    with hand.database.read() as connection:
        assert connection.execute(select(execution_tables.job_executions.c.id)).scalar_one() == execution


def test_a_credential_is_created_changed_and_listed(hand: Hand) -> None:
    assert hand.credential("third", "u1", "secret one") is True
    assert hand.credential("THIRD", "u2", "secret two") is False
    with hand.database.read() as connection:
        assert credentials.get_credential(connection, "Third") == credentials.Credential(name="third", username="u2")
        assert [c.name for c in credentials.list_credentials(connection)] == ["refresher", "runner", "third"]
        assert [c.name for c in credentials.list_credentials(connection, after="refresher", limit=1)] == ["runner"]
        stored = credentials.find_stored(connection, "third")
        assert credentials.find_stored(connection, "nobody") is None
    assert stored is not None
    assert (stored.username, hand.sealer.open("third", stored.sealed)) == ("u2", "secret two")


def test_passwords_are_neither_stored_nor_shown(hand: Hand) -> None:
    hand.credential("third", "u1", "Sup3rSecret")
    assert "Sup3rSecret" not in repr(hand.audit())
    assert "Sup3rSecret" not in repr(credentials.NewCredential(name="n", username="u", password="Sup3rSecret"))
    with hand.database.read() as connection:
        stored = connection.execute(select(tables.credentials)).all()
    assert "Sup3rSecret" not in repr(stored)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"username": " "}, "InvalidJobCredentialUsername"),
        ({"username": "u" * 129}, "InvalidJobCredentialUsername"),
        ({"password": "\t"}, "InvalidResourceRequestBody"),
        ({"password": "p" * 129}, "InvalidResourceRequestBody"),
        ({"name": ""}, "InvalidResourceRequestBody"),
        ({"name": "n" * 129}, "InvalidResourceRequestBody"),
        ({"name": "a\x07"}, "InvalidResourceRequestBody"),
        ({"name": " a"}, "InvalidResourceRequestBody"),
        ({"name": ".."}, "InvalidResourceRequestBody"),
    ],
)
def test_wrong_credentials_are_refused(hand: Hand, values: dict[str, str], code: str) -> None:
    with pytest.raises(InvalidDefinitionError) as error:
        hand.credential(**values)
    assert error.value.code == code
    assert "ppp" not in str(error.value)


def test_a_credential_needs_an_agent(empty: Hand) -> None:
    with pytest.raises(NotFoundError, match="agent"):
        empty.credential()


def test_deleting_credentials(hand: Hand) -> None:
    hand.job()
    hand.step("one", credential_name="RUNNER")
    hand.group("servers", SERVER)
    with hand.database.write() as connection:
        with pytest.raises(InvalidDefinitionError, match="step 'one' of job 'job1'"):
            credentials.delete_credential(connection, hand.edit, "Runner")
        with pytest.raises(InvalidDefinitionError, match="target group 'servers'"):
            credentials.delete_credential(connection, hand.edit, "refresher")
    hand.group("servers", DATABASE)
    with hand.database.write() as connection:
        assert credentials.delete_credential(connection, hand.edit, "REFRESHER") is True
        assert credentials.delete_credential(connection, hand.edit, "refresher") is False
        with pytest.raises(NotFoundError):
            credentials.get_credential(connection, "refresher")

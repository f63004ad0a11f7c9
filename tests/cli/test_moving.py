"""Moving in: from another agent of ours, Azure (its own SDK against our API), or a job database; twice each."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.sql import SqlManagementClient

from elastic_jobs.cli.client import Client
from elastic_jobs.cli.contexts import Context, Contexts
from elastic_jobs.cli.errors import NoAccess, UsageError
from elastic_jobs.cli.files.model import Definitions
from elastic_jobs.cli.moving.azure import AzureAgent, read_azure
from elastic_jobs.cli.moving.endpoint import read_endpoint
from elastic_jobs.cli.moving.job_database import parse_place, read_job_database
from elastic_jobs.cli.moving.moving_in import Moved, carry_out, plan_move
from elastic_jobs.cli.moving.source import Outcome, Source, SourceError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.tsql import install
from tests.api.support import AGENT, ALL_ROLES, clear, token
from tests.cli.files_support import Agent, running_agent, sample

IDENTITY = "/subscriptions/x/resourceGroups/y/providers/Microsoft.ManagedIdentity/userAssignedIdentities/jobs-identity"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Agent, Agent]]:
    """A source, and a second agent to move to."""
    with (
        running_agent(tmp_path_factory.mktemp("source")) as source,
        running_agent(tmp_path_factory.mktemp("here")) as here,
    ):
        yield source, here


@pytest.fixture
def source(two: tuple[Agent, Agent]) -> Agent:
    """An agent that holds the sample and a private endpoint."""
    two[0].empty()
    two[0].apply(sample())
    server = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Sql/servers/server1"
    two[0].client.put("/privateEndpoints/line", {"properties": {"targetServerAzureResourceId": server}})
    return two[0]


@pytest.fixture
def here(two: tuple[Agent, Agent]) -> Agent:
    """An agent that holds nothing, no credentials either."""
    _reset(two[1])
    two[1].server.agent()
    return two[1]


def _reset(agent: Agent) -> None:
    clear(agent.server.database)


def moved(here: Agent, source: Source, *, enable: bool = False) -> Moved:
    return carry_out(here.client, plan_move(here.client, source, enable=enable), enable=enable)


def outcomes(found: Moved) -> dict[tuple[str, str], str]:
    return {(line.kind, line.name): line.outcome.value for line in found.lines}


def switched_off(definitions: Definitions) -> Definitions:
    jobs = tuple(replace(job, schedule=replace(job.schedule, enabled=False)) for job in definitions.jobs)
    return replace(definitions, jobs=jobs)


def versions(agent: Agent) -> dict[str, int]:
    return {job["name"]: job["properties"]["version"] for job in agent.client.pages("/jobs")}


def test_from_another_agent_over_http_twice(source: Agent, here: Agent) -> None:
    words = ("import", "--from-endpoint", source.server.url, "--yes")
    token_of_source = {"ELASTIC_JOBS_SOURCE_TOKEN": token("Reader")}
    first = here.run(*words, **token_of_source)
    assert first.exit_code == 0, first.output
    assert here.holds() == switched_off(sample())
    assert set(plan_move(here.client, read_endpoint(source.client), enable=False).state.credentials) == {
        "runner",
        "refresh",
    }
    assert "elastic-jobs credential set runner --username runner" in first.stdout
    assert "private endpoint" in first.stdout
    before = versions(here)
    audited = len(list(here.client.pages("/audit")))
    second = here.run(*words, "-o", "json", **token_of_source)
    assert second.exit_code == 0, second.output
    report = json.loads(second.stdout)
    assert report["secretsToSet"] == []
    assert {row["outcome"] for row in report["results"]} == {"unchanged", "stays behind"}
    assert versions(here) == before
    assert len(list(here.client.pages("/audit"))) == audited, "the second time changes nothing"


def test_from_another_context(source: Agent, here: Agent, tmp_path: Path) -> None:
    known = Contexts(tmp_path / "elastic-jobs")
    known.put(Context(name="staging", endpoint=source.server.url, token=token("Reader")))
    words = ("import", "--from-context")
    result = here.run(*words, "staging", "--yes", XDG_CONFIG_HOME=str(tmp_path))
    assert result.exit_code == 0, result.output
    assert here.holds() == switched_off(sample())
    unknown = here.run(*words, "production", XDG_CONFIG_HOME=str(tmp_path))
    assert unknown.exit_code == 2
    assert "There is no context 'production'" in unknown.stderr


def test_schedules_come_switched_off_until_it_is_asked_for(source: Agent, here: Agent) -> None:
    found = read_endpoint(source.client)
    # The secrets of the credentials are made up in this very run.
    first = moved(here, found, enable=True)
    assert outcomes(first)[("job", "nightly")] == "adapted"
    assert here.holds() == switched_off(sample())
    assert {line.reason for line in first.lines if line.name == "nightly"} == {
        "It moves switched off: the secret of the credential 'refresh' is not set yet."
    }
    second = moved(here, found, enable=True)
    assert outcomes(second)[("job", "nightly")] == "changed"
    assert here.holds() == sample()
    # What was switched on stays on.
    third = plan_move(here.client, found, enable=False)
    assert third.is_empty


def test_what_is_refused_stays_out_with_what_needs_it_and_the_rest_comes(source: Agent, here: Agent) -> None:
    wanted = sample()
    foreign = replace(wanted.groups[0].members[0], server_name="server.example.net")
    groups = (replace(wanted.groups[0], members=(foreign,)), wanted.groups[1])
    found = replace(read_endpoint(source.client), definitions=replace(wanted, groups=groups))
    result = moved(here, found)
    assert not result.is_whole
    assert outcomes(result) | {("history", ""): ""} == outcomes(result) | {
        ("target group", "One"): "not moved",
        ("target group", "Servers"): "created",
        ("job", "nightly"): "not moved",
        ("job", "idle"): "created",
        ("history", ""): "",
    }
    reason = next(line.reason for line in result.lines if line.name == "nightly")
    assert "target group 'One'" in reason
    assert "server.example.net" in reason
    assert [job.name for job in here.holds().jobs] == ["idle"]


def test_without_the_role_for_credentials_only_what_needs_none_comes(source: Agent, here: Agent) -> None:
    with Client(here.server.url, lambda: token("Contributor")) as client:
        found = read_endpoint(source.client)
        result = carry_out(client, plan_move(client, found, enable=False), enable=False)
    assert outcomes(result)[("credential", "runner")] == "not moved"
    assert outcomes(result)[("target group", "One")] == "created"
    assert outcomes(result)[("target group", "Servers")] == "not moved"
    assert outcomes(result)[("job", "nightly")] == "not moved"
    assert result.secrets == {}
    assert next(line.reason for line in result.lines if line.name == "runner").endswith(
        "Create it with the role CredentialAdmin, and import again."
    )


def test_an_agent_with_an_identity_takes_no_credential_names(source: Agent, here: Agent) -> None:
    identity = {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}}
    here.client.patch("", {"identity": identity})
    found = read_endpoint(source.client)
    result = moved(here, found)
    assert outcomes(result)[("credential", "runner")] == "stays behind"
    assert outcomes(result)[("job", "nightly")] == "adapted"
    assert {step.credential_name for job in here.holds().jobs for step in job.steps} == {None}
    assert plan_move(here.client, found, enable=False).is_empty
    # And back: an agent without an identity cannot hold what names no credential.
    with pytest.raises(UsageError, match="is the source and the agent"):
        _refuse(here, here)
    elsewhere = plan_move(source.client, replace(read_endpoint(here.client), credentials=()), enable=False)
    reasons = [finding.reason for finding in elsewhere.findings if finding.outcome is Outcome.NOT_MOVED]
    assert any("names no credential, and this agent has no identity" in reason for reason in reasons)


def _refuse(here: Agent, other: Agent) -> None:
    result = here.run("import", "--from-endpoint", other.server.url, ELASTIC_JOBS_SOURCE_TOKEN="x")
    assert result.exit_code == 2
    raise UsageError(result.stderr)


class _Bearer(SansIOHTTPPolicy[Any, Any]):
    def on_request(self, request: PipelineRequest[Any]) -> None:
        request.http_request.headers["Authorization"] = f"Bearer {token('Reader')}"


class _Credential:
    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        raise AssertionError(f"A token was asked for: {scopes} {kwargs}")


def _sdk(url: str) -> Any:
    def make(subscription: str) -> AbstractContextManager[Any]:
        return SqlManagementClient(
            _Credential(), subscription, base_url=url, authentication_policy=_Bearer(), retry_total=0
        )

    return make


def test_from_azure_through_its_own_sdk_twice(source: Agent, here: Agent) -> None:
    found = read_azure(AzureAgent.parse(AGENT), _sdk(source.server.url))
    assert found.definitions == sample()
    assert {credential.username for credential in found.credentials} == {"runner", "refresh"}
    first = moved(here, found)
    assert first.is_whole
    assert first.secrets == {"refresh": "refresh", "runner": "runner"}
    assert here.holds() == switched_off(sample())
    assert plan_move(here.client, read_azure(AzureAgent.parse(AGENT), _sdk(source.server.url)), enable=False).is_empty


def test_azure_that_refuses_is_told_in_a_sentence(source: Agent) -> None:
    with pytest.raises(SourceError, match="The agent 'gone' on server 'server' in Azure cannot be read"):
        read_azure(AzureAgent.parse(AGENT.replace("agent1", "gone")), _sdk(source.server.url))
    with pytest.raises(SourceError, match="Azure cannot be asked"):
        read_azure(AzureAgent.parse(AGENT), _sdk("http://127.0.0.1:1"))
    with pytest.raises(UsageError, match="is no resource id of a job agent"):
        AzureAgent.parse("/subscriptions/x")


@pytest.fixture
def job_database(source: Agent, tmp_path: Path) -> str:
    """The source's job database with its views, as an upgrade makes it."""
    file = tmp_path / "of agent #1" / "jobs.db"
    file.parent.mkdir()
    with (
        closing(sqlite3.connect(str(source.server.database.engine.url.database))) as own,
        closing(sqlite3.connect(file)) as copy,
    ):
        own.backup(copy)
    database = JobDatabase(f"sqlite:///{file}")
    with database.write() as connection:
        install.install(connection)
    database.dispose()
    return f"sqlite:///{file}"


def test_from_a_job_database_twice(job_database: str, here: Agent) -> None:
    first = here.run("import", "--from-job-database", job_database, "--yes", "-o", "json")
    assert first.exit_code == 0, first.output
    assert here.holds() == switched_off(sample())
    assert [each["username"] for each in json.loads(first.stdout)["secretsToSet"]] == [None, None]
    before = Path(job_database.removeprefix("sqlite:///")).read_bytes()
    second = here.run("import", "--from-job-database", job_database, "--yes", "-o", "json")
    assert {row["outcome"] for row in json.loads(second.stdout)["results"]} == {"unchanged", "stays behind"}
    assert plan_move(here.client, read_job_database(parse_place(job_database), None), enable=False).is_empty
    assert Path(job_database.removeprefix("sqlite:///")).read_bytes() == before, "the source is only read"


def test_a_dry_run_changes_nothing(job_database: str, here: Agent) -> None:
    shown = here.run("import", "--from-job-database", job_database, "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "+ credential runner" in shown.stdout
    assert "+ job nightly" in shown.stdout
    assert here.holds() == Definitions()
    assert here.run("import", "--from-job-database", job_database).exit_code == 2, "nobody can be asked"
    assert here.holds() == Definitions()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("mssql+pyodbc://u:secret@server/jobs", "password must not stand in the command"),
        ("Driver={x};Server=y;Uid=u;Pwd=secret", "password must not stand in the command"),
        ("sqlite:////nowhere/jobs.db", "There is no file /nowhere/jobs.db"),
        ("postgresql://server/jobs", "is on SQL Server, Azure SQL or SQLite"),
        ("jobs.db", "must be a URL"),
    ],
)
def test_a_job_database_that_cannot_be_meant(here: Agent, given: str, reason: str) -> None:
    result = here.run("import", "--from-job-database", given)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert "secret@" not in result.stderr


def test_a_file_that_is_no_job_database(here: Agent, tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database at all, but long enough to be looked at" * 50)
    result = here.run("import", "--from-job-database", f"sqlite:///{tmp_path}/x.db")
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("given", ["mssql+pyodbc://reader@127.0.0.1:1/jobs", "Driver={none};Server=127.0.0.1,1;Uid=u"])
def test_a_server_that_does_not_answer_and_a_password_that_stays_secret(here: Agent, given: str) -> None:
    assert here.run("import", "--from-job-database", given).exit_code == 2, "nobody can be asked for the password"
    result = here.run("import", "--from-job-database", given, ELASTIC_JOBS_SOURCE_PASSWORD="h1dden;}Pa55")
    assert result.exit_code == 1
    assert "cannot be" in result.stderr
    assert "h1dden" not in result.output


def test_the_extra_that_is_not_installed(here: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.mgmt.sql", None)
    result = here.run("import", "--from-azure", AGENT)
    assert result.exit_code == 2
    assert "install it with: pip install 'elastic-jobs[azure-import]'" in result.stderr


def test_a_source_needs_a_way_to_sign_in_and_there_is_one_source(here: Agent) -> None:
    assert here.run("import", "--from-endpoint", "https://x.example").exit_code == 4
    assert here.run("import").exit_code == 2
    assert here.run("import", "--from-azure", "x", "--from-context", "y").exit_code == 2
    with Client(here.server.url, lambda: token(*ALL_ROLES, exp=1)) as client, pytest.raises(NoAccess):
        read_endpoint(client)

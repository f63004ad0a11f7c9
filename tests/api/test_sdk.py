"""Every method of the implemented groups through the stock azure-mgmt-sql SDK."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.sql import SqlManagementClient, models

from elastic_jobs.domain.lifecycle import Lifecycle
from tests.api.support import AGENT, ALL_ROLES, DATABASE_ID, SUBSCRIPTION, Server, finish, token

m: Any = models  # its annotations know nothing of the flattened properties that it takes and gives
AT = ("group", "server", "agent1")


class _Bearer(SansIOHTTPPolicy[Any, Any]):
    """Sets the token; the SDK's own policy refuses http."""

    def __init__(self, value: str) -> None:
        self._value = value

    def on_request(self, request: PipelineRequest[Any]) -> None:
        request.http_request.headers["Authorization"] = f"Bearer {self._value}"


class _Credential:
    """The SDK insists on one, and asks it for nothing when it has an authentication policy."""

    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        raise AssertionError(f"A token was asked for: {scopes} {kwargs}")


@pytest.fixture
def sdk(server: Server) -> Iterator[Any]:
    with SqlManagementClient(
        _Credential(),
        SUBSCRIPTION,
        base_url=server.url,
        authentication_policy=_Bearer(token(*ALL_ROLES)),
        polling_interval=0,
        retry_total=0,
    ) as client:
        yield client


@pytest.fixture
def ready(sdk: Any) -> Any:
    """With agent, credentials, group, job and step."""
    agent = m.JobAgent(location="westeurope", database_id=DATABASE_ID)
    sdk.job_agents.begin_create_or_update(*AT, agent).result()
    for name in ("runner", "refresher"):
        sdk.job_credentials.create_or_update(*AT, name, m.JobCredential(username="u", password="p4ssword"))
    members = [
        m.JobTarget(type="SqlServer", server_name="server1", refresh_credential=f"{AGENT}/credentials/refresher")
    ]
    sdk.job_target_groups.create_or_update(*AT, "group1", m.JobTargetGroup(members=members))
    sdk.jobs.create_or_update(*AT, "job1", m.Job())
    sdk.job_steps.create_or_update(*AT, "job1", "step1", _step())
    return sdk


def code_of(raised: pytest.ExceptionInfo[HttpResponseError]) -> str | None:
    error = raised.value.error
    return None if error is None else error.code


def _step(**changed: Any) -> Any:
    values: dict[str, Any] = {
        "target_group": f"{AGENT}/targetGroups/group1",
        "credential": f"{AGENT}/credentials/runner",
        "action": m.JobStepAction(value="SELECT 1"),
    }
    return m.JobStep(**values | changed)


def test_agents(sdk: Any) -> None:
    assert list(sdk.job_agents.list_by_server("group", "server")) == []
    with pytest.raises(ResourceNotFoundError) as missing:
        sdk.job_agents.get(*AT)
    assert code_of(missing) == "JobAgentNotFound"
    wanted = m.JobAgent(location="westeurope", database_id=DATABASE_ID, sku=m.Sku(name="JA200"), tags={"a": "b"})
    agent = sdk.job_agents.begin_create_or_update(*AT, wanted).result()
    assert (agent.id, agent.name, agent.type) == (AGENT, "agent1", "Microsoft.Sql/servers/jobAgents")
    assert (agent.state, agent.sku.name, agent.sku.capacity, agent.database_id) == ("Ready", "JA200", 200, DATABASE_ID)
    provider = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.ManagedIdentity"
    identity_id = f"{provider}/userAssignedIdentities/identity1"
    update = m.JobAgentUpdate(
        tags={"c": "d"},
        sku=m.Sku(name="JA400"),
        identity=m.JobAgentIdentity(
            type="UserAssigned", user_assigned_identities={identity_id: m.JobAgentUserAssignedIdentity()}
        ),
    )
    agent = sdk.job_agents.begin_update(*AT, update).result()
    assert (agent.tags, agent.sku.capacity, agent.identity.type) == ({"c": "d"}, 400, "UserAssigned")
    assert list(agent.identity.user_assigned_identities) == [identity_id]
    again = sdk.job_agents.begin_create_or_update(
        *AT, m.JobAgent(location="West Europe", database_id=DATABASE_ID)
    ).result()
    assert (again.sku.capacity, again.identity.type, again.tags) == (400, "UserAssigned", {})
    none = sdk.job_agents.begin_update(*AT, m.JobAgentUpdate(identity=m.JobAgentIdentity(type="None"))).result()
    assert none.identity is None
    assert [a.name for a in sdk.job_agents.list_by_server("group", "server")] == ["agent1"]
    with pytest.raises(HttpResponseError) as second:
        sdk.job_agents.begin_create_or_update("group", "server", "agent2", wanted).result()
    assert (second.value.status_code, code_of(second)) == (400, "JobAgentDatabaseAlreadyLinked")
    sdk.job_agents.begin_delete(*AT).result()
    sdk.job_agents.begin_delete(*AT).result()
    assert list(sdk.job_agents.list_by_server("group", "server")) == []


def test_private_endpoints(ready: Any) -> None:
    assert list(ready.job_private_endpoints.list_by_agent(*AT)) == []
    server = f"/subscriptions/{uuid4()}/resourceGroups/other/providers/Microsoft.Sql/servers/far"
    wanted = m.JobPrivateEndpoint(target_server_azure_resource_id=server)
    made = ready.job_private_endpoints.begin_create_or_update(*AT, "pe1", wanted).result()
    assert (made.id, made.type) == (
        f"{AGENT}/privateEndpoints/pe1",
        "Microsoft.Sql/servers/jobAgents/privateEndpoints",
    )
    assert made.target_server_azure_resource_id == server
    assert made.private_endpoint_id.startswith("EJ_")
    assert made.private_endpoint_id.endswith("_pe1")
    again = ready.job_private_endpoints.begin_create_or_update(*AT, "PE1", wanted).result()
    assert (again.name, again.private_endpoint_id) == ("pe1", made.private_endpoint_id)
    assert ready.job_private_endpoints.get(*AT, "pe1").private_endpoint_id == made.private_endpoint_id
    assert [found.name for found in ready.job_private_endpoints.list_by_agent(*AT)] == ["pe1"]
    other = m.JobPrivateEndpoint(target_server_azure_resource_id=server + "2")
    with pytest.raises(HttpResponseError) as changed:
        ready.job_private_endpoints.begin_create_or_update(*AT, "pe1", other).result()
    assert (changed.value.status_code, code_of(changed)) == (400, "PropertyChangeUnsupported")
    ready.job_private_endpoints.begin_delete(*AT, "pe1").result()
    ready.job_private_endpoints.begin_delete(*AT, "pe1").result()
    with pytest.raises(ResourceNotFoundError):
        ready.job_private_endpoints.get(*AT, "pe1")


def test_system_data_says_who_and_when(ready: Any) -> None:
    ready.jobs.create_or_update(*AT, "job1", m.Job(description="changed"))
    job = ready.jobs.get(*AT, "job1")
    assert (job.system_data.created_by, job.system_data.last_modified_by) == ("alice", "alice")
    assert job.system_data.created_at < job.system_data.last_modified_at
    made = [
        ready.job_agents.get(*AT),
        ready.job_credentials.get(*AT, "runner"),
        ready.job_target_groups.get(*AT, "group1"),
        ready.job_steps.get(*AT, "job1", "step1"),
        *ready.jobs.list_by_agent(*AT),
        *ready.job_credentials.list_by_agent(*AT),
        *ready.job_target_groups.list_by_agent(*AT),
        *ready.job_steps.list_by_job(*AT, "job1"),
        *ready.job_agents.list_by_server("group", "server"),
    ]
    assert {found.system_data.created_by for found in made} == {"alice"}


def test_provider_and_capabilities(sdk: Any) -> None:
    names = {operation.name for operation in sdk.operations.list()}
    assert "Microsoft.Sql/servers/jobAgents/jobs/write" in names
    found = sdk.capabilities.list_by_location("West Europe", include="supportedJobAgentVersions")
    ((version,), status) = (found.supported_job_agent_versions, found.status)
    objectives = version.supported_editions[0].supported_service_level_objectives
    assert (status, [each.name for each in objectives]) == ("Available", ["JA100", "JA200", "JA400", "JA800"])
    assert [each.sku.capacity for each in objectives] == [100, 200, 400, 800]
    elsewhere = sdk.capabilities.list_by_location("eastus")
    assert (elsewhere.status, elsewhere.supported_job_agent_versions) == ("Disabled", [])
    assert "westeurope" in elsewhere.reason


def test_credentials(ready: Any) -> None:
    made = ready.job_credentials.create_or_update(*AT, "c1", m.JobCredential(username="u1", password="p4ssword"))
    assert (made.id, made.username, made.password) == (f"{AGENT}/credentials/c1", "u1", None)
    ready.job_credentials.create_or_update(*AT, "C1", m.JobCredential(username="u2", password="p4ssword"))
    assert ready.job_credentials.get(*AT, "c1").username == "u2"
    assert [c.name for c in ready.job_credentials.list_by_agent(*AT)] == ["c1", "refresher", "runner"]
    ready.job_credentials.delete(*AT, "c1")
    ready.job_credentials.delete(*AT, "c1")
    with pytest.raises(ResourceNotFoundError) as missing:
        ready.job_credentials.get(*AT, "c1")
    assert code_of(missing) == "ResourceNotFound"
    with pytest.raises(HttpResponseError) as used:
        ready.job_credentials.delete(*AT, "runner")
    assert "step 'step1' of job 'job1'" in used.value.message


def test_target_groups(ready: Any) -> None:
    refresh = f"{AGENT}/credentials/refresher"
    members = [
        m.JobTarget(type="SqlServer", server_name="s1", refresh_credential=refresh),
        m.JobTarget(type="SqlElasticPool", server_name="s1", elastic_pool_name="p1", refresh_credential=refresh),
        m.JobTarget(
            type="SqlShardMap", server_name="s1", shard_map_name="m", database_name="d", refresh_credential=refresh
        ),
        m.JobTarget(membership_type="Exclude", type="SqlDatabase", server_name="s1", database_name="d1"),
    ]
    made = ready.job_target_groups.create_or_update(*AT, "all", m.JobTargetGroup(members=members))
    assert made.type == "Microsoft.Sql/servers/jobAgents/targetGroups"
    found = ready.job_target_groups.get(*AT, "ALL")
    assert [(t.membership_type, t.type, t.refresh_credential) for t in found.members] == [
        ("Include", "SqlServer", refresh),
        ("Include", "SqlElasticPool", refresh),
        ("Include", "SqlShardMap", refresh),
        ("Exclude", "SqlDatabase", None),
    ]
    assert [g.name for g in ready.job_target_groups.list_by_agent(*AT)] == ["all", "group1"]
    ready.job_target_groups.delete(*AT, "all")
    ready.job_target_groups.delete(*AT, "all")
    with pytest.raises(HttpResponseError) as used:
        ready.job_target_groups.delete(*AT, "group1")
    assert (used.value.status_code, code_of(used)) == (400, "ElasticJobsOperationFailed")


def test_jobs(ready: Any) -> None:
    plain = ready.jobs.create_or_update(*AT, "plain", m.Job())
    assert (plain.id, plain.type, plain.version) == (f"{AGENT}/jobs/plain", "Microsoft.Sql/servers/jobAgents/jobs", 0)
    assert (plain.description, plain.schedule.type, plain.schedule.enabled) == ("", "Once", False)
    assert (plain.schedule.start_time.year, plain.schedule.interval) == (1, None)
    assert plain.schedule.end_time == datetime(9999, 12, 31, 11, 59, 59, tzinfo=UTC)
    start = datetime(2027, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    schedule = m.JobSchedule(type="Recurring", interval="PT5M", enabled=True, start_time=start)
    ready.jobs.create_or_update(*AT, "plain", m.Job(description="d", schedule=schedule))
    found = ready.jobs.get(*AT, "PLAIN")
    assert (found.description, found.schedule.interval, found.schedule.start_time) == ("d", "PT5M", start)
    assert [j.name for j in ready.jobs.list_by_agent(*AT)] == ["job1", "plain"]
    ready.jobs.delete(*AT, "plain")
    ready.jobs.delete(*AT, "plain")
    with pytest.raises(ResourceNotFoundError):
        ready.jobs.get(*AT, "plain")


def test_what_old_sdks_send_means_the_defaults(ready: Any) -> None:
    schedule = m.JobSchedule(
        type="Once",
        start_time=datetime(1, 1, 2, tzinfo=UTC),
        end_time=datetime(9999, 12, 31, 11, 59, 59, tzinfo=UTC),
    )
    job = ready.jobs.create_or_update(*AT, "old", m.Job(description="", schedule=schedule))
    assert job.schedule.start_time == datetime(1, 1, 1, tzinfo=UTC)


def test_steps_and_versions(ready: Any) -> None:
    output = m.JobStepOutput(
        server_name="server1", database_name="r", table_name="t", credential=f"{AGENT}/credentials/runner"
    )
    options = m.JobStepExecutionOptions(retry_attempts=0)
    first = ready.job_steps.create_or_update(
        *AT, "job1", "first", _step(step_id=1, output=output, execution_options=options)
    )
    assert (first.step_id, first.output.schema_name, first.output.type) == (1, "dbo", "SqlDatabase")
    assert (first.execution_options.retry_attempts, first.execution_options.timeout_seconds) == (0, 43200)
    assert (first.action.type, first.action.source, first.action.value) == ("TSql", "Inline", "SELECT 1")
    assert [(s.step_id, s.name) for s in ready.job_steps.list_by_job(*AT, "job1")] == [(1, "first"), (2, "step1")]
    found = ready.job_steps.get(*AT, "job1", "STEP1")
    assert (found.id, found.output) == (f"{AGENT}/jobs/job1/steps/step1", None)
    assert found.credential == f"{AGENT}/credentials/runner"
    assert [v.name for v in ready.job_versions.list_by_job(*AT, "job1")] == ["0", "1", "2"]
    assert ready.job_versions.get(*AT, "job1", 1).type == "Microsoft.Sql/servers/jobAgents/jobs/versions"
    old = list(ready.job_steps.list_by_version(*AT, "job1", 1))
    assert [(s.id, s.step_id) for s in old] == [(f"{AGENT}/jobs/job1/versions/1/steps/step1", 1)]
    assert ready.job_steps.get_by_version(*AT, "job1", 1, "step1").step_id == 1
    ready.job_steps.delete(*AT, "job1", "first")
    ready.job_steps.delete(*AT, "job1", "first")
    assert ready.jobs.get(*AT, "job1").version == 3
    with pytest.raises(ResourceNotFoundError):
        ready.job_versions.get(*AT, "job1", 9)
    with pytest.raises(ResourceNotFoundError):
        ready.job_steps.get_by_version(*AT, "job1", 3, "first")


def test_executions(ready: Any, server: Server) -> None:
    run = ready.job_executions.begin_create(*AT, "job1").result()
    assert (run.lifecycle, run.provisioning_state, run.current_attempts) == ("Created", "Created", 0)
    assert (run.name, run.job_version, run.last_message) == (run.job_execution_id, 1, "Job execution created.")
    assert run.id == f"{AGENT}/jobs/job1/executions/{run.name}"
    assert run.type == "Microsoft.Sql/servers/jobAgents/jobs/executions"
    chosen = str(uuid4())
    first = ready.job_executions.begin_create_or_update(*AT, "job1", chosen).result()
    again = ready.job_executions.begin_create_or_update(*AT, "job1", chosen).result()
    assert (first.name, again.name) == (chosen, chosen)
    targets = finish(server.database, UUID(run.name), Lifecycle.FAILED, databases=3)
    assert ready.job_executions.cancel(*AT, "job1", chosen) is None
    assert ready.job_executions.cancel(*AT, "job1", run.name) is None
    done = ready.job_executions.get(*AT, "job1", run.name)
    assert (done.lifecycle, done.provisioning_state, done.end_time is None) == ("Failed", "Failed", False)
    assert [e.name for e in ready.job_executions.list_by_job(*AT, "job1")] == [chosen, run.name]
    by_agent = list(ready.job_executions.list_by_agent(*AT, is_active=False))
    assert [e.id for e in by_agent] == [f"{AGENT}/jobs/job1/executions/{run.name}"]
    (step,) = ready.job_step_executions.list_by_job_execution(*AT, "job1", run.name)
    assert (step.name, step.step_id, step.job_execution_id, step.target) == ("step1", 1, run.name, None)
    assert ready.job_step_executions.get(*AT, "job1", run.name, "step1").lifecycle == "Failed"
    listed = list(ready.job_target_executions.list_by_job_execution(*AT, "job1", run.name))
    by_step = list(ready.job_target_executions.list_by_step(*AT, "job1", run.name, "step1", top=2))
    assert ({t.name for t in listed}, len(by_step)) == ({str(t) for t in targets}, 2)
    target = ready.job_target_executions.get(*AT, "job1", run.name, "step1", str(targets[0]))
    assert (target.target.type, target.target.server_name, target.target.database_name) == (
        "SqlDatabase",
        "server1",
        "database1",
    )
    assert target.id == f"{AGENT}/jobs/job1/executions/{run.name}/steps/step1/targets/{target.name}"
    assert (target.step_id, target.step_name, target.current_attempts) == (1, "step1", 1)


def test_a_put_of_a_failed_execution_does_not_raise_in_the_poller(ready: Any, server: Server) -> None:
    chosen = str(uuid4())
    ready.job_executions.begin_create_or_update(*AT, "job1", chosen).result()
    finish(server.database, UUID(chosen), Lifecycle.FAILED)
    assert ready.job_executions.begin_create_or_update(*AT, "job1", chosen).result().lifecycle == "Failed"


def test_all_filters_and_pages(ready: Any, server: Server) -> None:
    runs = [ready.job_executions.begin_create(*AT, "job1").result() for _ in range(5)]
    finish(server.database, UUID(runs[0].name), Lifecycle.SUCCEEDED, databases=230)
    newest_first = [run.name for run in reversed(runs)]
    listing = ready.job_executions.list_by_job

    def names(**filters: Any) -> list[str]:
        return [run.name for run in listing(*AT, "job1", **filters)]

    assert names(skip=1, top=3) == newest_first[1:4]
    assert names(top=0) == []
    assert names(is_active=True) == newest_first[:4]
    assert names(is_active=False) == newest_first[4:]
    assert names(create_time_min=runs[1].create_time) == newest_first[:4]
    assert names(create_time_max=runs[1].create_time) == newest_first[4:]
    ended = ready.job_executions.get(*AT, "job1", runs[0].name).end_time
    assert names(end_time_min=ended) == newest_first[4:]
    assert names(end_time_max=ended) == []
    assert names(end_time_max=ended + timedelta(seconds=1)) == newest_first[4:]
    targets = ready.job_target_executions
    pages = [list(page) for page in targets.list_by_job_execution(*AT, "job1", runs[0].name).by_page()]
    assert [len(page) for page in pages] == [100, 100, 30]
    assert len({target.name for page in pages for target in page}) == 230
    bounded = list(targets.list_by_job_execution(*AT, "job1", runs[0].name, is_active=False, skip=10, top=150))
    everything = [target.name for page in pages for target in page]
    assert [target.name for target in bounded] == everything[10:160]
    assert list(targets.list_by_step(*AT, "job1", runs[0].name, "step1", is_active=True)) == []
    assert list(ready.job_step_executions.list_by_job_execution(*AT, "job1", runs[0].name, skip=1)) == []


@pytest.mark.parametrize("name", ["nightly/rebuild", "Aufträge übers Jahr", "a&b=c#d", "x+y"])
def test_names_that_need_encoding(ready: Any, name: str) -> None:
    job = ready.jobs.create_or_update(*AT, name, m.Job())
    assert job.name == name
    ready.job_steps.create_or_update(*AT, name, name, _step())
    run = ready.job_executions.begin_create(*AT, name).result()
    assert ready.job_executions.get(*AT, name, run.name).name == run.name
    assert ready.job_step_executions.get(*AT, name, run.name, name).step_name == name
    assert ready.jobs.get(*AT, name).version == 1
    ready.job_executions.cancel(*AT, name, run.name)


def test_a_start_that_the_sdk_sends_again_starts_once(ready: Any) -> None:
    headers = {"x-ms-client-request-id": str(uuid4())}
    runs = {ready.job_executions.begin_create(*AT, "job1", headers=headers).result().name for _ in range(2)}
    assert len(runs) == 1
    assert len(list(ready.job_executions.list_by_job(*AT, "job1"))) == 1

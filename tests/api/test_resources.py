"""What each resource takes and refuses, beyond what the SDK can send."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import insert

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.jobdb.execution_tables import target_messages
from tests.api.support import AGENT, DATABASE_ID, ROOT, SUBSCRIPTION, VERSION, Server, finish, step_body

IDENTITY = (
    f"/subscriptions/{SUBSCRIPTION}/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"
    "identity-"
)


def put(server: Server, path: str, body: object, prefix: str = AGENT) -> httpx.Response:
    return server.http.put(f"{prefix}{path}", params=VERSION, json=body)


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def agent_body(**changed: Any) -> dict[str, Any]:
    return {"location": "westeurope", "properties": {"databaseId": DATABASE_ID}} | changed


def identity(*names: str, kind: str = "UserAssigned", **more: Any) -> dict[str, Any]:
    return {"identity": {"type": kind, "userAssignedIdentities": {IDENTITY + name: {} for name in names}} | more}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "InvalidResourceRequestBody"),
        (agent_body(location=" "), 400, "InvalidResourceRequestBody"),
        (agent_body(properties={}), 400, "InvalidDatabaseResourceId"),
        (agent_body(properties={"databaseId": "jobs"}), 400, "InvalidDatabaseResourceId"),
        (agent_body(properties={"databaseId": f"{ROOT}/databases/other"}), 400, "DatabaseDoesNotExist"),
        (agent_body(properties={"databaseId": f"{ROOT}/databases/master"}), 400, "CannotUseReservedDatabaseName"),
        (
            agent_body(properties={"databaseId": DATABASE_ID.replace("/server/", "/other/")}),
            400,
            "MismatchingServerNameWithUrl",
        ),
        (
            agent_body(properties={"databaseId": DATABASE_ID.replace("/group/", "/other/")}),
            400,
            "MismatchingResourceGroupNameWithUrl",
        ),
        (
            agent_body(properties={"databaseId": DATABASE_ID.replace(SUBSCRIPTION, str(uuid4()))}),
            400,
            "MismatchingSubscriptionWithUrl",
        ),
        (agent_body(sku={}), 400, "MissingSkuName"),
        (agent_body(sku={"name": "JA1600"}), 400, "ElasticJobAgentEditionUnsupported"),
        (agent_body(sku={"name": "JA200", "capacity": 100}), 400, "SkuMismatchingNameCapacity"),
        (agent_body(tags={str(number): "" for number in range(51)}), 400, "InvalidResourceRequestBody"),
        (agent_body(identity={}), 400, "MissingIdentityType"),
        (agent_body(**identity()), 400, "MissingUserAssignedIdentities"),
        (agent_body(**identity("a", "b")), 400, "MultipleIdentitiesOnJobAgent"),
        (agent_body(**identity("a", kind="SystemAssigned")), 400, "InvalidIdentityType"),
        (agent_body(**identity("a", tenantId=str(uuid4()))), 400, "InvalidIdentityTenantId"),
        (agent_body(**identity("a/b")), 400, "InvalidResourceId"),
        (agent_body(**identity("a.b")), 400, "InvalidResourceId"),
        (
            agent_body(
                identity={"type": "UserAssigned", "userAssignedIdentities": {IDENTITY + "a": {"clientId": "x"}}}
            ),
            400,
            "InvalidResourceRequestBody",
        ),
    ],
)
def test_agents_that_are_refused(server: Server, body: dict[str, Any], status: int, code: str) -> None:
    assert said(put(server, "", body)) == (status, code)
    assert server.http.get("/agent").status_code == 404


def test_changing_an_agent(server: Server) -> None:
    answer = put(server, "", agent_body(sku={"name": "ja800"}, properties={"databaseId": DATABASE_ID.upper()}))
    assert answer.status_code == 202
    assert server.get("")["sku"] == {"name": "JA800", "capacity": 800}
    assert said(put(server, "", agent_body(location="eastus"))) == (404, "PropertyChangeUnsupported")
    client_id = str(uuid4())
    body = {"identity": {"type": "userassigned", "userAssignedIdentities": {IDENTITY + "a": {"clientId": client_id}}}}
    assert server.http.patch(AGENT, params=VERSION, json=body).status_code == 202
    assert server.get("")["identity"] == {
        "type": "UserAssigned",
        "userAssignedIdentities": {IDENTITY + "a": {"clientId": client_id}},
    }
    assert server.http.patch("/agent", json={"tags": None}).json()["identity"]["type"] == "UserAssigned"
    other = AGENT.replace("agent1", "agent2")
    assert said(server.http.patch(other, params=VERSION, json={})) == (404, "JobAgentNotFound")
    assert server.http.delete(other, params=VERSION).status_code == 204
    assert server.http.delete(AGENT, params=VERSION).status_code == 202
    assert server.http.delete(AGENT, params=VERSION).status_code == 204


def test_the_short_prefix_needs_a_name_once(server: Server) -> None:
    assert said(server.http.put("/agent", json={"location": "westeurope"})) == (400, "InvalidResourceRequestBody")
    made = server.http.put("/agent", json={"location": "westeurope", "name": "agent1"})
    assert (made.status_code, made.json()["id"]) == (201, AGENT)
    again = server.http.put("/agent", json={"location": "westeurope", "tags": {"a": "b"}})
    assert (again.status_code, again.json()["tags"]) == (200, {"a": "b"})
    assert server.http.delete("/agent").status_code == 200
    assert server.http.delete("/agent").status_code == 204


def test_an_agent_with_active_executions_is_not_deleted(server: Server) -> None:
    server.ready_job()
    server.http.post("/agent/jobs/job1/start")
    answer = server.http.delete(AGENT, params=VERSION)
    assert said(answer) == (409, "ElasticJobAgentOperationUnavailable")


def test_under_the_short_prefix_plain_names_are_references(server: Server) -> None:
    server.ready_job()
    members = [{"type": "sqlserver", "serverName": "server1", "refreshCredential": "runner"}]
    group = server.http.put("/agent/targetGroups/group1", json={"properties": {"members": members}})
    assert group.json()["properties"]["members"][0]["refreshCredential"] == f"{AGENT}/credentials/runner"
    body = {"properties": {"targetGroup": "group1", "credential": "RUNNER", "action": {"value": "SELECT 1"}}}
    step = server.http.put("/agent/jobs/job1/steps/step1", json=body)
    assert step.json()["properties"]["credential"] == f"{AGENT}/credentials/runner"
    assert said(put(server, "/jobs/job1/steps/step1", body)) == (400, "InvalidResourceId")


def output(**changed: Any) -> dict[str, Any]:
    base = {"serverName": "s", "databaseName": "d", "tableName": "t", "credential": f"{AGENT}/credentials/runner"}
    return {"output": base | changed}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"targetGroup": f"{AGENT}/targetGroups/ghost"}, "ElasticJobsOperationFailed"),
        ({"targetGroup": f"{AGENT}/credentials/runner"}, "InvalidResourceId"),
        ({"targetGroup": f"{AGENT}/targetGroups/"}, "InvalidResourceId"),
        ({"targetGroup": f"{AGENT}/targetGroups/group1/x"}, "InvalidResourceId"),
        ({"targetGroup": None}, "InvalidResourceRequestBody"),
        ({"credential": f"{AGENT}/credentials/ghost"}, "ElasticJobsOperationFailed"),
        ({"credential": None}, "ElasticJobsOperationFailed"),
        ({"credential": f"{AGENT}/credentials/runner".replace("agent1", "a2")}, "MismatchingJobAccountNameWithUrl"),
        ({"credential": f"{AGENT}/credentials/runner".replace("/server/", "/s2/")}, "MismatchingServerNameWithUrl"),
        ({"action": {}}, "InvalidResourceRequestBody"),
        ({"action": {"value": " "}}, "InvalidResourceRequestBody"),
        ({"action": {"value": "x", "type": "Cmd"}}, "InvalidResourceRequestBody"),
        ({"action": {"value": "x", "source": "File"}}, "InvalidResourceRequestBody"),
        ({"stepId": 3}, "InvalidResourceRequestBody"),
        ({"stepId": "one"}, "InvalidResourceRequestBody"),
        ({"maxParallelism": 0}, "InvalidResourceRequestBody"),
        ({"executionOptions": {"timeoutSeconds": 0}}, "InvalidResourceRequestBody"),
        ({"executionOptions": {"retryAttempts": 2**31}}, "InvalidResourceRequestBody"),
        ({"executionOptions": {"retryIntervalBackoffMultiplier": 0}}, "InvalidResourceRequestBody"),
        (output(type="File"), "InvalidResourceRequestBody"),
        (output(tableName=None), "InvalidResourceRequestBody"),
        (output(subscriptionId="x"), "InvalidResourceRequestBody"),
        (output(credential=None), "ElasticJobsOperationFailed"),
        (output(serverName="evil.example.com"), "ElasticJobsOperationFailed"),
    ],
)
def test_steps_that_are_refused(server: Server, changed: dict[str, Any], code: str) -> None:
    server.ready_job()
    assert said(put(server, "/jobs/job1/steps/step2", step_body(**changed))) == (400, code)
    assert server.get("/jobs/job1")["properties"]["version"] == 1


def test_a_step_of_a_job_that_is_not_there(server: Server) -> None:
    server.ready_job()
    assert said(put(server, "/jobs/ghost/steps/s", step_body())) == (404, "ResourceNotFound")
    assert said(server.http.delete("/agent/jobs/ghost/steps/s")) == (404, "ResourceNotFound")


def test_parallelism_is_kept_by_clients_that_do_not_know_it(server: Server) -> None:
    server.ready_job()
    step = "/jobs/job1/steps/step1"
    assert put(server, step, step_body(maxParallelism=7)).json()["properties"]["maxParallelism"] == 7
    assert put(server, step, step_body()).json()["properties"]["maxParallelism"] == 7
    assert "maxParallelism" not in put(server, step, step_body(maxParallelism=-1)).json()["properties"]


def test_null_means_absent_and_the_unknown_is_ignored(server: Server) -> None:
    server.ready_job()
    body: dict[str, Any] = {
        "properties": {"description": None, "schedule": None, "surprise": 1},
        "tags": None,
        "more": [],
    }
    job = put(server, "/jobs/job1", body).json()
    assert job["properties"]["schedule"] == {
        "startTime": "0001-01-01T00:00:00Z",
        "endTime": "9999-12-31T11:59:59Z",
        "type": "Once",
        "enabled": False,
    }
    step = put(server, "/jobs/job1/steps/step1", step_body(output=None, stepId=None, executionOptions={}))
    assert step.json()["properties"] == {
        "stepId": 1,
        "targetGroup": f"{AGENT}/targetGroups/group1",
        "credential": f"{AGENT}/credentials/runner",
        "action": {"type": "TSql", "source": "Inline", "value": "SELECT 1"},
        "executionOptions": {
            "timeoutSeconds": 43200,
            "retryAttempts": 10,
            "initialRetryIntervalSeconds": 1,
            "maximumRetryIntervalSeconds": 120,
            "retryIntervalBackoffMultiplier": 2.0,
        },
    }


@pytest.mark.parametrize(
    ("schedule", "code"),
    [
        ({"type": "Recurring"}, "InvalidResourceRequestBody"),
        ({"type": "Recurring", "interval": "PT30S"}, "InvalidDuration"),
        ({"type": "Recurring", "interval": "5 minutes"}, "InvalidDuration"),
        ({"type": "Recurring", "interval": "P101Y"}, "InvalidDuration"),
        ({"type": "Sometimes"}, "InvalidResourceRequestBody"),
        ({"startTime": "soon"}, "InvalidResourceRequestBody"),
        ({"startTime": "2026-01-02T00:00:00Z", "endTime": "2026-01-01T00:00:00Z"}, "InvalidResourceRequestBody"),
    ],
)
def test_schedules_that_are_refused(server: Server, schedule: dict[str, Any], code: str) -> None:
    server.agent()
    assert said(put(server, "/jobs/j", {"properties": {"schedule": schedule}})) == (400, code)


@pytest.mark.parametrize("name", ["50%25", "a" * 129, "a%0Ab", "%20a"])
def test_names_that_are_refused(server: Server, name: str) -> None:
    server.agent()
    assert said(put(server, f"/jobs/{name}", {})) == (400, "InvalidResourceRequestBody")


@pytest.mark.parametrize(
    ("member", "code"),
    [
        ({"type": "SqlDatabase", "serverName": "s"}, "InvalidResourceRequestBody"),
        ({"type": "TargetGroup", "serverName": "s"}, "InvalidResourceRequestBody"),
        ({"type": "Table", "serverName": "s"}, "InvalidResourceRequestBody"),
        ({"serverName": "s"}, "InvalidResourceRequestBody"),
        ({"type": "SqlServer", "serverName": "s"}, "ElasticJobsOperationFailed"),
        ({"type": "SqlServer", "serverName": "s", "refreshCredential": "runner"}, "InvalidResourceId"),
        ({"type": "SqlDatabase", "serverName": "evil.example.com", "databaseName": "d"}, "ElasticJobsOperationFailed"),
        ({"type": "SqlDatabase", "serverName": "not a host", "databaseName": "d"}, "ElasticJobsOperationFailed"),
    ],
)
def test_members_that_are_refused(server: Server, member: dict[str, Any], code: str) -> None:
    server.ready_job()
    assert said(put(server, "/targetGroups/g", {"properties": {"members": [member]}})) == (400, code)


def test_deleting_a_running_job(server: Server) -> None:
    job_id = server.ready_job()
    run = server.http.post("/agent/jobs/job1/start").json()
    answer = server.http.delete(job_id, params=VERSION)
    assert said(answer) == (400, "ElasticJobsOperationFailed")
    assert server.control.deleted == []
    assert server.http.delete(job_id, params=VERSION | {"force": "true"}).status_code == 200
    assert len(server.control.deleted) == 1
    assert server.http.delete(job_id, params=VERSION).status_code == 204
    assert server.http.get(run["id"], params=VERSION).status_code == 404
    assert server.get("/executions") == {"value": []}
    assert put(server, "/jobs/job1", {}).status_code == 201


def test_starting_what_cannot_be_started(server: Server) -> None:
    server.ready_job()
    put(server, "/jobs/empty", {})
    assert said(server.http.post("/agent/jobs/empty/start")) == (400, "ElasticJobsOperationFailed")
    assert said(server.http.post("/agent/jobs/ghost/start")) == (404, "ResourceNotFound")
    assert said(server.http.put("/agent/jobs/job1/executions/no-guid")) == (400, "InvalidParameterValue")
    chosen = uuid4()
    first = server.http.put(f"/agent/jobs/job1/executions/{chosen}")
    again = server.http.put(f"/agent/jobs/job1/executions/{chosen}")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.headers["Location"] == again.headers["Location"]
    put(server, "/jobs/other", {})
    put(server, "/jobs/other/steps/s", step_body())
    stolen = server.http.put(f"/agent/jobs/other/executions/{chosen}")
    assert said(stolen) == (400, "ElasticJobsOperationFailed")
    assert said(server.http.post(f"/agent/jobs/other/executions/{chosen}/cancel")) == (404, "ResourceNotFound")


def test_a_repeated_start_is_known_by_its_request_id_also_a_long_one(server: Server) -> None:
    server.ready_job()
    for request_id in ("short", "long" * 50):
        headers = {"x-ms-client-request-id": request_id}
        runs = {server.http.post("/agent/jobs/job1/start", headers=headers).json()["name"] for _ in range(2)}
        assert len(runs) == 1
    assert len(server.get("/executions")["value"]) == 2


def test_cancel_answers_200_and_nothing(server: Server) -> None:
    server.ready_job()
    run = server.http.post("/agent/jobs/job1/start").json()["name"]
    for _ in range(2):
        answer = server.http.post(f"/agent/jobs/job1/executions/{run}/cancel")
        assert (answer.status_code, answer.content) == (200, b"")


def test_messages_and_progress(server: Server) -> None:
    server.ready_job()
    run = UUID(server.http.post("/agent/jobs/job1/start").json()["name"])
    (first, *_) = finish(server.database, run, Lifecycle.SUCCEEDED, databases=3)
    with server.database.write() as connection:
        said_later = {"target_execution_id": first, "attempt": 2, "batch": 1, "kind": "message"}
        connection.execute(
            insert(target_messages), [said_later | {"ordinal": number, "text": "x"} for number in range(1, 102)]
        )
    path = f"/jobs/job1/executions/{run}/steps/step1/targets/{first}/messages"
    page = server.get(path)
    assert page["value"][:2] == [
        {"attempt": 1, "ordinal": 1, "batch": 1, "kind": "message", "text": "hi"},
        {"attempt": 1, "ordinal": 2, "batch": 1, "kind": "rowcount", "rowCount": 3},
    ]
    rest = server.http.get(page["nextLink"]).json()
    assert [message["ordinal"] for message in rest["value"]] == [99, 100, 101]
    assert "nextLink" not in rest
    for token in ("eA", "MXx4"):
        answer = server.http.get(f"/agent{path}", params={"$skiptoken": token})
        assert said(answer) == (400, "InvalidParameterValue")
    assert server.get(f"/jobs/job1/executions/{run}/progress")["value"] == [
        {"stepId": 1, "stepName": "step1", "lifecycle": "Succeeded", "targets": {"Succeeded": 3}}
    ]
    ghost = path.replace(str(first), str(uuid4()))
    assert said(server.http.get(f"/agent{ghost}")) == (404, "ResourceNotFound")


def test_executions_of_a_renamed_or_recreated_job(server: Server) -> None:
    server.ready_job()
    run = server.http.post("/agent/jobs/job1/start").json()["name"]
    finish(server.database, UUID(run), Lifecycle.SUCCEEDED)
    assert server.http.delete("/agent/jobs/job1").status_code == 200
    put(server, "/jobs/job1", {})
    assert server.get("/jobs/job1/executions") == {"value": []}
    assert said(server.http.get(f"/agent/jobs/job1/executions/{run}")) == (404, "ResourceNotFound")


def test_changes_at_once_come_one_by_one(server: Server) -> None:
    server.ready_job()

    def change(number: int) -> int:
        return put(server, f"/jobs/job1/steps/s{number % 4}", step_body()).status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(change, range(24)))
    assert (statuses.count(201), statuses.count(200)) == (4, 20)
    assert server.get("/jobs/job1")["properties"]["version"] == 25
    listed = server.get("/jobs/job1/steps")["value"]
    assert [step["properties"]["stepId"] for step in listed] == [1, 2, 3, 4, 5]

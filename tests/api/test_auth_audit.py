"""The audit trail: an entry for each change and each manual run, and how it is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from elastic_jobs.jobdb.definitions import audit
from tests.api.support import AGENT, KEY, VERSION, Server, step_body, token


def entries(server: Server, **params: str) -> list[dict[str, Any]]:
    answer = server.http.get("/agent/audit", params=params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["value"]
    return found


def test_changes_and_commands_are_in_the_audit_trail_without_secrets(server: Server) -> None:
    server.ready_job()
    server.put("/jobs/job1/steps/step1", step_body(action={"value": "SELECT 2"}))
    server.put("/credentials/runner", {"properties": {"username": "u2", "password": "0therPa55word"}})
    run = server.http.post(f"{AGENT}/jobs/job1/start", params=VERSION).json()["name"]
    server.http.post(f"{AGENT}/jobs/job1/executions/{run}/cancel", params=VERSION)
    found = entries(server)
    assert [entry["action"] for entry in reversed(found)] == [
        "create agent",
        "create credential",
        "create target group",
        "create job",
        "create step",
        "update step",
        "update credential",
        "start job",
        "cancel execution",
    ]
    assert {entry["caller"] for entry in found} == {"alice"}
    assert [entry["id"] for entry in found] == sorted((entry["id"] for entry in found), reverse=True)
    (update,) = (entry for entry in found if entry["action"] == "update credential")
    assert update["before"] != update["after"]
    for secret in ("Pa55word", "0therPa55word", KEY):
        assert secret not in repr(found)


def test_before_and_after(server: Server) -> None:
    server.ready_job()
    server.put("/jobs/job1", {"properties": {"description": "new"}})
    server.http.delete("/agent/jobs/job1")
    deleted, updated = entries(server, resource="jobs/job1")[:2]
    assert (updated["action"], updated["before"]["description"], updated["after"]["description"]) == (
        "update job",
        "",
        "new",
    )
    assert deleted["action"] == "delete job"
    assert deleted["before"]["description"] == "new"
    assert "after" not in deleted


def test_what_changes_nothing_leaves_no_entry(server: Server) -> None:
    server.ready_job()
    before = entries(server)
    assert server.http.put("/agent/jobs/job1", json={"properties": {"schedule": {"type": "Never"}}}).is_error
    assert server.http.delete("/agent/jobs/ghost").status_code == 204
    assert server.http.post("/agent/jobs/ghost/start").status_code == 404
    with server.client("Reader") as reader:
        assert reader.put("/agent/jobs/job1", json={}).status_code == 403
        assert reader.post("/agent/jobs/job1/start").status_code == 403
    assert entries(server) == before


def test_a_repeated_start_is_one_entry(server: Server) -> None:
    server.ready_job()
    for _ in range(3):
        server.http.post("/agent/jobs/job1/start", headers={"x-ms-client-request-id": "one"})
    assert len(entries(server, action="start job")) == 1


def test_the_trail_is_for_contributors_only(server: Server) -> None:
    for prefix, params in (("/agent", {}), (AGENT, VERSION)):
        for role, status in (("Reader", 403), ("Operator", 403), ("CredentialAdmin", 403), ("Contributor", 200)):
            with server.client(role) as client:
                assert client.get(f"{prefix}/audit", params=params).status_code == status


def test_filters(server: Server) -> None:
    server.ready_job()
    server.put("/jobs/job10", {})
    bob = {"Authorization": f"Bearer {token('Operator', sub='Bob@contoso.com')}"}
    server.http.post("/agent/jobs/job1/start", headers=bob)
    assert [entry["action"] for entry in entries(server, caller="bob@")] == ["start job"]
    assert entries(server, caller="%") == entries(server, caller="_") == []
    below = {entry["resource"] for entry in entries(server, resource="jobs/job1")}
    assert "jobs/job10" not in below
    assert {"jobs/job1", "jobs/job1/steps/step1"} <= below
    assert entries(server, resource="JOBS/Job1/") == entries(server, resource="jobs/job1")
    assert [entry["action"] for entry in entries(server, action="create job")] == ["create job"] * 2
    later = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    assert entries(server, timeMin=later) == []
    assert entries(server, timeMax=later) == entries(server)
    edges = {"timeMin": "0001-01-01T00:00:00+05:00", "timeMax": "9999-12-31T23:59:59-05:00"}
    assert entries(server, **edges) == entries(server)
    assert entries(server, timeMin="2000-01-01T00:00:00") == entries(server)


@pytest.mark.parametrize("query", [{"$skiptoken": "eA"}, {"timeMin": "yesterday"}])
def test_wrong_parameters(server: Server, query: dict[str, str]) -> None:
    answer = server.http.get("/agent/audit", params=query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidParameterValue")


def test_the_trail_comes_in_pages_and_outlives_the_agent(server: Server) -> None:
    server.agent()
    now = datetime.now(UTC)
    with server.database.write() as connection:
        for number in range(230):
            audit.record(connection, time=now, caller="filler", action="create job", resource=f"jobs/j{number}")
    server.http.delete("/agent")
    found: list[dict[str, Any]] = []
    link, pages = f"{server.url}/agent/audit", 0
    while link:
        page = server.http.get(link).json()
        found += page["value"]
        link, pages = page.get("nextLink"), pages + 1
    assert pages == 3
    assert len({entry["id"] for entry in found}) == len(found) == 232
    assert [found[0]["action"], found[-1]["action"]] == ["delete agent", "create agent"]
    link = server.http.get("/agent/audit", params={"caller": "filler"}).json()["nextLink"]
    rest = server.http.get(link).json()
    assert {entry["caller"] for entry in rest["value"]} == {"filler"}

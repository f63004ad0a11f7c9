"""What the API has beyond Azure's: preview, dry run, rerun, groups of errors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select, update

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.jobdb.execution_tables import target_executions
from elastic_jobs.jobdb.tables import audit_entries
from tests.api.support import AGENT, VERSION, Server, finish


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def times(answer: httpx.Response) -> list[datetime]:
    assert answer.status_code == 200, answer.text
    return [datetime.fromisoformat(time) for time in answer.json()["value"]]


def start(server: Server) -> str:
    found: str = server.http.post("/agent/jobs/job1/start").json()["name"]
    return found


def test_the_preview_of_a_schedule_that_is_saved(server: Server) -> None:
    server.ready_job()
    assert times(server.http.get("/agent/jobs/job1/preview")) == []
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(days=400)
    schedule = {"type": "Recurring", "interval": "P1M", "startTime": soon.isoformat(), "enabled": True}
    server.put("/jobs/job1", {"properties": {"schedule": schedule}})
    found = times(server.http.get(f"{AGENT}/jobs/job1/preview", params=VERSION | {"count": 3}))
    assert (found[0], len(found)) == (soon, 3)
    assert [time.day for time in found] == [soon.day] * 3 or soon.day > 28
    assert len(times(server.http.get("/agent/jobs/job1/preview"))) == 10


def test_the_preview_of_a_schedule_that_is_not_saved(server: Server) -> None:
    server.agent()
    wanted: dict[str, str | int] = {"startTime": "2099-01-31T00:00:00Z", "interval": "P1M", "count": 4}
    found = times(server.http.get("/agent/jobs/not-there/preview", params=wanted))
    assert [(time.month, time.day) for time in found] == [(1, 31), (2, 28), (3, 31), (4, 30)]
    ended = wanted | {"endTime": "2099-03-01T00:00:00Z"}
    assert len(times(server.http.get("/agent/jobs/not-there/preview", params=ended))) == 2
    once: dict[str, str | int] = {"type": "once", "startTime": "2099-01-31T00:00:00Z"}
    assert len(times(server.http.get("/agent/jobs/x/preview", params=once))) == 1


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"count": "0"}, "InvalidParameterValue"),
        ({"count": "1001"}, "InvalidParameterValue"),
        ({"type": "Sometimes"}, "InvalidParameterValue"),
        ({"startTime": "soon"}, "InvalidParameterValue"),
        ({"interval": "PT30S"}, "InvalidDuration"),
        ({"type": "Recurring"}, "InvalidResourceRequestBody"),
        ({"startTime": "2099-01-31T00:00:00Z", "endTime": "2098-01-31T00:00:00Z"}, "InvalidResourceRequestBody"),
    ],
)
def test_previews_that_are_refused(server: Server, query: dict[str, str], code: str) -> None:
    server.ready_job()
    assert said(server.http.get("/agent/jobs/job1/preview", params=query)) == (400, code)


def test_the_preview_of_a_job_that_is_not_there(server: Server) -> None:
    server.agent()
    assert said(server.http.get("/agent/jobs/ghost/preview")) == (404, "ResourceNotFound")


def test_a_dry_run_tells_databases_or_why_not(server: Server) -> None:
    server.ready_job()
    path = "/agent/targetGroups/group1/resolve"
    assert server.http.post(path).json() == {
        "complete": True,
        "targets": [{"serverName": "server1", "databaseName": "database1"}],
        "refused": [],
        "failures": [],
    }
    members = [{"type": "SqlServer", "serverName": "server9", "refreshCredential": f"{AGENT}/credentials/runner"}]
    server.put("/targetGroups/group1", {"properties": {"members": members}})
    answer = server.http.post(f"{AGENT}/targetGroups/group1/resolve", params=VERSION).json()
    assert (answer["complete"], answer["targets"]) == (False, [])
    assert answer["failures"] == [{"what": "server 'server9.database.windows.net'", "error": "It is down."}]
    assert said(server.http.post("/agent/targetGroups/ghost/resolve")) == (404, "ResourceNotFound")


def test_a_rerun_answers_as_a_start_does(server: Server) -> None:
    server.ready_job()
    old = start(server)
    path = f"{AGENT}/jobs/job1/executions/{old}/rerun"
    assert said(server.http.post(path, params=VERSION)) == (400, "ElasticJobsOperationFailed")
    finish(server.database, UUID(old), Lifecycle.FAILED, databases=2)
    sent = {"x-ms-client-request-id": "one"}
    answer = server.http.post(path, params=VERSION, headers=sent)
    assert answer.status_code == 200
    new = answer.json()
    assert (new["properties"]["rerunOf"], new["properties"]["lifecycle"]) == (old, "Created")
    assert new["properties"]["jobVersion"] == 1
    assert server.http.get(answer.headers["Location"]).json() == new
    # Sent again by a client that did not get the answer.
    assert server.http.post(path, params=VERSION, headers=sent).json() == new
    assert said(server.http.post(path, params=VERSION)) == (400, "ElasticJobsOperationFailed")
    assert new["name"] in server.http.post(path, params=VERSION).json()["error"]["message"]
    with server.database.read() as connection:
        actions = connection.execute(select(audit_entries.c.action)).scalars().all()
    assert actions.count("rerun execution") == 1
    # A start with the same request id is another request.
    assert server.http.post("/agent/jobs/job1/start", headers=sent).json()["name"] != new["name"]


def test_one_request_id_for_the_reruns_of_two_runs(server: Server) -> None:
    server.ready_job()
    sent = {"x-ms-client-request-id": "of the whole session"}
    olds = [start(server), start(server)]
    found = {}
    for old in olds:
        finish(server.database, UUID(old), Lifecycle.FAILED)
        answer = server.http.post(f"/agent/jobs/job1/executions/{old}/rerun", headers=sent)
        assert answer.status_code == 200
        found[answer.json()["name"]] = answer.json()["properties"]["rerunOf"]
    assert list(found.values()) == olds


def test_reruns_of_what_is_not_there(server: Server) -> None:
    server.ready_job()
    assert said(server.http.post(f"/agent/jobs/job1/executions/{uuid4()}/rerun")) == (404, "ResourceNotFound")
    assert said(server.http.post("/agent/jobs/job1/executions/x/rerun")) == (404, "ResourceNotFound")


def test_errors_come_in_groups(server: Server) -> None:
    server.ready_job()
    run = start(server)
    path = f"/agent/jobs/job1/executions/{run}/errors"
    assert server.http.get(path).json() == {"value": []}
    targets = finish(server.database, UUID(run), Lifecycle.FAILED, databases=5)
    with server.database.write() as connection:
        for number, target in enumerate(targets):
            message, error = f"Invalid object name 'orders{number}'.", 208
            if number == 4:
                message, error = "Login failed for user 'u'.", 18456
            connection.execute(
                update(target_executions)
                .where(target_executions.c.id == target)
                .values(last_message=message, error_number=error)
            )
    first, second = server.http.get(path).json()["value"]
    assert (first["errorNumber"], first["targets"], first["message"]) == (208, 4, "Invalid object name '...'.")
    assert first["lifecycles"] == {"Failed": 4}
    assert (second["errorNumber"], second["targets"]) == (18456, 1)
    example = second["example"]
    assert (example["serverName"], example["databaseName"]) == ("server1", "database5")
    assert example["message"] == "Login failed for user 'u'."
    assert server.http.get(example["id"], params=VERSION).json()["properties"]["errorNumber"] == 18456


def test_no_errors_where_nothing_failed(server: Server) -> None:
    server.ready_job()
    run = start(server)
    finish(server.database, UUID(run), Lifecycle.SUCCEEDED, databases=2)
    assert server.http.get(f"/agent/jobs/job1/executions/{run}/errors").json() == {"value": []}

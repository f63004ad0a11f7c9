"""The rules that hold for every request: paths, versions, headers, sizes, errors."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from elastic_jobs.api.lazy import lazy_app
from elastic_jobs.api.services import Services
from elastic_jobs.errors import JobDatabaseUnavailableError, SettingsError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.tables import metadata
from tests.api.support import AGENT, ROOT, SUBSCRIPTION, VERSION, Server, running, serving, step_body, token


def error_of(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert list(body) == ["error"]
    assert sorted(body["error"]) == ["code", "message"]
    assert body["error"]["message"]
    return answer.status_code, body["error"]["code"]


def test_fixed_segments_and_names_are_compared_without_case(server: Server) -> None:
    server.ready_job()
    for path in (
        f"{AGENT.upper()}/JOBS/JOB1/STEPS/STEP1",
        f"{AGENT.lower()}/jobs/job1/steps/step1/",
        "/AGENT/Jobs/Job1/Steps/Step1",
        "/agent/jobs/job1/%73teps/step1",
    ):
        answer = server.http.get(path, params=VERSION)
        assert answer.status_code == 200, (path, answer.text)
        assert answer.json()["id"] == f"{AGENT}/jobs/job1/steps/step1"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (AGENT.replace(SUBSCRIPTION, "22222222-2222-3333-4444-555555555555"), "SubscriptionDoesNotHaveServer"),
        (AGENT.replace("/servers/server", "/servers/other"), "SubscriptionDoesNotHaveServer"),
        (AGENT.replace("/resourceGroups/group", "/resourceGroups/other"), "ServerNotInSubscriptionResourceGroup"),
        (AGENT.replace("agent1", "agent2"), "JobAgentNotFound"),
        (AGENT.replace("agent1", "agent2") + "/jobs/job1", "JobAgentNotFound"),
        (f"{AGENT}/jobs/ghost", "ResourceNotFound"),
        (f"{AGENT}/jobs/ghost/executions", "ResourceNotFound"),
        (f"{AGENT}/jobs/job1/steps/ghost", "ResourceNotFound"),
        (f"{AGENT}/jobs/job1/versions/7", "ResourceNotFound"),
        (f"{AGENT}/jobs/job1/versions/x", "ResourceNotFound"),
        (f"{AGENT}/jobs/job1/executions/no-guid", "ResourceNotFound"),
        (f"{AGENT}/privateEndpoints/ghost", "ResourceNotFound"),
        (f"{AGENT}/nonsense", "ResourceNotFound"),
        (f"{ROOT}/jobAccounts/x", "ResourceNotFound"),
    ],
)
def test_what_is_not_there_is_404(server: Server, path: str, code: str) -> None:
    server.ready_job()
    assert error_of(server.http.get(path, params=VERSION)) == (404, code)


def test_messages_of_what_is_not_there_are_azures(server: Server) -> None:
    server.agent()
    answer = server.http.get(f"{AGENT}/jobs/ps2476", params=VERSION)
    assert answer.json()["error"]["message"] == (
        "The requested resource of type 'Microsoft.Sql/servers/jobAgents/jobs' with name 'ps2476' was not found."
    )


def test_the_api_version_is_needed_on_arm_paths_only(server: Server) -> None:
    server.agent()
    assert error_of(server.http.get(AGENT)) == (400, "MissingApiVersionParameter")
    assert error_of(server.http.get(f"{ROOT}/jobAgents")) == (400, "MissingApiVersionParameter")
    for wrong in ("2015-01-01", "latest", "2025-13-01", "2025-01-01-beta"):
        assert error_of(server.http.get(AGENT, params={"api-version": wrong})) == (400, "InvalidApiVersionParameter")
    for right in ("2017-03-01-preview", "2020-11-01-preview", "2025-01-01", "2026-08-01-preview"):
        assert server.http.get(AGENT, params={"api-version": right}).status_code == 200
    assert server.http.get("/agent").json()["id"] == AGENT


def test_all_answers_carry_ids_and_headers(server: Server) -> None:
    sent = {"x-ms-client-request-id": "my-id", "x-ms-correlation-request-id": "their-id"}
    for path in ("/agent", "/health", "/nowhere"):
        answer = server.http.get(path, headers=sent)
        assert len(answer.headers["x-ms-request-id"]) == 36
        assert answer.headers["x-ms-client-request-id"] == "my-id"
        assert answer.headers["x-ms-correlation-request-id"] == "their-id"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


def test_methods_that_a_resource_does_not_have(server: Server) -> None:
    assert error_of(server.http.post("/agent/jobs")) == (405, "HttpMethodNotAllowed")
    assert error_of(server.http.get("/agent/jobs/job1/start")) == (405, "HttpMethodNotAllowed")


def test_bodies_larger_than_a_megabyte_are_refused(server: Server) -> None:
    server.ready_job()
    script = "/" * (1024 * 1024)
    answer = server.http.put("/agent/jobs/job1/steps/step1", json=step_body(action={"value": script}))
    assert error_of(answer) == (413, "RequestEntityTooLarge")

    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * 65536

    assert error_of(server.http.put("/agent/jobs/job1", content=chunks())) == (413, "RequestEntityTooLarge")
    fits = server.http.put("/agent/jobs/job1/steps/step1", json=step_body(action={"value": script[:1_000_000]}))
    assert fits.status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"properties": 1}',
        b"nul",
        b'{"properties": {"description": "\\ud800"}}',
    ],
)
def test_bodies_that_are_no_such_json(server: Server, content: bytes) -> None:
    server.agent()
    answer = server.http.put("/agent/jobs/j", content=content, headers={"Content-Type": "application/json"})
    assert error_of(answer) == (400, "InvalidResourceRequestBody")


def test_a_password_is_not_repeated_in_an_error(server: Server) -> None:
    server.agent()
    for body in (
        {"properties": {"username": ["x"], "password": "Sup3rSecret"}},
        {"properties": {"username": "u", "password": {"v": "Sup3rSecret"}}},
        {"properties": {"username": "u", "password": "Sup3rSecret" * 20}},
    ):
        answer = server.http.put("/agent/credentials/c", json=body)
        assert error_of(answer)[0] == 400
        assert "Sup3rSecret" not in answer.text


@pytest.mark.parametrize(
    "query",
    [
        {"$top": "-1"},
        {"$top": "x"},
        {"$skip": str(2**63)},
        {"isActive": "maybe"},
        {"createTimeMin": "yesterday"},
        {"$skiptoken": "!"},
        {"$skiptoken": "eA"},
    ],
)
def test_wrong_parameters(server: Server, query: dict[str, str]) -> None:
    server.agent()
    assert error_of(server.http.get("/agent/executions", params=query)) == (400, "InvalidParameterValue")


def test_filters_at_the_edges_of_the_calendar(server: Server) -> None:
    server.agent()
    edges = {"createTimeMin": "0001-01-01T00:00:00+02:00", "endTimeMax": "9999-12-31T23:59:59-02:00"}
    assert server.http.get("/agent/executions", params=edges).json() == {"value": []}


def test_next_links_are_absolute_and_keep_the_filters(server: Server) -> None:
    server.ready_job()
    for _ in range(3):
        server.http.post(f"{AGENT}/jobs/job1/start", params=VERSION)
    for number in range(103):
        server.put(f"/credentials/c{number:03}", {"properties": {"username": "u", "password": "Pa55word"}})
    first = server.get("/credentials")
    assert first["nextLink"].startswith(f"{server.url}{AGENT}/credentials?api-version=2025-01-01&%24skiptoken=")
    second = server.http.get(first["nextLink"]).json()
    names = [row["name"] for page in (first, second) for row in page["value"]]
    assert names == [*(f"c{number:03}" for number in range(103)), "runner"]
    assert "nextLink" not in second
    with server.client("Reader") as client:
        forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "jobs.example.com"}
        link = client.get("/agent/credentials", headers=forwarded).json()["nextLink"]
        assert link.startswith("https://jobs.example.com/agent/credentials?%24skiptoken=")
        forged = {"X-Forwarded-Proto": "javascript", "X-Forwarded-Host": 'evil"><x'}
        link = client.get("/agent/credentials", headers=forged).json()["nextLink"]
        assert link.startswith(f"{server.url}/agent/credentials?")


def test_start_answers_200_with_a_location_that_works(server: Server) -> None:
    server.ready_job()
    for prefix, params in ((AGENT, VERSION), ("/agent", {})):
        answer = server.http.post(f"{prefix}/jobs/job1/start", params=params)
        assert answer.status_code == 200
        assert answer.headers["Location"].startswith(f"{server.url}{prefix}/jobs/job1/executions/")
        assert server.http.get(answer.headers["Location"]).json() == answer.json()


def test_health_needs_no_token_and_tells_the_truth(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        answer = httpx.get(f"{server.url}/health")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        metadata.drop_all(server.database.engine)
        answer = httpx.get(f"{server.url}/health")
    assert error_of(answer) == (503, "ServiceUnavailable")
    assert "job database does not answer" in answer.json()["error"]["message"]


def test_an_unexpected_error_tells_an_id_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def seal(self, name: str, password: str) -> bytes:
            raise RuntimeError(f"the innards of {name}, {len(password)} characters")

    with running(tmp_path, wrap=lambda services: replace(services, sealer=Broken())) as server:
        server.agent()
        with caplog.at_level(logging.ERROR):
            answer = server.http.put(
                "/agent/credentials/c", json={"properties": {"username": "u", "password": "Sup3rSecret"}}
            )
        assert error_of(answer) == (500, "InternalServerError")
        request_id = answer.headers["x-ms-request-id"]
        assert request_id in answer.json()["error"]["message"]
        assert "innards" not in answer.text
        assert request_id in caplog.text
        assert "Sup3rSecret" not in caplog.text
        # The transaction is gone with the error, and the server goes on.
        assert server.http.get("/agent/credentials").json() == {"value": []}


def test_an_unreachable_job_database_is_503(tmp_path: Path) -> None:
    class Gone(JobDatabase):
        def read(self) -> Any:
            raise JobDatabaseUnavailableError("The job database does not answer: disk of host x.")

    def without_database(services: Services) -> Services:
        return replace(services, database=Gone(f"sqlite:///{tmp_path}/gone.db"))

    with running(tmp_path, wrap=without_database) as server:
        answer = server.http.get("/agent")
        assert error_of(answer) == (503, "ServiceUnavailable")
        assert answer.headers["Retry-After"] == "5"
        assert "host x" not in answer.text


def test_a_full_job_database_says_so_and_can_be_read(server: Server) -> None:
    server.agent()
    with closing(sqlite3.connect(str(server.database.engine.url.database), isolation_level=None)) as file:
        file.execute("VACUUM")  # what earlier tests left free would be room

    def keep_small(connection: Any, *_: Any) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    event.listen(server.database.engine, "checkout", keep_small)
    body = {"properties": {"description": "x" * 500}}
    answers = (server.http.put(f"/agent/jobs/job{number}", json=body) for number in range(200))
    try:
        refused = next(answer for answer in answers if not answer.is_success)
    finally:
        event.remove(server.database.engine, "checkout", keep_small)
        server.database.engine.dispose()
    assert error_of(refused) == (503, "ServiceUnavailable")
    assert "The job database is full: it can be read" in refused.json()["error"]["message"]
    assert server.http.get("/agent/jobs").json()["value"]


def test_a_lazy_app_answers_503_until_its_settings_are_right(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        states: list[Exception | Services] = [
            SettingsError("CREDENTIAL_KEY is wrong."),
            RuntimeError("odd"),
            server.services,
        ]

        def services() -> Services:
            state = states.pop(0)
            if isinstance(state, Exception):
                raise state
            return state

        with serving(lazy_app(services)) as url:
            assert error_of(httpx.get(f"{url}/health")) == (503, "ServiceUnavailable")
            assert error_of(httpx.get(f"{url}/health")) == (500, "InternalServerError")
            assert httpx.get(f"{url}/health").json() == {"status": "ok"}
            answer = httpx.get(f"{url}/agent", headers={"Authorization": f"Bearer {token('Reader')}"})
            assert error_of(answer) == (404, "JobAgentNotFound")


def test_openapi_describes_both_spellings(server: Server) -> None:
    described = server.http.get("/openapi.json").json()
    paths = set(described["paths"])
    assert "/agent/jobs/{job_name}" in paths
    assert any(path.startswith("/subscriptions/") and path.endswith("/jobs/{job_name}/start") for path in paths)
    operations = [op["operationId"] for methods in described["paths"].values() for op in methods.values()]
    assert len(operations) == len(set(operations))
    assert json.dumps(described)


def test_half_characters_are_refused_wherever_they_stand(server: Server) -> None:
    server.ready_job()
    half = "a\\ud800"
    reference = f"{AGENT}/targetGroups/group1"
    for path, body in (
        ("", f'{{"location": "westeurope", "tags": {{"{half}": "x"}}}}'),
        ("", f'{{"location": "{half}"}}'),
        ("/jobs/job1/steps/s", f'{{"properties": {{"targetGroup": "{reference}", "action": {{"value": "{half}"}}}}}}'),
        ("/credentials/c", f'{{"properties": {{"username": "u", "password": "{half}"}}}}'),
    ):
        answer = server.http.put(f"/agent{path}", content=body)
        assert error_of(answer) == (400, "InvalidResourceRequestBody")

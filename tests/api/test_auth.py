from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import jwt
import pytest
from fastapi.routing import APIRoute

from elastic_jobs.api import agents, credentials, executions, jobs, steps, target_groups
from elastic_jobs.api.app import create_app
from elastic_jobs.api.auth import LocalAuthenticator, authenticator_for
from elastic_jobs.errors import SettingsError
from tests.api.support import AGENT, KEY, VERSION, Server, running, settings, step_body, token

GUID = str(uuid4())
TARGET = f"/jobs/job1/executions/{GUID}/steps/step1/targets"
READS = [
    "",
    "/credentials",
    "/credentials/c",
    "/targetGroups",
    "/targetGroups/g",
    "/jobs",
    "/jobs/job1",
    "/jobs/job1/versions",
    "/jobs/job1/versions/1",
    "/jobs/job1/versions/1/steps",
    "/jobs/job1/versions/1/steps/step1",
    "/jobs/job1/steps",
    "/jobs/job1/steps/step1",
    "/executions",
    "/jobs/job1/executions",
    f"/jobs/job1/executions/{GUID}",
    f"/jobs/job1/executions/{GUID}/progress",
    f"/jobs/job1/executions/{GUID}/steps",
    f"/jobs/job1/executions/{GUID}/steps/step1",
    f"/jobs/job1/executions/{GUID}/targets",
    TARGET,
    f"{TARGET}/{GUID}",
    f"{TARGET}/{GUID}/messages",
]
WRITES = [
    ("PUT", "", "Contributor"),
    ("PATCH", "", "Contributor"),
    ("DELETE", "", "Contributor"),
    ("PUT", "/credentials/c", "CredentialAdmin"),
    ("DELETE", "/credentials/c", "CredentialAdmin"),
    ("PUT", "/targetGroups/g", "Contributor"),
    ("DELETE", "/targetGroups/g", "Contributor"),
    ("PUT", "/jobs/job1", "Contributor"),
    ("DELETE", "/jobs/job1", "Contributor"),
    ("PUT", "/jobs/job1/steps/step1", "Contributor"),
    ("DELETE", "/jobs/job1/steps/step1", "Contributor"),
    ("POST", "/jobs/job1/start", "Operator"),
    ("PUT", f"/jobs/job1/executions/{GUID}", "Operator"),
    ("POST", f"/jobs/job1/executions/{GUID}/cancel", "Operator"),
]
ROLES = ("Reader", "Operator", "Contributor", "CredentialAdmin")


@pytest.mark.parametrize(("method", "path", "needed"), WRITES)
def test_a_change_needs_its_role(server: Server, method: str, path: str, needed: str) -> None:
    for prefix, params in ((AGENT, VERSION), ("/agent", {})):
        for role in ROLES:
            with server.client(role) as client:
                answer = client.request(method, f"{prefix}{path}", params=params, json={})
            if role == needed:
                # Without a body worth the name, or on an empty agent: anything but a refusal of the caller.
                assert answer.status_code in {200, 201, 204, 400, 404}, answer.text
            else:
                assert answer.status_code == 403, answer.text
                assert needed in answer.json()["error"]["message"]
                code = "JobCredentialPermissionError" if needed == "CredentialAdmin" else "AuthorizationFailed"
                assert answer.json()["error"]["code"] == code


@pytest.mark.parametrize("path", READS)
def test_every_role_may_read_and_nobody_without_one(server: Server, path: str) -> None:
    for role in ROLES:
        with server.client(role) as client:
            assert client.get(f"/agent{path}").status_code in {200, 404}
    with server.client("Owner") as client:
        answer = client.get(f"/agent{path}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "AuthorizationFailed")
    assert "Reader" in answer.json()["error"]["message"]


def test_no_route_is_left_without_a_role() -> None:
    routers = (agents, credentials, target_groups, jobs, steps, executions)
    routes = [route for module in routers for route in module.router.routes] + list(agents.server_router.routes)
    tested = len(READS) + len(WRITES) + 1
    assert len(routes) == tested
    for route in routes:
        assert isinstance(route, APIRoute)
        found = [getattr(dependency.dependency, "required_role", None) for dependency in route.dependencies]
        roles = [role for role in found if role is not None]
        assert len(roles) == 1, route.path
        assert (roles[0] == "Reader") == (route.methods == {"GET"}), route.path


EXPIRED = datetime.now(UTC) - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "AuthenticationFailed"),
        ("", "AuthenticationFailed"),
        ("Basic YTpi", "AuthenticationFailed"),
        ("Bearer", "AuthenticationFailed"),
        ("Bearer x", "InvalidAuthenticationToken"),
        ("Bearer a.b.c", "InvalidAuthenticationToken"),
        (f"Bearer {token('Reader', key='x' * 64)}", "InvalidAuthenticationToken"),
        (f"Bearer {token('Reader', algorithm='HS384')}", "InvalidAuthenticationToken"),
        (
            f"Bearer {jwt.encode({'sub': 'a', 'aud': 'elastic-jobs'}, '', algorithm='none')}",
            "InvalidAuthenticationToken",
        ),
        (f"Bearer {token('Reader', exp=EXPIRED)}", "ExpiredAuthenticationToken"),
        (f"Bearer {token('Reader', exp=None)}", "InvalidAuthenticationToken"),
        (f"Bearer {token('Reader', aud='other')}", "InvalidAuthenticationToken"),
        (f"Bearer {token('Reader', aud=None)}", "InvalidAuthenticationToken"),
        (f"Bearer {token('Reader', sub=None)}", "InvalidAuthenticationToken"),
        (f"Bearer {token('Reader', sub=' ')}", "InvalidAuthenticationToken"),
        (f"Bearer {token('Reader', nbf=datetime.now(UTC) + timedelta(hours=1))}", "InvalidAuthenticationToken"),
    ],
)
def test_who_is_not_let_in(server: Server, authorization: str | None, code: str) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    del server.http.headers["Authorization"]
    for path in ("/agent", f"{AGENT}/jobs", "/openapi.json", "/nowhere", "/"):
        answer = server.http.get(path, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="elastic-jobs"')
        assert ('error="invalid_token"' in answer.headers["WWW-Authenticate"]) == (code != "AuthenticationFailed")


@pytest.mark.parametrize("roles", [None, "Reader", {"Reader": 1}, [1, None], ["reader"], []])
def test_a_token_without_known_roles_opens_nothing(server: Server, roles: object) -> None:
    answer = server.http.get("/agent", headers={"Authorization": f"Bearer {token(roles=roles)}"})
    assert answer.status_code == 403


def test_an_unknown_way_of_authentication_does_not_start_open(tmp_path: Path) -> None:
    from dataclasses import replace

    with pytest.raises(SettingsError, match="AUTH_MODE"):
        authenticator_for(replace(settings(), auth_mode="none"))
    with pytest.raises(SettingsError, match="32 characters"):
        LocalAuthenticator("short")
    with running(tmp_path) as server, pytest.raises(SettingsError):
        create_app(replace(server.services, settings=replace(settings(), auth_mode="")))


def test_changes_and_commands_are_in_the_audit_trail_without_secrets(server: Server) -> None:
    from sqlalchemy import select

    from elastic_jobs.jobdb.tables import audit_entries

    server.ready_job()
    server.put("/jobs/job1/steps/step1", step_body(action={"value": "SELECT 2"}))
    run = server.http.post(f"{AGENT}/jobs/job1/start", params=VERSION).json()["name"]
    server.http.post(f"{AGENT}/jobs/job1/executions/{run}/cancel", params=VERSION)
    with server.database.read() as connection:
        entries = connection.execute(select(audit_entries).order_by(audit_entries.c.id)).all()
    assert [entry.action for entry in entries] == [
        "create agent",
        "create credential",
        "create target group",
        "create job",
        "create step",
        "update step",
        "start job",
        "cancel execution",
    ]
    assert {entry.caller for entry in entries} == {"alice"}
    assert "Pa55word" not in repr(entries)
    assert KEY not in repr(entries)

"""Roles and local mode: every operation with every role, and whoever is not let in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx
import jwt
import pytest
from fastapi.routing import iter_route_contexts

from elastic_jobs.api.app import create_app
from elastic_jobs.api.auth import LocalAuthenticator, authenticator_for
from elastic_jobs.api.docs_page import DOCS_PATHS
from elastic_jobs.api.middleware import ANONYMOUS_PATHS
from elastic_jobs.api.services import Services
from elastic_jobs.errors import SettingsError
from tests.api.support import AGENT, SUBSCRIPTION, Server, running, settings, token

ROLES = ("Reader", "Operator", "Contributor", "CredentialAdmin")
DOCUMENTS = {"/openapi.json"}
"""Not made of operations; any role may read them."""
FILLED = {
    "subscription_id": SUBSCRIPTION,
    "resource_group": "group",
    "server_name": "server",
    "agent_name": "agent1",
    "job_version": "1",
    "job_execution_id": str(uuid4()),
    "target_id": str(uuid4()),
    "operation_id": str(uuid4()),
    "location_name": "westeurope",
}
READING_POSTS = ("/register", "/preview", "/providers/Microsoft.Sql/register")


class _Anything:
    """Building the app uses none of its services but the settings."""

    def __getattr__(self, name: str) -> None:
        del name


def operations() -> Iterator[tuple[str, str, list[str]]]:
    """Every method and path that the app really routes, with the roles that it asks for."""
    services = cast("Services", _Anything())
    cast("Any", services).settings = settings()
    for route in iter_route_contexts(create_app(services).routes):
        path: str = getattr(route, "path", None) or cast("Any", route).original_route.path
        found = [getattr(each.dependency, "required_role", None) for each in getattr(route, "dependencies", [])]
        for method in sorted(cast("Any", route).methods):
            yield method, path, [str(role) for role in found if role is not None]


def expected_role(method: str, path: str) -> str:
    """The rule, told apart from the code."""
    if method == "GET":
        return "Contributor" if path.endswith(("/audit", "/userSetup")) else "Reader"
    if "/credentials" in path:
        return "CredentialAdmin"
    if path.endswith(READING_POSTS):
        return "Reader"
    runs = path.endswith(
        ("/start", "/cancel", "/rerun", "/wake", "/resolve", "/preflight", "/executions/{job_execution_id}")
    )
    return "Operator" if runs else "Contributor"


OPERATIONS = [found for found in operations() if found[1] not in ANONYMOUS_PATHS | DOCUMENTS]


def test_what_is_anonymous_is_written_down_and_all_else_has_one_role() -> None:
    for method, path, roles in operations():
        if path in ANONYMOUS_PATHS | DOCUMENTS:
            assert roles == []
            assert method in {"GET", "HEAD"}
        else:
            assert roles == [expected_role(method, path)], (method, path)
    assert {"/health", "/metadata/endpoints"} == ANONYMOUS_PATHS - DOCS_PATHS
    assert all(path == "/docs" or path.startswith("/docs/") for path in DOCS_PATHS)
    assert len(OPERATIONS) > 70


def _request(client: httpx.Client, method: str, path: str) -> httpx.Response:
    url = re.sub(r"\{(\w+)\}", lambda name: FILLED.get(name[1], "x"), path)
    body: dict[str, Any] = {"json": {}} if method in {"PUT", "PATCH", "POST"} else {}
    return client.request(method, url, params={"api-version": "2025-01-01"}, **body)


@pytest.mark.parametrize("caller", [*ROLES, "Owner"])
def test_every_operation_with_every_role(server: Server, caller: str) -> None:
    with server.client(caller) as client:
        for method, path, _ in OPERATIONS:
            answer = _request(client, method, path)
            needed = expected_role(method, path)
            if caller == needed or (needed == "Reader" and caller in ROLES):
                # On an empty agent, with an empty body: anything but a refusal of the caller.
                assert answer.status_code in {200, 201, 202, 204, 400, 404, 409}, (method, path, answer.text)
                continue
            error = answer.json()["error"]
            assert answer.status_code == 403, (method, path, answer.text)
            assert needed in error["message"]
            special = needed == "CredentialAdmin" and caller in ROLES
            assert error["code"] == ("JobCredentialPermissionError" if special else "AuthorizationFailed")


def test_no_operation_without_a_token(server: Server) -> None:
    del server.http.headers["Authorization"]
    for method, path, _ in OPERATIONS:
        answer = _request(server.http, method, path)
        assert answer.status_code == 401, (method, path)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "CONNECTED", "PROPFIND"])
def test_other_methods_open_nothing(server: Server, method: str) -> None:
    paths = ("/agent", "/agent/jobs", "/agent/jobs/j", "/tenants")
    for path in paths:
        with server.client(*ROLES) as client:
            assert client.request(method, path).status_code == 405
        with server.client("Owner") as client:
            assert client.request(method, path).status_code == 403
    del server.http.headers["Authorization"]
    for path in (*paths, "/openapi.json", "/nowhere"):
        answer = server.http.request(method, path)
        assert answer.status_code == 401
        assert "Access-Control-Allow-Origin" not in answer.headers


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
    with pytest.raises(SettingsError, match="AUTH_MODE"):
        authenticator_for(replace(settings(), auth_mode="none"))
    with pytest.raises(SettingsError, match="32 characters"):
        LocalAuthenticator("short")
    with running(tmp_path) as server, pytest.raises(SettingsError):
        create_app(replace(server.services, settings=replace(settings(), auth_mode="")))

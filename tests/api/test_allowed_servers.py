"""The servers that a credential or the agent's identity may be sent to: who sets them, what stays, what is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import select

from elastic_jobs.api.app import create_app
from elastic_jobs.credentials.sealing import Sealer
from elastic_jobs.jobdb.definitions.agent import find_agent
from elastic_jobs.jobdb.definitions.credentials import get_credential
from elastic_jobs.jobdb.tables import audit_entries
from elastic_jobs.targets.servers import TargetServers
from tests.api.support import AGENT, DATABASE_ID, VERSION, Server, http_client, running, serving, settings

IDENTITY = "/subscriptions/1/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/agent"
LISTED = ["*.database.windows.net", "s1.database.windows.net"]
SECRET = {"username": "u", "password": "Pa55word"}
WRONG = (400, "InvalidResourceRequestBody")
DENIED = (403, "JobCredentialPermissionError")


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def save(server: Server, **properties: object) -> httpx.Response:
    return put(server.http, f"{AGENT}/credentials/c", {"properties": {**SECRET, **properties}})


def put(http: httpx.Client, path: str, body: object) -> httpx.Response:
    # Not by httpx, which refuses to write half a character.
    headers = {"Content-Type": "application/json"}
    return http.put(path, params=VERSION, content=json.dumps(body), headers=headers)


def agent_body(identity: object = None) -> dict[str, Any]:
    return {"location": "westeurope", "properties": {"databaseId": DATABASE_ID}, "identity": identity}


def assigned(name: str = "a", **values: object) -> dict[str, Any]:
    return {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY + name: values}}


def put_agent(server: Server, identity: object = None, http: httpx.Client | None = None) -> httpx.Response:
    return put(http or server.http, AGENT, agent_body(identity))


def shown(server: Server) -> Any:
    return server.get("").get("identity", {}).get("userAssignedIdentities")


def test_a_credential_keeps_its_servers_until_they_are_taken_away(server: Server) -> None:
    server.agent()
    assert save(server).json()["properties"] == {"username": "u"}
    made = save(server, allowedServers=["S1", "*.Database.windows.net"])
    assert made.json()["properties"] == {"username": "u", "allowedServers": LISTED}
    # A client of Azure does not know the property: a new password widens nothing.
    assert save(server, password="other").json()["properties"]["allowedServers"] == LISTED
    assert server.get("/credentials/c")["properties"]["allowedServers"] == LISTED
    assert server.get("/credentials")["value"][0]["properties"]["allowedServers"] == LISTED
    assert save(server, allowedServers=None).json()["properties"] == {"username": "u"}


@pytest.mark.parametrize(
    "servers",
    [[], ["a;b"], ["s1,1433"], ["far.example.com"], ["*"], [""], ["\ud800"], "s1", [1], [["s1"]], {"s1": 1}],
    ids=str,
)
def test_lists_that_are_refused(server: Server, servers: object) -> None:
    server.agent()
    save(server, allowedServers=["s1"])
    assert said(save(server, allowedServers=servers)) == WRONG
    assert server.get("/credentials/c")["properties"]["allowedServers"] == ["s1.database.windows.net"]
    assert said(put_agent(server, assigned(allowedServers=servers))) == WRONG
    assert shown(server) is None


def test_a_list_that_is_refused_does_not_come_to_the_password_store(tmp_path: Path) -> None:
    sealed: list[str] = []

    class Noting(Sealer):
        def seal(self, name: str, password: str) -> bytes:
            sealed.append(name)
            return super().seal(name, password)

    with running(tmp_path, wrap=lambda services: replace(services, sealer=Noting(bytes(32)))) as server:
        server.agent()
        assert said(save(server, allowedServers=["far.example.com"])) == WRONG
        assert sealed == []
        assert save(server, allowedServers=["s1"]).status_code == 201
        assert sealed == ["c"]


def test_the_identity_keeps_its_servers_until_they_are_taken_away(server: Server) -> None:
    client_id = str(uuid4())
    assert put_agent(server, assigned(allowedServers=["s1"], clientId=client_id)).status_code == 202
    own = {"clientId": client_id, "allowedServers": ["s1.database.windows.net"]}
    assert shown(server) == {IDENTITY + "a": own}
    put_agent(server, assigned(clientId=client_id))
    assert shown(server) == {IDENTITY + "a": own}
    put_agent(server)
    assert shown(server) == {IDENTITY + "a": own}
    server.http.patch(AGENT, params=VERSION, json={"identity": assigned(allowedServers=None)})
    assert shown(server) == {IDENTITY + "a": {}}


def test_who_may_not_keep_credentials_cannot_widen_the_identity_by_any_detour(server: Server) -> None:
    put_agent(server, assigned(allowedServers=["s1"]))
    with server.client("Contributor") as contributor:
        for identity in (
            assigned(allowedServers=None),
            assigned(allowedServers=["s1", "s2"]),
            assigned("other"),
            {"type": "None"},
        ):
            assert said(put_agent(server, identity, contributor)) == DENIED
            assert said(contributor.patch(AGENT, params=VERSION, json={"identity": identity})) == DENIED
        assert said(contributor.delete(AGENT, params=VERSION)) == DENIED
        # All else is theirs as before.
        assert put_agent(server, None, contributor).status_code == 202
        assert put_agent(server, assigned(), contributor).status_code == 202
        assert put_agent(server, assigned(allowedServers=["S1"]), contributor).status_code == 202
    assert shown(server) == {IDENTITY + "a": {"allowedServers": ["s1.database.windows.net"]}}
    with server.client("Contributor", "CredentialAdmin") as both:
        assert put_agent(server, assigned(allowedServers=["s2"]), both).status_code == 202
        assert both.delete(AGENT, params=VERSION).status_code == 202


def test_a_contributor_may_set_up_an_identity_without_a_list(server: Server) -> None:
    with server.client("Contributor") as contributor:
        assert put_agent(server, assigned(), contributor).status_code == 202
        assert said(put_agent(server, assigned(allowedServers=["s1"]), contributor)) == DENIED
        assert put_agent(server, assigned("b"), contributor).status_code == 202
        assert contributor.delete(AGENT, params=VERSION).status_code == 202


def test_the_audit_trail_tells_the_list(server: Server) -> None:
    server.agent()
    save(server, allowedServers=["s1"])
    with server.database.read() as connection:
        entry = connection.execute(select(audit_entries).where(audit_entries.c.action == "create credential")).one()
    assert entry.after["allowed_servers"] == {"patterns": ["s1.database.windows.net"]}


@contextmanager
def _redeployed(server: Server, allowed: str) -> Iterator[httpx.Client]:
    """The API on the same job database, deployed anew with another list."""
    chosen = settings(ALLOWED_TARGET_SERVERS=allowed)
    check = TargetServers.from_settings(chosen).require
    app = create_app(replace(server.services, settings=chosen, check_server=check))
    with serving(app) as url, http_client(url, "Reader") as http:
        yield http


@pytest.mark.parametrize(
    ("deployment", "left"),
    [
        ("s1, s3", ["s1.database.windows.net", "s3.database.windows.net"]),
        ("*.database.windows.net", LISTED),
        ("*.example.com", []),
        ("", []),
    ],
)
def test_no_more_is_shown_than_the_deployment_allows_now(server: Server, deployment: str, left: list[str]) -> None:
    put_agent(server, assigned(allowedServers=LISTED))
    save(server, allowedServers=LISTED)
    with _redeployed(server, deployment) as http:
        credential = http.get(f"{AGENT}/credentials/c", params=VERSION).json()
        assert credential["properties"]["allowedServers"] == left
        (identity,) = http.get(AGENT, params=VERSION).json()["identity"]["userAssignedIdentities"].values()
        assert identity["allowedServers"] == left
    # What is kept is the list as it was saved: it counts again when the deployment's list is long enough.
    with server.database.read() as connection:
        kept = get_credential(connection, "c").allowed_servers
        agent = find_agent(connection)
    assert kept is not None
    assert list(kept.patterns) == LISTED
    assert agent is not None
    assert agent.identity is not None
    assert agent.identity.allowed_servers == kept

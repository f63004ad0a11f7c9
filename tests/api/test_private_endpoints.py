"""Private endpoints that the app makes itself: the API over the real client of Azure's network API."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken
from sqlalchemy import select

from elastic_jobs.api.services import Services
from elastic_jobs.azure.endpoints import PrivateEndpoints
from elastic_jobs.azure.network import make_network
from elastic_jobs.jobdb.tables import private_endpoints
from local.azure.network import NetworkApi
from local.sqlserver.certificates import CertificateFiles, write_certificates
from tests.api.support import AGENT, VERSION, Server, running

FAR = "/subscriptions/2/resourceGroups/far/providers/Microsoft.Sql/servers/far"
SUBNET = "/subscriptions/1/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/net/subnets/jobs"
TOKEN = "eyJ-token-for-the-network"
P = "/agent/privateEndpoints/p"


class AppIdentity:
    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        del scopes, kwargs
        return AccessToken(TOKEN, int(time.time()) + 3600)


@dataclass
class Scene:
    server: Server
    network: NetworkApi

    def put(self, name: str = "p", to: str = "1", prefix: str = "/agent") -> httpx.Response:
        body = {"properties": {"targetServerAzureResourceId": FAR + to}}
        return self.server.http.put(f"{prefix}/privateEndpoints/{name}", params=VERSION, json=body)

    def state(self, name: str = "p") -> dict[str, str]:
        found: dict[str, str] = self.server.get(f"/privateEndpoints/{name}")["properties"]["connectionState"]
        return found

    def rows(self) -> int:
        with self.server.database.read() as connection:
            return len(connection.execute(select(private_endpoints)).all())


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return write_certificates(Path(tmp_path_factory.mktemp("tls")), [], datetime.now(UTC))


@pytest.fixture
def scene(tmp_path: Path, certificates: CertificateFiles) -> Iterator[Scene]:
    with NetworkApi(certificates, tokens={TOKEN}) as network:
        options = {"connection_verify": str(certificates.ca), "retry_total": 0}

        def with_network(services: Services) -> Services:
            made = make_network(services.settings, AppIdentity(), **options)
            assert made is not None
            endpoints = PrivateEndpoints(services.database, made, lambda: services.edit("network"))
            return replace(services, endpoints=endpoints)

        changed = {"RESOURCE_MANAGER_URL": network.url, "PRIVATE_ENDPOINT_SUBNET_ID": SUBNET}
        with running(tmp_path, wrap=with_network, **changed) as server:
            server.agent()
            yield Scene(server, network)


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_it_is_made_in_azure_before_the_answer(scene: Scene) -> None:
    made = scene.put()
    assert made.status_code == 201
    properties = made.json()["properties"]
    assert properties["connectionState"] == {"status": "Pending", "description": "Awaiting approval"}
    assert scene.network.names() == [properties["privateEndpointId"]]
    assert scene.put().status_code == 200
    assert len(scene.network.names()) == 1


def test_the_owners_decision_is_shown_whatever_it_was_before(scene: Scene) -> None:
    name = scene.put().json()["properties"]["privateEndpointId"]
    for status, description in (("Approved", "welcome"), ("Disconnected", "no more"), ("Rejected", "not you")):
        scene.network.decide(name, status, description)
        assert scene.state() == {"status": status, "description": description}
    scene.network.decide(name, "Approved", "again")
    (listed,) = scene.server.get("/privateEndpoints")["value"]
    assert listed["properties"]["connectionState"] == {"status": "Approved", "description": "again"}


def test_under_the_arm_path_it_is_an_operation(scene: Scene) -> None:
    answer = scene.put(prefix=AGENT)
    assert (answer.status_code, len(scene.network.names())) == (202, 1)
    polled = scene.server.http.get(answer.headers["Location"])
    assert polled.json()["properties"]["connectionState"]["description"] == "Awaiting approval"
    deleted = scene.server.http.delete(f"{AGENT}/privateEndpoints/p", params=VERSION)
    assert (deleted.status_code, scene.network.names()) == (202, [])


@pytest.mark.parametrize("prefix", ["/agent", AGENT])
def test_what_azure_refuses_is_refused_and_leaves_nothing_behind(scene: Scene, prefix: str) -> None:
    scene.network.failure = (403, "AuthorizationFailed")
    refused = scene.put(prefix=prefix)
    assert said(refused) == (400, "ElasticJobsOperationFailed")
    assert "Network Contributor" in refused.json()["error"]["message"]
    assert scene.rows() == 0
    scene.network.failure = None
    assert scene.put(prefix=prefix).is_success
    # One that is there stays, whatever Azure says to the same request again.
    scene.network.failure = (503, "ServiceUnavailable")
    later = scene.put(prefix=prefix)
    assert said(later) == (503, "ServiceUnavailable")
    assert later.headers["Retry-After"] == "5"
    assert "network API is not available" in later.json()["error"]["message"]
    assert scene.rows() == 1


def test_while_azure_does_not_answer_what_is_known_is_shown(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.network.decide(scene.put().json()["properties"]["privateEndpointId"], "Approved", "welcome")
    assert scene.state()["status"] == "Approved"
    scene.network.failure = (503, "ServiceUnavailable")
    assert scene.state()["status"] == "Approved"
    assert len(scene.server.get("/privateEndpoints")["value"]) == 1
    assert "not available (status 503" in caplog.text
    assert TOKEN not in caplog.text


def test_a_deletion_that_azure_refuses_is_made_up_for_by_the_next_one_and_by_no_one_who_only_looks(
    scene: Scene,
) -> None:
    scene.put()
    scene.network.failure = (429, "TooManyRequests")
    assert scene.server.http.delete(P).status_code == 200
    assert len(scene.network.names()) == 1
    scene.network.failure = None
    assert scene.server.get("/privateEndpoints")["value"] == []
    assert len(scene.network.names()) == 1
    assert scene.server.http.delete(P).status_code == 204
    assert scene.network.names() == []


def test_they_go_with_the_agent(scene: Scene) -> None:
    scene.put()
    assert scene.server.http.delete("/agent").status_code == 200
    assert scene.network.names() == []


def test_the_state_is_not_noted_by_hand_where_azure_tells_it(scene: Scene) -> None:
    scene.put()
    answer = scene.server.http.put(f"{P}/connection", json={"status": "Approved"})
    assert said(answer) == (400, "ElasticJobsOperationFailed")
    assert scene.state()["status"] == "Pending"


def test_what_is_not_there(scene: Scene) -> None:
    assert said(scene.server.http.get("/agent/privateEndpoints/ghost")) == (404, "ResourceNotFound")
    assert scene.server.http.delete("/agent/privateEndpoints/ghost").status_code == 204
    assert scene.network.names() == []

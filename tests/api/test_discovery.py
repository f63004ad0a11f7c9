"""What az and Az PowerShell ask an endpoint before they use it."""

from __future__ import annotations

from pathlib import Path

from tests.api.entra import AUDIENCE, CLIENT_ID, TENANT
from tests.api.support import ROOT, SUBSCRIPTION, Server, running


def test_the_endpoint_tells_where_to_get_tokens_without_one(tmp_path: Path) -> None:
    settings = {"AUTH_MODE": "entra", "ENTRA_TENANT_ID": TENANT, "ENTRA_AUDIENCE": f"{AUDIENCE},{CLIENT_ID}"}
    with running(tmp_path, **settings) as server:
        del server.http.headers["Authorization"]
        for query in ("", "?api-version=2022-09-01", "?api-version=2015-01-01"):
            answer = server.http.get(f"/metadata/endpoints{query}")
            assert answer.status_code == 200
            assert answer.json() == {
                "name": "ElasticJobs",
                "authentication": {
                    "loginEndpoint": "https://login.microsoftonline.com",
                    "audiences": [AUDIENCE, CLIENT_ID],
                },
                "resourceManager": server.url,
                "suffixes": {},
            }
        for path in ("/tenants", "/subscriptions", f"/subscriptions/{SUBSCRIPTION}", ROOT):
            assert server.http.get(path).status_code == 401, path


def test_one_version_answers_a_list_as_azure_does(server: Server) -> None:
    plain = server.http.get("/METADATA/endpoints")
    listed = server.http.get("/metadata/endpoints", params={"api-version": "2019-05-01"})
    assert listed.json() == [plain.json()]
    assert plain.json()["authentication"]["audiences"] == ["elastic-jobs"]


def test_the_public_name_of_the_host_is_told(server: Server) -> None:
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "jobs.example.com"}
    answer = server.http.get("/metadata/endpoints", headers=forwarded)
    assert answer.json()["resourceManager"] == "https://jobs.example.com"


def test_the_metadata_are_to_be_read_only(server: Server) -> None:
    del server.http.headers["Authorization"]
    for method in ("PUT", "POST", "DELETE", "PATCH"):
        assert server.http.request(method, "/metadata/endpoints").status_code == 405


def test_login_finds_one_tenant_and_one_subscription(server: Server) -> None:
    with server.client("Reader") as client:
        tenants = client.get("/tenants", params={"api-version": "2022-12-01"}).json()["value"]
        assert [tenant["id"] for tenant in tenants] == [f"/tenants/{tenants[0]['tenantId']}"]
        listed = client.get("/subscriptions", params={"api-version": "2016-06-01"}).json()["value"]
        assert [found["subscriptionId"] for found in listed] == [SUBSCRIPTION]
        assert listed[0]["state"] == "Enabled"
        assert listed[0]["tenantId"] == tenants[0]["tenantId"]
        assert client.get(f"/Subscriptions/{SUBSCRIPTION.upper()}").json() == listed[0]
        answer = client.get("/subscriptions/22222222-2222-3333-4444-555555555555")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "SubscriptionNotFound")


def test_the_tenant_is_that_of_the_settings(tmp_path: Path) -> None:
    with running(tmp_path, ENTRA_TENANT_ID=TENANT) as server:
        assert server.http.get("/tenants").json()["value"][0]["tenantId"] == TENANT
        assert server.http.get("/subscriptions").json()["value"][0]["tenantId"] == TENANT


def test_the_server_tells_its_location(server: Server) -> None:
    for version in ("2014-04-01-preview", "2021-11-01", None):
        answer = server.http.get(ROOT, params={"api-version": version} if version is not None else None)
        assert answer.status_code == 200
        found = answer.json()
        assert (found["id"], found["name"], found["type"]) == (ROOT, "server", "Microsoft.Sql/servers")
        assert found["location"] == "westeurope"
        assert found["properties"]["fullyQualifiedDomainName"] == "server.database.windows.net"
    for path, code in (
        (ROOT.replace("servers/server", "servers/other"), "SubscriptionDoesNotHaveServer"),
        (ROOT.replace("resourceGroups/group", "resourceGroups/other"), "ServerNotInSubscriptionResourceGroup"),
    ):
        answer = server.http.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, code)

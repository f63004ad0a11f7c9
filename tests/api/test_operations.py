"""Long-running operations on the wire: what is answered at once, and what the URLs in it answer."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import select, update

from elastic_jobs.jobdb.tables import operations, private_endpoints
from tests.api.support import AGENT, DATABASE_ID, SUBSCRIPTION, VERSION, Server

BODY = {"location": "West Europe", "properties": {"databaseId": DATABASE_ID}}
FAR = "/subscriptions/x/resourceGroups/y/providers/Microsoft.Sql/servers/far"


def put(server: Server, path: str, body: object, prefix: str = AGENT) -> httpx.Response:
    return server.http.put(f"{prefix}{path}", params=VERSION, json=body)


def endpoint(server: str = FAR) -> dict[str, object]:
    return {"properties": {"targetServerAzureResourceId": server}}


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_an_agent_is_made_as_azure_makes_it(server: Server) -> None:
    answer = put(server, "", BODY)
    assert (answer.status_code, answer.headers["Retry-After"]) == (202, "1")
    assert answer.json()["operation"] == "UpsertJobAccount"
    assert datetime.fromisoformat(answer.json()["startTime"]) <= datetime.now(UTC)
    base = (
        f"{server.url}/subscriptions/{SUBSCRIPTION}/resourceGroups/group/providers/Microsoft.Sql/locations/westeurope"
    )
    url = answer.headers["Azure-AsyncOperation"]
    found = re.fullmatch(re.escape(base) + r"/jobAgentAzureAsyncOperation/([0-9a-f-]{36})\?api-version=2025-01-01", url)
    assert found is not None, url
    assert answer.headers["Location"] == url.replace("jobAgentAzureAsyncOperation", "jobAgentOperationResults")
    status = server.http.get(url).json()
    assert status == {"name": found[1], "status": "Succeeded", "startTime": answer.json()["startTime"]}
    # The result needs no api-version: pollers use a URL as it was given, and some cut the query off.
    result = server.http.get(answer.headers["Location"].partition("?")[0])
    assert (result.status_code, result.json()["id"]) == (200, AGENT)
    upper = url.replace("/subscriptions/", "/SUBSCRIPTIONS/").replace("/providers/", "/Providers/")
    assert server.http.get(upper).status_code == 200


def test_an_agent_is_deleted_as_azure_deletes_it(server: Server) -> None:
    server.agent()
    answer = server.http.delete(AGENT, params=VERSION)
    assert (answer.status_code, answer.json()["operation"]) == (202, "DropJobAccount")
    assert server.http.get(answer.headers["Azure-AsyncOperation"]).json()["status"] == "Succeeded"
    gone = server.http.get(answer.headers["Location"])
    assert (gone.status_code, gone.content) == (204, b"")


def test_under_the_short_prefix_answers_come_at_once(server: Server) -> None:
    made = put(server, "", BODY | {"name": "agent1"}, "/agent")
    assert (made.status_code, made.json()["properties"]["state"]) == (201, "Ready")
    assert put(server, "/privateEndpoints/p", endpoint(), "/agent").status_code == 201
    again = put(server, "/privateEndpoints/p", endpoint(), "/agent")
    assert (again.status_code, again.json()["name"]) == (200, "p")
    assert server.http.delete("/agent/privateEndpoints/p").status_code == 200
    assert server.http.delete("/agent/privateEndpoints/p").status_code == 204
    assert server.http.delete("/agent").status_code == 200


def test_a_private_endpoint_is_made_and_deleted_as_azure_does(server: Server) -> None:
    server.agent()
    answer = put(server, "/privateEndpoints/p", endpoint())
    assert (answer.status_code, answer.headers["Retry-After"]) == (202, "1")
    assert "Azure-AsyncOperation" not in answer.headers
    location = answer.headers["Location"]
    assert re.fullmatch(
        re.escape(f"{server.url}/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Sql/locations/westeurope")
        + r"/jobAgentPrivateEndpointOperationResults/[0-9a-f-]{36}\?api-version=2025-01-01",
        location,
    )
    result = server.http.get(location)
    assert (result.status_code, result.json()["id"]) == (200, f"{AGENT}/privateEndpoints/p")
    deleted = server.http.delete(f"{AGENT}/privateEndpoints/p", params=VERSION)
    assert deleted.status_code == 202
    assert server.http.get(deleted.headers["Location"]).status_code == 204
    # What the first operation made is gone.
    assert said(server.http.get(location)) == (404, "ResourceNotFound")


@pytest.mark.parametrize(
    ("name", "server_id", "code"),
    [
        ("p", "far", "InvalidParameterValue"),
        ("p", FAR + "/databases/d", "InvalidParameterValue"),
        ("p", FAR.replace("servers/far", "servers/a b"), "InvalidParameterValue"),
        ("p", FAR.replace("/x/", f"/{'x' * 600}/"), "InvalidParameterValue"),
        ("n" * 129, FAR, "TokenTooLong"),
        ("%0A", FAR, "InvalidIdentifier"),
        ("%20x", FAR, "InvalidIdentifier"),
        ("second", FAR.upper(), "ElasticJobAgentResourceAlreadyExists"),
        ("first", FAR + "2", "PropertyChangeUnsupported"),
    ],
)
def test_private_endpoints_that_are_refused(server: Server, name: str, server_id: str, code: str) -> None:
    server.agent()
    assert put(server, "/privateEndpoints/first", endpoint()).status_code == 202
    assert said(put(server, f"/privateEndpoints/{name}", endpoint(server_id))) == (400, code)
    assert said(put(server, "/privateEndpoints/p", {})) == (400, "InvalidResourceRequestBody")


def test_what_became_of_a_connection_is_noted(server: Server) -> None:
    server.agent()
    put(server, "/privateEndpoints/p", endpoint())
    path = "/agent/privateEndpoints/p"
    assert server.http.get(path).json()["properties"]["connectionState"]["status"] == "Pending"
    noted = server.http.put(f"{path}/connection", json={"status": "approved", "description": "by Bob"})
    assert noted.json()["properties"]["connectionState"] == {"status": "Approved", "description": "by Bob"}
    assert server.get("/privateEndpoints/p") == noted.json()
    assert said(server.http.put(f"{path}/connection", json={"status": "x"})) == (400, "InvalidResourceRequestBody")
    long = {"status": "Approved", "description": "x" * 513}
    assert said(server.http.put(f"{path}/connection", json=long)) == (400, "InvalidResourceRequestBody")
    ghost = server.http.put("/agent/privateEndpoints/ghost/connection", json={"status": "Approved"})
    assert said(ghost) == (404, "ResourceNotFound")


def test_deleting_the_agent_takes_its_private_endpoints_along(server: Server) -> None:
    server.agent()
    put(server, "/privateEndpoints/p", endpoint())
    assert server.http.delete("/agent").status_code == 200
    with server.database.read() as connection:
        assert connection.execute(select(private_endpoints)).first() is None


def test_operations_that_are_not_there(server: Server) -> None:
    server.agent()
    answer = put(server, "/privateEndpoints/p", endpoint())
    of_endpoint = answer.headers["Location"]
    of_agent = put(server, "", BODY).headers["Location"]
    for url in (
        of_endpoint.replace("jobAgentPrivateEndpointOperationResults", "jobAgentOperationResults"),
        of_agent.replace("jobAgentOperationResults", "jobAgentPrivateEndpointOperationResults"),
        of_agent.replace(of_agent.rpartition("/")[2], str(uuid4())),
        of_agent.replace(of_agent.rpartition("/")[2], "x"),
    ):
        assert said(server.http.get(url)) == (404, "OperationIdNotFound")
    assert said(server.http.get(of_agent.replace(SUBSCRIPTION, str(uuid4())))) == (404, "SubscriptionNotFound")
    with server.client() as nobody:
        assert nobody.get(of_agent).status_code == 403


def test_old_operations_go_when_a_new_one_comes(server: Server) -> None:
    old = put(server, "", BODY).headers["Location"]
    with server.database.write() as connection:
        connection.execute(update(operations).values(time=datetime.now(UTC) - timedelta(days=2)))
    assert server.http.get(old).status_code == 200
    put(server, "", BODY)
    assert said(server.http.get(old)) == (404, "OperationIdNotFound")


def test_a_refused_change_leaves_no_operation(server: Server) -> None:
    server.agent()
    assert put(server, "", BODY | {"location": "eastus"}).status_code == 404
    with server.database.read() as connection:
        assert len(connection.execute(select(operations)).all()) == 1


def test_the_provider_is_registered(server: Server) -> None:
    root = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Sql"
    old = {"api-version": "2016-02-01"}
    shown = server.http.get(root, params=old).json()
    assert (shown["namespace"], shown["registrationState"]) == ("Microsoft.Sql", "Registered")
    kinds = {kind["resourceType"]: kind["apiVersions"] for kind in shown["resourceTypes"]}
    assert "2025-01-01" in kinds["servers/jobAgents"]
    assert server.http.post(f"{root.lower()}/register", params=old).json() == shown
    assert server.http.get(root.rpartition("/")[0], params=old).json() == {"value": [shown]}
    assert said(server.http.get(root)) == (400, "MissingApiVersionParameter")
    other = root.replace(SUBSCRIPTION, str(uuid4()))
    assert said(server.http.get(other, params=old)) == (404, "SubscriptionNotFound")
    assert said(server.http.get("/providers/Microsoft.Sql/operations", params={"api-version": "x"}))[0] == 400

"""The pages of credentials over HTTP: names only, and a password that goes in and never comes out."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from elastic_jobs.jobdb.definitions import audit
from elastic_jobs.jobdb.definitions.credentials import find_stored
from tests.api.support import Server
from tests.portal.support import PortalClient, text_of
from tests.portal.test_jobs_pages import error, value

SECRET = "Canary-in-the-form-1"
FORM = {"name": "writer", "username": "writer_login", "password": SECRET, "servers": ""}


def credential(server: Server, name: str) -> dict[str, Any]:
    found: dict[str, Any] = server.get(f"/credentials/{name}")["properties"]
    return found


def password_of(server: Server, name: str) -> str:
    """What the agent would send."""
    with server.database.read() as connection:
        stored = find_stored(connection, name)
    assert stored is not None
    opened: str = server.services.sealer.open(stored.name, stored.sealed)
    return opened


def test_empty_lists_say_what_to_do_next(server: Server, portal: PortalClient) -> None:
    assert "Create it first" in text_of(portal.get("/portal/credentials"))
    server.agent()
    assert "How to set one" in text_of(portal.get("/portal/credentials"))


def test_the_list_has_names_servers_and_uses_and_no_values(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    body = {"username": "hidden_login", "password": SECRET, "allowedServers": ["server1", "server2"]}
    server.put("/credentials/narrow", {"properties": body})
    page = portal.get("/portal/credentials")
    said = text_of(page)
    assert "narrow server1.database.windows.net, server2.database.windows.net 0 0" in said
    assert "runner all servers of the deployment 1 0" in said
    assert "The deployment allows the servers *.database.windows.net" in said
    detail = portal.get("/portal/credentials/runner")
    assert "step step1 of nightly" in text_of(detail)
    for text in (page.text, detail.text, portal.get("/portal/credentials/narrow").text):
        assert "hidden_login" not in text
        assert SECRET not in text


def test_the_way_to_set_one_is_told_to_everybody(server: Server, portal: PortalClient) -> None:
    server.agent()
    said = text_of(portal.as_("Reader", "Contributor").get("/portal/new-credential"))
    assert "needs the role CredentialAdmin" in said
    assert "elastic-jobs credential set NAME --username USER" in said
    assert "PUT /agent/credentials/NAME" in said
    assert 'name="password"' not in portal.as_("Reader").get("/portal/new-credential").text


def test_a_password_is_set_as_by_the_api_and_shown_nowhere(
    server: Server, portal: PortalClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.agent()
    keeper = portal.as_("CredentialAdmin", name="carol")
    shown = keeper.done("/portal/new-credential", **FORM | {"servers": "server1\r\n server2 \r\n"})
    assert "The credential 'writer' was saved." in shown
    assert credential(server, "writer") == {
        "username": "writer_login",
        "allowedServers": ["server1.database.windows.net", "server2.database.windows.net"],
    }
    assert password_of(server, "writer") == SECRET
    pages = ["/portal/credentials", "/portal/credentials/writer", "/portal/credentials/writer/edit"]
    for text in (shown, *(keeper.get(path).text for path in pages)):
        assert SECRET not in text
    with server.database.read() as connection:
        (entry,) = audit.list_entries(connection, audit.AuditFilter(resource="credentials/writer"), limit=5)
    assert (entry.action, entry.caller) == ("create credential", "carol")
    assert SECRET not in str(entry)
    # The test's own client tells what it sends at this level; the product may not.
    product = [record.getMessage() for record in caplog.records if record.name.startswith("elastic_jobs")]
    assert SECRET not in " ".join(product)


def test_a_form_that_comes_back_has_everything_but_the_password(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    for changed, field, said in (
        ({"name": " x"}, "name", "begins or ends with a space"),
        ({"name": "RUNNER"}, "name", "already"),
        ({"username": ""}, "username", "is empty"),
        ({"password": ""}, "password", "is empty"),
        ({"servers": "evil.example.net"}, "servers", "not within the deployment"),
        ({"servers": "a b"}, "servers", "is no server name"),
        ({"password": f"@Microsoft.KeyVault({SECRET})"}, "password", "Key Vault reference"),
    ):
        typed = FORM | changed
        page = portal.post("/portal/new-credential", 400, **typed).text
        assert said in error(page, field), (changed, page)
        assert value(page, "name") == typed["name"]
        assert value(page, "username") == typed["username"]
        assert value(page, "servers") == "\n" + typed["servers"]
        assert SECRET not in page
    assert [each["name"] for each in server.get("/credentials")["value"]] == ["runner"]


def test_a_change_keeps_narrows_and_removes_the_list_of_servers(server: Server, portal: PortalClient) -> None:
    server.agent()
    portal.post("/portal/new-credential", **FORM | {"servers": "server1"})
    page = portal.get("/portal/credentials/writer/edit").text
    shown = value(page, "servers").removeprefix("\n")
    assert shown == "server1.database.windows.net"
    portal.post("/portal/credentials/writer/edit", **FORM | {"servers": shown, "username": "second", "password": "b1!"})
    assert credential(server, "writer") == {"username": "second", "allowedServers": [shown]}
    assert password_of(server, "writer") == "b1!"
    portal.post("/portal/credentials/writer/edit", **FORM | {"servers": "server2"})
    assert credential(server, "writer")["allowedServers"] == ["server2.database.windows.net"]
    portal.post("/portal/credentials/writer/edit", **FORM | {"servers": ""})
    assert "allowedServers" not in credential(server, "writer")


def test_a_credential_in_use_is_not_deleted_and_another_is(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    assert "It cannot be deleted now: 1 step" in text_of(portal.get("/portal/credentials/runner/delete"))
    assert "is used by step" in portal.done("/portal/credentials/runner/delete")
    portal.post("/portal/new-credential", **FORM)
    assert "was deleted" in portal.done("/portal/credentials/writer/delete")
    assert [each["name"] for each in server.get("/credentials")["value"]] == ["runner"]


@pytest.mark.parametrize(
    "path", ["/portal/new-credential", "/portal/credentials/runner/edit", "/portal/credentials/runner/delete"]
)
def test_only_who_keeps_credentials_may_change_them(server: Server, portal: PortalClient, path: str) -> None:
    server.ready_job("nightly")
    before = password_of(server, "runner")
    contributor = portal.as_("Reader", "Operator", "Contributor")
    assert "needs the role CredentialAdmin" in text_of(contributor.post(path, 403, **FORM))
    portal.csrf()
    assert portal.http.post(path, data=FORM, headers={"Origin": server.url}).status_code == 403
    assert password_of(server, "runner") == before
    assert [each["name"] for each in server.get("/credentials")["value"]] == ["runner"]


def test_a_reader_sees_no_way_to_change_one(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    reader = portal.as_("Reader", "Contributor")
    assert "Delete" not in reader.get("/portal/credentials/runner").text
    reader.get("/portal/credentials/runner/edit", 403)
    reader.get("/portal/credentials/runner/delete", 403)


def test_an_agent_with_an_identity_shows_its_name_and_where_it_may_go(server: Server, portal: PortalClient) -> None:
    identity = "/subscriptions/x/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/runner-id"
    values = {"clientId": "11111111-1111-1111-1111-111111111111", "allowedServers": ["server1"]}
    server.agent()
    answer = server.http.patch(
        "/agent", json={"identity": {"type": "UserAssigned", "userAssignedIdentities": {identity: values}}}
    )
    assert answer.is_success, answer.text
    said = text_of(portal.get("/portal/credentials"))
    assert "Name runner-id" in said
    assert identity in said
    assert "May go to server1.database.windows.net" in said
    assert "No credentials yet" not in said


def test_names_are_text(server: Server, portal: PortalClient) -> None:
    server.agent()
    name = "<script>alert(1)</script>"
    answer = portal.post("/portal/new-credential", **FORM | {"name": name})
    for path in (answer.headers["location"], "/portal/credentials"):
        assert "<script>alert" not in portal.get(path).text

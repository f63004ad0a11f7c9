"""The pages of target groups over HTTP: what they show, what their forms do, who may send them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from elastic_jobs.agent.trial import Tried
from elastic_jobs.domain.rehearsal import Rehearsed
from elastic_jobs.domain.targets import TargetDatabase
from elastic_jobs.targets.network import Check, CheckResult, Status
from elastic_jobs.targets.preflight import TargetReport
from tests.api.support import Server, running
from tests.portal.support import PortalClient, text_of
from tests.portal.test_jobs_pages import error, value

DATABASES = {"membership": "Include", "type": "SqlDatabase", "server": "server1"}
WHOLE = {"membership": "Include", "type": "SqlServer", "server": "server1", "credential": "refresher"}
FULL = "server1.database.windows.net"


@pytest.fixture
def estate(server: Server) -> Server:
    """A job with a step on ``group1``, and a credential to list servers with."""
    server.ready_job("nightly")
    server.put("/credentials/refresher", {"properties": {"username": "lister", "password": "Pa55word"}})
    return server


def members(server: Server, group: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get(f"/targetGroups/{group}")["properties"]["members"]
    return found


def member_pages(portal: PortalClient, group: str) -> list[str]:
    """The addresses of the members of a group."""
    page = portal.get(f"/portal/target-groups/{group}").text
    return re.findall(rf'href="(/portal/target-groups/{group}/members/[0-9a-f-]{{36}})"', page)


def test_empty_lists_say_what_to_do_next(server: Server, portal: PortalClient) -> None:
    assert "Create it first" in text_of(portal.get("/portal/target-groups"))
    server.agent()
    assert "Create the first one" in text_of(portal.get("/portal/target-groups"))
    assert "Somebody with the role Contributor" in text_of(portal.as_("Reader").get("/portal/target-groups"))
    server.put("/targetGroups/empty", {"properties": {"members": []}})
    assert "Add a member" in text_of(portal.get("/portal/target-groups/empty"))


def test_the_list_counts_members_and_steps(estate: Server, portal: PortalClient) -> None:
    assert "group1 1 0 1 step" in text_of(portal.get("/portal/target-groups"))
    assert "group1" not in text_of(portal.get("/portal/target-groups", name="other")).partition("Target groups")[2]


def test_a_group_is_created_and_its_members_added_changed_and_removed(estate: Server, portal: PortalClient) -> None:
    portal.post("/portal/new-target-group", **WHOLE | {"name": "all"})
    excluded = DATABASES | {"membership": "Exclude", "databases": "d1\r\nd2"}
    assert "Added." in portal.done("/portal/target-groups/all/new-member", **excluded)
    assert [(each["membershipType"], each.get("databaseName")) for each in members(estate, "all")] == [
        ("Include", None),
        ("Exclude", "d1"),
        ("Exclude", "d2"),
    ]
    second = member_pages(portal, "all")[1]
    page = portal.get(second).text
    assert value(page, "databases") == "\nd1"
    assert "Saved." in portal.done(second, **excluded | {"databases": "d3", "seen": value(page, "seen")})
    assert [each.get("databaseName") for each in members(estate, "all")] == [None, "d3", "d2"]
    third = member_pages(portal, "all")[2]
    assert "database 'd2' on server server1" in text_of(portal.get(f"{third}/delete"))
    assert "Removed." in portal.done(f"{third}/delete")
    assert [each.get("databaseName") for each in members(estate, "all")] == [None, "d3"]
    portal.get(third, 404)


def test_members_of_every_kind(estate: Server, portal: PortalClient) -> None:
    portal.post("/portal/new-target-group", **WHOLE | {"name": "all", "type": "SqlElasticPool", "pool": "gold"})
    shards = WHOLE | {"type": "SqlShardMap", "databases": "manager", "shard_map": "map1"}
    portal.post("/portal/target-groups/all/new-member", **shards)
    said = text_of(portal.get("/portal/target-groups/all"))
    assert "Include elastic pool 'gold' server1 refresher" in said
    assert "Include shard map 'map1' in database 'manager' server1 refresher" in said


def test_two_people_who_each_add_a_member_both_find_theirs(estate: Server, portal: PortalClient) -> None:
    for name in ("a", "b"):
        portal.get("/portal/target-groups/group1/new-member")
        portal.post("/portal/target-groups/group1/new-member", **DATABASES | {"databases": name})
    assert [each["databaseName"] for each in members(estate, "group1")] == ["database1", "a", "b"]


def test_a_wrong_form_comes_back_with_sentences_and_all_that_was_typed(estate: Server, portal: PortalClient) -> None:
    for changed, field, said in (
        ({"server": ""}, "server", "is empty"),
        ({"server": "evil.example.net"}, "server", "not on the list"),
        ({"credential": ""}, "credential", "choose one"),
        ({"credential": "gone"}, "credential", "does not exist"),
        ({"name": " "}, "name", "is empty"),
        ({"name": "GROUP1"}, "name", "already"),
        ({"type": "SqlDatabase", "databases": "d\x07"}, "databases", "control characters"),
    ):
        typed = WHOLE | {"name": "all"} | changed
        page = portal.post("/portal/new-target-group", 400, **typed).text
        assert said in error(page, field), (changed, page)
        assert value(page, "name") == typed["name"]
        assert value(page, "server") == typed["server"]
    assert [group["name"] for group in estate.get("/targetGroups")["value"]] == ["group1"]


def test_a_member_twice_is_refused_beside_the_databases(estate: Server, portal: PortalClient) -> None:
    page = portal.post("/portal/target-groups/group1/new-member", 400, **DATABASES | {"databases": "DATABASE1"}).text
    assert "twice" in error(page, "databases")
    assert len(members(estate, "group1")) == 1


def test_who_edits_a_member_that_was_changed_meanwhile_is_told(estate: Server, portal: PortalClient) -> None:
    (address,) = member_pages(portal, "group1")
    form = DATABASES | {"databases": "mine", "seen": "0" * 32}
    refused = portal.post(address, 400, **form).text
    assert "Somebody changed this member meanwhile" in refused
    assert [each["databaseName"] for each in members(estate, "group1")] == ["database1"]
    portal.post(address, **form | {"seen": value(refused, "seen")})
    assert [each["databaseName"] for each in members(estate, "group1")] == ["mine"]


def test_the_last_member_of_a_group_in_use_stays(estate: Server, portal: PortalClient) -> None:
    (address,) = member_pages(portal, "group1")
    assert "used by step 'step1' of job 'nightly'" in text_of(portal.get(f"{address}/delete"))
    assert "without an included member" in portal.done(f"{address}/delete")
    assert len(members(estate, "group1")) == 1


def test_a_group_in_use_is_not_deleted_and_another_is(estate: Server, portal: PortalClient) -> None:
    page = text_of(portal.get("/portal/target-groups/group1/delete"))
    assert "It cannot be deleted now: it is used by step 'step1' of job 'nightly'" in page
    assert "is used by step" in portal.done("/portal/target-groups/group1/delete")
    portal.post("/portal/new-target-group", **WHOLE | {"name": "other"})
    assert "was deleted" in portal.done("/portal/target-groups/other/delete")
    assert [group["name"] for group in estate.get("/targetGroups")["value"]] == ["group1"]


def test_large_groups_have_pages(estate: Server, portal: PortalClient) -> None:
    names = "\r\n".join(f"d{number:03}" for number in range(250))
    portal.post("/portal/new-target-group", **DATABASES | {"name": "large", "databases": names})
    first = portal.get("/portal/target-groups/large")
    assert "1 to 100 of 250" in text_of(first)
    assert len(first.content) < 200_000
    last = text_of(portal.get("/portal/target-groups/large", skip="200"))
    assert "201 to 250 of 250" in last
    assert "database 'd249'" in last


def test_a_dry_run_lists_databases_and_servers_that_are_down(estate: Server, portal: PortalClient) -> None:
    operator = portal.as_("Operator")
    said = text_of(operator.post("/portal/target-groups/group1/resolve", 200))
    assert "1 database on 1 server" in said
    assert re.search("database1 server1 .", said)
    portal.post("/portal/new-target-group", **WHOLE | {"name": "all"})
    down = text_of(operator.post("/portal/target-groups/all/resolve", 200))
    assert f"server '{FULL}': It is down." in down
    assert "a step on this group runs nowhere" in down


def test_a_preflight_goes_as_the_credential_that_was_chosen(estate: Server, portal: PortalClient) -> None:
    page = portal.get("/portal/target-groups/group1").text
    assert re.search(r'<option value="runner" selected>', page), "that of the step which runs on the group"
    said = text_of(portal.post("/portal/target-groups/group1/preflight", 200, credential="runner"))
    assert "Nothing is in the way on 1 database." in said
    assert "needs a credential" in portal.done("/portal/target-groups/group1/preflight", credential="")


def test_what_is_in_the_way_of_many_databases(tmp_path: Any) -> None:
    """The checks of 5,000 databases: those that fail come first, and the page stays small."""
    good = (CheckResult(Check.ALLOWED, Status.OK, 1, ""), CheckResult(Check.LOGIN, Status.OK, 5, ""))
    bad = (good[0], CheckResult(Check.LOGIN, Status.FAILED, 5, "Login failed <b>for</b> user 'u'. " + "x" * 300))
    reports = [TargetReport(FULL, f"d{n:04}", bad if n % 10 == 0 else good) for n in range(5000)]
    targets = [TargetDatabase(server_name=FULL, database_name=f"d{n:04}") for n in range(5000)]

    def wrap(services: Any) -> Any:
        return replace(
            services,
            try_out=lambda *_: Tried(targets=reports),
            rehearse=lambda _: Rehearsed(targets=targets),
        )

    with running(tmp_path, wrap=wrap) as server:
        server.ready_job("nightly")
        portal = PortalClient(server)
        page = portal.post("/portal/target-groups/group1/preflight", 200, credential="runner")
        assert "4 500 of 5 000 databases are ready." in text_of(page).replace("\u202f", " ")
        assert "Login failed <b>" not in page.text
        assert len(page.content) < 250_000
        listed = portal.post("/portal/target-groups/group1/resolve", 200)
        assert len(listed.content) < 200_000
        assert "The first 500 of 5 000" in text_of(listed).replace("\u202f", " ")
        found = text_of(portal.post("/portal/target-groups/group1/resolve", 200, database="D499"))
        assert "d4990" in found
        assert "d0001" not in found
        users = portal.post("/portal/target-groups/group1/users", 200, credential="runner", access="read")
        assert len(users.content) < 200_000
        assert "download the file" in text_of(users)
        file = portal.post("/portal/target-groups/group1/users", 200, credential="runner", access="read", do="download")
        assert file.headers["content-disposition"] == 'attachment; filename="users.sql"'
        assert file.text.count("-- Run in: server server1, database d") == 5000


def test_the_sql_for_users_is_shown_and_holds_no_password(estate: Server, portal: PortalClient) -> None:
    asked = portal.get("/portal/target-groups/group1/users")
    assert "CREATE USER" not in asked.text, "servers are asked only when somebody wants it"
    fields: dict[str, str | list[str]] = {"access": ["write", "execute"], "credential": "runner"}
    said = text_of(portal.post("/portal/target-groups/group1/users", 200, **fields))
    assert "CREATE USER [u] FROM LOGIN [u]" in said
    assert "GRANT SELECT, INSERT, UPDATE, DELETE TO [u];" in said
    assert "GRANT EXECUTE TO [u];" in said
    assert "Pa55word" not in said
    wrong = portal.post("/portal/target-groups/group1/users", 400, **fields | {"server": "server2"})
    assert "needs both" in text_of(wrong)
    assert value(wrong.text, "server") == "server2"


POSTS = {
    "/portal/new-target-group": "Contributor",
    "/portal/target-groups/group1/new-member": "Contributor",
    "/portal/target-groups/group1/delete": "Contributor",
    "/portal/target-groups/group1/users": "Contributor",
    "/portal/target-groups/group1/resolve": "Operator",
    "/portal/target-groups/group1/preflight": "Operator",
}


@pytest.mark.parametrize("path", POSTS)
def test_who_lacks_the_role_is_refused_and_nothing_changes(estate: Server, portal: PortalClient, path: str) -> None:
    before = members(estate, "group1")
    others = {"Operator", "Contributor", "CredentialAdmin"} - {POSTS[path]}
    refused = portal.as_("Reader", *others).post(path, 403, **DATABASES | {"name": "new", "databases": "d"})
    assert f"needs the role {POSTS[path]}" in text_of(refused)
    assert members(estate, "group1") == before
    assert len(estate.get("/targetGroups")["value"]) == 1


@pytest.mark.parametrize("path", POSTS)
def test_without_the_token_of_the_session_nothing_is_done(estate: Server, portal: PortalClient, path: str) -> None:
    portal.csrf()
    fields = DATABASES | {"name": "new", "databases": "d"}
    answer = portal.http.post(path, data=fields, headers={"Origin": estate.url})
    assert answer.status_code == 403
    assert len(members(estate, "group1")) == 1
    assert len(estate.get("/targetGroups")["value"]) == 1


def test_changes_of_members_need_the_role_too(estate: Server, portal: PortalClient) -> None:
    (address,) = member_pages(portal, "group1")
    reader = portal.as_("Reader", "Operator")
    reader.get(address, 403)
    reader.post(address, 403, **DATABASES | {"databases": "d"})
    reader.post(f"{address}/delete", 403)
    main = reader.get("/portal/target-groups/group1").text.partition("<main")[2]
    assert address not in main
    assert "Add a member" not in main
    only_reader = portal.as_("Reader").get("/portal/target-groups/group1").text.partition("<main")[2]
    assert 'method="post"' not in only_reader
    assert "Needs the role Operator." in only_reader


def test_an_agent_with_an_identity_shows_its_name(estate: Server, portal: PortalClient) -> None:
    identity = "/subscriptions/x/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/runner-id"
    estate.http.patch("/agent", json={"identity": {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}})
    assert "as runner-id" in text_of(portal.get("/portal/target-groups/group1"))
    assert "managed identity runner-id" in text_of(portal.get("/portal/target-groups/group1/users"))
    said = text_of(portal.post("/portal/target-groups/group1/users", 200, access="read"))
    assert "CREATE USER [runner-id] FROM EXTERNAL PROVIDER" in said
    portal.post("/portal/target-groups/group1/new-member", **WHOLE | {"credential": ""})

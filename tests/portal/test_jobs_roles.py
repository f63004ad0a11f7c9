"""Who may do what on the pages of jobs, and that only forms of a page of one's own session do anything."""

from __future__ import annotations

import pytest

from tests.api.support import Server
from tests.portal.support import PortalClient, text_of
from tests.portal.test_jobs_pages import properties

POSTS = {
    "/portal/jobs/nightly/start": "Operator",
    "/portal/jobs/nightly/enable": "Contributor",
    "/portal/jobs/nightly/disable": "Contributor",
    "/portal/jobs/nightly/delete": "Contributor",
    "/portal/jobs/nightly/edit": "Contributor",
    "/portal/jobs/nightly/new-step": "Contributor",
    "/portal/jobs/nightly/steps/step1/edit": "Contributor",
    "/portal/jobs/nightly/steps/step1/delete": "Contributor",
    "/portal/new-job": "Contributor",
    "/portal/schedule-preview": "Contributor",
}


@pytest.mark.parametrize("path", POSTS)
def test_who_lacks_the_role_is_refused_and_nothing_changes(server: Server, portal: PortalClient, path: str) -> None:
    server.ready_job("nightly")
    before = properties(server, "/jobs/nightly")
    others = {"Operator", "Contributor", "CredentialAdmin"} - {POSTS[path]}
    said = portal.as_("Reader", *others).post(path, 403, name="new", confirm="nightly", type="Once", start_id="x")
    assert f"needs the role {POSTS[path]}" in text_of(said)
    assert properties(server, "/jobs/nightly") == before
    assert server.get("/executions")["value"] == []


@pytest.mark.parametrize("path", POSTS)
def test_without_the_token_of_the_session_nothing_is_done(server: Server, portal: PortalClient, path: str) -> None:
    server.ready_job("nightly")
    before = properties(server, "/jobs/nightly")
    portal.csrf()
    fields = {"confirm": "nightly", "name": "new", "type": "Once"}
    for headers, given in (
        ({"Origin": server.url}, {}),
        ({"Origin": server.url}, {"csrf_token": "0" * 64}),
        ({"Origin": "https://evil.example.net"}, {"csrf_token": portal.csrf()}),
    ):
        answer = portal.http.post(path, data=fields | given, headers=headers)
        assert answer.status_code == 403, path
    assert properties(server, "/jobs/nightly") == before
    assert [job["name"] for job in server.get("/jobs")["value"]] == ["nightly"]


def test_a_reader_sees_no_buttons(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    reader = portal.as_("Reader")
    for path in ("/portal/jobs", "/portal/jobs/nightly", "/portal/jobs/nightly/steps/step1"):
        main = reader.get(path).text.partition("<main")[2]
        assert 'method="post"' not in main
        assert "Delete" not in main
        assert "Edit" not in main
    for path in ("/edit", "/delete", "/new-step", "/steps/step1/edit", "/steps/step1/delete"):
        reader.get(f"/portal/jobs/nightly{path}", 403)
    operator = portal.as_("Operator").get("/portal/jobs/nightly").text
    assert "Start now" in operator
    assert "Disable schedule" not in operator

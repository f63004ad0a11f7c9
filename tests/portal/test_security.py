"""What protects the pages: headers, proofs of origin, roles on every route, and assets that never change."""

from __future__ import annotations

import re
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import func, select

from elastic_jobs.api.services import Services
from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.jobdb.execution_tables import job_executions
from elastic_jobs.jobdb.tables import audit_entries
from elastic_jobs.portal.app import create_pages
from elastic_jobs.portal.visitors import Visitors
from tests.api.support import AGENT, VERSION, Server, finish, settings
from tests.portal.support import PortalClient, text_of

OPEN = {("GET", "/portal/assets/{name}"), ("GET", "/portal/sign-in"), ("POST", "/portal/sign-in")}
SIGNED_IN = {("POST", "/portal/sign-out")}
"""For callers without a role, too: they may go."""
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}


class _Anything:
    def __getattr__(self, name: str) -> None:
        del name


def routes() -> list[tuple[str, str, list[str]]]:
    """Every method and path of the pages, with the roles that they ask for."""
    services = cast("Services", _Anything())
    cast("Any", services).settings = settings()
    found = []
    for route in iter_route_contexts(create_pages(services, cast("Visitors", _Anything())).routes):
        path: str = getattr(route, "path", None) or cast("Any", route).original_route.path
        roles = [getattr(each.dependency, "required_role", None) for each in getattr(route, "dependencies", [])]
        for method in sorted(cast("Any", route).methods):
            found.append((method, path, [str(role) for role in roles if role is not None]))
    return found


@pytest.fixture
def failed(server: Server) -> UUID:
    """A run that failed on two databases."""
    server.ready_job()
    answer = server.http.post(f"{AGENT}/jobs/job1/start", params=VERSION)
    run = UUID(answer.json()["name"])
    finish(server.database, run, Lifecycle.FAILED, databases=2)
    return run


def runs(server: Server) -> int:
    with server.database.read() as connection:
        count: int = connection.execute(select(func.count()).select_from(job_executions)).scalar_one()
        return count


def test_every_route_names_one_role_and_reading_changes_nothing() -> None:
    found = routes()
    assert len(found) > 20
    for method, path, roles in found:
        if (method, path) in OPEN | SIGNED_IN:
            assert roles == []
            continue
        assert len(roles) == 1, (method, path)
        assert method in {"GET", "POST"}
    actions = {path: roles for method, path, roles in found if method == "POST"}
    assert actions["/portal/executions/{execution_id}/cancel"] == ["Operator"]
    assert actions["/portal/executions/{execution_id}/rerun"] == ["Operator"]


@pytest.mark.parametrize(
    "path", ["/portal", "/portal/live", "/portal/sign-in", "/portal/nothing", "/portal/executions/x", "/"]
)
def test_all_answers_carry_the_headers(portal: PortalClient, path: str) -> None:
    answer = portal.http.get(path, headers={"Accept": "text/html"})
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy == POLICY
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"


def test_pages_have_nothing_inline(portal: PortalClient, failed: UUID) -> None:
    for path in ("/portal", "/portal/executions", f"/portal/executions/{failed}", "/portal/sign-in", "/portal/none"):
        page = portal.http.get(path).text
        assert re.findall(r"<script(?![^>]*\ssrc=)", page) == []
        assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:|<iframe|<object|<embed|<base", page, re.I) == []
        sources = re.findall(r'(?:src|href|action)="([^"]*)"', page)
        assert sources
        assert [source for source in sources if not source.startswith(("/portal", "#", "/docs"))] == []


def test_assets_are_kept_for_ever_under_the_hash_of_their_content(portal: PortalClient) -> None:
    found = set(re.findall(r'"(/portal/assets/[^"]+)"', portal.get("/portal").text))
    assert len(found) == 5
    for address in found:
        answer = httpx.get(f"{portal.server.url}{address}")
        assert answer.status_code == 200, "open, so that the page to sign in has its looks"
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.content
    for wrong in ("portal.css", "portal.0000000000000000.css", "..%2Fapp.py", "%2e%2e%2fapp.py", "page.py"):
        assert portal.http.get(f"/portal/assets/{wrong}").status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "{own}"},
        {"Referer": "{own}/portal"},
    ],
    ids=str,
)
def test_a_form_of_another_site_is_refused(portal: PortalClient, failed: UUID, headers: dict[str, str]) -> None:
    own = {name: value.format(own=portal.server.url) for name, value in headers.items()}
    fields = {"csrf_token": portal.csrf(), "request_id": "r1"}
    answer = portal.http.post(f"/portal/executions/{failed}/rerun", data=fields, headers=own)
    assert answer.status_code == 403
    assert "did not come from a page of this portal" in text_of(answer)
    assert runs(portal.server) == 1


def test_a_form_without_the_token_of_its_session_is_refused(portal: PortalClient, failed: UUID) -> None:
    path = f"/portal/executions/{failed}/rerun"
    own = {"Origin": portal.server.url, "Sec-Fetch-Site": "same-origin"}
    right = portal.csrf()
    others = portal.as_("Operator", name="bob").csrf()
    for wrong in ("", "0" * 64, right[:-1], others, "é"):
        answer = portal.http.post(path, data={"csrf_token": wrong}, headers=own)
        assert answer.status_code == 403, wrong
    for name in list(portal.http.cookies):
        if name == "elastic_jobs_portal":
            del portal.http.cookies[name]
    assert portal.http.post(path, data={"csrf_token": right}, headers=own).status_code == 403
    assert runs(portal.server) == 1
    portal.post(path)
    assert runs(portal.server) == 2


def test_the_token_may_come_in_a_header_as_htmx_sends_it(portal: PortalClient, failed: UUID) -> None:
    headers = {"Origin": portal.server.url, "X-CSRF-Token": portal.csrf()}
    assert portal.http.post(f"/portal/executions/{failed}/rerun", headers=headers).status_code == 303


def test_what_is_no_form_is_refused(portal: PortalClient, failed: UUID) -> None:
    path = f"/portal/executions/{failed}/rerun"
    own = {"Origin": portal.server.url, "X-CSRF-Token": portal.csrf()}
    assert portal.http.post(path, json={"a": 1}, headers=own).status_code == 415
    form = {**own, "Content-Type": "application/x-www-form-urlencoded"}
    assert portal.http.post(path, content="a=%ff", headers=form).status_code == 400
    assert portal.http.post(path, content="é".encode(), headers=form).status_code == 400
    assert portal.http.post(path, content="&".join(["a=1"] * 3000), headers=form).status_code == 400
    assert portal.http.put(path, headers=own).status_code == 405
    assert runs(portal.server) == 1


def test_a_reader_sees_no_action_and_is_refused_when_he_forges_one(portal: PortalClient, failed: UUID) -> None:
    reader = portal.as_("Reader", name="rita")
    page = reader.get(f"/portal/executions/{failed}").text
    assert "Run failed again" in portal.get(f"/portal/executions/{failed}").text
    assert "Run failed again" not in page
    assert set(re.findall(r'<form[^>]*method="post"[^>]*action="([^"]*)"', page)) == {"/portal/sign-out"}
    for action in ("rerun", "cancel"):
        answer = reader.post(f"/portal/executions/{failed}/{action}", 403)
        assert "The caller 'rita' needs the role Operator for this." in text_of(answer)
    assert runs(portal.server) == 1


def test_an_action_is_the_apis_own_with_its_audit_and_its_repetition(portal: PortalClient, failed: UUID) -> None:
    path = f"/portal/executions/{failed}/rerun"
    first = portal.post(path, request_id="click-1").headers["location"]
    again = portal.post(path, request_id="click-1").headers["location"]
    assert first == again, "a double click is one rerun"
    said = portal.done(path, request_id="click-2")
    assert "was run again already" in said
    assert runs(portal.server) == 2
    with portal.server.database.read() as connection:
        entries = connection.execute(
            select(audit_entries.c.caller).where(audit_entries.c.action == "rerun execution")
        ).all()
    assert [entry.caller for entry in entries] == ["alice"]


def test_what_is_not_there_is_a_page_that_says_so(portal: PortalClient) -> None:
    missing = uuid4()
    for path, said in (
        (f"/portal/executions/{missing}", f"There is no execution '{missing}'."),
        ("/portal/executions/x%2Fy", "There is no execution 'x/y'."),
        (f"/portal/executions/{missing}/targets/{missing}", "There is no execution"),
        ("/portal/nothing", "check the path"),
    ):
        assert said in text_of(portal.get(path, 404)), path
    for path in ("/portal/executions?after=%FF", "/portal/executions?after=YWJj", "/portal/executions?after=%C3%A9"):
        assert "begin it anew" in text_of(portal.get(path, 400)), path
    assert portal.get("/portal/executions?state=nonsense&period=x").status_code == 200
    assert "is not valid" in text_of(portal.get(f"/portal/executions/{missing}?page=x", 400))


def test_what_nobody_foresaw_tells_nothing_but_its_id(portal: PortalClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **more: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("elastic_jobs.jobdb.run_list.list_runs", broken)
    answer = portal.http.get("/portal/executions")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert answer.headers["x-ms-request-id"] in answer.text


def test_a_notice_is_shown_once_and_a_forged_one_is_only_text(portal: PortalClient, failed: UUID) -> None:
    location = portal.post(f"/portal/executions/{failed}/rerun").headers["location"]
    assert "Started again" in portal.get(location).text
    assert "Started again" not in portal.get(location).text
    for wrong in ("x", "====", "bm8", "WyJhIl0", "bnVsbA", "é".encode().hex()):
        portal.http.cookies.set("elastic_jobs_notice", wrong, path="/portal")
        assert 'class="notice' not in portal.get("/portal").text
        portal.http.cookies.delete("elastic_jobs_notice")
    forged = "WyJlcnJvciIsICI8c2NyaXB0PmFsZXJ0KDEpPC9zY3JpcHQ-Il0"
    portal.http.cookies.set("elastic_jobs_notice", forged, path="/portal")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in portal.get("/portal").text


def test_every_answer_sets_one_cookie_at_most(portal: PortalClient, failed: UUID) -> None:
    answers = [
        httpx.get(f"{portal.server.url}/portal"),
        httpx.get(f"{portal.server.url}/portal/sign-in"),
        portal.http.get("/portal"),
        portal.post(f"/portal/executions/{failed}/rerun"),
        portal.http.get("/portal"),
        portal.http.get("/portal/nothing"),
        portal.post("/portal/sign-out"),
    ]
    assert [len(answer.headers.get_list("set-cookie")) for answer in answers] == [1, 1, 1, 1, 1, 0, 1]
    keys = [answer.headers.get("set-cookie", "") for answer in answers]
    assert re.search(r"; HttpOnly; .*Path=/portal; SameSite=strict$", keys[3])

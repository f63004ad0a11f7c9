"""The pages of jobs over HTTP: what they show, what their forms do, who may send them."""

from __future__ import annotations

import re
from uuid import UUID

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.jobdb.definitions import audit
from tests.api.support import Server, finish
from tests.portal.support import PortalClient, text_of

STEP = {
    "name": "step2",
    "script": "SELECT 2",
    "target_group": "group1",
    "credential": "runner",
    "timeout": "60",
    "retries": "3",
}


def value(page: str, name: str) -> str:
    """What the form of a page holds in a field."""
    field = re.search(rf'<(?:input|textarea)[^>]*\bname="{name}"[^>]*>', page)
    assert field is not None, name
    if field[0].startswith("<textarea"):
        return page[field.end() :].partition("</textarea>")[0]
    found = re.search(r'value="([^"]*)"', field[0])
    return found[1] if found else ""


def error(page: str, name: str) -> str:
    """What a page says about a field; empty when nothing."""
    found = re.search(rf'id="e-{name}">([^<]*)<', page)
    return found[1] if found else ""


def properties(server: Server, path: str) -> dict[str, object]:
    found: dict[str, object] = server.get(path)["properties"]
    return found


def test_empty_lists_say_what_to_do_next(server: Server, portal: PortalClient) -> None:
    assert "Create it first" in text_of(portal.get("/portal/jobs"))
    server.agent()
    assert "First define a target group , then create a job ." in text_of(portal.get("/portal/jobs"))
    assert "Somebody with the role Contributor" in text_of(portal.as_("Reader").get("/portal/jobs"))
    server.put("/jobs/nightly", {})
    assert "Show all jobs" in text_of(portal.get("/portal/jobs", name="weekly"))
    assert "Add a step" in text_of(portal.get("/portal/jobs/nightly"))


def test_the_list_tells_schedule_next_due_and_last_outcome(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    schedule = {"type": "Recurring", "interval": "PT6H", "startTime": "2999-01-01T00:00:00Z", "enabled": True}
    server.put("/jobs/nightly", {"properties": {"description": "d", "schedule": schedule}})
    run = UUID(server.http.post("/agent/jobs/nightly/start").json()["name"])
    finish(server.database, run, Lifecycle.FAILED)
    server.put("/jobs/other", {})
    said = text_of(portal.get("/portal/jobs"))
    assert re.search(r"nightly d Enabled Every 6 hours in \d+ d Failed now 1 1", said), said
    assert re.search("other Disabled Once . never none 0", said)
    filtered = text_of(portal.get("/portal/jobs", name="NIGHT"))
    assert "nightly" in filtered
    assert "other" not in filtered


def test_long_lists_have_pages(server: Server, portal: PortalClient) -> None:
    server.agent()
    for number in range(101):
        server.put(f"/jobs/job{number:03}", {})
    first = portal.get("/portal/jobs").text
    assert "job099" in first
    assert "job100" not in first
    (link,) = re.findall(r'href="(/portal/jobs\?[^"]*after[^"]*)" rel="next"', first)
    second = text_of(portal.get(link.replace("&amp;", "&")))
    assert "job100" in second
    assert "job099" not in second


def test_a_job_shows_its_schedule_steps_runs_and_versions(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    schedule = {"type": "Recurring", "interval": "P1M", "startTime": "2999-01-31T06:00:00Z", "enabled": True}
    server.put("/jobs/nightly", {"properties": {"schedule": schedule}})
    run = UUID(server.http.post("/agent/jobs/nightly/start").json()["name"])
    page = portal.get("/portal/jobs/nightly")
    for instant in ("01-31", "02-28", "03-31", "04-30", "05-31"):
        assert f'<time datetime="2999-{instant}T06:00:00Z" data-local>2999-{instant} 06:00:00 UTC</time>' in page.text
    said = text_of(page)
    assert "1 step1 on group1 as runner" in said
    assert "SELECT 1" in said
    assert f"/portal/executions/{run}" in page.text
    assert "What changed in version 1" in said
    assert "by alice" in said


def test_a_name_with_a_slash_and_markup_is_text_everywhere(server: Server, portal: PortalClient) -> None:
    name = "a/<script>alert(1)</script>&\"'"
    server.ready_job("plain")
    portal.post("/portal/new-job", name=name, type="Once", description="<img src=x onerror=alert(2)>")
    (address,) = set(re.findall(r'href="(/portal/jobs/a%2F[^"]*)"', portal.get("/portal/jobs").text))
    portal.post(f"{address}/new-step", **STEP | {"name": name, "script": "</pre><script>alert(3)</script>"})
    step = f"{address}/steps/{address.rpartition('/')[2]}"
    for path in ("", "/edit", "/versions", "/difference", "/executions", "/delete", "/new-step"):
        assert "<script>alert" not in portal.get(address + path).text
        assert "<img" not in portal.get(address + path).text
    for path in ("", "/edit", "/delete"):
        assert "<script>alert" not in portal.get(step + path).text
    said = portal.get("/portal/schedule-preview", 405).text
    assert "<script>alert" not in said


def test_start_shows_the_run_and_a_second_click_starts_no_other(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    start_id = value(portal.get("/portal/jobs/nightly").text, "start_id")
    first = portal.post("/portal/jobs/nightly/start", start_id=start_id).headers["location"]
    again = portal.post("/portal/jobs/nightly/start", start_id=start_id).headers["location"]
    other = value(portal.get("/portal/jobs/nightly").text, "start_id")
    assert first.startswith("/portal/executions/")
    assert again == first
    assert portal.post("/portal/jobs/nightly/start", start_id=other).headers["location"] != first


def test_a_start_that_is_refused_says_why(server: Server, portal: PortalClient) -> None:
    server.agent()
    server.put("/jobs/empty", {})
    assert "no steps" in portal.done("/portal/jobs/empty/start")


def test_the_schedule_is_switched_on_and_off_and_keeps_the_rest(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    schedule = {"type": "Recurring", "interval": "PT5M", "startTime": "2999-01-01T00:00:00.123456Z", "enabled": False}
    server.put("/jobs/nightly", {"properties": {"description": "d", "schedule": schedule}})
    before = properties(server, "/jobs/nightly")
    assert "The schedule is enabled." in portal.done("/portal/jobs/nightly/enable")
    enabled = properties(server, "/jobs/nightly")
    assert enabled["schedule"] == before["schedule"] | {"enabled": True}  # type: ignore[operator]  # JSON
    assert enabled["description"] == "d"
    assert "The schedule is disabled." in portal.done("/portal/jobs/nightly/disable")
    assert properties(server, "/jobs/nightly")["schedule"] == before["schedule"]


def test_a_job_is_created_and_its_schedule_edited(server: Server, portal: PortalClient) -> None:
    server.agent()
    said = portal.done("/portal/new-job", name="nightly", description="d", type="Once", start="", end="")
    assert "The job 'nightly' was created." in said
    page = portal.get("/portal/jobs/nightly/edit").text
    saved = portal.done(
        "/portal/jobs/nightly/edit",
        seen=value(page, "seen"),
        description="other",
        type="Recurring",
        count="2",
        unit="Hours",
        start="2999-01-01T06:00",
        end="",
        enabled="on",
    )
    assert "Saved." in saved
    assert properties(server, "/jobs/nightly") == {
        "description": "other",
        "version": 0,
        "schedule": {
            "startTime": "2999-01-01T06:00:00Z",
            "endTime": "9999-12-31T11:59:59Z",
            "type": "Recurring",
            "enabled": True,
            "interval": "PT2H",
        },
    }
    with server.database.read() as connection:
        entries = audit.list_entries(connection, audit.AuditFilter(resource="jobs/nightly"), limit=5)
    assert [(entry.action, entry.caller) for entry in entries] == [("update job", "alice"), ("create job", "alice")]


def test_a_wrong_form_comes_back_with_sentences_and_all_that_was_typed(server: Server, portal: PortalClient) -> None:
    server.agent()
    typed = {"name": "50%", "description": "d" * 600, "type": "Recurring", "count": "often", "unit": "Hours"}
    page = portal.post("/portal/new-job", 400, **typed, start="2999-01-01T06:00", end="2998-01-01T06:00").text
    assert "contains" in error(page, "name")
    assert "at most 512" in error(page, "description")
    assert "whole number" in error(page, "count")
    for name in ("name", "description", "count"):
        assert value(page, name) == typed[name]
    assert value(page, "start") == "2999-01-01T06:00"
    assert re.search(r'<option value="Hours" selected>', page)
    assert server.get("/jobs")["value"] == []


def test_a_taken_name_does_not_overwrite_the_job_that_has_it(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    page = portal.post("/portal/new-job", 400, name="NIGHTLY", description="mine", type="Once").text
    assert "already" in error(page, "name")
    assert properties(server, "/jobs/nightly")["description"] == ""


def test_who_was_overtaken_sees_it_and_can_save_again(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    page = portal.get("/portal/jobs/nightly/edit").text
    server.put("/jobs/nightly", {"properties": {"description": "theirs"}})
    form = {"type": "Once", "description": "mine", "seen": value(page, "seen")}
    refused = portal.post("/portal/jobs/nightly/edit", 400, **form).text
    assert "Somebody changed this meanwhile" in refused
    assert value(refused, "description") == "mine"
    assert properties(server, "/jobs/nightly")["description"] == "theirs"
    portal.post("/portal/jobs/nightly/edit", **form | {"seen": value(refused, "seen")})
    assert properties(server, "/jobs/nightly")["description"] == "mine"


def test_a_preview_saves_nothing(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    schedule = {"type": "Recurring", "count": "1", "unit": "Weeks", "start": "2999-01-01T00:00", "enabled": "on"}
    part = portal.post("/portal/schedule-preview", 200, **schedule).text
    assert "2999-01-29 00:00:00" in part
    assert "<html" not in part
    assert "not complete" in portal.post("/portal/schedule-preview", 200, **schedule | {"count": ""}).text
    page = portal.post("/portal/jobs/nightly/edit", 200, **schedule, do="preview", description="typed").text
    assert "2999-01-29 00:00:00" in page
    assert value(page, "description") == "typed"
    assert properties(server, "/jobs/nightly")["schedule"]["type"] == "Once"  # type: ignore[index]  # JSON


def test_a_step_is_added_edited_and_deleted(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    assert "made a new version" in portal.done("/portal/jobs/nightly/new-step", **STEP)
    page = portal.get("/portal/jobs/nightly/steps/step2/edit").text
    assert value(page, "script") == "\nSELECT 2", "the line end after the tag belongs to the markup"
    form = STEP | {"seen": value(page, "seen"), "script": "\r\nSELECT 3\r\nGO\r\n", "parallel": "4", "step_id": "1"}
    portal.post("/portal/jobs/nightly/steps/step2/edit", **form)
    saved = properties(server, "/jobs/nightly/steps/step2")
    assert saved["action"]["value"] == "\nSELECT 3\nGO\n"  # type: ignore[index]  # JSON
    assert (saved["maxParallelism"], saved["stepId"]) == (4, 1)
    assert saved["executionOptions"]["timeoutSeconds"] == 60  # type: ignore[index]  # JSON
    page = portal.get("/portal/jobs/nightly/steps/step2/edit").text
    portal.post("/portal/jobs/nightly/steps/step2/edit", **form | {"seen": value(page, "seen"), "parallel": ""})
    assert "maxParallelism" not in properties(server, "/jobs/nightly/steps/step2")
    assert "Version 5 of the job" in text_of(portal.get("/portal/jobs/nightly/steps/step1/delete"))
    assert "was deleted" in portal.done("/portal/jobs/nightly/steps/step1/delete")
    assert [step["name"] for step in server.get("/jobs/nightly/steps")["value"]] == ["step2"]


def test_a_step_that_is_refused_keeps_what_was_typed(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    for changed, field, said in (
        ({"timeout": "0"}, "timeout", "at least 1"),
        ({"target_group": "gone"}, "target_group", "does not exist"),
        ({"credential": "gone"}, "credential", "does not exist"),
        ({"credential": ""}, "credential", "needs a credential"),
        ({"step_id": "9"}, "step_id", "not from 1 to 2"),
        ({"name": "step1"}, "name", "already"),
        (
            {"output_server": "evil.example.net", "output_database": "d", "output_table": "t"}
            | {"output_schema": "dbo", "output_credential": "runner"},
            "output_server",
            "evil.example.net",
        ),
    ):
        typed = STEP | changed
        page = portal.post("/portal/jobs/nightly/new-step", 400, **typed).text
        assert said in error(page, field), (changed, page)
        assert value(page, "script") == "\nSELECT 2"
        assert value(page, "timeout") == typed["timeout"]
    assert properties(server, "/jobs/nightly")["version"] == 1


def test_a_step_with_other_line_ends_is_not_changed_by_looking_at_it(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    body = {
        "targetGroup": server.get("/targetGroups/group1")["id"],
        "credential": server.get("/credentials/runner")["id"],
        "action": {"value": "SELECT 1\r\nGO\nSELECT 2"},
    }
    server.put("/jobs/nightly/steps/step1", {"properties": body})
    page = portal.get("/portal/jobs/nightly/steps/step1/edit").text
    sent = value(page, "script").removeprefix("\n").replace("\r\n", "\n").replace("\n", "\r\n")
    portal.post("/portal/jobs/nightly/steps/step1/edit", **STEP | {"seen": value(page, "seen"), "script": sent})
    assert properties(server, "/jobs/nightly/steps/step1")["action"]["value"] == "SELECT 1\r\nGO\nSELECT 2"  # type: ignore[index]  # JSON


def test_who_edits_an_old_step_is_told(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    page = portal.get("/portal/jobs/nightly/steps/step1/edit").text
    portal.post("/portal/jobs/nightly/steps/step1/edit", **STEP | {"seen": value(page, "seen")})
    refused = portal.post("/portal/jobs/nightly/steps/step1/edit", 400, **STEP | {"seen": value(page, "seen")}).text
    assert "Somebody changed this meanwhile" in refused
    assert properties(server, "/jobs/nightly")["version"] == 2


def test_the_difference_of_two_versions(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    portal.post("/portal/jobs/nightly/new-step", **STEP)
    page = portal.get("/portal/jobs/nightly/steps/step1/edit").text
    portal.post(
        "/portal/jobs/nightly/steps/step1/edit",
        **STEP | {"seen": value(page, "seen"), "script": "SELECT 1\nWHERE 1 = 1", "timeout": "60"},
    )
    said = text_of(portal.get("/portal/jobs/nightly/difference"))
    assert "Version 2 and version 3" in said
    assert "step1 step 1 Changed 1 line added, 0 lines removed" in said
    assert "Timeout 43200 s (12 h) 60 s (1 min)" in said
    assert "step2 step 2 Unchanged" in said
    backwards = text_of(portal.get("/portal/jobs/nightly/difference", older="3", newer="1"))
    assert "Version 1 and version 3" in backwards
    assert "step2 step 2 Added" in backwards
    assert "Version 3 was made now by alice" in backwards
    portal.get("/portal/jobs/nightly/difference", 404, older="1", newer="4")
    portal.get("/portal/jobs/nightly/difference", 404, older="x")


def test_deleting_a_job_asks_for_its_name_and_for_what_is_active(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    server.http.post("/agent/jobs/nightly/start")
    assert "An execution of this job is active." in text_of(portal.get("/portal/jobs/nightly/delete"))
    assert "Type the name" in text_of(portal.post("/portal/jobs/nightly/delete", 400, confirm="night"))
    assert "active executions" in text_of(portal.post("/portal/jobs/nightly/delete", 400, confirm="nightly"))
    assert "was deleted" in portal.done("/portal/jobs/nightly/delete", confirm="Nightly", force="on")
    assert server.get("/jobs")["value"] == []
    assert len(server.control.deleted) == 1
    portal.get("/portal/jobs/nightly", 404)


def test_the_history_of_a_job_has_pages(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    runs = []
    for _ in range(3):
        run = UUID(server.http.post("/agent/jobs/nightly/start").json()["name"])
        finish(server.database, run, Lifecycle.SUCCEEDED)
        runs.append(str(run))
    first = portal.get("/portal/jobs/nightly/executions").text
    assert re.findall(r"/portal/executions/([0-9a-f-]{36})", first) == runs[::-1]
    second = portal.get("/portal/jobs/nightly/executions", after=runs[1]).text
    assert re.findall(r"/portal/executions/([0-9a-f-]{36})", second) == runs[:1]
    portal.get("/portal/jobs/nightly/executions", 404, after=str(UUID(int=1)))


def test_an_agent_with_an_identity_asks_for_no_credentials(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    identity = "/subscriptions/x/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/runner-id"
    server.http.patch("/agent", json={"identity": {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}})
    assert "As whom the script runs" not in portal.get("/portal/jobs/nightly/new-step").text
    portal.post("/portal/jobs/nightly/new-step", **STEP | {"credential": ""})
    assert properties(server, "/jobs/nightly")["version"] == 2


def test_a_long_script_is_cut_on_the_page_of_its_job_only(server: Server, portal: PortalClient) -> None:
    server.ready_job("nightly")
    script = "SELECT 1 -- " + "x" * 50_000 + " end"
    portal.post("/portal/jobs/nightly/new-step", **STEP | {"script": script})
    page = portal.get("/portal/jobs/nightly").text
    assert len(page) < 20_000
    assert "more characters: the whole script" in page
    assert "x end" in portal.get("/portal/jobs/nightly/steps/step2").text

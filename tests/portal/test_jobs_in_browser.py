"""The pages of definitions in a real browser: both themes, both widths, no serious fault of accessibility; and what
scripts add to them: the live preview of a schedule, fields that belong to a kind of member, scripts to copy."""

from __future__ import annotations

from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from elastic_jobs.domain.lifecycle import Lifecycle
from tests.api.support import AGENT, ALL_ROLES, Server, finish, step_body, token
from tests.portal.browsing import NARROW, WIDE, Visitor, faults, too_wide

SCRIPT = "-- what is large\nSELECT name\nFROM sys.tables\nWHERE name LIKE N'%" + "x" * 200 + "%';\nGO\n"
MONTHLY = {"type": "Recurring", "interval": "P1M", "startTime": "2999-01-31T06:00:00Z", "enabled": True}
JOB, GROUP = "/portal/jobs/nightly", "/portal/target-groups/group1"


@pytest.fixture
def estate(server: Server) -> Server:
    """A job with three versions and a run, a job without steps, groups with members of several kinds."""
    server.ready_job("nightly")
    server.put("/jobs/nightly", {"properties": {"description": "Looks for large tables.", "schedule": MONTHLY}})
    run = UUID(server.http.post("/agent/jobs/nightly/start").json()["name"])
    finish(server.database, run, Lifecycle.FAILED)
    server.put("/jobs/nightly/steps/step1", step_body(action={"value": SCRIPT}, maxParallelism=4))
    output = {
        "serverName": "server1",
        "databaseName": "d",
        "tableName": "t",
        "credential": f"{AGENT}/credentials/runner",
    }
    server.put("/jobs/nightly/steps/step2", step_body(output=output))
    server.put("/jobs/empty", {})
    pool = {"type": "SqlElasticPool", "serverName": "server1", "elasticPoolName": "gold"}
    excluded = {"membershipType": "Exclude", "type": "SqlDatabase", "serverName": "server1", "databaseName": "d" * 90}
    listed = pool | {"refreshCredential": f"{AGENT}/credentials/runner"}
    server.put("/targetGroups/all", {"properties": {"members": [listed, excluded]}})
    return server


PAGES = (
    "/portal/jobs",
    "/portal/jobs?name=nothing",
    JOB,
    "/portal/jobs/empty",
    f"{JOB}/edit",
    f"{JOB}/delete",
    f"{JOB}/executions",
    f"{JOB}/versions",
    f"{JOB}/difference?older=1&newer=2",
    f"{JOB}/difference?older=0&newer=3",
    f"{JOB}/new-step",
    f"{JOB}/steps/step1",
    f"{JOB}/steps/step2/edit",
    f"{JOB}/steps/step1/delete",
    "/portal/new-job",
    "/portal/target-groups",
    "/portal/target-groups/all",
    GROUP,
    f"{GROUP}/new-member",
    f"{GROUP}/users",
    f"{GROUP}/delete",
    "/portal/new-target-group",
    "/portal/credentials",
    "/portal/credentials/runner",
    "/portal/credentials/runner/edit",
    "/portal/credentials/runner/delete",
    "/portal/new-credential",
)


def check(page: Page, what: str) -> None:
    """No serious fault in either theme, and no scrolling sideways in a narrow window."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert (what, theme, faults(page, colours_only=theme == "dark")) == (what, theme, [])
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    assert (what, too_wide(page)) == (what, 0)
    page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    assert (what, too_wide(page)) == (what, 0)


@pytest.mark.timeout(300)
def test_pages_have_no_serious_fault_and_fit_the_window(estate: Server, visitor: Visitor) -> None:
    page = visitor.open(f"{estate.url}/portal", token(*ALL_ROLES))
    for address in PAGES:
        page.goto(estate.url + address)
        check(page, address)


def test_answers_of_forms_have_no_serious_fault_and_fit_the_window(estate: Server, visitor: Visitor) -> None:
    page = visitor.open(f"{estate.url}/portal", token(*ALL_ROLES))
    for address, button, heading in (
        (GROUP, "List the databases", "Databases"),
        (GROUP, "Try the databases", "Preflight"),
        ("/portal/target-groups/all", "List the databases", "Databases"),
        (f"{GROUP}/users", "Make the T-SQL", "database1"),
    ):
        page.goto(estate.url + address)
        page.get_by_role("button", name=button).click()
        expect(page.get_by_role("heading", name=heading).first).to_be_visible()
        check(page, button)
    page.goto(f"{estate.url}/portal/new-job")
    page.get_by_label("Name").fill("50%")
    page.get_by_role("button", name="Create job").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was saved.")
    check(page, "a form with errors")


def test_the_next_five_instants_follow_the_form(estate: Server, visitor: Visitor) -> None:
    page = visitor.open(f"{estate.url}{JOB}/edit", token(*ALL_ROLES))
    preview = page.get_by_role("status").filter(has_text="instants")
    expect(preview.locator("li").nth(1)).to_contain_text("2999-02-28 06:00:00 UTC · 07:00:00 CET")
    page.get_by_label("Unit").select_option("days")
    expect(preview.locator("li").nth(4)).to_contain_text("2999-02-04 06:00:00 UTC · 07:00:00 CET")
    page.get_by_label("Start (UTC)").fill("2999-07-01T06:30:00")
    page.get_by_label("Start (UTC)").blur()
    expect(preview.locator("li").nth(0)).to_contain_text("2999-07-01 06:30:00 UTC · 08:30:00 CEST")
    page.get_by_label("Once, or by hand").check()
    expect(page.get_by_label("Every", exact=True)).to_be_hidden()
    expect(preview.locator("li")).to_have_count(1)
    page.get_by_label("Again and again").check()
    page.get_by_label("Every", exact=True).fill("often")
    page.get_by_label("Every", exact=True).blur()
    expect(preview).to_have_count(0)
    expect(page.get_by_text("The schedule is not complete yet.")).to_be_visible()
    assert estate.get("/jobs/nightly")["properties"]["schedule"]["interval"] == "P1M"


def test_a_schedule_is_edited(estate: Server, visitor: Visitor) -> None:
    page = visitor.open(f"{estate.url}{JOB}", token(*ALL_ROLES))
    page.get_by_role("main").get_by_role("link", name="Edit", exact=True).click()
    page.get_by_label("Every", exact=True).fill("2")
    page.get_by_label("Unit").select_option("weeks")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_have_text("Saved.")
    expect(page.get_by_text("Every 2 weeks")).to_be_visible()
    expect(page.locator("ol.instants li").nth(1)).to_contain_text("2999-02-14 06:00:00 UTC")
    assert estate.get("/jobs/nightly")["properties"]["schedule"]["interval"] == "P2W"


def test_the_difference_of_two_versions_is_found_from_the_job(estate: Server, visitor: Visitor) -> None:
    page = visitor.open(f"{estate.url}{JOB}", token("Reader"))
    page.get_by_role("link", name="What changed in version 2").click()
    difference = page.get_by_role("region", name="Difference of the script of step1")
    expect(difference.locator("tr.d-removed")).to_contain_text(["SELECT 1"])
    expect(difference.locator("tr.d-added").nth(1)).to_contain_text("SELECT name")
    expect(page.get_by_role("row", name="Databases at once per elastic pool no limit 4")).to_be_visible()
    page.get_by_label("to version").fill("3")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", name="step2 step 2")).to_be_visible()


def test_a_member_form_shows_the_fields_of_its_kind(estate: Server, visitor: Visitor) -> None:
    page = visitor.open(f"{estate.url}{GROUP}/new-member", token(*ALL_ROLES))
    shown = {
        "All databases of a server": ("Refresh credential",),
        "Databases by name": ("Databases, one name a line",),
        "An elastic pool": ("Elastic pool", "Refresh credential"),
        "A shard map": ("Databases, one name a line", "Shard map", "Refresh credential"),
    }
    for kind, fields in shown.items():
        page.get_by_label(kind).check()
        for label in ("Refresh credential", "Databases, one name a line", "Elastic pool", "Shard map"):
            field = page.get_by_label(label, exact=True)
            expect(field).to_be_visible() if label in fields else expect(field).to_be_hidden()


def test_the_sql_for_users_is_copied(estate: Server, visitor: Visitor) -> None:
    page = visitor.open(
        f"{estate.url}{GROUP}/users", token(*ALL_ROLES), permissions=["clipboard-read", "clipboard-write"]
    )
    page.get_by_role("button", name="Make the T-SQL").click()
    page.get_by_role("button", name="Copy the script for database1").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    copied: str = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("IF DATABASE_PRINCIPAL_ID(N'u') IS NULL CREATE USER [u] FROM LOGIN [u];")


def test_all_works_without_scripts(estate: Server, visitor: Visitor) -> None:
    page = visitor.open(f"{estate.url}/portal/new-job", token(*ALL_ROLES), scripts=False)
    page.get_by_label("Name").fill("plain")
    page.get_by_label("Again and again").check()
    page.get_by_label("Start (UTC)").fill("2999-01-01T00:00:00")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("ol.instants li").nth(4)).to_contain_text("2999-01-05 00:00:00 UTC")
    page.get_by_role("button", name="Create job").click()
    page.get_by_role("link", name="Add a step").click()
    page.get_by_label("Name").fill("s1")
    page.get_by_label("Target group").select_option("group1")
    page.get_by_role("textbox", name="Script (T-SQL)").fill("SELECT 1")
    page.get_by_role("button", name="Add the step").click()
    expect(page.get_by_role("status")).to_contain_text("The step 's1' was saved")
    page.get_by_role("link", name="Delete …", exact=True).first.click()
    page.get_by_label("Type the name of the job").fill("plain")
    page.get_by_role("button", name="Delete the job").click()
    expect(page.get_by_role("status")).to_contain_text("The job 'plain' was deleted")


def test_a_form_with_errors_leads_to_its_fields_by_keyboard(estate: Server, visitor: Visitor) -> None:
    page = visitor.open(f"{estate.url}{JOB}/new-step", token(*ALL_ROLES))
    page.get_by_label("Name").fill("s9")
    page.get_by_label("Target group").select_option("group1")
    page.get_by_role("textbox", name="Script (T-SQL)").fill("SELECT 9;\n")
    page.get_by_label("Timeout in seconds").fill("0")
    page.get_by_label("Timeout in seconds").press("Enter")
    link = page.get_by_role("alert").get_by_role("link", name="whole number of at least 1")
    link.focus()
    link.press("Enter")
    expect(page.get_by_label("Timeout in seconds")).to_be_focused()
    expect(page.get_by_label("Timeout in seconds")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("textbox", name="Script (T-SQL)")).to_have_value("SELECT 9;\n")


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}"


def test_nothing_that_people_write_runs(estate: Server, visitor: Visitor) -> None:
    page = visitor.open(f"{estate.url}/portal/new-job", token(*ALL_ROLES))
    page.get_by_label("Name").fill(HOSTILE)
    page.get_by_label("Description").fill(HOSTILE)
    page.get_by_role("button", name="Create job").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    page.goto(f"{estate.url}/portal/new-target-group")
    page.get_by_label("Name of the group").fill(HOSTILE)
    page.get_by_label("Databases by name").check()
    page.get_by_label("Server", exact=True).fill("server1")
    page.get_by_label("Databases, one name a line").fill(HOSTILE)
    page.get_by_role("button", name="Create the group").click()
    expect(page.get_by_role("rowheader", name=f"database '{HOSTILE}'")).to_be_visible()
    page.get_by_role("button", name="List the databases").click()
    expect(page.get_by_role("rowheader", name=HOSTILE)).to_be_visible()
    page.goto(f"{estate.url}/portal/jobs")
    page.get_by_role("link", name=HOSTILE).click()
    page.get_by_role("link", name="Add a step").click()
    page.get_by_label("Name").fill(HOSTILE)
    page.get_by_label("Target group").select_option(HOSTILE)
    page.get_by_role("textbox", name="Script (T-SQL)").fill(f"</textarea></pre>{HOSTILE}")
    page.get_by_role("button", name="Add the step").click()
    expect(page.get_by_role("region", name="Script of")).to_have_text(f"</textarea></pre>{HOSTILE}")
    page.get_by_role("link", name="What changed in version 1").click()
    expect(page.get_by_role("region", name="Difference of")).to_contain_text(HOSTILE)
    page.go_back()
    page.get_by_role("link", name=f"Edit {HOSTILE}").click()
    expect(page.get_by_role("textbox", name="Script (T-SQL)")).to_have_value(f"</textarea></pre>{HOSTILE}")
    page.get_by_label("Timeout in seconds").fill(HOSTILE)
    page.get_by_role("button", name="Save as version 2").click()
    expect(page.get_by_label("Timeout in seconds")).to_have_value(HOSTILE)

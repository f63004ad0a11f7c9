"""The Azure tutorial "Create an Elastic Job agent using PowerShell", done wholly through the portal by somebody who
never opens a terminal. Only what the portal has no pages for is made before: the agent, and the logins on the target
server, which its administrator makes."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from local.demo.tutorial import IN_EACH_DATABASE, IN_MASTER, PASSWORD, SQL_TEXT_1, SQL_TEXT_2
from tests.e2e.support import Bench
from tests.portal.browsing import Visitor

pytestmark = pytest.mark.timeout(240)

RUN_MILLISECONDS = 60_000


@pytest.fixture
def server(bench: Bench) -> str:
    """The target server with the logins and users of the tutorial; its name."""
    for statement in IN_MASTER:
        bench.sql("master", statement)
    databases = [row[0] for row in bench.sql("master", "SELECT name FROM sys.databases WHERE name <> 'master'")]
    for database in databases:
        for statement in IN_EACH_DATABASE:
            bench.sql(database, statement)
    return str(bench.endpoint["sql"]["server"])


def test_the_tutorial(bench: Bench, server: str, visitor: Visitor) -> None:
    page = visitor.open(f"{bench.endpoint['api']}/portal", bench.endpoint["token"])
    for name in ("masteruser", "jobuser"):
        _create_credential(page, name)
    _create_groups(page, server)
    _look_before(page)
    _create_job(page)
    _start_and_see_it_succeed(page)
    tables = {row[0] for row in bench.sql("database1", "SELECT name FROM sys.tables")}
    assert {"Step1Table", "Step2Table"} <= tables
    tables = {row[0] for row in bench.sql("database2", "SELECT name FROM sys.tables")}
    assert "Step1Table" in tables
    assert "Step2Table" not in tables
    _schedule_it(page)
    _clean_up(page)


def _go(page: Page, section: str) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name=section).click()


def _done(page: Page, said: str) -> None:
    expect(page.get_by_role("status").first).to_contain_text(said)


def _create_credential(page: Page, name: str) -> None:
    _go(page, "Credentials")
    page.get_by_role("link", name="New credential").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create the credential").click()
    _done(page, f"The credential '{name}' was saved.")
    assert PASSWORD not in page.content()


def _create_groups(page: Page, server: str) -> None:
    for name in ("ServerGroup", "ServerGroupExcludingDb2"):
        _go(page, "Target groups")
        page.get_by_role("link", name="New target group").click()
        page.get_by_label("Name of the group").fill(name)
        page.get_by_label("All databases of a server").check()
        page.get_by_label("Server", exact=True).fill(server)
        page.get_by_label("Refresh credential").select_option("masteruser")
        page.get_by_role("button", name="Create the group").click()
        _done(page, f"The target group '{name}' was created.")
    page.get_by_role("link", name="Add a member").click()
    page.get_by_label("Exclude (wins over every include)").check()
    page.get_by_label("Databases by name").check()
    page.get_by_label("Databases, one name a line").fill("database2")
    page.get_by_role("button", name="Add the member").click()
    _done(page, "Added.")
    expect(page.get_by_role("row", name="Exclude database 'database2'")).to_be_visible()


def _look_before(page: Page) -> None:
    """What the group comes to, and whether a job could run there: the servers are really asked."""
    page.get_by_role("button", name="List the databases").click()
    expect(page.get_by_role("rowheader", name="database1")).to_be_visible()
    expect(page.get_by_role("rowheader", name="database2")).to_have_count(0)
    page.get_by_role("link", name="ServerGroupExcludingDb2").click()
    page.get_by_label("As credential").select_option("jobuser")
    page.get_by_role("button", name="Try the databases").click()
    expect(page.get_by_role("status").first).to_contain_text("Nothing is in the way", timeout=RUN_MILLISECONDS)


def _create_job(page: Page) -> None:
    _go(page, "Jobs")
    page.get_by_role("link", name="New job").click()
    page.get_by_label("Name", exact=True).fill("Job1")
    page.get_by_label("Description").fill("Hello World")
    page.get_by_role("button", name="Create job").click()
    _done(page, "Now add its first step.")
    for name, group, script in (
        ("step1", "ServerGroup", SQL_TEXT_1),
        ("step2", "ServerGroupExcludingDb2", SQL_TEXT_2),
    ):
        page.get_by_role("link", name="Add a step").click()
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_label("Target group").select_option(group)
        page.get_by_label("Credential").first.select_option("jobuser")
        page.get_by_role("textbox", name="Script (T-SQL)").fill(script)
        page.get_by_role("button", name="Add the step").click()
        _done(page, f"The step '{name}' was saved")
    expect(page.get_by_role("heading", name="Steps of version 2")).to_be_visible()


def _start_and_see_it_succeed(page: Page) -> None:
    page.get_by_role("button", name="Start now").click()
    page.wait_for_url(re.compile(r"/portal/executions/[0-9a-f-]{36}$"))
    # Seen without loading the page again.
    page.evaluate("window.notReloaded = true")
    expect(page.locator("main .badge").first).to_have_text("Succeeded", timeout=RUN_MILLISECONDS)
    assert page.evaluate("window.notReloaded")
    expect(page.get_by_role("main")).to_contain_text("database1")
    _go(page, "Jobs")
    expect(page.get_by_role("link", name="Last run of Job1: Succeeded")).to_be_visible()


def _schedule_it(page: Page) -> None:
    """Every hour from now on: the timer starts the first run at its next tick."""
    page.get_by_role("link", name="Job1", exact=True).click()
    page.get_by_role("main").get_by_role("link", name="Edit", exact=True).click()
    page.get_by_label("Again and again").check()
    page.get_by_label("Unit").select_option("hours")
    page.get_by_label("Enabled").check()
    expect(page.locator("#preview li")).to_have_count(5)
    page.get_by_role("button", name="Save").click()
    _done(page, "Saved.")
    expect(page.get_by_text("Every hour")).to_be_visible()
    runs = page.get_by_role("link", name=re.compile("^Execution of"))
    for _ in range(RUN_MILLISECONDS // 1000):
        if runs.count() > 1 and "Succeeded" in (runs.first.get_attribute("aria-label") or ""):
            break
        page.wait_for_timeout(1000)
        page.reload()
    expect(page.get_by_role("row", name="by schedule")).to_have_count(1)
    expect(runs.first).to_contain_text("Succeeded")
    page.get_by_role("button", name="Disable schedule").click()
    _done(page, "The schedule is disabled.")


def _clean_up(page: Page) -> None:
    page.get_by_role("main").get_by_role("link", name="Delete …", exact=True).click()
    page.get_by_label("Type the name of the job").fill("Job1")
    page.get_by_role("button", name="Delete the job").click()
    _done(page, "The job 'Job1' was deleted")
    for name in ("ServerGroup", "ServerGroupExcludingDb2"):
        _go(page, "Target groups")
        page.get_by_role("link", name=name, exact=True).click()
        page.get_by_role("link", name="Delete …").click()
        page.get_by_role("button", name="Delete the group").click()
        _done(page, f"The target group '{name}' was deleted.")
    for name in ("masteruser", "jobuser"):
        _go(page, "Credentials")
        page.get_by_role("link", name=name, exact=True).click()
        page.get_by_role("link", name="Delete …").click()
        page.get_by_role("button", name="Delete the credential").click()
        _done(page, f"The credential '{name}' was deleted.")

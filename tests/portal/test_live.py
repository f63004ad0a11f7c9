"""The portal over the whole product: emulator, queues, worker processes, and a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from local.tokens import ALL_ROLES, sign
from tests.e2e.support import Bench
from tests.portal.browsing import Visitor, faults
from tests.portal.conftest import POOL

pytestmark = pytest.mark.timeout(240)

LONG = 60_000
"""Milliseconds for what workers have to do on a busy machine."""


def token(bench: Bench, *roles: str, name: str = "maria") -> str:
    return sign(bench.stack.keys["LOCAL_AUTH_KEY"], name, roles or ALL_ROLES)


def open_run(bench: Bench, visitor: Visitor, run: str, *roles: str, scripts: bool = True) -> Page:
    return visitor.open(f"{bench.stack.api}/portal/executions/{run}", token(bench, *roles), scripts=scripts)


def slow_job(bench: Bench, delay: str) -> str:
    """A job that runs on the four databases of a pool, one after the other."""
    pool = bench.member() | {"type": "SqlElasticPool", "elasticPoolName": "pool1"}
    return bench.job(f"PRINT N'begins'; WAITFOR DELAY '{delay}'", pool, maxParallelism=1)


def test_progress_is_seen_without_reload(bench: Bench, visitor: Visitor) -> None:
    run = bench.start(slow_job(bench, "00:00:02"))
    page = open_run(bench, visitor, run)
    page.evaluate("window.__same = true")
    summary = page.get_by_role("region", name="Summary")
    expect(summary).to_contain_text(f"of {len(POOL)}", timeout=LONG)
    seen = set()
    while "Succeeded" not in (text := summary.inner_text(timeout=LONG)):
        seen.add(text.split("Targets ended")[1].split("Duration")[0].strip())
        page.wait_for_function("(before) => document.querySelector('#live').innerText !== before", arg=text)
    assert len(seen) > 1, "it was seen on its way"
    expect(page.locator("#steps .badge")).to_have_text("Succeeded")
    expect(page.locator("#target-table .badge")).to_have_text(["Succeeded"] * len(POOL))
    expect(page.locator("#timeline svg")).to_be_visible()
    assert page.evaluate("window.__same") is True, "never loaded anew"
    assert page.locator("#live").get_attribute("hx-trigger") is None, "an execution that has ended is not asked for"


def test_canceling_asks_first_and_is_not_disturbed_by_live_updates(bench: Bench, visitor: Visitor) -> None:
    run = bench.start(slow_job(bench, "00:00:40"))
    page = open_run(bench, visitor, run)
    expect(page.locator("#target-table .badge.s-running").first).to_be_visible(timeout=LONG)
    page.get_by_text("Cancel…").click()
    question = page.get_by_text("Cancel this execution?")
    expect(question).to_be_visible()
    before = page.locator("#live").inner_text()
    page.wait_for_function("(before) => document.querySelector('#live').innerText !== before", arg=before)
    expect(question).to_be_visible()
    page.get_by_role("button", name="Cancel the execution").click()
    expect(page.get_by_role("status").first).to_contain_text("The cancellation was asked for")
    expect(page.locator("#live .badge")).to_have_text("Canceled", timeout=LONG)
    expect(page.get_by_text("Run failed again…")).to_be_visible()


def test_what_failed_is_run_again_on_those_targets_only(bench: Bench, visitor: Visitor) -> None:
    table = "made_for_the_portal"
    bench.sql("database1", f"CREATE TABLE dbo.{table} (id int)")
    job = bench.job(f"SELECT * FROM dbo.{table}", bench.member("database1"), bench.member("database2"))
    run = bench.start(job)
    page = open_run(bench, visitor, run)
    expect(page.locator("#live .badge")).to_have_text("Failed", timeout=LONG)
    errors = page.locator("#errors")
    expect(errors).to_contain_text("208")
    errors.get_by_role("link", name="Show 1 target").click()
    expect(page.locator("#target-table tbody tr")).to_have_count(1)
    page.get_by_role("link", name="database2").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("database2")
    expect(page.locator("tr.k-error")).to_contain_text(table)
    page.go_back()
    bench.sql("database2", f"CREATE TABLE dbo.{table} (id int)")
    page.get_by_text("Run failed again…").click()
    page.get_by_role("button", name="Run again").click()
    expect(page.locator("#live .badge")).to_have_text("Succeeded", timeout=LONG)
    expect(page.locator("#target-table tbody th a")).to_have_text(["database2"])
    expect(page.locator("#live")).to_contain_text(f"rerun of {run[:8]}")
    page.goto(f"{bench.stack.api}/portal/executions/{run}")
    expect(page.locator("#live")).to_contain_text("Run again as")
    expect(page.get_by_text("Run failed again…")).to_have_count(0)


def test_it_works_without_scripts(bench: Bench, visitor: Visitor) -> None:
    run = bench.start(slow_job(bench, "00:00:30"))
    page = open_run(bench, visitor, run, scripts=False)
    page.get_by_text("Cancel…").click()
    page.get_by_role("button", name="Cancel the execution").click()
    expect(page.get_by_text("The cancellation was asked for")).to_be_visible()
    bench.ended(page.locator("#live a").first.inner_text(), run)
    page.reload()
    expect(page.locator("#live .badge")).to_have_text("Canceled")


def test_a_reader_has_no_buttons_and_a_forged_action_is_refused(bench: Bench, visitor: Visitor) -> None:
    run = bench.start(slow_job(bench, "00:00:20"))
    page = open_run(bench, visitor, run, "Reader")
    expect(page.locator("#live .badge")).to_have_text("In progress", timeout=LONG)
    expect(page.locator("main form[method=post]")).to_have_count(0)
    assert faults(page) == []
    status = page.evaluate(
        """async (address) => (await fetch(address, {
            method: "POST",
            body: new URLSearchParams({ csrf_token: document.querySelector("[name=csrf_token]").value }),
        })).status""",
        f"/portal/executions/{run}/cancel",
    )
    assert status == 403
    operator = open_run(bench, visitor, run, "Operator")
    expect(operator.locator("#live")).not_to_contain_text("cancellation asked for")
    operator.get_by_text("Cancel…").click()
    operator.get_by_role("button", name="Cancel the execution").click()
    expect(operator.locator("#live .badge")).to_have_text("Canceled", timeout=LONG)

"""Names, messages and errors that try to be scripts: they are shown, and nothing of them runs."""

from __future__ import annotations

from uuid import UUID

import pytest
from playwright.sync_api import expect
from sqlalchemy import insert, update

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.jobdb.execution_tables import step_executions, target_executions, target_messages
from tests.api.support import AGENT, ALL_ROLES, VERSION, Server, finish, step_body, token
from tests.portal.browsing import Visitor

RUN = "window.__ran = true; alert(1)"
TEXTS = (
    f"<script>{RUN}</script>",
    f"<img src=x onerror='{RUN}'>",
    f'"><svg onload="{RUN}">',
    f"</title></pre><script>{RUN}</script>",
    f"'-alert(1)-' {{{{ 7*7 }}}} {{% raw %}} javascript:{RUN}",
    '<div hx-get="/portal/live" hx-trigger="load" hx-on::load="alert(1)">',
    "<form action='//evil.example' method=post><button>Cancel</button></form>",
)


@pytest.fixture
def hostile(server: Server) -> UUID:
    """A run whose every text is hostile: job, step, databases, last messages, messages, errors."""
    server.ready_job()
    job = f"<b onclick=alert(1)>{TEXTS[1][:90]}"
    server.http.put("/agent/jobs/" + _quoted(job), json={"properties": {"description": TEXTS[0]}}).raise_for_status()
    step = TEXTS[2][:100]
    path = f"/agent/jobs/{_quoted(job)}/steps/{_quoted(step)}"
    server.http.put(path, json=step_body()).raise_for_status()
    started = server.http.post(f"/agent/jobs/{_quoted(job)}/start")
    run = UUID(started.json()["name"])
    targets = finish(server.database, run, Lifecycle.FAILED, databases=len(TEXTS))
    with server.database.write() as connection:
        for number, (target, text) in enumerate(zip(targets, TEXTS, strict=True)):
            connection.execute(
                update(target_executions)
                .where(target_executions.c.id == target)
                .values(database_name=text[:128], server_name=text[:128], last_message=f"{text} {number}")
            )
            for ordinal, kind in enumerate(("message", "error", "note"), 10):
                connection.execute(
                    insert(target_messages).values(
                        target_execution_id=target, attempt=1, batch=1, ordinal=ordinal, kind=kind, text=text
                    )
                )
        connection.execute(update(step_executions).values(last_message=TEXTS[3]))
    return run


def _quoted(name: str) -> str:
    return "".join(f"%{byte:02X}" for byte in name.encode())


def test_nothing_of_them_runs(server: Server, hostile: UUID, visitor: Visitor) -> None:
    page = visitor.open(f"{server.url}/portal", token(*ALL_ROLES))
    run = f"{server.url}/portal/executions/{hostile}"
    targets = [
        item["name"]
        for item in server.http.get(
            f"{AGENT}/jobs/{_job(server, hostile)}/executions/{hostile}/targets", params=VERSION
        ).json()["value"]
    ]
    addresses = [
        f"{server.url}/portal",
        f"{server.url}/portal/executions",
        f"{server.url}/portal/executions?job=" + _quoted(TEXTS[0]),
        run,
        f"{run}?text=" + _quoted(TEXTS[2]),
        f"{run}?error=" + _quoted(TEXTS[1]) + "&state=" + _quoted(TEXTS[0]),
        *(f"{run}/targets/{target}" for target in targets),
        f"{server.url}/portal/executions/" + _quoted(TEXTS[1]),
        f"{server.url}/portal/" + _quoted(TEXTS[0]),
        f"{server.url}/portal/sign-in?page=" + _quoted(TEXTS[2]),
    ]
    for address in addresses:
        page.goto(address)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.__ran") is None, address
        assert page.locator("main script, main img, main svg[onload], main [hx-on\\:\\:load]").count() == 0, address
    page.goto(run)
    expect(page.locator("#target-table")).to_contain_text(TEXTS[0])
    page.goto(f"{run}/targets/{targets[0]}")
    assert any(text in page.locator("main").inner_text() for text in TEXTS)


def _job(server: Server, run: UUID) -> str:
    listed = server.http.get("/agent/executions").json()["value"]
    (found,) = [item["id"].split("/jobs/")[1].split("/")[0] for item in listed if item["name"] == str(run)]
    return str(found) if "%" in found else _quoted(str(found))

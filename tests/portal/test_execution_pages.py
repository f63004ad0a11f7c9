"""What the pages of runs say, and what they weigh over 5,000 targets."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert, update

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions, target_messages
from tests.api.support import AGENT, VERSION, Server, finish
from tests.api.test_paging_cost import counted
from tests.portal.support import PortalClient, text_of

MANY = 5000
HEAVIEST = 200_000
"""Bytes of a page."""


def start(server: Server, job: str = "job1") -> UUID:
    return UUID(server.http.post(f"{AGENT}/jobs/{job}/start", params=VERSION).json()["name"])


def page(portal: PortalClient, run: UUID, **asked: str) -> str:
    return text_of(portal.get(f"/portal/executions/{run}", **asked))


def test_without_an_agent_and_without_runs_it_is_said_what_to_do(portal: PortalClient) -> None:
    assert "There is no job agent yet. Create it" in text_of(portal.get("/portal"))
    assert "There is no job agent yet" in text_of(portal.get("/portal/executions"))
    portal.server.agent()
    said = text_of(portal.get("/portal"))
    for sentence in ("No job has run yet.", "No schedule is enabled.", "Nothing failed."):
        assert sentence in said
    assert "No job has run yet. Choose a job and start it" in text_of(portal.get("/portal/executions"))


def test_the_overview_tells_capacity_runs_failures_and_what_is_due(portal: PortalClient) -> None:
    server = portal.server
    server.ready_job("job1")
    server.ready_job("job2")
    finish(server.database, start(server), Lifecycle.FAILED, databases=3)
    active = start(server, "job2")
    soon = (datetime.now(UTC) + timedelta(hours=2, minutes=1)).isoformat()
    schedule = {"type": "Recurring", "interval": "P1D", "startTime": soon, "enabled": True}
    server.put("/jobs/job2", {"properties": {"schedule": schedule}})
    said = text_of(portal.get("/portal"))
    assert "Slots used now 0 of 100" in said
    assert "1 failed" in said.split("Executions that ended")[1]
    assert "job1 Failed" in said.split("Failures of the last day")[1]
    assert "3 of 3 targets failed" in said
    assert "job2 in 2 h" in said
    assert "job2 v1 Created no targets" in said.split("Running now")[1]
    live = portal.get("/portal").text
    assert 'hx-trigger="every 2s"' in live
    finish(server.database, active, Lifecycle.SUCCEEDED)
    assert "hx-trigger" not in portal.get("/portal/live").text, "nothing runs: nothing is asked for"


def test_the_list_is_filtered_and_paged(portal: PortalClient) -> None:
    server = portal.server
    server.ready_job("nightly")
    server.ready_job("weekly")
    for _ in range(52):
        finish(server.database, start(server, "nightly"), Lifecycle.SUCCEEDED)
    failed = start(server, "weekly")
    finish(server.database, failed, Lifecycle.TIMED_OUT)
    old = datetime.now(UTC) - timedelta(days=3)
    with server.database.write() as connection:
        connection.execute(update(job_executions).where(job_executions.c.id == failed).values(create_time=old))

    def listed(**asked: str) -> list[str]:
        return re.findall(
            r'<a href="/portal/executions/[^"]*">([^<]*)</a>', portal.get("/portal/executions", **asked).text
        )

    first = portal.get("/portal/executions").text
    following = re.search(r'href="([^"]*after=[^"]*)"', first)
    assert following is not None
    rest = portal.get(following[1].replace("&amp;", "&")).text
    assert rest.count('scope="row"') == 3
    assert first.count('scope="row"') == 50
    assert listed(state="failed") == ["weekly"]
    assert listed(job="WEEK") == ["weekly"]
    assert listed(job="%") == []
    assert listed(period="24h", job="weekly") == []
    assert listed(period="7d", job="weekly") == ["weekly"]
    assert listed(state="active") == []
    assert "No execution is like this. Show all executions" in text_of(portal.get("/portal/executions", state="active"))


def test_a_run_is_told_from_the_job_down_to_the_messages(portal: PortalClient) -> None:
    server = portal.server
    server.ready_job()
    run = start(server)
    assert "No targets yet. The target group of the first step is being resolved." in page(portal, run)
    targets = finish(server.database, run, Lifecycle.FAILED, databases=60)
    with server.database.write() as connection:
        for number, target in enumerate(targets):
            text = f"Invalid object name 't{number}'." if number < 45 else "Timeout."
            values = {"last_message": text, "error_number": 208 if number < 45 else None}
            connection.execute(update(target_executions).where(target_executions.c.id == target).values(**values))
    said = page(portal, run)
    assert "State Failed Targets ended 60 of 60" in said
    assert "1 step1 on group1 Failed 60 60 failed" in said
    assert "45 208 Invalid object name" in said
    assert "15 – Timeout." in said
    assert "1–50 of 60 targets" in said
    assert "51–60 of 60 targets" in page(portal, run, page="2")
    assert "1–1 of 1 target " in page(portal, run, text="database60")
    assert "No target is like this." in page(portal, run, state="succeeded")
    keys = re.findall(r"\?error=([0-9a-f]+)", portal.get(f"/portal/executions/{run}").text)
    assert "1–45 of 45 targets" in page(portal, run, error=keys[0])
    assert "1–15 of 15 targets" in page(portal, run, error=keys[1])
    assert "No target is like this." in page(portal, run, error="nonsense")
    shown = text_of(portal.get(f"/portal/executions/{run}/targets/{targets[0]}"))
    assert "Attempt Batch Kind Text 1 1 PRINT hi 1 1 Rows 3 rows" in shown
    assert "Invalid object name 't0'." in shown
    other = start(server)
    assert "There is no target execution" in text_of(
        portal.get(f"/portal/executions/{other}/targets/{targets[0]}", 404)
    )


def test_the_messages_of_a_target_are_paged(portal: PortalClient) -> None:
    portal.server.ready_job()
    run = start(portal.server)
    (target,) = finish(portal.server.database, run, Lifecycle.SUCCEEDED)
    with portal.server.database.write() as connection:
        for ordinal in range(10, 140):
            values = {"attempt": 1, "ordinal": ordinal, "batch": 1, "kind": "message", "text": f"line {ordinal}"}
            connection.execute(insert(target_messages).values(target_execution_id=target, **values))
    address = f"/portal/executions/{run}/targets/{target}"
    first = portal.get(address).text
    following = re.search(r'href="([^"]*\?after=[^"]*)"', first)
    assert following is not None
    assert "line 107" in first
    assert "line 108" not in first
    second = text_of(portal.get(following[1]))
    assert "line 108" in second
    assert "line 139" in second
    for wrong in ("x", "1.", "1.x", "9999999999.1"):
        assert "begin them anew" in text_of(portal.get(address, 400, after=wrong))


@pytest.fixture
def large(portal: PortalClient) -> UUID:
    """A run of 5,000 targets, of which a half failed, each in its own words, and some still run or wait."""
    server = portal.server
    server.ready_job()
    run = start(server)
    targets = finish(server.database, run, Lifecycle.FAILED, databases=MANY)
    target = target_executions.c
    with server.database.write() as connection:
        own = 'Cannot open database "' + target.database_name + '" requested by the login. '
        connection.execute(update(target_executions).values(last_message=own + "The login failed. " * 20))
        waits = {"lifecycle": "Created", "is_active": 1, "start_time": None, "end_time": None, "current_attempts": 0}
        done = {"lifecycle": "Succeeded", "last_message": "Succeeded."}
        for values, some in ((waits, targets[:500]), (done, targets[500:2500])):
            for place in range(0, len(some), 500):
                chosen = target.id.in_(some[place : place + 500])
                connection.execute(update(target_executions).where(chosen).values(**values))
        state = {"lifecycle": "WaitingForChildJobExecutions", "is_active": 1, "end_time": None}
        connection.execute(update(step_executions).values(**state))
        connection.execute(update(job_executions).values(**state | {"lifecycle": "InProgress"}))
    return run


def test_pages_over_5000_targets_are_light(portal: PortalClient, large: UUID) -> None:
    run = f"/portal/executions/{large}"
    for address in (
        "/portal",
        "/portal/executions",
        run,
        f"{run}/live",
        f"{run}?state=failed&page=3",
        f"{run}?page=100",
        f"{run}?text=database4999",
    ):
        with counted(portal.server) as statements:
            answer = portal.get(address)
        assert len(answer.content) < HEAVIEST, address
        assert len([said for said in statements if said.startswith("SELECT")]) <= 14, address
    said = page(portal, large)
    assert "Targets ended 4 500 of 5 000" in said
    assert "2 500 failed 2 000 succeeded 500 created" in said
    assert "2 500 – Cannot open database" in said, "one kind of error, however many databases it names"
    assert "How many of 5 000 targets are in which state" in said
    key = re.search(r"\?error=([0-9a-f]+)", portal.get(run).text)
    assert key is not None
    assert "1–50 of 2 500 targets" in page(portal, large, error=key[1])

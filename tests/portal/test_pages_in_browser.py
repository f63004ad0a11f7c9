"""Each page of runs in a real browser: both themes, both widths, no serious fault of accessibility, nothing refused."""

from __future__ import annotations

from uuid import UUID

import pytest

from elastic_jobs.domain.lifecycle import Lifecycle
from tests.api.support import AGENT, ALL_ROLES, VERSION, Server, finish, token
from tests.portal.browsing import NARROW, WIDE, Theme, Visitor, faults, too_wide


def start(server: Server, job: str = "job1") -> UUID:
    answer = server.http.post(f"{AGENT}/jobs/{job}/start", params=VERSION)
    assert answer.status_code == 200, answer.text
    return UUID(answer.json()["name"])


@pytest.fixture
def pages(server: Server) -> dict[str, str]:
    """The address of each page, over a run that failed on some databases and one that goes on."""
    server.ready_job("job1")
    failed = start(server)
    target = finish(server.database, failed, Lifecycle.FAILED, databases=3)[0]
    active = start(server)
    return {
        "overview": "/portal",
        "executions": "/portal/executions",
        "no executions": "/portal/executions?job=nothing",
        "failed execution": f"/portal/executions/{failed}",
        "active execution": f"/portal/executions/{active}",
        "target": f"/portal/executions/{failed}/targets/{target}",
        "not found": f"/portal/executions/{target}",
    }


@pytest.mark.parametrize(("theme", "size"), [("light", WIDE), ("dark", NARROW)], ids=["light-wide", "dark-narrow"])
def test_pages_have_no_serious_fault_and_fit_the_window(
    server: Server, pages: dict[str, str], visitor: Visitor, theme: Theme, size: tuple[int, int]
) -> None:
    page = visitor.open(f"{server.url}/portal", token(*ALL_ROLES), theme=theme, size=size)
    for name, address in pages.items():
        page.goto(server.url + address)
        assert (name, faults(page)) == (name, [])
        assert (name, too_wide(page)) == (name, 0)
    page.context.clear_cookies()
    page.goto(f"{server.url}/portal/executions")
    assert page.url.endswith("/portal/sign-in?page=%2Fportal%2Fexecutions")
    assert faults(page) == []
    assert too_wide(page) == 0

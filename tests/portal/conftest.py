from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from local.chromium import FLAGS
from local.stack import Stack, StackOptions
from tests.api.support import ALL_ROLES, Server, clear, http_client, running
from tests.e2e.support import Bench
from tests.portal.browsing import Visitor
from tests.portal.support import PortalClient, chromium

POOL = tuple(f"pooled{number}" for number in range(1, 5))
MANY = tuple(f"many{number:02}" for number in range(1, 41))


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One running app without workers for all tests."""
    with running(tmp_path_factory.mktemp("portal")) as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    """The running app on an empty job database, with a client of its API."""
    clear(shared_server.database)
    shared_server.control.deleted.clear()
    with http_client(shared_server.url, *ALL_ROLES) as http:
        yield replace(shared_server, http=http)


@pytest.fixture
def portal(server: Server) -> PortalClient:
    """Somebody with every role in the portal of ``server``."""
    return PortalClient(server)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium.

    For a module only: until Playwright is stopped, its event loop runs in this thread, and no other can.
    """
    program = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    """Opens pages in the browser, and fails the test when a script error, a dialog or a CSP violation occurred."""
    visitor = Visitor(browser)
    yield visitor
    visitor.close()


# Not for the session: until its end the stack would go on polling and ticking.
@pytest.fixture(scope="package")
def live_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole product with emulator and worker processes."""
    options = StackOptions(
        folder=Path(tmp_path_factory.mktemp("stack")),
        databases=("database1", "database2"),
        elastic_pools={"pool1": POOL},
        servers={"manyserver.database.windows.net": MANY},
        workers=1,
        settings={"TICK_SCHEDULE": "*/1 * * * * *"},
    )
    with Stack(options) as stack:
        yield stack


@pytest.fixture
def bench(live_stack: Stack) -> Iterator[Bench]:
    bench = Bench(live_stack)
    yield bench
    bench.close()

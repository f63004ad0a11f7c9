from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.api.support import ALL_ROLES, Server, clear, http_client, running


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One running API for all tests: most of a test's time would go into starting and stopping it."""
    with running(tmp_path_factory.mktemp("api")) as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    """The running API on an empty job database, with a client of this test's own."""
    clear(shared_server.database)
    shared_server.control.deleted.clear()
    with http_client(shared_server.url, *ALL_ROLES) as http:
        yield replace(shared_server, http=http)

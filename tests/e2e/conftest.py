"""One whole stack for all end-to-end tests: real HTTP, real queues, the real driver, real worker processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.stack import Stack, StackOptions
from tests.e2e.support import Bench

MANY = tuple(f"many{number}" for number in range(1, 111))
POOL = tuple(f"pooled{number}" for number in range(1, 9))


# Not for the session: until its end the stack would go on polling and ticking, and cost more than all its tests.
@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    options = StackOptions(
        folder=Path(tmp_path_factory.mktemp("stack")),
        databases=("database1", "database2"),
        elastic_pools={"pool1": POOL},
        servers={"manyserver.database.windows.net": MANY},
        workers=2,
        # An empty one for this run, e.g. on the SQL Server of the CI; without it a file of its own.
        job_database_url=os.environ.get("JOB_DATABASE_URL") or None,
        # Crashes are noticed sooner than in production, so that a test does not wait for half a minute.
        settings={"TICK_SCHEDULE": "*/1 * * * * *", "LEASE_SECONDS": "6", "HEARTBEAT_SECONDS": "1"},
    )
    with Stack(options) as stack:
        yield stack


@pytest.fixture
def bench(stack: Stack) -> Iterator[Bench]:
    bench = Bench(stack)
    yield bench
    bench.close()

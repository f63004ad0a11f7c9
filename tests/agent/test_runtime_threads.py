"""One instance's threads: who waits behind whom."""

from __future__ import annotations

import asyncio
import base64
import threading
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from elastic_jobs.agent.messages import WakeStep, encode
from elastic_jobs.agent.runtime import Runtime
from elastic_jobs.jobdb import schema
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.settings import Settings


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    url = f"sqlite:///{tmp_path}/jobs.db"
    database = JobDatabase(url)
    schema.upgrade(database)
    database.dispose()
    return Runtime(
        Settings.from_env(
            {
                "JOB_DATABASE_URL": url,
                "AzureWebJobsStorage": "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;"
                "QueueEndpoint=http://127.0.0.1:9/a;",
                "AGENT_SUBSCRIPTION_ID": str(uuid4()),
                "AGENT_RESOURCE_GROUP": "g",
                "AGENT_SERVER_NAME": "s",
                "AGENT_DATABASE_NAME": "d",
                "AGENT_LOCATION": "x",
                "AUTH_MODE": "local",
                "LOCAL_AUTH_KEY": "k" * 32,
                "CREDENTIAL_KEY": base64.b64encode(b"k" * 32).decode(),
            }
        )
    )


def test_the_tick_does_not_wait_behind_servers_that_do_not_answer(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()

    def unanswered(step_execution_id: UUID) -> None:
        answer.wait(30)

    monkeypatch.setattr(runtime._expander, "handle", unanswered)

    async def both() -> None:
        steps = [asyncio.ensure_future(runtime.handle(encode(WakeStep(uuid4())))) for _ in range(8)]
        await asyncio.sleep(0)
        try:
            await asyncio.wait_for(runtime.tick(), 2)
        finally:
            answer.set()
            await asyncio.gather(*steps)

    asyncio.run(both())


def test_garbage_is_dropped(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    asyncio.run(runtime.handle("garbage"))
    assert "it is dropped" in caplog.text

"""The app with the story in its job database and a clock that stands still, on a free port of this machine."""

from __future__ import annotations

import base64
import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
import uvicorn

from elastic_jobs.api.app import create_app
from elastic_jobs.api.services import Control, Services
from elastic_jobs.credentials.sealing import Sealer
from elastic_jobs.jobdb import schema
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.settings import Settings
from local.portal_pictures.definitions import define
from local.portal_pictures.estate import rehearse, try_out
from local.portal_pictures.story import Story, tell
from local.tokens import ALL_ROLES, sign

NOW = datetime(2026, 11, 23, 14, 32, 10, tzinfo=UTC)
_KEY = "a key for pictures, of no use elsewhere"
_SUBSCRIPTION = "00000000-0000-0000-0000-000000000118"
_START_SECONDS = 20.0


class _Clock:
    def now(self) -> datetime:
        return NOW


class _NobodyWorks:
    """The pictures start and cancel nothing."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """A running portal. token: with every role."""

    url: str
    token: str
    story: Story


@contextlib.contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Runs the app until the end of the block."""
    database = JobDatabase(f"sqlite:///{folder}/jobs.db", clock=_Clock())
    schema.upgrade(database)
    settings = _settings()
    numbers = itertools.count(1)
    services = Services(
        settings=settings,
        database=database,
        clock=_Clock(),
        ids=lambda: UUID(int=next(numbers)),
        sealer=Sealer(settings.credential_key),
        check_server=lambda server: server,
        control=cast("Control", _NobodyWorks()),
        rehearse=rehearse,
        try_out=try_out,
    )
    token = sign(_KEY, "maria.lopez@contoso.com", ALL_ROLES)
    with _serving(create_app(services)) as url:
        server = (
            f"/subscriptions/{_SUBSCRIPTION}/resourceGroups/operations/providers/Microsoft.Sql/servers/contoso-jobs"
        )
        headers = {"Authorization": f"Bearer {token}", "x-arm-server": server}
        with httpx.Client(base_url=url, headers=headers, timeout=30) as api:
            define(api)
        yield Site(url=url, token=token, story=tell(database, NOW))
    database.dispose()


def _settings() -> Settings:
    return Settings.from_env(
        {
            "JOB_DATABASE_URL": "sqlite:////unused",
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            "AGENT_SUBSCRIPTION_ID": _SUBSCRIPTION,
            "AGENT_RESOURCE_GROUP": "operations",
            "AGENT_SERVER_NAME": "contoso-jobs",
            "AGENT_DATABASE_NAME": "jobs",
            "AGENT_LOCATION": "westeurope",
            "AUTH_MODE": "local",
            "LOCAL_AUTH_KEY": _KEY,
            "CREDENTIAL_KEY": base64.b64encode(bytes(32)).decode(),
            "ALLOWED_TARGET_SERVERS": "*.database.windows.net",
        }
    )


@contextlib.contextmanager
def _serving(app: Any) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("The app did not start.")
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(_START_SECONDS)

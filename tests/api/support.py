"""The management API over real HTTP: uvicorn on a free port, a SQLite job database, and callers with tokens."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import uvicorn
from sqlalchemy import insert, select, update

from elastic_jobs.agent.trial import Tried
from elastic_jobs.api.app import create_app
from elastic_jobs.api.services import Services
from elastic_jobs.credentials.sealing import Sealer
from elastic_jobs.domain.lifecycle import ACTIVE, Lifecycle
from elastic_jobs.domain.ports import SystemClock
from elastic_jobs.domain.rehearsal import NotAsked, Rehearsed
from elastic_jobs.domain.targets import Member, ServerNames, resolve, servers_to_list
from elastic_jobs.jobdb import history
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions import audit
from elastic_jobs.jobdb.execution_tables import (
    job_executions,
    step_executions,
    target_executions,
    target_messages,
)
from elastic_jobs.jobdb.executions import canceling, reruns, starting
from elastic_jobs.jobdb.tables import job_steps, metadata
from elastic_jobs.settings import Settings
from elastic_jobs.targets.network import Check, CheckResult, Status
from elastic_jobs.targets.preflight import TargetReport
from elastic_jobs.targets.servers import TargetServers

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
ROOT = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/group/providers/Microsoft.Sql/servers/server"
AGENT = f"{ROOT}/jobAgents/agent1"
DATABASE_ID = f"{ROOT}/databases/jobs"
VERSION = {"api-version": "2025-01-01"}
KEY = "k" * 64
PLAIN_HTTP = ssl.create_default_context()  # made once: each client would load all roots, and only plain http is spoken
ALL_ROLES = ("Reader", "Operator", "Contributor", "CredentialAdmin")


def settings(**changed: str) -> Settings:
    return Settings.from_env(
        {
            "JOB_DATABASE_URL": "sqlite:////unused",
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            "AGENT_SUBSCRIPTION_ID": SUBSCRIPTION,
            "AGENT_RESOURCE_GROUP": "group",
            "AGENT_SERVER_NAME": "server",
            "AGENT_DATABASE_NAME": "jobs",
            "AGENT_LOCATION": "westeurope",
            "AUTH_MODE": "local",
            "LOCAL_AUTH_KEY": KEY,
            "CREDENTIAL_KEY": base64.b64encode(bytes(32)).decode(),
            "ALLOWED_TARGET_SERVERS": "*.database.windows.net",
        }
        | changed
    )


def token(*roles: str, key: str = KEY, algorithm: str = "HS256", **claims: Any) -> str:
    content = {
        "sub": "alice",
        "aud": "elastic-jobs",
        "roles": list(roles),
        "exp": datetime.now(UTC) + timedelta(hours=1),
    } | claims
    return jwt.encode({k: v for k, v in content.items() if v is not None}, key, algorithm=algorithm)


def http_client(url: str, *roles: str) -> httpx.Client:
    """A client whose token has these roles."""
    # 30 s: making the OpenAPI document takes 2 s of CPU, which a busy machine does not give at once.
    return httpx.Client(
        base_url=url, headers={"Authorization": f"Bearer {token(*roles)}"}, verify=PLAIN_HTTP, timeout=30
    )


class DirectControl:
    """Starts and cancels in the job database, without queues: nobody works on what was started here."""

    def __init__(self, database: JobDatabase) -> None:
        self._database = database
        self.deleted: list[UUID] = []

    def start_job(
        self, job_name: str, *, request_id: str | None = None, execution_id: UUID | None = None, caller: str
    ) -> UUID:
        with self._database.write() as connection:
            earlier = starting.find_repeated(connection, job_name, execution_id=execution_id, request_id=request_id)
            if earlier is not None:
                return earlier
            started = starting.start(
                connection, self._database, job_name, ids=uuid4, execution_id=execution_id, request_id=request_id
            )
            now = datetime.now(UTC)
            audit.record(connection, time=now, caller=caller, action="start job", resource=f"jobs/{job_name}")
            return started.execution_id

    def cancel_execution(self, execution_id: UUID, *, caller: str) -> None:
        with self._database.write() as connection:
            canceling.request_cancel(connection, self._database, execution_id)
            resource = f"executions/{execution_id}"
            now = datetime.now(UTC)
            audit.record(connection, time=now, caller=caller, action="cancel execution", resource=resource)

    def rerun_execution(self, execution_id: UUID, *, request_id: str | None = None, caller: str) -> UUID:
        with self._database.write() as connection:
            name = history.get_job_execution(connection, execution_id).job_name
            earlier = starting.find_repeated(connection, name, execution_id=None, request_id=request_id)
            if earlier is not None:
                return earlier
            started = reruns.start_rerun(connection, self._database, execution_id, ids=uuid4, request_id=request_id)
            now = datetime.now(UTC)
            resource = f"executions/{started.execution_id}"
            audit.record(connection, time=now, caller=caller, action="rerun execution", resource=resource)
            return started.execution_id

    def job_deleted(self, job_id: UUID) -> None:
        self.deleted.append(job_id)


def _rehearse(members: Sequence[Member]) -> Rehearsed:
    """Databases that are named by themselves; every server is down."""
    names = ServerNames(".database.windows.net")
    down = [NotAsked(what=f"server '{name}'", error="It is down.") for name in servers_to_list(members, names)]
    return Rehearsed(failures=down) if down else Rehearsed(targets=resolve(members, {}, names))


def _try_out(members: Sequence[Member], credential: str | None, seconds: float) -> Tried:
    """As ``_rehearse``; each database says as whom and how long it was tried."""
    found = _rehearse(members)
    check = CheckResult(Check.ALLOWED, Status.OK, 0, f"as {credential}, {seconds:g} s")
    reports = [TargetReport(target.server_name, target.database_name, (check,)) for target in found.targets]
    return Tried(targets=reports, failures=found.failures)


@dataclass
class Server:
    """A running API and a client of it with every role."""

    url: str
    services: Services
    control: DirectControl
    http: httpx.Client

    @property
    def database(self) -> JobDatabase:
        return self.services.database

    def client(self, *roles: str) -> httpx.Client:
        """A caller with these roles only."""
        return http_client(self.url, *roles)

    def put(self, path: str, body: object, expected: int | None = None) -> dict[str, Any]:
        answer = self.http.put(f"{AGENT}{path}", params=VERSION, json=body)
        assert answer.status_code == expected if expected else answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        answer = self.http.get(f"{AGENT}{path}", params=VERSION | params)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def agent(self) -> None:
        self.put("", {"location": "westeurope", "properties": {"databaseId": DATABASE_ID}})

    def ready_job(self, name: str = "job1") -> str:
        """An agent, a credential, a group, and a job with the step ``step1``; the id of the job."""
        self.agent()
        self.put("/credentials/runner", {"properties": {"username": "u", "password": "Pa55word"}})
        members = [{"type": "SqlDatabase", "serverName": "server1", "databaseName": "database1"}]
        self.put("/targetGroups/group1", {"properties": {"members": members}})
        job = self.put(f"/jobs/{name}", {})
        self.put(f"/jobs/{name}/steps/step1", step_body())
        identifier: str = job["id"]
        return identifier


def step_body(**changed: Any) -> dict[str, Any]:
    properties = {
        "targetGroup": f"{AGENT}/targetGroups/group1",
        "credential": f"{AGENT}/credentials/runner",
        "action": {"value": "SELECT 1"},
    } | changed
    return {"properties": properties}


@contextlib.contextmanager
def serving(app: Any) -> Iterator[str]:
    """Runs an ASGI app under uvicorn on a free port of this machine; its URL."""
    # With the protocol named, asyncio sends without waiting for the client's acknowledgements (TCP_NODELAY).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive(), "uvicorn ended before it had started"
        assert time.monotonic() < deadline, "uvicorn did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


def clear(database: JobDatabase) -> None:
    """Empty every table; making them anew for each test would take a tenth of the suite's time."""
    with database.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())


@contextlib.contextmanager
def running(directory: Path, *, wrap: Any = None, **changed: str) -> Iterator[Server]:
    """The whole API on a new job database. ``wrap`` may replace parts of the services."""
    database = JobDatabase(f"sqlite:///{directory}/jobs.db")
    metadata.create_all(database.engine)
    chosen = settings(**changed)
    control = DirectControl(database)
    services = Services(
        settings=chosen,
        database=database,
        clock=SystemClock(),
        ids=uuid4,
        sealer=Sealer(chosen.credential_key),
        check_server=TargetServers.from_settings(chosen).require,
        control=control,
        rehearse=_rehearse,
        try_out=_try_out,
    )
    services = services if wrap is None else wrap(services)
    with (
        serving(create_app(services)) as url,
        http_client(url, *ALL_ROLES) as http,
    ):
        yield Server(url=url, services=services, control=control, http=http)
    database.dispose()


def finish(database: JobDatabase, execution_id: UUID, lifecycle: Lifecycle, *, databases: int = 1) -> list[UUID]:
    """Lets the first step of a run end on some databases, and with it the run; the ids of its target executions."""
    now = datetime.now(UTC)
    ended = {"lifecycle": lifecycle, "is_active": int(lifecycle in ACTIVE), "start_time": now, "end_time": now}
    targets = [uuid4() for _ in range(databases)]
    with database.write() as connection:
        run = connection.execute(select(job_executions).where(job_executions.c.id == execution_id)).one()
        step = connection.execute(
            select(step_executions).where(step_executions.c.job_execution_id == execution_id)
        ).one()
        uid = connection.execute(
            select(job_steps.c.step_uid).where(
                job_steps.c.job_id == run.job_id, job_steps.c.job_version == run.job_version
            )
        ).scalar_one()
        rows = [
            {
                "id": target,
                "step_execution_id": step.id,
                "job_execution_id": execution_id,
                "job_id": run.job_id,
                "step_uid": uid,
                "server_name": "server1.database.windows.net",
                "database_name": f"database{number}",
                "turn": number,
                "admitted": True,
                "create_time": now,
                "current_attempts": 1,
                "current_attempt_start_time": now,
                "last_message": "Step 1 ended.",
                **ended,
            }
            for number, target in enumerate(targets, 1)
        ]
        connection.execute(insert(target_executions), rows)
        said = {"target_execution_id": targets[0], "attempt": 1, "batch": 1}
        connection.execute(insert(target_messages).values(**said, ordinal=1, kind="message", text="hi"))
        connection.execute(insert(target_messages).values(**said, ordinal=2, kind="rowcount", row_count=3))
        for table, key in ((step_executions, step.id), (job_executions, execution_id)):
            connection.execute(update(table).where(table.c.id == key).values(last_message=f"It {lifecycle}.", **ended))
    return targets

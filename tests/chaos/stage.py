"""A running stack under chaos: the product with its named points, and what the suite needs to reach all of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

import httpx
from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from local.api_client import ApiClient, ApiError
from local.sqlserver.client import Emulator
from local.stack import Stack, StackOptions
from tests.chaos import witness
from tests.chaos.control import Control
from tests.chaos.facts import read_rows
from tests.chaos.plan import LEASE_SECONDS, POOLS, SECOND_SERVER, WORKERS, JobPlan, Plan, StepPlan

APP = Path(__file__).with_name("app.py")
AGENT = "chaos"
RESTART_SECONDS = 60.0
"""How long the host may take to replace workers that died."""
REQUEST_SECONDS = 60.0
"""How long a request is repeated: its worker may be killed, frozen, or without a job database."""


class Site:
    """A stack whose workers obey ``control``. A context manager; a crash of the suite leaves no process behind."""

    def __init__(self, folder: Path, *, break_law: str = "") -> None:
        self.folder = folder
        self.control = Control(folder / "orders")
        self.stack = Stack(
            StackOptions(
                folder=folder,
                app=APP,
                databases=(),
                elastic_pools=dict.fromkeys(POOLS, ()),
                servers={SECOND_SERVER: ()},
                workers=WORKERS,
                settings={
                    "TICK_SCHEDULE": "*/1 * * * * *",
                    "LEASE_SECONDS": str(LEASE_SECONDS),
                    "HEARTBEAT_SECONDS": "1",
                    "CHAOS_FOLDER": str(folder / "orders"),
                    "CHAOS_BREAK": break_law,
                },
            )
        )

    def __enter__(self) -> Self:
        self.stack.start()
        try:
            self._set_up()
        except BaseException:
            self.stack.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.stop()

    def _set_up(self) -> None:
        witness.install(self.job_database)
        self.endpoint = self.stack.endpoint()
        api = ApiClient(self.endpoint, AGENT)
        try:
            api.put_agent("westeurope", self.endpoint["job_database_name"])
            sql = self.endpoint["sql"]
            api.put("/credentials/admin", {"username": sql["user"], "password": sql["password"]})
        finally:
            api.close()

    @property
    def job_database(self) -> Path:
        return self.folder / "jobs.db"

    @property
    def emulator(self) -> Emulator:
        assert self.stack.emulator is not None
        return self.stack.emulator

    def queue(self, name: str) -> QueueClient:
        return QueueClient.from_connection_string(
            self.stack.azurite.connection_string, name, message_encode_policy=TextBase64EncodePolicy(), retry_total=0
        )

    def workers_are_whole(self) -> bool:
        """Whether every place has a worker process that serves."""
        pids = self.stack.worker_pids
        return len(pids) == WORKERS and all(_alive(pid) for pid in pids)

    def kill_workers(self) -> None:
        """SIGKILL to all of them."""
        for pid in self.stack.worker_pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def set_capacity(self, capacity: int) -> None:
        """Below the smallest tier, so that few targets already fill it."""
        with closing(sqlite3.connect(self.job_database, timeout=30)) as connection:
            connection.execute("UPDATE agent SET capacity = ?", (capacity,))
            connection.commit()

    def define(self, plan: Plan) -> None:
        """Create the plan's databases and jobs."""
        for database in plan.databases:
            self.emulator.control.create_database(database.server, database.name, database.pool)
        self.set_capacity(plan.capacity)
        api = ApiClient(self.endpoint, AGENT)
        try:
            for job in plan.jobs:
                _define_job(api, job)
        finally:
            api.close()

    def forget(self, plan: Plan) -> None:
        """Drop the plan's databases."""
        for database in plan.databases:
            self.emulator.control.drop_database(database.server, database.name)

    def request(self, method: str, path: str) -> None:
        """One request, over a connection of its own, repeated until a worker has answered it.

        Raises:
            ApiError: the API refused it, or failed for ``REQUEST_SECONDS``.
            httpx.TransportError: nobody answered for so long.
        """
        deadline = time.monotonic() + REQUEST_SECONDS
        while True:
            api = ApiClient(self.endpoint, AGENT)
            try:
                api.call(method, path)
                return
            except (httpx.TransportError, ApiError) as error:
                if isinstance(error, ApiError) and error.status < 500:
                    raise
                if time.monotonic() > deadline:
                    raise
            finally:
                api.close()
            time.sleep(0.1)

    def start(self, job: str, run: UUID) -> None:
        """Start a run under an id of our choice, so that a repeated request starts nothing twice."""
        self.request("PUT", f"/jobs/{job}/executions/{run}")

    def cancel(self, job: str, run: UUID) -> None:
        self.request("POST", f"/jobs/{job}/executions/{run}/cancel")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _define_job(api: ApiClient, job: JobPlan) -> None:
    api.put(f"/jobs/{job.name}", {})
    for number, step in enumerate(job.steps, 1):
        members = [
            member
            if member["type"] == "SqlDatabase"
            else {**member, "refreshCredential": f"{api.agent}/credentials/admin"}
            for member in step.members
        ]
        api.put(f"/targetGroups/{step.marker}", {"members": members})
        api.put(f"/jobs/{job.name}/steps/step{number}", _step(api, number, step))


def _step(api: ApiClient, number: int, step: StepPlan) -> dict[str, object]:
    parallel = {} if step.max_parallelism is None else {"maxParallelism": step.max_parallelism}
    return {
        "stepId": number,
        "targetGroup": f"{api.agent}/targetGroups/{step.marker}",
        "credential": f"{api.agent}/credentials/admin",
        "action": {"value": step.script},
        "executionOptions": {
            "timeoutSeconds": step.timeout_seconds,
            "retryAttempts": step.retries,
            "initialRetryIntervalSeconds": 1,
            "maximumRetryIntervalSeconds": 1,
        },
        **parallel,
    }


def active(site: Site) -> dict[str, int]:
    """How many rows of the job database have not ended, by level and state."""
    return {
        f"{level} {row.lifecycle}": row.number
        for level in ("job", "step", "target")
        for row in read_rows(
            site.job_database,
            f"SELECT lifecycle, COUNT(*) AS number FROM {level}_executions WHERE is_active = 1 GROUP BY lifecycle",
        )
    }


def wait_for(answer: Callable[[], object], seconds: float) -> bool:
    """Whether the answer became true in time."""
    deadline = time.monotonic() + seconds
    while not answer():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def forged(kind: str, ids: list[UUID]) -> list[str]:
    """Bodies of messages that nobody of the product sent."""
    if kind == "garbage":
        return ["", "{", "[]", '{"target": 5}', '{"step": "x"}', '{"due": "yesterday"}', "\u2603", '{"target": null}']
    return [json.dumps({key: str(row)}) for row in ids for key in ("target", "step")]

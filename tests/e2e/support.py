"""What end-to-end tests do again and again: define a job over some databases, run it, look at what came of it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pyodbc

from local.api_client import ApiClient, ApiError
from local.sqlserver.client import EmulatorClient
from local.stack import TARGET_SERVER, Stack
from local.target_sql import connect

TERMINAL = {"Succeeded", "SucceededWithSkipped", "Failed", "TimedOut", "Canceled", "Skipped"}
MANY_SERVER = "manyserver.database.windows.net"
T = TypeVar("T")

_numbers = itertools.count(1)


class Bench:
    """A stack with an agent whose credential ``admin`` may do everything on the targets."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.endpoint = stack.endpoint()
        self.api = ApiClient(self.endpoint, "agent1")
        try:
            self.api.call("GET")
        except ApiError:
            self.api.put_agent("westeurope", self.endpoint["job_database_name"])
            sql = self.endpoint["sql"]
            self.api.put("/credentials/admin", {"username": sql["user"], "password": sql["password"]})

    def close(self) -> None:
        self.api.close()

    @property
    def emulator(self) -> EmulatorClient:
        assert self.stack.emulator is not None
        return self.stack.emulator.control

    def member(
        self, database: str | None = None, *, server: str = TARGET_SERVER, **fields: object
    ) -> dict[str, object]:
        """A member of a target group: one database, or the whole server."""
        if database is not None:
            return {"type": "SqlDatabase", "serverName": server, "databaseName": database, **fields}
        return {
            "type": "SqlServer",
            "serverName": server,
            "refreshCredential": f"{self.api.agent}/credentials/admin",
            **fields,
        }

    def job(self, script: str, *members: Mapping[str, object], **step: Any) -> str:
        """A new job with one step over a group of these members; its name. Without retries unless asked for."""
        name = f"job{next(_numbers)}"
        self.api.put(f"/targetGroups/{name}", {"members": [dict(member) for member in members]})
        self.api.put(f"/jobs/{name}", {})
        self.add_step(name, script, name, **step)
        return name

    def add_step(self, job: str, script: str, group: str, *, name: str = "step1", **step: Any) -> None:
        options = {"retryAttempts": 0, **step.pop("executionOptions", {})}
        self.api.put(
            f"/jobs/{job}/steps/{name}",
            {
                "targetGroup": f"{self.api.agent}/targetGroups/{group}",
                "credential": f"{self.api.agent}/credentials/admin",
                "action": {"value": script},
                "executionOptions": options,
                **step,
            },
        )

    def start(self, job: str) -> str:
        return str(self.api.call("POST", f"/jobs/{job}/start")["name"])

    def execution(self, job: str, execution: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.call("GET", f"/jobs/{job}/executions/{execution}")["properties"]
        return found

    def targets(self, job: str, execution: str) -> list[dict[str, Any]]:
        return [item["properties"] | {"id": item["name"]} for item in self.api.list(f"{_run(job, execution)}/targets")]

    def ended(self, job: str, execution: str, seconds: float = 60) -> dict[str, Any]:
        """Wait for the end of a run; its properties."""
        return wait_for(
            lambda: _terminal(self.execution(job, execution)), seconds, lambda: self.execution(job, execution)
        )

    def run(self, job: str, seconds: float = 60) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Start a job and wait for its end; the run and its targets."""
        execution = self.start(job)
        return self.ended(job, execution, seconds), self.targets(job, execution)

    def messages(self, job: str, execution: str, target: str, step: str = "step1") -> list[dict[str, Any]]:
        path = f"{_run(job, execution)}/steps/{step}/targets/{target}/messages"
        return list(self.api.call("GET", path)["value"])

    def sql(self, database: str, statement: str, server: str = TARGET_SERVER) -> list[pyodbc.Row]:
        """Ask a target database, past the product."""
        assert self.stack.emulator is not None
        address = {**self.endpoint["sql"], "port": self.stack.emulator.ports[server]}
        connection = connect(address, database)
        try:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


def _run(job: str, execution: str) -> str:
    return f"/jobs/{job}/executions/{execution}"


def _terminal(properties: dict[str, Any]) -> dict[str, Any] | None:
    return properties if properties["lifecycle"] in TERMINAL else None


def wait_for(answer: Callable[[], T | None], seconds: float, describe: Callable[[], object] = lambda: "") -> T:
    """The first answer that is true; AssertionError with a description after ``seconds``."""
    deadline, pause = time.monotonic() + seconds, 0.05
    while True:
        found = answer()
        if found:
            return found
        assert time.monotonic() < deadline, f"Not within {seconds} s: {describe()}"
        time.sleep(pause)
        # A question to the API costs what the one who is waited for needs.
        pause = min(pause * 1.4, 0.3)

"""Requests made from the OpenAPI document by schemathesis: every answer must be one that the document tells of.

The short form runs with the tests; the long one is ``python -m tests.api.fuzz --minutes 20 --seed 7``.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import integers
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from elastic_jobs.domain.lifecycle import Lifecycle
from tests.api.support import ALL_ROLES, DATABASE_ID, SUBSCRIPTION, Server, finish, running, step_body, token

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
FAR = "/subscriptions/x/resourceGroups/y/providers/Microsoft.Sql/servers/far"
MEMBERS = [{"type": "SqlDatabase", "serverName": "server1", "databaseName": "database1"}]
AT_HOME = {
    "subscription_id": SUBSCRIPTION,
    "resource_group": "group",
    "server_name": "server",
    "agent_name": "agent1",
    "location_name": "westeurope",
}
"""Most requests go to the deployment's own place: elsewhere everything is 404."""


class Fuzz:
    """Sends requests to a running API whose limits are off."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._headers = {"Authorization": f"Bearer {token(*ALL_ROLES)}"}
        self.statuses: Counter[int] = Counter()
        self._known: dict[str, str] = {}
        self._schema: Any = schemathesis.openapi.from_dict(server.http.get("/openapi.json").json())

    def operations(self) -> Iterator[Any]:
        """All operations of the document."""
        for found in self._schema.get_all_operations():
            yield found.ok()

    def attack(self, operation: Any, *, examples: int, seed_value: int) -> None:
        """Send this many requests of one operation.

        Raises:
            Exception: an answer that the document does not tell of, with the request that got it.
        """
        if not self._known:
            self._known = self._prepare()
        known = self._known

        @seed(seed_value)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(), there=integers(0, 2))
        def one(case: Any, there: int) -> None:
            _aim(case, known if there else {})
            response = case.call(base_url=self._server.url, headers=self._headers, timeout=30)
            self.statuses[response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

        if operation.method.upper() != "GET":
            self._known = {}
        one()

    def _prepare(self) -> dict[str, str]:
        """An agent with one of everything, whatever the requests before have deleted; the names."""
        http = self._server.http
        body = {"location": "westeurope", "name": "agent1", "properties": {"databaseId": DATABASE_ID}}
        for path, content in (
            ("", body),
            ("", {**body, "identity": {"type": "None"}}),
            ("/credentials/runner", {"properties": {"username": "u", "password": "Pa55word"}}),
            ("/targetGroups/group1", {"properties": {"members": MEMBERS}}),
            ("/jobs/job1", {}),
            ("/jobs/job1/steps/step1", step_body()),
            ("/privateEndpoints/p1", {"properties": {"targetServerAzureResourceId": FAR}}),
        ):
            answer = http.put(f"/agent{path}", json=content)
            assert answer.is_success or "privateEndpoints" in path, answer.text
        run = http.post("/agent/jobs/job1/start").json()["name"]
        targets = finish(self._server.database, UUID(run), Lifecycle.FAILED, databases=3)
        return {
            "credential_name": "runner",
            "target_group_name": "group1",
            "job_name": "job1",
            "job_version": "1",
            "step_name": "step1",
            "job_execution_id": run,
            "target_id": str(targets[0]),
            "private_endpoint_name": "p1",
        }


def _aim(case: Any, known: Mapping[str, str]) -> None:
    """Send a request to this deployment, and to what is there as far as it is ``known``."""
    case.path_parameters = {
        name: AT_HOME.get(name, known.get(name, value)) for name, value in (case.path_parameters or {}).items()
    }


def main(arguments: list[str]) -> int:
    """Attack all operations in turn until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--examples", type=int, default=50, help="per operation and round")
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    until = time.monotonic() + options.minutes * 60
    round_number, failures = 0, 0
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), CALLER_REQUESTS_PER_SECOND="0", INSTANCE_REQUESTS_PER_SECOND="0") as server,
    ):
        fuzz = Fuzz(server)
        while time.monotonic() < until:
            for operation in fuzz.operations():
                if time.monotonic() >= until:
                    break
                try:
                    fuzz.attack(operation, examples=options.examples, seed_value=options.seed + round_number)
                except Exception as error:  # each is a finding; the others are wanted too
                    failures += 1
                    print(f"{operation.method.upper()} {operation.path}: {error}", flush=True)  # noqa: T201  # a command
            round_number += 1
        total = fuzz.statuses.total()
        print(f"{total} requests in {round_number} rounds, {failures} findings.")  # noqa: T201  # a command
        print(", ".join(f"{status}: {count}" for status, count in sorted(fuzz.statuses.items())))  # noqa: T201
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

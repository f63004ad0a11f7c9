"""Every method of the ten operation groups of azure-mgmt-sql against a running stack: ``sdk_tour.py ENDPOINT_FILE``.

Needs nothing but the SDK, in whichever version the interpreter finds (3.0.1 to 5.0.0b2; what an old one does not have
is left out). Runs the jobs of the Azure tutorial to their ends. Prints the methods that were called, one a line.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.sql import SqlManagementClient, models

GROUPS = (
    "job_agents",
    "job_credentials",
    "job_target_groups",
    "jobs",
    "job_steps",
    "job_versions",
    "job_executions",
    "job_step_executions",
    "job_target_executions",
    "job_private_endpoints",
)
ENDS = {"Succeeded", "SucceededWithSkipped", "Failed", "TimedOut", "Canceled"}
m: Any = models  # its annotations know nothing of the flattened properties that it takes and gives
CREATE = """IF NOT EXISTS (SELECT 1 FROM sys.tables WHERE name = 'Step1')
CREATE TABLE dbo.Step1 (Id int NOT NULL PRIMARY KEY);"""
ANSWER = "SELECT 1 AS one, $(job_execution_id) AS execution"
WAIT = "WAITFOR DELAY '00:01:00'"


class Bearer(SansIOHTTPPolicy[Any, Any]):
    """Sets the token; the SDK's own policy refuses http."""

    def __init__(self, value: str) -> None:
        self._value = value

    def on_request(self, request: Any) -> None:
        request.http_request.headers["Authorization"] = f"Bearer {self._value}"


class NoCredential:
    """The SDK insists on one, and asks it for nothing when it has an authentication policy."""

    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        raise AssertionError(f"A token was asked for: {scopes} {kwargs}")


class Tour:
    """Calls methods and notes which."""

    def __init__(self, endpoint: dict[str, Any]) -> None:
        self._endpoint = endpoint
        self._client: Any = SqlManagementClient(
            NoCredential(),
            endpoint["subscription"],
            base_url=endpoint["api"],
            authentication_policy=Bearer(endpoint["token"]),
            polling_interval=0,
        )
        self.called: list[str] = []
        self._server = (endpoint["resource_group"], endpoint["server"])
        self._agent = (*self._server, "TourAgent")
        root = (
            f"/subscriptions/{endpoint['subscription']}/resourceGroups/{endpoint['resource_group']}"
            f"/providers/Microsoft.Sql/servers/{endpoint['server']}"
        )
        self._root, self._id = root, f"{root}/jobAgents/TourAgent"

    def call(self, group: str, method: str, *arguments: Any, **more: Any) -> Any:
        """One method; a poller is waited for, a pager is listed."""
        self.called.append(f"{group}.{method}")
        found = getattr(getattr(self._client, group), method)(*arguments, **more)
        if method.startswith("begin_"):
            return found.result()
        return list(found) if method.startswith("list_") else found

    def of_agent(self, group: str, method: str, *arguments: Any, **more: Any) -> Any:
        return self.call(group, method, *self._agent, *arguments, **more)

    def has(self, group: str) -> bool:
        """Whether this version of the SDK has a group of operations."""
        return hasattr(self._client, group)

    def everything(self) -> None:
        """The tutorial from the agent to the output, then what it does not come to."""
        self._make_agent()
        self._make_definitions()
        run = self._run_to_the_end()
        self._look(run)
        self._cancel()
        if self.has("job_private_endpoints"):
            self._private_endpoint()
        self._remove()

    def _make_agent(self) -> None:
        database = f"{self._root}/databases/{self._endpoint['job_database_name']}"
        wanted = m.JobAgent(location="westeurope", database_id=database, tags={"made": "by the tour"})
        agent = self.of_agent("job_agents", "begin_create_or_update", wanted)
        expect(agent.state, "Ready")
        agent = self.of_agent("job_agents", "begin_update", m.JobAgentUpdate(tags={"changed": "by the tour"}))
        expect(agent.tags, {"changed": "by the tour"})
        expect(self.of_agent("job_agents", "get").id, self._id)
        expect([each.name for each in self.call("job_agents", "list_by_server", *self._server)], ["TourAgent"])

    def _make_definitions(self) -> None:
        sql = self._endpoint["sql"]
        credential = m.JobCredential(username=sql["user"], password=sql["password"])
        self.of_agent("job_credentials", "create_or_update", "job_credential", credential)
        expect(self.of_agent("job_credentials", "get", "job_credential").username, sql["user"])
        expect(len(self.of_agent("job_credentials", "list_by_agent")), 1)
        reference = f"{self._id}/credentials/job_credential"
        members = [
            m.JobTarget(type="SqlServer", server_name=sql["server"], refresh_credential=reference),
            m.JobTarget(
                type="SqlDatabase", server_name=sql["server"], database_name="database2", membership_type="Exclude"
            ),
        ]
        self.of_agent("job_target_groups", "create_or_update", "ServerGroup", m.JobTargetGroup(members=members))
        expect(len(self.of_agent("job_target_groups", "get", "servergroup").members), 2)
        expect(len(self.of_agent("job_target_groups", "list_by_agent")), 1)
        expect(self.of_agent("jobs", "create_or_update", "Job1", m.Job(description="Create a table")).version, 0)
        self._step("Job1", "CreateTable", CREATE)
        output = m.JobStepOutput(
            server_name=sql["server"], database_name="database2", table_name="Results", credential=reference
        )
        self._step("Job1", "Ask", ANSWER, output=output)
        expect(self.of_agent("jobs", "get", "Job1").version, 2)
        expect(len(self.of_agent("jobs", "list_by_agent")), 1)
        expect(self.of_agent("job_steps", "get", "Job1", "Ask").step_id, 2)
        expect([each.name for each in self.of_agent("job_steps", "list_by_job", "Job1")], ["CreateTable", "Ask"])
        expect([each.name for each in self.of_agent("job_versions", "list_by_job", "Job1")], ["0", "1", "2"])
        expect(self.of_agent("job_versions", "get", "Job1", 1).name, "1")
        expect(len(self.of_agent("job_steps", "list_by_version", "Job1", 1)), 1)
        expect(self.of_agent("job_steps", "get_by_version", "Job1", 1, "CreateTable").step_id, 1)

    def _step(self, job: str, name: str, script: str, **more: Any) -> None:
        step = m.JobStep(
            target_group=f"{self._id}/targetGroups/ServerGroup",
            credential=f"{self._id}/credentials/job_credential",
            action=m.JobStepAction(value=script),
            execution_options=m.JobStepExecutionOptions(retry_attempts=0),
            **more,
        )
        self.of_agent("job_steps", "create_or_update", job, name, step)

    def _run_to_the_end(self) -> str:
        run = self.of_agent("job_executions", "begin_create", "Job1")
        chosen = str(uuid.uuid4())
        ended = self._ended("Job1", run.name)
        expect((ended.lifecycle, ended.provisioning_state), ("Succeeded", "Succeeded"), ended.last_message)
        self.of_agent("job_executions", "begin_create_or_update", "Job1", chosen)
        expect(self._ended("Job1", chosen).lifecycle, "Succeeded")
        return str(run.name)

    def _ended(self, job: str, run: str) -> Any:
        return wait_for(lambda: ended_or_none(self.of_agent("job_executions", "get", job, run)))

    def _look(self, run: str) -> None:
        expect(len(self.of_agent("job_executions", "list_by_job", "Job1", is_active=False)), 2)
        expect(len(self.of_agent("job_executions", "list_by_agent", top=1)), 1)
        steps = self.of_agent("job_step_executions", "list_by_job_execution", "Job1", run)
        expect({each.name for each in steps}, {"CreateTable", "Ask"})
        expect(self.of_agent("job_step_executions", "get", "Job1", run, "Ask").lifecycle, "Succeeded")
        targets = self.of_agent("job_target_executions", "list_by_job_execution", "Job1", run)
        expect({each.target.database_name for each in targets}, {"database1"})
        (target,) = self.of_agent("job_target_executions", "list_by_step", "Job1", run, "Ask")
        found = self.of_agent("job_target_executions", "get", "Job1", run, "Ask", target.name)
        expect(
            found.last_message,
            f"Step 2 succeeded execution on target (server '{found.target.server_name}', database 'database1').",
        )

    def _cancel(self) -> None:
        self.of_agent("jobs", "create_or_update", "Job2", m.Job())
        self._step("Job2", "Wait", WAIT)
        run = self.of_agent("job_executions", "begin_create", "Job2").name
        wait_for(lambda: self.of_agent("job_executions", "get", "Job2", run).lifecycle == "InProgress")
        expect(self.of_agent("job_executions", "cancel", "Job2", run), None)
        expect(self._ended("Job2", run).lifecycle, "Canceled")

    def _private_endpoint(self) -> None:
        wanted = m.JobPrivateEndpoint(target_server_azure_resource_id=self._root.rpartition("/")[0] + "/far")
        self.of_agent("job_private_endpoints", "begin_create_or_update", "endpoint1", wanted)
        expect(self.of_agent("job_private_endpoints", "get", "endpoint1").name, "endpoint1")
        expect(len(self.of_agent("job_private_endpoints", "list_by_agent")), 1)
        self.of_agent("job_private_endpoints", "begin_delete", "endpoint1")

    def _remove(self) -> None:
        try:
            self.of_agent("job_target_groups", "delete", "ServerGroup")
        except HttpResponseError as error:
            expect((error.status_code, error.error and error.error.code), (400, "ElasticJobsOperationFailed"))
        self.of_agent("job_steps", "delete", "Job1", "Ask")
        for job in ("Job1", "Job2"):
            self.of_agent("jobs", "delete", job)
        self.of_agent("job_target_groups", "delete", "ServerGroup")
        self.of_agent("job_credentials", "delete", "job_credential")
        self.of_agent("job_agents", "begin_delete")
        try:
            self.of_agent("job_agents", "get")
        except ResourceNotFoundError as error:
            expect(error.error and error.error.code, "JobAgentNotFound")
        else:
            raise AssertionError("The agent is still there.")


def ended_or_none(run: Any) -> Any:
    return run if run.lifecycle in ENDS else None


def expect(found: object, wanted: object, told: str | None = None) -> None:
    if found != wanted:
        raise AssertionError(f"Found {found!r}, wanted {wanted!r}. {told or ''}")


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError("It did not come true in time.")
        time.sleep(0.25)


def main(arguments: list[str]) -> int:
    """Read the endpoint file and go round."""
    tour = Tour(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    tour.everything()
    methods = {
        f"{group}.{name}"
        for group in GROUPS
        if tour.has(group)
        for name in dir(getattr(tour._client, group))
        if not name.startswith("_") and callable(getattr(getattr(tour._client, group), name)) and name != "models"
    }
    missing = methods - set(tour.called)
    print("\n".join(sorted(set(tour.called))))  # noqa: T201  # a command
    if missing:
        print(f"Not called: {', '.join(sorted(missing))}", file=sys.stderr)  # noqa: T201  # a command
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

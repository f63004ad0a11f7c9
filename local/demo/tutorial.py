"""The steps of the Azure tutorial "Create an Elastic Job agent using PowerShell", with its own names and its own T-SQL.

Each step says what it does, does it over the same interfaces as a user (HTTP for the agent, TDS for the targets), and
checks what came of it. A deviation raises ``DeviationError``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pyodbc

from local.api_client import ApiClient, ApiError
from local.demo.show import Screen, short_time
from local.target_sql import connect

TERMINAL = {"Succeeded", "SucceededWithSkipped", "Failed", "TimedOut", "Canceled", "Skipped"}
WAIT_SECONDS = 60.0

PASSWORD = "password!123"
IN_MASTER = (
    f"CREATE LOGIN masteruser WITH PASSWORD='{PASSWORD}'",
    "CREATE USER masteruser FROM LOGIN masteruser",
    f"CREATE LOGIN jobuser WITH PASSWORD='{PASSWORD}'",
)
IN_EACH_DATABASE = (
    "CREATE USER jobuser FROM LOGIN jobuser",
    "GRANT ALTER ON SCHEMA::dbo TO jobuser",
    "GRANT CREATE TABLE TO jobuser",
)
SQL_TEXT_1 = (
    "IF NOT EXISTS (SELECT * FROM sys.tables WHERE object_id = object_id('Step1Table')) "
    "CREATE TABLE [dbo].[Step1Table]([TestId] [int] NOT NULL);"
)
SQL_TEXT_2 = (
    "IF NOT EXISTS (SELECT * FROM sys.tables WHERE object_id = object_id('Step2Table')) "
    "CREATE TABLE [dbo].[Step2Table]([TestId] [int] NOT NULL);"
)
DATABASES = ("database1", "database2")
EXPECTED_TABLES = {"database1": ["Step1Table", "Step2Table"], "database2": ["Step1Table"]}


class DeviationError(Exception):
    """The product did not do what the tutorial promises; the sentence says what."""


class Tutorial:
    """The tutorial against one running stack."""

    def __init__(self, endpoint: dict[str, Any], screen: Screen) -> None:
        self._endpoint, self._screen = endpoint, screen
        self._server: str = endpoint["sql"]["server"]
        self._api = ApiClient(endpoint, "JobAgent1")

    def run(self) -> None:
        """All steps in order.

        Raises:
            DeviationError: something is not as the tutorial says.
            ApiError: the API refused a request that the tutorial makes.
        """
        self.required_resources()
        self.create_agent()
        self.create_users()
        self.create_credentials()
        self.create_target_groups()
        self.create_job()
        execution_id = self.start_job()
        self.monitor(execution_id)
        self.verify_tables()
        self.schedule()
        self.clean_up()

    def required_resources(self) -> None:
        self._screen.step("Required resources: a job server with a job database, a target server with two databases")
        self._screen.say(f"job server {self._endpoint['server']}, database {self._endpoint['job_database_name']}")
        with self._on_target("master") as connection:
            found = [row[0] for row in connection.execute("SELECT name FROM sys.databases ORDER BY name").fetchall()]
        self._screen.say(f"target server {self._server}: {', '.join(found)}")
        _expect(set(DATABASES) <= set(found), f"The target server lists {found}, not {', '.join(DATABASES)}.")

    def create_agent(self) -> None:
        self._screen.step("Create the job agent")
        agent = self._api.put_agent("westeurope", self._endpoint["job_database_name"])
        self._screen.say(f"{agent['name']}: {agent['properties']['state']}, {agent['sku']['name']}")
        _expect(agent["properties"]["state"] == "Ready", f"The agent is {agent['properties']['state']}, not Ready.")

    def create_users(self) -> None:
        self._screen.step("Create logins and users on the target server (as its administrator)")
        for database, statements in (("master", IN_MASTER), *((name, IN_EACH_DATABASE) for name in DATABASES)):
            with self._on_target(database) as connection:
                for statement in statements:
                    self._screen.sql(database, statement.replace(PASSWORD, "********"))
                    connection.execute(statement)

    def create_credentials(self) -> None:
        self._screen.step("Create the job credentials masteruser and jobuser")
        for name in ("masteruser", "jobuser"):
            answer = self._api.put(f"/credentials/{name}", {"username": name, "password": PASSWORD})
            _expect("password" not in answer["properties"], "The API answers a password.")
        self._screen.say("stored sealed; no interface ever answers a password")

    def create_target_groups(self) -> None:
        self._screen.step("Define the target groups")
        whole = {
            "type": "SqlServer",
            "serverName": self._server,
            "refreshCredential": f"{self._api.agent}/credentials/masteruser",
        }
        without = {
            "membershipType": "Exclude",
            "type": "SqlDatabase",
            "serverName": self._server,
            "databaseName": "database2",
        }
        for name, members in (("ServerGroup", [whole]), ("ServerGroupExcludingDb2", [whole, without])):
            self._api.put(f"/targetGroups/{name}", {"members": members})
            described = ", ".join(
                f"{member.get('membershipType', 'Include')} {member.get('databaseName') or 'all databases'}"
                for member in members
            )
            self._screen.say(f"{name}: {described} of {self._server}")

    def create_job(self) -> None:
        self._screen.step("Create Job1 and its two steps")
        job = self._api.put("/jobs/Job1", {"schedule": {"type": "Once"}})
        for name, group, text in (
            ("step1", "ServerGroup", SQL_TEXT_1),
            ("step2", "ServerGroupExcludingDb2", SQL_TEXT_2),
        ):
            self._api.put(
                f"/jobs/Job1/steps/{name}",
                {
                    "targetGroup": f"{self._api.agent}/targetGroups/{group}",
                    "credential": f"{self._api.agent}/credentials/jobuser",
                    "action": {"value": text},
                },
            )
            self._screen.say(f"{name} on {group}: {text}")
        version = self._api.call("GET", "/jobs/Job1")["properties"]["version"]
        _expect((job["properties"]["version"], version) == (0, 2), f"Job1 is at version {version}, not 2.")

    def start_job(self) -> str:
        self._screen.step("Start Job1 now")
        execution = self._api.call("POST", "/jobs/Job1/start")
        execution_id: str = execution["properties"]["jobExecutionId"]
        self._screen.say(f"execution {execution_id}: {execution['properties']['lifecycle']}")
        ended = self._watch(execution_id)
        _expect(ended == "Succeeded", f"Job1 ended {ended}, not Succeeded: {self._why(execution_id)}")
        return execution_id

    def monitor(self, execution_id: str) -> None:
        self._screen.step("Monitor: the latest executions, the steps, the targets")
        executions = self._api.list("/executions", **{"$top": 10})
        self._executions_table("Get-AzSqlElasticJobExecution -Count 10", executions)
        _expect(len(executions) == 1, f"{len(executions)} executions are listed, not 1.")
        steps = self._api.list(f"/jobs/Job1/executions/{execution_id}/steps")
        self._executions_table("Get-AzSqlElasticJobStepExecution", steps)
        _expect(len(steps) == 2, f"{len(steps)} step executions are listed, not 2.")
        targets = self._api.list(f"/jobs/Job1/executions/{execution_id}/targets", **{"$top": 2})
        self._executions_table("Get-AzSqlElasticJobTargetExecution -Count 2", targets)
        _expect(len(targets) == 2, f"{len(targets)} target executions are listed, not 2.")

    def verify_tables(self) -> None:
        self._screen.step("Ask the target databases themselves, over a connection of our own")
        for database, expected in EXPECTED_TABLES.items():
            with self._on_target(database) as connection:
                found = [row[0] for row in connection.execute("SELECT name FROM sys.tables ORDER BY name").fetchall()]
            self._screen.say(f"{database}: {', '.join(found)}")
            _expect(found == expected, f"{database} has the tables {found}, not {expected}.")

    def schedule(self) -> None:
        self._screen.step("Run Job1 every hour, starting from now")
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        schedule = {"type": "Recurring", "interval": "PT1H", "startTime": now, "enabled": True}
        saved = self._api.put("/jobs/Job1", {"schedule": schedule})["properties"]["schedule"]
        _expect(
            (saved["type"], saved["interval"], saved["enabled"]) == ("Recurring", "PT1H", True),
            f"The schedule was saved as {saved}.",
        )
        self._screen.say(f"saved: {saved['interval']} from {saved['startTime']}, enabled")
        self._screen.say("the timer starts the first run at its next tick ...")
        deadline = time.monotonic() + WAIT_SECONDS
        while len(executions := self._api.list("/jobs/Job1/executions")) < 2:
            _expect(time.monotonic() < deadline, f"The schedule started nothing within {WAIT_SECONDS:g} s.")
            time.sleep(0.2)
        scheduled: str = executions[0]["properties"]["jobExecutionId"]
        ended = self._watch(scheduled)
        _expect(ended == "Succeeded", f"The scheduled run ended {ended}: {self._why(scheduled)}")
        self._screen.say("the scripts are idempotent: the second run changed nothing, and succeeded")

    def clean_up(self) -> None:
        self._screen.step("Clean up")
        for path in (
            "/jobs/Job1",
            "/targetGroups/ServerGroup",
            "/targetGroups/ServerGroupExcludingDb2",
            "/credentials/masteruser",
            "/credentials/jobuser",
            "",
        ):
            self._api.call("DELETE", path)
        try:
            self._api.call("GET")
        except ApiError as error:
            _expect(error.status == 404, f"The deleted agent answers {error}.")
        else:
            raise DeviationError("The agent is still there after it was deleted.")
        self._screen.say("job, target groups, credentials and agent are gone")

    def _watch(self, execution_id: str) -> str:
        """Show the progress of an execution until it ends; its state."""
        deadline = time.monotonic() + WAIT_SECONDS
        with self._screen.progress() as progress:
            bars: dict[str, Any] = {}
            while True:
                state: str = self._api.call("GET", f"/jobs/Job1/executions/{execution_id}")["properties"]["lifecycle"]
                for step in self._api.list(f"/jobs/Job1/executions/{execution_id}/steps"):
                    name = step["properties"]["stepName"]
                    targets = self._api.list(f"/jobs/Job1/executions/{execution_id}/steps/{name}/targets")
                    done = sum(target["properties"]["lifecycle"] in TERMINAL for target in targets)
                    if name not in bars:
                        bars[name] = progress.add_task(name, state="", total=None)
                    progress.update(
                        bars[name],
                        completed=done,
                        total=len(targets) or None,
                        state=self._screen.lifecycle(step["properties"]["lifecycle"]),
                    )
                if state in TERMINAL:
                    return state
                _expect(time.monotonic() < deadline, f"Execution {execution_id} is {state} after {WAIT_SECONDS:g} s.")
                time.sleep(0.1)

    def _why(self, execution_id: str) -> str:
        return str(self._api.call("GET", f"/jobs/Job1/executions/{execution_id}")["properties"].get("lastMessage"))

    def _executions_table(self, title: str, executions: list[Any]) -> None:
        rows = []
        for execution in executions:
            properties = execution["properties"]
            target = properties.get("target") or {}
            rows.append(
                (
                    execution["name"].split("-")[0],
                    properties.get("stepName"),
                    target.get("databaseName"),
                    self._screen.lifecycle(properties["lifecycle"]),
                    properties.get("currentAttempts"),
                    short_time(properties.get("startTime")),
                    short_time(properties.get("endTime")),
                    properties.get("lastMessage"),
                )
            )
        columns = ("Name", "Step", "Database", "Lifecycle", "Attempts", "Start", "End", "Last message")
        self._screen.table(title, columns, rows)

    @contextmanager
    def _on_target(self, database: str) -> Iterator[pyodbc.Connection]:
        connection = connect(self._endpoint["sql"], database)
        try:
            yield connection
        finally:
            connection.close()


def _expect(holds: bool, sentence: str) -> None:
    if not holds:
        raise DeviationError(sentence)

"""Preflight and user setup over HTTP: real servers are asked by the real driver, as the runtime wires it."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from azure.core.credentials import AccessToken

from elastic_jobs.agent.logins import Logins
from elastic_jobs.agent.rehearsal import Rehearsal
from elastic_jobs.agent.trial import Trial
from elastic_jobs.api.services import Services
from elastic_jobs.credentials.key_vault import KeyVaultSafe, make_client
from elastic_jobs.domain.script import split
from elastic_jobs.domain.targets import Member, ServerNames, TargetType
from elastic_jobs.jobdb.tables import metadata
from elastic_jobs.targets.authentication import ManagedIdentityTokens, PasswordLogin
from elastic_jobs.targets.connect import ConnectOptions, Connector
from elastic_jobs.targets.preflight import Preflight
from elastic_jobs.targets.servers import TargetServers
from local.azure.identity import IdentityEndpoint
from local.sqlserver.client import Emulator, running_emulator
from tests.api.support import AGENT, DATABASE_ID, VERSION, Server, clear, running

PASSWORD = "T3st;}pass'word"
SUFFIX = ".database.windows.net"
GROUP = "/agent/targetGroups/group1"
CHECKS = ["allowed", "dns", "tcp", "tls", "login", "database", "permission"]
IDENTITY = "/subscriptions/1/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/my-agent"


@dataclass
class Estate:
    """A running API whose targets are an emulator: ``server1`` answers, ``silent`` takes connections and is silent."""

    server: Server
    emulator: Emulator
    connector: Connector

    def group(self, *members: dict[str, Any]) -> None:
        self.server.put("/targetGroups/group1", {"properties": {"members": list(members)}})

    def preflight(self, **body: Any) -> dict[str, Any]:
        answer = self.server.http.post(f"{GROUP}/preflight", json={"credential": "runner", **body}, timeout=60)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def setup(self, *query: tuple[str, str | int | float | bool | None]) -> dict[str, Any]:
        answer = self.server.http.get(f"{GROUP}/userSetup", params=[("credential", "runner"), *query], timeout=60)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    described = {
        "name": f"server1{SUFFIX}",
        "admin_user": "sqladmin",
        "admin_password": PASSWORD,
        "databases": ["one", "two"],
        "elastic_pools": [{"name": "pool1", "databases": ["pooled"]}],
    }
    with running_emulator({"servers": [described], "encryption": "required"}) as running_one:
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(running_one.ca)
        yield running_one
        del os.environ["SSL_CERT_FILE"]
        if before is not None:
            os.environ["SSL_CERT_FILE"] = before


@pytest.fixture(scope="module")
def deployment(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        addresses = {
            f"server1{SUFFIX}": f"{emulator.host},{emulator.ports[f'server1{SUFFIX}']}",
            f"silent{SUFFIX}": f"127.0.0.1,{silent.getsockname()[1]}",
        }

        servers = TargetServers(ServerNames(SUFFIX), addresses, addresses)
        connector = Connector(ConnectOptions(servers=servers, login_timeout_seconds=5, retry_seconds=(0.05,)))

        def wired(services: Services) -> Services:
            tokens = ManagedIdentityTokens(services.clock)
            logins = Logins(services.database, services.sealer, tokens)
            preflight = Preflight(connector, login_timeout_seconds=2)
            trial = Trial(connector, logins, preflight=preflight)
            rehearsal = Rehearsal(connector, logins, patience_seconds=20)
            return replace(services, try_out=trial.run, rehearse=rehearsal.resolve)

        with running(tmp_path_factory.mktemp("trials"), wrap=wired) as server:
            yield Estate(server, emulator, connector)


@pytest.fixture
def estate(deployment: Estate) -> Estate:
    clear(deployment.server.database)
    deployment.emulator.control.clear_faults()
    deployment.server.agent()
    for name, password in (("runner", PASSWORD), ("wrong", "no such password")):
        deployment.server.put(f"/credentials/{name}", {"properties": {"username": "sqladmin", "password": password}})
    return deployment


def whole(server: str = "server1", credential: str = "runner") -> dict[str, Any]:
    return {"type": "SqlServer", "serverName": server, "refreshCredential": f"{AGENT}/credentials/{credential}"}


def named(database: str, server: str = "server1") -> dict[str, Any]:
    return {"type": "SqlDatabase", "serverName": server, "databaseName": database}


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def statuses(target: dict[str, Any]) -> dict[str, str]:
    return {check["check"]: check["status"] for check in target["checks"]}


def test_all_databases_of_a_group_are_tried(estate: Estate) -> None:
    estate.group(whole(), named("ghost"))
    found = estate.preflight()
    assert (found["ready"], found["failures"]) == (False, [])
    targets = {target["databaseName"]: target for target in found["targets"]}
    assert set(targets) == {"one", "two", "pooled", "ghost"}
    assert [check["check"] for check in targets["one"]["checks"]] == CHECKS
    assert targets["one"]["ready"]
    assert set(statuses(targets["one"]).values()) == {"ok"}
    assert not targets["ghost"]["ready"]
    assert statuses(targets["ghost"])["database"] == "failed"
    assert {target["serverName"] for target in found["targets"]} == {"server1"}


def test_under_the_arm_path_credentials_are_ids(estate: Estate) -> None:
    estate.group(named("one"))
    path = f"{AGENT}/targetGroups/group1/preflight"
    body = {"credential": f"{AGENT}/credentials/runner"}
    answer = estate.server.http.post(path, params=VERSION, json=body)
    assert (answer.status_code, answer.json()["ready"]) == (200, True)
    assert said(estate.server.http.post(path, params=VERSION, json={"credential": "runner"})) == (
        400,
        "InvalidResourceId",
    )


def test_each_server_that_cannot_be_asked_is_told_and_named_databases_are_tried(estate: Estate) -> None:
    estate.group(whole(), whole("silent"), named("one"))
    found = estate.preflight(timeLimitSeconds=20)
    assert not found["ready"]
    (failure,) = found["failures"]
    assert failure["what"] == f"server 'silent{SUFFIX}'"
    assert [(target["databaseName"], target["ready"]) for target in found["targets"]] == [("one", True)]


def test_a_login_that_is_refused_is_told_without_its_password(estate: Estate) -> None:
    estate.group(named("one"))
    found = estate.preflight(credential="wrong")
    (target,) = found["targets"]
    assert (statuses(target)["tls"], statuses(target)["login"]) == ("ok", "failed")
    told = str(found)
    assert "18456" in told
    assert "no such password" not in told
    assert PASSWORD not in told


def test_a_silent_server_leaves_time_for_the_others(estate: Estate) -> None:
    estate.group(whole("silent"), named("one"))
    found = estate.preflight(timeLimitSeconds=4)
    assert [failure["what"] for failure in found["failures"]] == ["target group"]
    assert [target["ready"] for target in found["targets"]] == [True]


def test_it_is_over_when_the_time_is(estate: Estate) -> None:
    estate.group(whole("silent"), *(named(f"d{number}", "silent") for number in range(40)))
    began = time.monotonic()
    found = estate.preflight(timeLimitSeconds=2)
    assert time.monotonic() - began < 8
    assert found["failures"] == [
        {"what": "target group", "error": "Its servers did not all answer within 1 s."},
    ]
    assert len(found["targets"]) == 40
    assert "not finished within the time limit" in found["targets"][0]["checks"][0]["message"]


def test_preflights_that_are_refused(estate: Estate) -> None:
    http = estate.server.http
    estate.group(named("one"))
    failed = (400, "ElasticJobsOperationFailed")
    without = http.post(f"{GROUP}/preflight")
    assert said(without) == failed
    assert "needs a credential" in without.json()["error"]["message"]
    assert said(http.post(f"{GROUP}/preflight", json={"credential": "ghost"})) == failed
    for seconds in (0, 201, "x"):
        body = {"credential": "runner", "timeLimitSeconds": seconds}
        assert said(http.post(f"{GROUP}/preflight", json=body)) == (400, "InvalidResourceRequestBody")
    assert said(http.post("/agent/targetGroups/ghost/preflight", json={})) == (404, "ResourceNotFound")
    with estate.server.client("Reader", "Contributor") as reader:
        assert said(reader.post(f"{GROUP}/preflight", json={})) == (403, "AuthorizationFailed")


def test_a_password_that_cannot_be_opened_is_a_failure_with_its_reason(estate: Estate) -> None:
    estate.group(named("one"))
    database = estate.server.database
    with database.write() as connection:
        table = metadata.tables["jobs_internal.credentials"]
        connection.execute(table.update().values(sealed_password=b"\x01" + bytes(40)))
    found = estate.preflight()
    assert (found["ready"], found["targets"]) == (False, [])
    (failure,) = found["failures"]
    assert failure["what"] == "login of the job"
    assert "cannot be opened" in failure["error"]


class AppIdentity:
    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        del scopes, kwargs
        return AccessToken("a token", int(time.time()) + 3600)


def test_a_silent_vault_does_not_outlast_the_time(estate: Estate) -> None:
    clock = estate.server.services.clock
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = make_client(f"https://127.0.0.1:{silent.getsockname()[1]}", AppIdentity(), retry_total=0)
        safe = KeyVaultSafe(client, clock, prefix="p", keep=timedelta(minutes=5))
        logins = Logins(estate.server.database, safe, ManagedIdentityTokens(clock))
        member = Member(target_type=TargetType.SQL_DATABASE, server_name="server1", database_name="one")
        began = time.monotonic()
        found = Trial(estate.connector, logins).run([member], "runner", 1)
        assert time.monotonic() - began < 5
    (failure,) = found.failures
    assert failure.what == "login of the job"
    assert "did not come within the time limit" in failure.error


def test_the_scripts_for_a_group_run_and_let_the_agent_in(estate: Estate) -> None:
    """What the setup answers is run as it says, and then a preflight as that user succeeds."""
    estate.group(named("one"), named("two"))
    user = f"job{uuid4().hex[:8]}"
    body = {"properties": {"username": user, "password": "N3w-password"}}
    estate.server.put("/credentials/job", body)
    found = estate.setup(("credential", "job"), ("access", "read"), ("access", "write"), ("access", "read"))
    assert statuses(estate.preflight(credential="job")["targets"][0])["login"] == "failed"
    assert (found["complete"], found["failures"], found["refused"]) == (True, [], [])
    places = [(script["serverName"], script["databaseName"]) for script in found["scripts"]]
    assert places == [("server1", "master"), ("server1", "one"), ("server1", "two")]
    scripts = {script["databaseName"]: script["sql"] for script in found["scripts"]}
    assert "CREATE LOGIN" in scripts["master"]
    assert f"GRANT SELECT, INSERT, UPDATE, DELETE TO [{user}];" in scripts["one"]
    assert scripts["one"].count("GRANT SELECT TO") == 1
    assert "N3w-password" not in str(found)
    for database, sql in scripts.items():
        connection = estate.connector.connect(f"server1{SUFFIX}", database, PasswordLogin("sqladmin", PASSWORD))
        for batch in split(sql.replace("@password nvarchar(128) = N''", "@password nvarchar(128) = N'N3w-password'")):
            connection.execute(batch.text)
        connection.close()
    assert estate.preflight(credential="job")["ready"]


def test_before_the_users_are_there_what_is_known_is_told(estate: Estate) -> None:
    estate.group(whole(credential="wrong"), named("one"))
    found = estate.setup()
    assert not found["complete"]
    assert found["failures"][0]["what"] == f"server 'server1{SUFFIX}'"
    assert [script["databaseName"] for script in found["scripts"]] == ["master", "one"]


def test_an_identity_is_let_in_by_its_name(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}}
    body = {"location": "westeurope", "properties": {"databaseId": DATABASE_ID}, "identity": identity}
    estate.server.put("", body)
    estate.group(named("one"), {"type": "SqlElasticPool", "serverName": "server1", "elasticPoolName": "pool1"})
    with IdentityEndpoint() as endpoint:  # the identity is not assigned to this app yet
        for name, value in endpoint.environment().items():
            monkeypatch.setenv(name, value)
        answer = estate.server.http.get(f"{GROUP}/userSetup", params={"access": "changeSchema"}, timeout=60)
        tried = estate.server.http.post(f"{GROUP}/preflight", timeout=60).json()
    assert "check that the identity is assigned to this app" in answer.json()["failures"][0]["error"]
    assert "check that the identity is assigned to this app" in str(tried["targets"])
    scripts = {script["databaseName"]: script["sql"] for script in answer.json()["scripts"]}
    assert "CREATE USER [my-agent] FROM EXTERNAL PROVIDER;" in scripts["one"]
    assert "ALTER ROLE db_ddladmin ADD MEMBER [my-agent];" in scripts["one"]
    assert "ALTER ROLE dbmanager ADD MEMBER [my-agent];" in scripts["master"]
    refused = estate.server.http.get(f"{GROUP}/userSetup", params={"credential": "runner"})
    assert said(refused) == (400, "ElasticJobsOperationFailed")


def test_the_output_has_its_rights_too(estate: Estate) -> None:
    estate.group(named("one"))
    query = [
        ("outputServer", "server1"),
        ("outputDatabase", "two"),
        ("outputSchema", "re]sults"),
        ("contained", "true"),
    ]
    found = estate.setup(*query)
    scripts = {script["databaseName"]: script["sql"] for script in found["scripts"]}
    assert set(scripts) == {"one", "two"}
    assert "ON SCHEMA::[re]]sults] TO [sqladmin];" in scripts["two"]
    assert re.search(r"CREATE USER \[sqladmin\] WITH PASSWORD", scripts["one"])


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"access": "everything"}, "InvalidParameterValue"),
        ({"contained": "perhaps"}, "InvalidParameterValue"),
        ({"outputServer": "server1"}, "InvalidParameterValue"),
        ({"outputServer": "server1", "outputDatabase": "d" * 129}, "InvalidParameterValue"),
        ({"outputServer": "server1", "outputDatabase": "d", "outputSchema": "a\nb"}, "InvalidParameterValue"),
        ({"outputServer": "elsewhere.example", "outputDatabase": "d"}, "ElasticJobsOperationFailed"),
        ({"outputServer": "server1;x", "outputDatabase": "d"}, "ElasticJobsOperationFailed"),
        ({"credential": ""}, "ElasticJobsOperationFailed"),
        ({"credential": "ghost"}, "ElasticJobsOperationFailed"),
        ({"credential": "/subscriptions/x"}, "InvalidResourceId"),
    ],
)
def test_setups_that_are_refused(estate: Estate, query: dict[str, str], code: str) -> None:
    estate.group(named("one"))
    answer = estate.server.http.get(f"{GROUP}/userSetup", params={"credential": "runner"} | query)
    assert said(answer) == (400, code)


def test_who_may_ask_for_the_setup(estate: Estate) -> None:
    estate.group(named("one"))
    with estate.server.client("Reader", "Operator", "CredentialAdmin") as other:
        assert said(other.get(f"{GROUP}/userSetup")) == (403, "AuthorizationFailed")
    assert said(estate.server.http.get("/agent/targetGroups/ghost/userSetup")) == (404, "ResourceNotFound")

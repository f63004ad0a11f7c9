"""Secrets planted as canaries: the whole product runs jobs that fail in every way, and then nothing holds a canary.

Looked through: every file that the stack wrote (logs, the job database with its journal, the queues' storage), every
answer of the API and every telemetry item that a collector received, for each secret as UTF-8, as UTF-16 and in base64.
Left out are the files that are there to hold secrets: keys, settings, the emulator's configuration.
"""

from __future__ import annotations

import base64
import json
import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from elastic_jobs.credentials.key_vault import MARK, KeyVaultSafe
from elastic_jobs.domain.ports import SystemClock
from elastic_jobs.errors import CredentialError
from elastic_jobs.targets.authentication import ManagedIdentityTokens
from local.api_client import ApiError
from local.azure.identity import AssignedIdentity, IdentityEndpoint
from local.azure.key_vault import KeyVault
from local.azure.network import NetworkApi
from local.sqlserver.certificates import write_certificates
from local.stack import TARGET_SERVER, Stack, StackOptions
from tests.credentials.conftest import IDENTITY, VAULT_TOKEN
from tests.credentials.test_network import SUBNET
from tests.e2e.support import Bench
from tests.telemetry.collector import Collector, collecting

STORES = ("sealed", "keyvault")
HELD_ON_PURPOSE = {"keys.json", "settings.json", "emulator.json", "server.key"}
APP_IDENTITY = AssignedIdentity(
    client_id="55555555-5555-5555-5555-555555555555",
    resource_id="/subscriptions/1/resourcegroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/app",
)


def _canary(kind: str) -> str:
    """A secret that nothing else looks like, and that any password policy takes."""
    return f"Canary-{kind}-{secrets.token_hex(12)}!1aA"


@dataclass
class Scene:
    """A running stack with its stand-ins, and all that the API ever answered."""

    bench: Bench
    folder: Path
    endpoint: IdentityEndpoint
    vault: KeyVault
    network: NetworkApi
    collector: Collector
    planted: dict[str, str]
    answers: list[str] = field(default_factory=list)

    def hear(self, response: httpx.Response) -> None:
        self.answers.append(f"{response.headers}\n{response.read().decode(errors='replace')}")

    def refused(self, path: str, properties: dict[str, Any]) -> ApiError:
        with pytest.raises(ApiError) as refused:
            self.bench.api.put(path, properties)
        return refused.value


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def scene(store: str, tmp_path: Path) -> Iterator[Scene]:
    folder = tmp_path / "stack"
    tls = write_certificates(tmp_path / "tls", [], datetime.now(UTC))
    endpoint = IdentityEndpoint(IDENTITY, APP_IDENTITY)
    with endpoint, KeyVault(tls) as vault, NetworkApi(tls) as network, collecting() as collector:
        options = StackOptions(
            folder=folder,
            workers=1,
            settings={
                **endpoint.environment(),
                "AZURE_CLIENT_ID": APP_IDENTITY.client_id,
                "CREDENTIAL_STORE": store,
                "KEY_VAULT_URL": vault.url,
                "RESOURCE_MANAGER_URL": network.url,
                "PRIVATE_ENDPOINT_SUBNET_ID": SUBNET,
                "REQUESTS_CA_BUNDLE": str(tls.ca),
                "TICK_SCHEDULE": "*/1 * * * * *",
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
                "OTEL_METRIC_EXPORT_INTERVAL": "500",
                "OTEL_BSP_SCHEDULE_DELAY": "200",
                "OTEL_BLRP_SCHEDULE_DELAY": "200",
            },
        )
        with Stack(options) as stack:
            bench = Bench(stack)
            planted = {
                "good": _canary("good"),
                "wrong": _canary("wrong"),
                "too long": _canary("long") + "x" * 128,
                "unsaved": _canary("unsaved"),
                "earlier": _canary("earlier"),
                "admin": stack.keys["ADMIN_PASSWORD"],
                "bearer": stack.token,
                "signing key": stack.keys["LOCAL_AUTH_KEY"],
                "credential key": stack.keys["CREDENTIAL_KEY"],
                "identity header": endpoint.header,
            }
            scene = Scene(bench, folder, endpoint, vault, network, collector, planted)
            bench.api._http.event_hooks["response"].append(scene.hear)
            yield scene
            bench.close()


def _with_credentials(scene: Scene) -> set[str]:
    """Jobs that succeed and jobs that fail in every way a login can; their ends."""
    bench, api, planted = scene.bench, scene.bench.api, scene.planted
    bench.emulator.create_login(TARGET_SERVER, "jobuser", planted["good"])
    bench.sql("database1", "CREATE USER jobuser FROM LOGIN jobuser; GRANT CREATE TABLE TO jobuser;")
    api.put("/credentials/job", {"username": "jobuser", "password": planted["earlier"]})
    api.put("/credentials/job", {"username": "jobuser", "password": planted["good"]})
    api.put("/credentials/wrong", {"username": "sqladmin", "password": planted["wrong"]})
    refusals = [
        scene.refused("/credentials/refused", {"username": "jobuser", "password": planted["too long"]}),
        scene.refused("/credentials/refused", {"username": "", "password": planted["unsaved"]}),
        scene.refused("/credentials/refused", {"username": {"no": "text"}, "password": planted["unsaved"]}),
    ]
    assert [error.status for error in refusals] == [400, 400, 400]
    job, wrong = ({"credential": f"{api.agent}/credentials/{name}"} for name in ("job", "wrong"))
    output = {"serverName": TARGET_SERVER, "databaseName": "database2", "tableName": "results", **wrong}
    one = bench.member("database1")
    refresh = {"refreshCredential": f"{api.agent}/credentials/wrong"}
    ends = [
        bench.run(bench.job("SELECT 1 AS one", one, **job)),
        bench.run(bench.job("SELECT 1 AS one", one, **wrong)),
        bench.run(bench.job("SELECT 1 AS one", bench.member("database2"), **job)),
        bench.run(bench.job("SELECT no_such_column FROM sys.objects", one, **job)),
        bench.run(bench.job("RAISERROR('a failure on purpose', 16, 1)", one, **job)),
        bench.run(bench.job("SELECT 1 AS one", one, output=output)),
        bench.run(bench.job("SELECT 1 AS one", bench.member(**refresh))),
        bench.run(bench.job("WAITFOR DELAY '00:00:20'", one, executionOptions={"timeoutSeconds": 1}, **job)),
    ]
    for at in ("before", "during", "after"):
        bench.emulator.add_fault("drop", at, database="database1", count=1)
        ends.append(bench.run(bench.job("SELECT 1 AS one", one, **job)))
        bench.emulator.clear_faults()
    return {str(run["lifecycle"]) for run, _ in ends}


def _as_identity(scene: Scene) -> set[str]:
    """The same agent with an identity: a token that one database takes and the other refuses; their ends."""
    bench, api = scene.bench, scene.bench.api
    bench.sql("database1", "CREATE USER [agent1] FROM EXTERNAL PROVIDER")
    scene.endpoint._on_token = lambda token, _: bench.emulator.add_token(token, "agent1")
    identity = {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY.resource_id: {}}}
    api.put_agent("westeurope", bench.endpoint["job_database_name"], identity=identity)
    ends = [
        _run_without_credential(bench, "database1"),
        _run_without_credential(bench, "database2"),
    ]
    refused = scene.refused("/targetGroups/mixed", {"members": [bench.member()]})
    assert "reaches its targets with its user-assigned identity" in refused.message
    return set(ends)


def _with_private_endpoint(scene: Scene) -> None:
    """An endpoint that is asked for, approved by the server's owner, and taken back."""
    api, path = scene.bench.api, "/privateEndpoints/p1"
    server = "/subscriptions/2/resourceGroups/far/providers/Microsoft.Sql/servers/far1"
    api.put(path, {"targetServerAzureResourceId": server})
    (name,) = scene.network.names()
    assert api.call("GET", path)["properties"]["connectionState"]["status"] == "Pending"
    scene.network.decide(name, "Approved", "welcome")
    state = api.call("GET", path)["properties"]["connectionState"]
    assert state == {"status": "Approved", "description": "welcome"}
    api.call("DELETE", path)
    assert scene.network.names() == []


def _run_without_credential(bench: Bench, database: str) -> str:
    name = f"as-identity-{database}"
    bench.api.put(f"/targetGroups/{name}", {"members": [bench.member(database)]})
    bench.api.put(f"/jobs/{name}", {})
    step = {"targetGroup": f"{bench.api.agent}/targetGroups/{name}", "action": {"value": "SELECT 1 AS one"}}
    bench.api.put(f"/jobs/{name}/steps/step1", {**step, "executionOptions": {"retryAttempts": 0}})
    return str(bench.run(name)[0]["lifecycle"])


def _read_everything(scene: Scene) -> None:
    """All that the API can tell."""
    api = scene.bench.api
    api.call("GET")
    for path in ("/credentials", "/targetGroups", "/jobs", "/executions"):
        api.list(path)
    for credential in api.list("/credentials"):
        api.call("GET", f"/credentials/{credential['name']}")
    for execution in api.list("/executions"):
        job = execution["id"].split("/jobs/")[1].split("/")[0]
        path = f"/jobs/{job}/executions/{execution['name']}"
        api.list(f"{path}/steps")
        for target in api.list(f"{path}/targets"):
            scene.bench.messages(job, execution["name"], target["name"])


def _spellings(secret: str) -> list[bytes]:
    data = secret.encode()
    # Base64 of it within a longer text begins at one of three places; what is around it is cut off.
    inner = [base64.b64encode(b"\0" * shift + data)[4:-4] for shift in range(3)]
    return [data, secret.encode("utf-16-le"), *inner, json.dumps(secret)[1:-1].encode()]


def _found(scene: Scene) -> list[str]:
    """Where which secret was found."""
    files = [file for file in sorted(scene.folder.rglob("*")) if file.is_file() and file.name not in HELD_ON_PURPOSE]
    texts = {str(file.relative_to(scene.folder)): file.read_bytes() for file in files}
    assert any(name.startswith("jobs.db") for name in texts)
    assert any(name.endswith(".log") and texts[name] for name in texts)
    assert any("azurite" in name for name in texts)
    assert scene.collector.spans
    assert scene.collector.logs
    assert scene.collector.series
    texts["telemetry"] = b"".join(scene.collector.raw)
    texts["answers of the API"] = "\n".join(scene.answers).encode()
    tokens = {f"token {number}": token for number, (token, _) in enumerate(scene.endpoint.issued)}
    return [
        f"{kind} in {place}"
        for kind, secret in {**scene.planted, **tokens}.items()
        for place, text in texts.items()
        if any(spelling in text for spelling in _spellings(secret))
    ]


@pytest.mark.timeout(240)
def test_no_secret_is_anywhere(scene: Scene, store: str) -> None:
    assert _with_credentials(scene) == {"Succeeded", "Failed", "TimedOut"}
    assert _as_identity(scene) == {"Succeeded", "Failed"}
    assert scene.endpoint.issued, "the identity was used"
    kept = {scene.vault.tags(name)["credential"] for name in scene.vault.names()}
    assert kept == (set() if store == "sealed" else {"admin", "job", "wrong"})
    _with_private_endpoint(scene)
    _read_everything(scene)
    assert len(scene.answers) > 50
    (scene.folder / "probe.log").write_text(f"a log that says {scene.planted['wrong']}")
    assert _found(scene) == ["wrong in probe.log"], "the search finds what is there, and nothing else"


def test_the_sdks_tell_no_secret_at_their_most_talkative(
    safe: KeyVaultSafe, vault: KeyVault, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    password = _canary("vaulted")
    with IdentityEndpoint(IDENTITY) as endpoint:
        for name, value in endpoint.environment().items():
            monkeypatch.setenv(name, value)
        tokens = ManagedIdentityTokens(SystemClock())
        token = tokens.token(IDENTITY.client_id)
        endpoint.failures[:] = [400, 400]
        with pytest.raises(CredentialError) as no_token:
            tokens.token("another identity")
    safe.seal("runner", password)
    assert safe.open("runner", MARK) == password
    vault.forbidden.add("set")
    with pytest.raises(CredentialError) as not_written:
        safe.seal("runner", password)
    told = f"{caplog.text}{no_token.value}{not_written.value}".encode()
    assert b"secrets/" in told, "the SDK did tell something"
    for secret in (password, token, endpoint.header, VAULT_TOKEN):
        assert not any(spelling in told for spelling in _spellings(secret))


def test_the_search_knows_all_spellings() -> None:
    secret = _canary("probe")
    for shift in range(3):
        assert any(each in base64.b64encode(b"x" * shift + secret.encode() + b"yyy") for each in _spellings(secret))

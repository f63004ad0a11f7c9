"""Stand-ins of Key Vault and the identity endpoint, a clock moved by hand, and a job database with credentials."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.core.credentials import AccessToken
from azure.keyvault.secrets import SecretClient
from azure.keyvault.secrets._shared import http_challenge_cache

from elastic_jobs.credentials.key_vault import KeyVaultSafe, make_client
from elastic_jobs.domain.model import Agent, Identity
from elastic_jobs.domain.targets import ServerNames
from elastic_jobs.errors import ServerNotAllowedError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions import agent, credentials
from elastic_jobs.jobdb.definitions.checks import Edit
from elastic_jobs.jobdb.tables import metadata
from local.azure.identity import AssignedIdentity, IdentityEndpoint
from local.azure.key_vault import KeyVault
from local.sqlserver.certificates import CertificateFiles, write_certificates

NAMES = ServerNames(".database.windows.net")
IDENTITY = AssignedIdentity(
    client_id="44444444-4444-4444-4444-444444444444",
    resource_id="/subscriptions/1/resourcegroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/agent1",
)
VAULT_TOKEN = "token-for-the-vault"
PREFIX = "jobserver-JobDatabase"


def environment(**changes: str) -> dict[str, str]:
    """Settings of a deployment."""
    return {
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "JOB_DATABASE_URL": "sqlite:////tmp/jobs.db",
        "AGENT_SUBSCRIPTION_ID": "11111111-1111-1111-1111-111111111111",
        "AGENT_RESOURCE_GROUP": "rg",
        "AGENT_SERVER_NAME": "jobserver",
        "AGENT_DATABASE_NAME": "JobDatabase",
        "AGENT_LOCATION": "westeurope",
        "AUTH_MODE": "local",
        "LOCAL_AUTH_KEY": "k" * 32,
        "CREDENTIAL_KEY": base64.b64encode(b"n" * 32).decode(),
        **changes,
    }


class HandClock:
    """A clock that is moved by hand, from the present on."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self) -> datetime:
        return self.time

    def move(self, **delta: float) -> None:
        self.time += timedelta(**delta)


class AppIdentity:
    """The app's own identity: gives out the one token that the vault accepts."""

    def __init__(self, token: str = VAULT_TOKEN) -> None:
        self.text = token

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        del scopes
        return AccessToken(self.text, int(time.time()) + 3600)


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition; fails when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def allow(server_name: str) -> None:
    """The deployment's list: every server under the suffix, except those called evil."""
    name = NAMES.canonical(server_name)
    if not name.endswith(".database.windows.net") or name.startswith("evil"):
        raise ServerNotAllowedError(f"Server '{name}' is not on the list of allowed target servers.")


class Book:
    """A job database with an agent, and a hand that saves credentials."""

    def __init__(self, database: JobDatabase) -> None:
        self.database = database

    @property
    def edit(self) -> Edit:
        return Edit(caller="alice", now=datetime.now(UTC), new_id=uuid4, names=NAMES, check_server=allow)

    def agent(self, identity: Identity | None = None) -> Agent:
        with self.database.write() as connection:
            described = Agent(name="agent1", location="westeurope", identity=identity)
            return agent.save_agent(connection, self.edit, described)[0]

    def save(self, safe: credentials.Sealer, name: str = "runner", **values: Any) -> credentials.Credential:
        content = {"username": "jobuser", "password": "Pa55word!", **values}
        new = credentials.NewCredential(name=name, **content)
        sealed = credentials.seal_new(new, safe)
        with self.database.write() as connection:
            return credentials.save_credential(connection, self.edit, new, sealed)[0]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    database = JobDatabase(f"sqlite:///{tmp_path}/jobs.db")
    metadata.create_all(database.engine)
    book = Book(database)
    book.agent()
    yield book
    database.dispose()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return write_certificates(Path(tmp_path_factory.mktemp("tls")), [], datetime.now(UTC))


@pytest.fixture
def vault(certificates: CertificateFiles) -> Iterator[KeyVault]:
    # The SDK remembers challenges by host and port for the whole process, and a port may come back.
    http_challenge_cache.clear()
    with KeyVault(certificates, tokens={VAULT_TOKEN}) as vault:
        yield vault


@pytest.fixture
def client(vault: KeyVault, certificates: CertificateFiles) -> Iterator[SecretClient]:
    options = {"connection_verify": str(certificates.ca), "retry_backoff_factor": 0.01, "polling_interval": 0}
    with make_client(vault.url, AppIdentity(), **options) as client:
        yield client


@pytest.fixture
def safe(client: SecretClient, clock: HandClock) -> KeyVaultSafe:
    return KeyVaultSafe(client, clock, prefix=PREFIX, keep=timedelta(minutes=5))


@pytest.fixture
def endpoint() -> Iterator[IdentityEndpoint]:
    with IdentityEndpoint(IDENTITY) as endpoint:
        yield endpoint

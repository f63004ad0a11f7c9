"""The settings of a deployment: environment variables, read once, checked at start.

Every setting is also in ``local.settings.sample.json``; a test compares the two.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from elastic_jobs.errors import SettingsError

HOST_SETTINGS = ("AzureWebJobsStorage", "FUNCTIONS_WORKER_RUNTIME", "TICK_SCHEDULE")
"""Settings that the Functions host reads itself; they stand in the sample beside ours."""

_SUFFIX = re.compile(r"\.[a-z0-9-]+(\.[a-z0-9-]+)*")
_SERVER_PATTERN = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a deployment says of itself. Field names are the environment variables in lower case."""

    job_database_url: str
    storage_connection: str
    """Connection string of the storage account (``AzureWebJobsStorage``), or empty when an identity is used."""
    storage_queue_uri: str
    """``AzureWebJobsStorage__queueServiceUri``: the queue service reached with the app's identity."""
    subscription_id: UUID
    resource_group: str
    server_name: str
    """Logical server of the job database, as it stands in ARM paths."""
    database_name: str
    location: str
    agent_name: str
    """When not empty, the agent of this name exists from the start; otherwise the first PUT creates it."""
    maximum_capacity: int
    """Largest capacity tier that may be set on the agent, in concurrent target databases."""
    auth_mode: str
    local_auth_key: str
    """Secret of at least 32 characters that signs the bearer tokens of local mode."""
    credential_key: bytes
    """32 bytes; seals the passwords of credentials in the job database."""
    sql_server_suffix: str
    """DNS suffix that completes short server names, e.g. ``.database.windows.net``."""
    allowed_target_servers: tuple[str, ...]
    """Servers that credentials and tokens may be sent to; ``*.`` in front stands for one label."""
    target_server_addresses: Mapping[str, str]
    """Where to connect for a server instead of its own name: ``{"name": "host,port"}``. For tunnels and tests."""
    trust_target_certificates: bool
    """Local mode only: take a target's certificate unverified (a SQL Server container has one of its own)."""
    instance_concurrency: int
    """Target databases at once on one instance; host.json's batchSize + newBatchThreshold must not be smaller."""
    lease: timedelta
    """How long a claim lasts without renewal. A dead worker's targets come back after it."""
    heartbeat: timedelta
    """How often an instance renews its claims and learns of cancellations."""

    keep_history: timedelta
    """How long executions are kept after their end."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read and check the settings.

        Raises:
            SettingsError: a sentence that names the setting, what is wrong and what to write.
        """
        read = _Reader(env)
        settings = cls(
            job_database_url=read.required("JOB_DATABASE_URL", "a SQLAlchemy URL such as sqlite:////data/jobs.db"),
            storage_connection=read.text("AzureWebJobsStorage"),
            storage_queue_uri=read.text("AzureWebJobsStorage__queueServiceUri"),
            subscription_id=read.uuid("AGENT_SUBSCRIPTION_ID"),
            resource_group=read.required("AGENT_RESOURCE_GROUP", "the resource group of this deployment"),
            server_name=read.required("AGENT_SERVER_NAME", "the logical server of the job database"),
            database_name=read.required("AGENT_DATABASE_NAME", "the name of the job database"),
            location=read.required("AGENT_LOCATION", "an Azure region such as westeurope"),
            agent_name=read.text("AGENT_NAME"),
            maximum_capacity=read.number("MAXIMUM_CAPACITY", 800, least=100),
            auth_mode=read.choice("AUTH_MODE", ("local",)),
            local_auth_key=read.text("LOCAL_AUTH_KEY"),
            credential_key=read.key("CREDENTIAL_KEY"),
            sql_server_suffix=read.suffix("SQL_SERVER_SUFFIX", ".database.windows.net"),
            allowed_target_servers=read.servers("ALLOWED_TARGET_SERVERS"),
            target_server_addresses=read.addresses("TARGET_SERVER_ADDRESSES"),
            trust_target_certificates=read.flag("TRUST_TARGET_CERTIFICATES"),
            instance_concurrency=read.number("INSTANCE_CONCURRENCY", 128, least=1),
            lease=timedelta(seconds=read.number("LEASE_SECONDS", 30, least=2)),
            heartbeat=timedelta(seconds=read.number("HEARTBEAT_SECONDS", 2, least=1)),
            keep_history=timedelta(days=read.number("HISTORY_DAYS", 45, least=1)),
        )
        settings._check_together()
        return settings

    def _check_together(self) -> None:
        if not self.storage_connection and not self.storage_queue_uri:
            raise SettingsError(
                "AzureWebJobsStorage is not set; give a connection string, or AzureWebJobsStorage__queueServiceUri."
            )
        if self.auth_mode == "local" and len(self.local_auth_key) < 32:
            raise SettingsError("LOCAL_AUTH_KEY must have at least 32 characters when AUTH_MODE is local.")
        if self.trust_target_certificates and self.auth_mode != "local":
            raise SettingsError("TRUST_TARGET_CERTIFICATES is for local mode only; remove it.")
        if self.heartbeat * 3 > self.lease:
            raise SettingsError("LEASE_SECONDS must be at least three times HEARTBEAT_SECONDS.")


class _Reader:
    """Reads single settings, each with the sentence that helps when it is wrong."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def text(self, name: str, default: str = "") -> str:
        value = self._env.get(name, default).strip()
        if value.startswith("@Microsoft.KeyVault("):
            # The platform leaves the literal reference when it cannot resolve it; using it would be a wrong secret.
            raise SettingsError(f"{name} is an unresolved Key Vault reference; check the app's access to the vault.")
        return value

    def required(self, name: str, example: str) -> str:
        value = self.text(name)
        if not value:
            raise SettingsError(f"{name} is not set; it is {example}.")
        return value

    def uuid(self, name: str) -> UUID:
        value = self.required(name, "a subscription id (a GUID)")
        try:
            return UUID(value)
        except ValueError:
            raise SettingsError(f"{name} is '{value}', which is not a GUID.") from None

    def number(self, name: str, default: int, *, least: int) -> int:
        value = self.text(name, str(default))
        if not value.isascii() or not value.isdigit() or int(value) < least:
            raise SettingsError(f"{name} is '{value}'; it must be a whole number of at least {least}.")
        return int(value)

    def flag(self, name: str) -> bool:
        value = self.text(name, "false").lower()
        if value not in {"true", "false"}:
            raise SettingsError(f"{name} is '{value}'; it must be true or false.")
        return value == "true"

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.text(name)
        if value not in choices:
            raise SettingsError(f"{name} is '{value}'; it must be {' or '.join(choices)}. The app does not start open.")
        return value

    def key(self, name: str) -> bytes:
        value = self.required(name, "32 random bytes in base64 (openssl rand -base64 32)")
        try:
            key = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != 32:
            raise SettingsError(f"{name} must be 32 bytes in base64; make one with: openssl rand -base64 32")
        return key

    def suffix(self, name: str, default: str) -> str:
        value = self.text(name, default).lower()
        if not _SUFFIX.fullmatch(value):
            raise SettingsError(f"{name} is '{value}'; it must be a DNS suffix with a leading dot such as {default}.")
        return value

    def servers(self, name: str) -> tuple[str, ...]:
        patterns = tuple(part.strip().lower() for part in self.text(name).split(",") if part.strip())
        for pattern in patterns:
            if not _SERVER_PATTERN.fullmatch(pattern):
                raise SettingsError(f"{name} holds '{pattern}'; write server names or *.suffix, separated by commas.")
        return patterns

    def addresses(self, name: str) -> Mapping[str, str]:
        value = self.text(name, "{}")
        try:
            addresses = json.loads(value)
        except json.JSONDecodeError:
            addresses = None
        if not isinstance(addresses, dict) or not all(isinstance(v, str) for v in addresses.values()):
            raise SettingsError(f'{name} must be a JSON object such as {{"server": "127.0.0.1,1433"}}.')
        return {str(server).lower(): address for server, address in addresses.items()}

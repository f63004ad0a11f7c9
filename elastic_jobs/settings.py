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
_AUTHORITY = re.compile(r"https://[a-z0-9.-]+(:\d{1,5})?|http://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?")
"""http from this machine only: for tests."""
_AUDIENCE_OF_AZURE = re.compile(
    r"https://management\.(azure\.com|core\.windows\.net|(core\.)?(usgovcloudapi\.net|chinacloudapi\.cn))/*"
    r"|797f4846-ba00-4fd7-ba43-dac1f8f63013",
    re.IGNORECASE,
)
"""Azure Resource Manager as Entra knows it, in all clouds."""
_MARKS_OF_AZURE = ("WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME", "CONTAINER_APP_NAME")
"""Variables that App Service, Functions and Container Apps set for every app."""
_HTTPS = re.compile(r"https://[a-z0-9.-]+(:\d{1,5})?", re.IGNORECASE)
_SUBNET = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network/virtualNetworks/[^/]+/subnets/[^/]+",
    re.IGNORECASE,
)
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
    entra_tenant_id: UUID | None
    entra_audience: tuple[str, ...]
    """What access tokens may be issued for: client id or application id URI of the deployment's app registration."""
    entra_authority: str
    request_body_limit: int
    """Bytes."""
    caller_requests_per_second: int
    """Of one caller on one instance; 0: no limit."""
    instance_requests_per_second: int
    """Of all callers together on one instance; 0: no limit."""
    credential_store: str
    """Where passwords of credentials are kept: ``sealed`` in the job database, or ``keyvault``."""
    credential_key: bytes
    """32 bytes; seals the passwords of credentials in the job database. Empty: none, with a key vault only."""
    credential_key_previous: tuple[bytes, ...]
    """Earlier keys, which still open what they sealed."""
    key_vault_url: str
    key_vault_secret_prefix: str
    """First part of the names of secrets; empty: made of the names of server and job database."""
    key_vault_cache_seconds: int
    """How long a password read from the vault is used without asking again."""
    resource_manager_url: str
    """Azure Resource Manager, for private endpoints; another one in other clouds."""
    private_endpoint_subnet_id: str
    """ARM id of the subnet that private endpoints are made in; empty: the app makes none."""
    sql_server_suffix: str
    """DNS suffix that completes short server names, e.g. ``.database.windows.net``."""
    allowed_target_servers: tuple[str, ...]
    """Servers that credentials and tokens may be sent to; ``*.`` in front stands for one label."""
    target_server_addresses: Mapping[str, str]
    """Where to connect for a server instead of its own name: ``{"name": "host,port"}``. For tunnels and tests."""
    trust_target_certificates: bool
    target_certificate_authorities: str
    """``azure``: the small file of roots that comes with the product; ``system``: where OpenSSL looks by itself."""
    connect_patience_seconds: int
    """How long connecting to a target is tried again while its server asks for patience."""
    """Local mode only: take a target's certificate unverified (a SQL Server container has one of its own)."""
    instance_concurrency: int
    """Target databases at once on one instance; host.json's batchSize + newBatchThreshold must not be smaller."""
    lease: timedelta
    """How long a claim lasts without renewal. A dead worker's targets come back after it."""
    heartbeat: timedelta
    """How often an instance renews its claims and learns of cancellations."""

    keep_history: timedelta
    """How long executions are kept after their end."""
    idle_rest: timedelta
    """How long an idle agent may leave the job database alone; zero: each tick looks, as it must for T-SQL."""

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
            auth_mode=read.choice("AUTH_MODE", ("entra", "local")),
            local_auth_key=read.text("LOCAL_AUTH_KEY"),
            entra_tenant_id=read.uuid("ENTRA_TENANT_ID") if read.text("ENTRA_TENANT_ID") else None,
            entra_audience=read.audiences("ENTRA_AUDIENCE"),
            entra_authority=read.authority("ENTRA_AUTHORITY", "https://login.microsoftonline.com"),
            request_body_limit=read.number("REQUEST_BODY_LIMIT", 1024**2, least=65536, most=4 * 1024**2),
            caller_requests_per_second=read.number("CALLER_REQUESTS_PER_SECOND", 250, least=0),
            instance_requests_per_second=read.number("INSTANCE_REQUESTS_PER_SECOND", 500, least=0),
            credential_store=read.one_of("CREDENTIAL_STORE", ("sealed", "keyvault")),
            credential_key=b"" if _vault_only(env) else read.key("CREDENTIAL_KEY"),
            credential_key_previous=read.keys("CREDENTIAL_KEY_PREVIOUS"),
            key_vault_url=read.https("KEY_VAULT_URL", ""),
            key_vault_secret_prefix=read.text("KEY_VAULT_SECRET_PREFIX"),
            key_vault_cache_seconds=read.number("KEY_VAULT_CACHE_SECONDS", 300, least=1),
            resource_manager_url=read.https("RESOURCE_MANAGER_URL", "https://management.azure.com"),
            private_endpoint_subnet_id=read.subnet("PRIVATE_ENDPOINT_SUBNET_ID"),
            sql_server_suffix=read.suffix("SQL_SERVER_SUFFIX", ".database.windows.net"),
            allowed_target_servers=read.servers("ALLOWED_TARGET_SERVERS"),
            target_server_addresses=read.addresses("TARGET_SERVER_ADDRESSES"),
            trust_target_certificates=read.flag("TRUST_TARGET_CERTIFICATES"),
            target_certificate_authorities=read.one_of("TARGET_CERTIFICATE_AUTHORITIES", ("azure", "system")),
            connect_patience_seconds=read.number("CONNECT_PATIENCE_SECONDS", 90, least=0),
            instance_concurrency=read.number("INSTANCE_CONCURRENCY", 128, least=1),
            lease=timedelta(seconds=read.number("LEASE_SECONDS", 30, least=2)),
            heartbeat=timedelta(seconds=read.number("HEARTBEAT_SECONDS", 2, least=1)),
            keep_history=timedelta(days=read.number("HISTORY_DAYS", 45, least=1)),
            idle_rest=timedelta(minutes=read.number("IDLE_REST_MINUTES", 0, least=0)),
        )
        settings._check_together()
        settings._check_authentication(env)
        return settings

    def _check_together(self) -> None:
        if not self.storage_connection and not self.storage_queue_uri:
            raise SettingsError(
                "AzureWebJobsStorage is not set; give a connection string, or AzureWebJobsStorage__queueServiceUri."
            )
        if self.trust_target_certificates and self.auth_mode != "local":
            raise SettingsError("TRUST_TARGET_CERTIFICATES is for local mode only; remove it.")
        if self.credential_store == "keyvault" and not self.key_vault_url:
            raise SettingsError(
                "KEY_VAULT_URL is not set; CREDENTIAL_STORE keyvault needs it, for example https://my.vault.azure.net."
            )
        if self.heartbeat * 3 > self.lease:
            raise SettingsError("LEASE_SECONDS must be at least three times HEARTBEAT_SECONDS.")

    def _check_authentication(self, env: Mapping[str, str]) -> None:
        if self.auth_mode == "entra":
            if self.entra_tenant_id is None:
                raise SettingsError("ENTRA_TENANT_ID is not set; AUTH_MODE entra needs the id of the tenant (a GUID).")
            if not self.entra_audience:
                raise SettingsError(
                    "ENTRA_AUDIENCE is not set; AUTH_MODE entra needs the client id or the application id URI "
                    "(api://...) of the deployment's app registration."
                )
            return
        in_azure = next((name for name in _MARKS_OF_AZURE if env.get(name)), None)
        if in_azure is not None:
            raise SettingsError(
                f"AUTH_MODE is local, but {in_azure} says that this app runs in Azure; "
                "use entra there. Local mode is for one machine."
            )
        if len(self.local_auth_key) < 32:
            raise SettingsError("LOCAL_AUTH_KEY must have at least 32 characters when AUTH_MODE is local.")


def _vault_only(env: Mapping[str, str]) -> bool:
    """Passwords are kept in a key vault, and no key is set that could open earlier ones."""
    return env.get("CREDENTIAL_STORE", "").strip() == "keyvault" and not env.get("CREDENTIAL_KEY", "").strip()


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

    def number(self, name: str, default: int, *, least: int, most: int | None = None) -> int:
        value = self.text(name, str(default))
        right = value.isascii() and value.isdigit() and int(value) >= least
        if not right or (most is not None and int(value) > most):
            bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
            raise SettingsError(f"{name} is '{value}'; it must be a whole number {bounds}.")
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

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        """The first one is the default."""
        value = self.text(name) or choices[0]
        if value not in choices:
            raise SettingsError(f"{name} is '{value}'; it must be {' or '.join(choices)}.")
        return value

    def key(self, name: str) -> bytes:
        return self._key(name, self.required(name, "32 random bytes in base64 (openssl rand -base64 32)"))

    def keys(self, name: str) -> tuple[bytes, ...]:
        return tuple(self._key(name, part.strip()) for part in self.text(name).split(",") if part.strip())

    @staticmethod
    def _key(name: str, value: str) -> bytes:
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

    def audiences(self, name: str) -> tuple[str, ...]:
        audiences = tuple(part.strip() for part in self.text(name).split(",") if part.strip())
        for audience in audiences:
            if _AUDIENCE_OF_AZURE.fullmatch(audience):
                # Such a token opens all of the caller's Azure, and Entra puts none of our roles into it.
                raise SettingsError(
                    f"{name} holds '{audience}', the audience of Azure Resource Manager; "
                    "register an application for this deployment and let clients ask for its scope."
                )
        return audiences

    def authority(self, name: str, default: str) -> str:
        value = self.text(name, default).rstrip("/")
        if not _AUTHORITY.fullmatch(value):
            raise SettingsError(f"{name} is '{value}'; it must be an https address without a path such as {default}.")
        return value

    def https(self, name: str, default: str) -> str:
        value = self.text(name, default).rstrip("/")
        if value and not _HTTPS.fullmatch(value):
            raise SettingsError(f"{name} is '{value}'; it must be an https address without a path.")
        return value

    def subnet(self, name: str) -> str:
        value = self.text(name)
        if value and not _SUBNET.fullmatch(value):
            raise SettingsError(
                f"{name} is '{value}'; it must be the resource id of a subnet: /subscriptions/.../resourceGroups/..."
                "/providers/Microsoft.Network/virtualNetworks/.../subnets/..."
            )
        return value

    def addresses(self, name: str) -> Mapping[str, str]:
        value = self.text(name, "{}")
        try:
            addresses = json.loads(value)
        except json.JSONDecodeError:
            addresses = None
        if not isinstance(addresses, dict) or not all(isinstance(v, str) for v in addresses.values()):
            raise SettingsError(f'{name} must be a JSON object such as {{"server": "127.0.0.1,1433"}}.')
        return {str(server).lower(): address for server, address in addresses.items()}

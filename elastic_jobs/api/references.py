"""Resource ids inside bodies: which credential, target group or database a definition means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from elastic_jobs.api.paths import Address
from elastic_jobs.errors import InvalidDefinitionError
from elastic_jobs.settings import Settings

_SERVER = ("subscriptions", "", "resourcegroups", "", "providers", "microsoft.sql", "servers", "")
_AGENT = (*_SERVER, "jobagents", "")
_LONGEST_ID = 512
_SERVER_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_RESERVED_DATABASES = frozenset({"master", "model", "msdb", "tempdb"})


@dataclass(frozen=True, kw_only=True)
class References:
    """Reads the ids in the bodies of one request.

    agent_name: the agent whose credentials and groups they may name. Under the short prefix plain names do as well.
    """

    settings: Settings
    address: Address
    agent_name: str

    def credential(self, reference: str | None) -> str | None:
        """The name of a credential, None for none.

        Raises:
            InvalidDefinitionError: see ``_named``.
        """
        return self._named(reference, "credentials") if reference else None

    def target_group(self, reference: str) -> str:
        """The name of a target group. Raises as ``credential`` does."""
        return self._named(reference, "targetGroups")

    def _named(self, reference: str, kind: str) -> str:
        """The name at the end of an id of this kind.

        Raises:
            InvalidDefinitionError: ``InvalidResourceId`` when it is no such id, ``Mismatching...WithUrl`` when it is
                of another subscription, resource group, server or agent.
        """
        if not reference.startswith("/") and not self.address.is_arm:
            return reference
        values = _values(reference, (*_AGENT, kind.lower(), ""))
        if values is None:
            raise InvalidDefinitionError(
                f"'{reference[:512]}' is no resource id of this kind; write /subscriptions/.../resourceGroups/.../"
                f"providers/Microsoft.Sql/servers/.../jobAgents/.../{kind}/<name>.",
                "InvalidResourceId",
            )
        subscription, group, server, agent, name = values
        self._compare_server(subscription, group, server)
        if agent.lower() != self.agent_name.lower():
            raise _mismatch("job agent name", agent, "JobAccountName")
        return name

    def check_database(self, reference: str | None) -> None:
        """Make sure that an agent's ``databaseId`` names the job database of this deployment.

        Raises:
            InvalidDefinitionError: with the documented code.
        """
        values = _values(reference or "", (*_SERVER, "databases", ""))
        if values is None:
            raise InvalidDefinitionError(
                "properties.databaseId must be the resource id of the job database, "
                f"which ends in /servers/{self.settings.server_name}/databases/{self.settings.database_name}.",
                "InvalidDatabaseResourceId",
            )
        subscription, group, server, database = values
        self._compare_server(subscription, group, server)
        if database.lower() in _RESERVED_DATABASES:
            raise InvalidDefinitionError(
                f"The database '{database}' is a system database and cannot be a job database.",
                "CannotUseReservedDatabaseName",
            )
        if database.lower() != self.settings.database_name.lower():
            raise InvalidDefinitionError(
                f"The database '{database}' is not the job database of this deployment, "
                f"which is '{self.settings.database_name}'.",
                "DatabaseDoesNotExist",
            )

    def _compare_server(self, subscription: str, group: str, server: str) -> None:
        if subscription.lower() != str(self.settings.subscription_id):
            raise _mismatch("subscription", subscription, "Subscription")
        if group.lower() != self.settings.resource_group.lower():
            raise _mismatch("resource group", group, "ResourceGroupName")
        if server.lower() != self.settings.server_name.lower():
            raise _mismatch("server name", server, "ServerName")


def server_of(reference: str) -> str:
    """The name of the logical server that an ARM id names, whoever's it is.

    Raises:
        InvalidDefinitionError: ``InvalidParameterValue``, it is no id of a logical server.
    """
    values = _values(reference, _SERVER)
    if values is None or len(reference) > _LONGEST_ID or not _SERVER_NAME.fullmatch(values[-1]):
        raise InvalidDefinitionError(
            "properties.targetServerAzureResourceId must be the resource id of a logical server: "
            "/subscriptions/.../resourceGroups/.../providers/Microsoft.Sql/servers/<name>.",
            "InvalidParameterValue",
        )
    return values[-1]


def _values(reference: str, pattern: tuple[str, ...]) -> list[str] | None:
    """What stands at the empty places of the pattern, or None when the reference is not of it."""
    segments = reference.split("/")[1:]
    if not reference.startswith("/") or len(segments) != len(pattern):
        return None
    values = []
    for found, wanted in zip(segments, pattern, strict=True):
        if wanted == "":
            values.append(unquote(found))
        elif found.lower() != wanted:
            return None
    return None if not all(values) else values


def _mismatch(what: str, found: str, code: str) -> InvalidDefinitionError:
    return InvalidDefinitionError(
        f"The provided {what} '{found}' did not match the {what} in the Url.", f"Mismatching{code}WithUrl"
    )

"""Reads an Azure elastic job agent through azure-mgmt-sql, the extra ``azure-import``."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from elastic_jobs.cli.errors import NoAccess, UsageError, first_line
from elastic_jobs.cli.moving.source import Gathered, Source, SourceError

_AGENT = re.compile(
    r"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft\.Sql/servers/([^/]+)/jobAgents/([^/]+)/?",
    re.IGNORECASE,
)
PUBLIC_CLOUD = "https://management.azure.com"


@dataclass(frozen=True)
class AzureAgent:
    """Where an agent is in Azure."""

    subscription: str
    resource_group: str
    server: str
    name: str

    @classmethod
    def parse(cls, resource_id: str) -> AzureAgent:
        """From its resource id. Raises UsageError when it is none."""
        match = _AGENT.fullmatch(resource_id.strip())
        if match is None:
            raise UsageError(
                f"'{resource_id}' is no resource id of a job agent; write /subscriptions/.../resourceGroups/.../"
                "providers/Microsoft.Sql/servers/.../jobAgents/NAME."
            )
        return cls(*match.groups())


MakeClient = Callable[[str], AbstractContextManager[Any]]
"""Takes a subscription and gives an ``azure.mgmt.sql.SqlManagementClient``."""


def azure_client(management: str = PUBLIC_CLOUD) -> MakeClient:
    """Clients of Azure, as whoever is signed in on this machine. management: the cloud's management endpoint.

    Raises:
        UsageError: the extra is not installed.
    """
    try:
        from azure.identity import DefaultAzureCredential
        from azure.mgmt.sql import SqlManagementClient
    except ImportError as error:
        raise UsageError(
            "Reading an agent in Azure needs azure-mgmt-sql; install it with: pip install 'elastic-jobs[azure-import]'"
        ) from error
    logging.getLogger("azure").setLevel(logging.CRITICAL)  # what matters is in the errors

    def make(subscription: str) -> AbstractContextManager[Any]:
        scopes = [f"{management.rstrip('/')}/.default"]
        return SqlManagementClient(
            DefaultAzureCredential(), subscription, base_url=management, credential_scopes=scopes
        )

    return make


def read_azure(agent: AzureAgent, make_client: MakeClient) -> Source:
    """All that an agent in Azure defines.

    Raises:
        NoAccess: Azure does not let us in. SourceError: the agent is not there, or Azure refuses.
    """
    from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

    called = f"agent '{agent.name}' on server '{agent.server}' in Azure"
    try:
        with make_client(agent.subscription) as client:
            return _read(client, (agent.resource_group, agent.server, agent.name), called)
    except ClientAuthenticationError as error:
        raise NoAccess(f"Azure does not let us in: {first_line(error)} Sign in with 'az login'.") from error
    except HttpResponseError as error:
        if error.status_code == 403:
            raise NoAccess(f"Azure refuses: {first_line(error)} The role Reader on the server is enough.") from error
        raise SourceError(f"The {called} cannot be read: {first_line(error)}") from error
    except AzureError as error:
        raise SourceError(f"Azure cannot be asked: {first_line(error)}") from error


def _read(client: Any, at: tuple[str, str, str], called: str) -> Source:
    found = client.job_agents.get(*at).as_dict()
    gathered = Gathered()
    gathered.add_groups(item.as_dict() for item in client.job_target_groups.list_by_agent(*at))
    for job in client.jobs.list_by_agent(*at):
        gathered.add_job(job.as_dict(), [step.as_dict() for step in client.job_steps.list_by_job(*at, job.name)])
    return gathered.source(
        called,
        found,
        credentials=(item.as_dict() for item in client.job_credentials.list_by_agent(*at)),
        endpoints=(item.as_dict() for item in client.job_private_endpoints.list_by_agent(*at)),
    )

"""Reads another agent of ours through its management API."""

from __future__ import annotations

from elastic_jobs.cli.client import Client, path
from elastic_jobs.cli.errors import ApiError
from elastic_jobs.cli.moving.source import (
    HISTORY,
    Gathered,
    Source,
    SourceError,
    credential_of,
    endpoints_left,
    identity_left,
)


def read_endpoint(client: Client) -> Source:
    """All that the agent behind an endpoint defines.

    Raises:
        SourceError: there is no agent. CliError: as the client.
    """
    try:
        agent = client.get("")
    except ApiError as error:
        if error.code == "JobAgentNotFound":
            raise SourceError(f"{client.endpoint} has no job agent; there is nothing to move.") from error
        raise
    gathered = Gathered()
    gathered.add_groups(client.pages("/targetGroups"))
    for job in client.pages("/jobs"):
        gathered.add_job(job, list(client.pages(path("jobs", job["name"], "steps"))))
    left = [*identity_left(agent), *endpoints_left(client.pages("/privateEndpoints")), HISTORY]
    return Source(
        called=f"agent '{agent['name']}' at {client.endpoint}",
        definitions=gathered.definitions(),
        credentials=tuple(credential_of(item) for item in client.pages("/credentials")),
        findings=(*gathered.findings, *left),
    )

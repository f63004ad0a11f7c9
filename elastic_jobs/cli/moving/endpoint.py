"""Reads another agent of ours through its management API."""

from __future__ import annotations

from elastic_jobs.cli.client import Client, path
from elastic_jobs.cli.moving.source import Gathered, Source, SourceError


def read_endpoint(client: Client) -> Source:
    """All that the agent behind an endpoint defines.

    Raises:
        SourceError: there is no agent. CliError: as the client.
    """
    agent = client.agent()
    if agent is None:
        raise SourceError(f"{client.endpoint} has no job agent; there is nothing to move.")
    gathered = Gathered()
    gathered.add_groups(client.pages("/targetGroups"))
    for job in client.pages("/jobs"):
        gathered.add_job(job, list(client.pages(path("jobs", job["name"], "steps"))))
    return gathered.source(
        f"agent '{agent['name']}' at {client.endpoint}",
        agent,
        credentials=client.pages("/credentials"),
        endpoints=client.pages("/privateEndpoints"),
    )

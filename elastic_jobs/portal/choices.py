"""What forms offer to choose from."""

from __future__ import annotations

from sqlalchemy import Connection

from elastic_jobs.domain.model import Agent
from elastic_jobs.jobdb.definitions.credentials import list_credentials

MOST_OFFERED = 500
"""Names that a list to choose from holds; others can be typed."""


def credentials_offered(connection: Connection, agent: Agent) -> list[str]:
    """The names of credentials; none for an agent with an identity, which uses no credential."""
    if agent.identity is not None:
        return []
    return [credential.name for credential in list_credentials(connection, limit=MOST_OFFERED)]

"""What a handler works with: the deployment's parts, who calls, and which agent the path names."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends
from fastapi.responses import JSONResponse
from sqlalchemy import Connection
from starlette.requests import Request

from elastic_jobs.api.auth import Caller, Role, caller_of, require
from elastic_jobs.api.envelope import Envelope
from elastic_jobs.api.limits import Places
from elastic_jobs.api.paths import Address, CurrentAddress
from elastic_jobs.api.references import References
from elastic_jobs.api.services import Services
from elastic_jobs.api.urls import resource_url
from elastic_jobs.domain.model import Agent
from elastic_jobs.jobdb.definitions.agent import get_agent
from elastic_jobs.jobdb.definitions.checks import Edit
from elastic_jobs.jobdb.definitions.origins import find_origins

READ = Depends(require(Role.READER))
OPERATE = Depends(require(Role.OPERATOR))
DEFINE = Depends(require(Role.CONTRIBUTOR))
KEEP_CREDENTIALS = Depends(require(Role.CREDENTIAL_ADMIN, denied_code="JobCredentialPermissionError"))


class Json(JSONResponse):
    """JSON with the content type that Azure answers."""

    media_type = "application/json; charset=utf-8"


@dataclass(frozen=True, kw_only=True)
class Context:
    """One request."""

    request: Request
    services: Services
    address: Address
    caller: Caller

    def read(self) -> AbstractContextManager[Connection]:
        """A connection for queries."""
        return self.services.database.read()

    def write(self) -> AbstractContextManager[Connection]:
        """A transaction."""
        return self.services.database.write()

    def place(self) -> AbstractContextManager[None]:
        """A place among the requests that wait for target servers.

        Raises:
            ApiError: 429, none is free.
        """
        places: Places = self.request.app.state.places
        return places.take(self.caller.id)

    @property
    def edit(self) -> Edit:
        return self.services.edit(self.caller.name)

    def agent(self, connection: Connection) -> Agent:
        """The agent that the path names.

        Raises:
            NotFoundError: there is none of this name.
        """
        return get_agent(connection, self.address.agent_name)

    def envelope(self, agent: Agent) -> Envelope:
        return Envelope(self.services.settings, agent)

    def envelope_with_origins(self, connection: Connection, agent: Agent, resources: Iterable[str]) -> Envelope:
        """As ``envelope``, knowing who made and changed these things (paths below the agent: ``jobs/nightly``)."""
        return Envelope(self.services.settings, agent, find_origins(connection, list(resources)))

    def references(self, agent: Agent) -> References:
        return References(settings=self.services.settings, address=self.address, agent_name=agent.name)

    def url(self, agent: Agent, *segments: str) -> str:
        """The absolute URL of a resource below the agent."""
        return resource_url(self.request, self.services.settings, self.address, agent.name, *segments)


async def _context(request: Request, address: CurrentAddress) -> Context:
    return Context(request=request, services=request.app.state.services, address=address, caller=caller_of(request))


Call = Annotated[Context, Depends(_context)]


def saved(body: dict[str, Any], *, created: bool) -> Json:
    """The answer to a PUT: 201 created, 200 changed."""
    return Json(body, status_code=201 if created else 200)

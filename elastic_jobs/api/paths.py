"""The two spellings of every path: the full ARM path, and the short prefix ``/agent`` for people and the CLI.

A request's path is rewritten before it is routed: fixed segments in their canonical case, names percent-encoded, so
that a ``/`` inside a name does not part it. Handlers get names decoded (``Segment``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote, unquote

from fastapi import Depends, Path, Query
from pydantic import BeforeValidator
from starlette.requests import Request

from elastic_jobs.api.errors import ApiError
from elastic_jobs.settings import Settings

SHORT_PREFIX = "/agent"
PORTAL_PREFIX = "/portal"
SERVER_PREFIX = (
    "/subscriptions/{subscription_id}/resourceGroups/{resource_group}/providers/Microsoft.Sql/servers/{server_name}"
)
LOCATION_PREFIX = "/subscriptions/{subscription_id}/providers/Microsoft.Sql/locations/{location_name}"
GROUP_LOCATION_PREFIX = (
    "/subscriptions/{subscription_id}/resourceGroups/{resource_group}/providers/Microsoft.Sql/locations/{location_name}"
)
ARM_PREFIX = SERVER_PREFIX + "/jobAgents/{agent_name}"
_FIXED = {
    word.lower(): word
    for word in (
        "subscriptions",
        "resourceGroups",
        "providers",
        "Microsoft.Sql",
        "servers",
        "jobAgents",
        "agent",
        "credentials",
        "targetGroups",
        "jobs",
        "steps",
        "versions",
        "executions",
        "targets",
        "messages",
        "progress",
        "start",
        "cancel",
        "rerun",
        "errors",
        "preview",
        "resolve",
        "preflight",
        "userSetup",
        "privateEndpoints",
        "connection",
        "locations",
        "capabilities",
        "operations",
        "register",
        "jobAgentAzureAsyncOperation",
        "jobAgentOperationResults",
        "jobAgentPrivateEndpointOperationResults",
        "audit",
        "wake",
        "metadata",
        "tenants",
        "health",
        "docs",
        "openapi.json",
    )
}
_PROVIDERS = "providers"
"""The segment after this one is fixed (``Microsoft.Sql``), and from there fixed segments and names take turns anew."""
_NAMESPACE = "Microsoft.Sql"
_API_VERSION = re.compile(r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(-preview)?")
_OLDEST_API_VERSION = "2017-03-01"


def _decode(segment: Any) -> Any:
    return unquote(segment) if isinstance(segment, str) else segment


Segment = Annotated[str, BeforeValidator(_decode), Path()]
"""A name in a path, decoded."""


def _decoded(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        # Two different ones would become the same name.
        raise ApiError(
            404, "ResourceNotFound", "The path names nothing, because it is not percent-encoded UTF-8; encode names so."
        ) from None


def route_path(raw_path: str) -> str:
    """The path by which a request is routed, from the path as it was sent (percent-encoded, without the query).

    Raises:
        ApiError: 404, it is not UTF-8.
    """
    segments = raw_path.split("/")[1:]
    if len(segments) > 1 and segments[-1] == "":
        segments.pop()
    names = [_decoded(segment) for segment in segments]
    if segments[:1] == [PORTAL_PREFIX[1:]]:
        # The addresses of pages are the portal's own: no word in them is another spelling of one of the API's.
        return _joined(names)
    short = bool(names) and names[0].lower() == SHORT_PREFIX[1:]
    rewritten: list[str] = []
    fixed = True
    for place, name in enumerate(names):
        known = _FIXED.get(name.lower()) if fixed else None
        rewritten.append(name if known is None else known)
        # Fixed segments and names take turns; two fixed ones follow each other at these places only.
        fixed = not fixed or (short and place == 0) or known in {_PROVIDERS, _NAMESPACE}
    return _joined(rewritten)


def _joined(names: Iterable[str]) -> str:
    return "/" + "/".join(quote(name, safe="") for name in names)


@dataclass(frozen=True, kw_only=True)
class Address:
    """Which spelling a request used. ``agent_name``: the agent that the path names, None under the short prefix."""

    agent_name: str | None = None
    api_version: str | None = None

    @property
    def is_arm(self) -> bool:
        return self.api_version is not None


def check_api_version(value: str | None) -> str:
    """The version that the client asked for; every one since 2017 gets the same answers.

    Raises:
        ApiError: 400, it is missing or is no such version.
    """
    if not value:
        raise ApiError(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    if not _API_VERSION.fullmatch(value) or value[:10] < _OLDEST_API_VERSION:
        raise ApiError(
            400,
            "InvalidApiVersionParameter",
            "The api-version is not one that is supported; use for example 2025-01-01.",
        )
    return value


def check_any_api_version(value: str | None) -> None:
    """As ``check_api_version``, for the answers of the gateway, whose versions are older than the provider's.

    Raises:
        ApiError: 400.
    """
    if not value or not _API_VERSION.fullmatch(value):
        check_api_version(value)


def check_subscription(settings: Settings, subscription_id: str) -> None:
    """Refuse the path of another subscription than the deployment's own.

    Raises:
        ApiError: 404.
    """
    if subscription_id.lower() != str(settings.subscription_id):
        raise ApiError(
            404, "SubscriptionNotFound", f"The subscription '{subscription_id}' is not the one of this deployment."
        )


def check_server(settings: Settings, subscription_id: str, resource_group: str, server_name: str) -> None:
    """Refuse the path of another subscription, resource group or server than the deployment's own.

    Raises:
        ApiError: 404.
    """
    own_subscription = subscription_id.lower() == str(settings.subscription_id)
    if not own_subscription or server_name.lower() != settings.server_name.lower():
        raise ApiError(
            404,
            "SubscriptionDoesNotHaveServer",
            f"The subscription '{subscription_id}' does not have the server '{server_name}' in this deployment.",
        )
    if resource_group.lower() != settings.resource_group.lower():
        raise ApiError(
            404,
            "ServerNotInSubscriptionResourceGroup",
            f"The server '{server_name}' does not exist in the resource group '{resource_group}'.",
        )


API_VERSION = "api-version"
API_VERSION_FORMAT = "Required: YYYY-MM-DD or YYYY-MM-DD-preview"
ApiVersion = Annotated[str | None, Query(alias=API_VERSION, description=API_VERSION_FORMAT)]


# These two read the request themselves, and ``openapi.document`` tells of it: declared by every route, their parameters
# were a third of what building the API costs.
async def server_address(request: Request) -> None:
    """A path below the server: it must be the deployment's own."""
    version = check_api_version(request.query_params.get(API_VERSION))
    named = [unquote(request.path_params[name]) for name in ("subscription_id", "resource_group", "server_name")]
    check_server(request.app.state.services.settings, *named)
    request.state.address = Address(api_version=version)


async def arm_address(request: Request) -> None:
    """A path below an agent of that server; whether the agent is there shows when it is read."""
    await server_address(request)
    agent_name = unquote(request.path_params["agent_name"])
    request.state.address = Address(agent_name=agent_name, api_version=request.state.address.api_version)


async def short_address(request: Request) -> None:
    """A path under the short prefix."""
    request.state.address = Address()


async def current_address(request: Request) -> Address:
    """The address that the prefix of the route told."""
    address = request.state.address
    if not isinstance(address, Address):
        raise TypeError("The route was included without an address.")
    return address


CurrentAddress = Annotated[Address, Depends(current_address)]

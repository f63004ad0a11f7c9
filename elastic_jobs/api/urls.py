"""Absolute URLs as the client knows this app, whatever proxies stand in between."""

from __future__ import annotations

import re
from urllib.parse import quote
from uuid import UUID

from starlette.requests import Request

from elastic_jobs.api.paths import SHORT_PREFIX, Address
from elastic_jobs.settings import Settings

_HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


def public_base(request: Request) -> str:
    """Scheme and host: ``X-Forwarded-Proto`` and ``X-Forwarded-Host`` of the front end, or the request's own."""
    headers = request.headers
    scheme = _first(headers.get("x-forwarded-proto")).lower()
    if scheme not in {"http", "https"}:
        scheme = request.url.scheme
    for candidate in (_first(headers.get("x-forwarded-host")), headers.get("host", "")):
        if _HOST.fullmatch(candidate):
            return f"{scheme}://{candidate}"
    return f"{scheme}://{request.url.netloc}"


def resource_url(request: Request, settings: Settings, address: Address, agent_name: str, *segments: str) -> str:
    """The URL of a resource below the agent, in the spelling of the path that the request used."""
    prefix, query = SHORT_PREFIX, ""
    if address.is_arm:
        prefix = (
            f"/subscriptions/{settings.subscription_id}/resourceGroups/{quote(settings.resource_group, safe='')}"
            f"/providers/Microsoft.Sql/servers/{quote(settings.server_name, safe='')}"
            f"/jobAgents/{quote(agent_name, safe='')}"
        )
        query = f"?api-version={address.api_version}"
    path = "/".join((prefix, *(quote(segment, safe="") for segment in segments)))
    return f"{public_base(request)}{path}{query}"


def operation_url(
    request: Request, settings: Settings, address: Address, resource: str, operation_id: UUID, *, in_group: bool
) -> str:
    """The URL at which an operation is polled. in_group: with the resource group's segment, as the agent's have."""
    group = f"/resourceGroups/{quote(settings.resource_group, safe='')}" if in_group else ""
    location = quote(settings.location.replace(" ", "").lower(), safe="")
    return (
        f"{public_base(request)}/subscriptions/{settings.subscription_id}{group}/providers/Microsoft.Sql"
        f"/locations/{location}/{resource}/{operation_id}?api-version={address.api_version}"
    )


def _first(header: str | None) -> str:
    return (header or "").split(",")[0].strip()

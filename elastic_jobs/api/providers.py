"""What the resource provider says of itself: registration, operations, and the capabilities of a location.

Tools ask for these before they send the first request of their own: ``az resource`` for the api-version of a type,
others for the state of the registration.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request

from elastic_jobs.api.context import READ, Json
from elastic_jobs.api.envelope import listing
from elastic_jobs.api.paths import (
    ApiVersion,
    Segment,
    check_any_api_version,
    check_api_version,
    check_subscription,
)
from elastic_jobs.api.services import Services
from elastic_jobs.jobdb.definitions.agent import DEFAULT_SKU, tiers

NAMESPACE = "Microsoft.Sql"
API_VERSIONS = (
    "2026-08-01-preview",
    "2025-01-01",
    "2024-11-01-preview",
    "2023-08-01",
    "2021-11-01",
    "2020-11-01-preview",
    "2017-03-01-preview",
)
"""Versions to tell a client that asks which there are, newest first; others of these years are taken too."""
_KINDS = {
    "jobAgents": ("Azure SQL Job Agent", ("read", "write", "delete")),
    "jobAgents/credentials": ("Job Credential", ("read", "write", "delete")),
    "jobAgents/targetGroups": ("Target Group", ("read", "write", "delete")),
    "jobAgents/jobs": ("Job", ("read", "write", "delete")),
    "jobAgents/jobs/steps": ("Job Step", ("read", "write", "delete")),
    "jobAgents/jobs/versions": ("Job Version", ("read",)),
    "jobAgents/jobs/versions/steps": ("Job Version Step", ("read",)),
    "jobAgents/jobs/executions": ("Job Execution", ("read", "write")),
    "jobAgents/jobs/executions/steps": ("Job Step Execution", ("read",)),
    "jobAgents/jobs/executions/steps/targets": ("Job Target Execution", ("read",)),
    "jobAgents/privateEndpoints": ("Private Endpoint", ("read", "write", "delete")),
}
_VERBS = {"read": "Gets", "write": "Creates or updates", "delete": "Deletes"}

router = APIRouter(tags=["provider"])

Include = Annotated[list[str] | None, Query(description="What to tell: supportedJobAgentVersions; absent: all of it.")]


@router.get(f"/providers/{NAMESPACE}/operations", dependencies=[READ])
def list_provider_operations(api_version: ApiVersion = None) -> Json:
    """All operations on resources of this provider that this deployment has."""
    check_any_api_version(api_version)
    values = []
    for kind, (resource, verbs) in _KINDS.items():
        for verb in verbs:
            display = {
                "provider": "Microsoft SQL Database",
                "resource": resource,
                "operation": f"{_VERBS[verb]} {resource}",
                "description": f"{_VERBS[verb]} a {resource.lower()}.",
            }
            values.append(
                {
                    "name": f"{NAMESPACE}/servers/{kind}/{verb}",
                    "display": display,
                    "origin": "user",
                    "isDataAction": False,
                }
            )
    return Json(listing(values, None))


@router.get("/subscriptions/{subscription_id}/providers", dependencies=[READ])
def list_providers(request: Request, subscription_id: Segment, api_version: ApiVersion = None) -> Json:
    """The one resource provider."""
    return Json(listing([_provider(request, subscription_id, api_version)], None))


@router.get(f"/subscriptions/{{subscription_id}}/providers/{NAMESPACE}", dependencies=[READ])
def get_provider(request: Request, subscription_id: Segment, api_version: ApiVersion = None) -> Json:
    """The resource provider, registered, with its types and their api-versions."""
    return Json(_provider(request, subscription_id, api_version))


@router.post(f"/subscriptions/{{subscription_id}}/providers/{NAMESPACE}/register", dependencies=[READ])
def register_provider(request: Request, subscription_id: Segment, api_version: ApiVersion = None) -> Json:
    """Nothing to do: the provider is always registered. Changes nothing, so that whoever may read may ask."""
    return Json(_provider(request, subscription_id, api_version))


@router.get(
    f"/subscriptions/{{subscription_id}}/providers/{NAMESPACE}/locations/{{location_name}}/capabilities",
    dependencies=[READ],
)
def list_capabilities(
    request: Request,
    subscription_id: Segment,
    location_name: Segment,
    api_version: ApiVersion = None,
    include: Include = None,
) -> Json:
    """The sizes of job agents that can be had in a location. This deployment has one location."""
    check_api_version(api_version)
    settings = _services(request, subscription_id).settings
    own = _plain(location_name) == _plain(settings.location)
    answer: dict[str, Any] = {"name": settings.location if own else location_name}
    answer["status"] = "Available" if own else "Disabled"
    if not own:
        answer["reason"] = f"The deployment is in {settings.location}."
    wanted = {part.strip().lower() for given in include or () for part in given.split(",")}
    if not wanted or "supportedjobagentversions" in wanted:
        answer["supportedJobAgentVersions"] = [_version(settings.maximum_capacity)] if own else []
    return Json(answer)


def _version(largest: int) -> dict[str, Any]:
    objectives = [
        {
            "name": name,
            "sku": {"name": name, "capacity": capacity},
            "status": "Default" if name == DEFAULT_SKU else "Available",
        }
        for name, capacity in tiers(largest).items()
    ]
    edition = {"name": "JobAgent", "supportedServiceLevelObjectives": objectives, "status": "Default"}
    return {"name": "1.0", "supportedEditions": [edition], "status": "Default"}


def _provider(request: Request, subscription_id: str, api_version: str | None) -> dict[str, Any]:
    check_any_api_version(api_version)
    settings = _services(request, subscription_id).settings
    kinds = ("servers", *(f"servers/{kind}" for kind in _KINDS))
    return {
        "id": f"/subscriptions/{settings.subscription_id}/providers/{NAMESPACE}",
        "namespace": NAMESPACE,
        "registrationState": "Registered",
        "registrationPolicy": "RegistrationRequired",
        "resourceTypes": [
            {
                "resourceType": kind,
                "locations": [settings.location],
                "apiVersions": list(API_VERSIONS),
                "defaultApiVersion": "2025-01-01",
                "capabilities": "None",
            }
            for kind in kinds
        ],
    }


def _services(request: Request, subscription_id: str) -> Services:
    services: Services = request.app.state.services
    check_subscription(services.settings, subscription_id)
    return services


def _plain(location: str) -> str:
    return location.replace(" ", "").casefold()

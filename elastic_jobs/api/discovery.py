"""What clients ask before they begin: ``az cloud register``, ``az login`` and ``Connect-AzAccount`` at this endpoint.

``/metadata/endpoints`` is anonymous: a client learns there where to get a token. The lists of tenants and
subscriptions, and the server that Az PowerShell asks for its location, have the one entry of this deployment.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request

from elastic_jobs.api.auth import LOCAL_AUDIENCE
from elastic_jobs.api.context import READ, Json
from elastic_jobs.api.envelope import listing
from elastic_jobs.api.errors import ApiError
from elastic_jobs.api.paths import API_VERSION, SERVER_PREFIX, Segment, check_server
from elastic_jobs.api.urls import public_base
from elastic_jobs.settings import Settings

router = APIRouter(tags=["discovery"])

_NAME = "ElasticJobs"
_LIST_VERSION = "2019-05-01"
"""In this version Azure answers a list of its clouds, and ``Add-AzEnvironment -AutoDiscover`` asks for this one."""


@router.get("/metadata/endpoints")
def get_endpoints(request: Request) -> Json:
    """Where to get tokens for this deployment, and for which audience. No token is needed."""
    settings = _settings(request)
    audience = settings.entra_audience or (LOCAL_AUDIENCE,)
    cloud = {
        "name": _NAME,
        "authentication": {"loginEndpoint": settings.entra_authority, "audiences": list(audience)},
        "resourceManager": public_base(request),
        "suffixes": {},
    }
    return Json([cloud] if request.query_params.get(API_VERSION) == _LIST_VERSION else cloud)


@router.get("/tenants", dependencies=[READ])
def list_tenants(request: Request) -> Json:
    """The tenant of this deployment."""
    tenant = _tenant(_settings(request))
    entry = {"id": f"/tenants/{tenant}", "tenantId": tenant, "displayName": _NAME, "tenantCategory": "Home"}
    return Json(listing([entry], None))


@router.get("/subscriptions", dependencies=[READ])
def list_subscriptions(request: Request) -> Json:
    """The subscription of this deployment."""
    return Json(listing([_subscription(_settings(request))], None))


@router.get("/subscriptions/{subscription_id}", dependencies=[READ])
def get_subscription(request: Request, subscription_id: Segment) -> Json:
    """The subscription of this deployment; there is no other."""
    settings = _settings(request)
    if subscription_id.lower() != str(settings.subscription_id):
        raise ApiError(
            404, "SubscriptionNotFound", f"The subscription '{subscription_id}' is not that of this deployment."
        )
    return Json(_subscription(settings))


@router.get(SERVER_PREFIX, dependencies=[READ])
def get_server(request: Request, subscription_id: Segment, resource_group: Segment, server_name: Segment) -> Json:
    """The logical server of the job database, as far as it is known here: its location."""
    settings = _settings(request)
    # Any api-version: other resources than job agents have others.
    check_server(settings, subscription_id, resource_group, server_name)
    name = settings.server_name
    return Json(
        {
            "id": f"/subscriptions/{settings.subscription_id}/resourceGroups/{settings.resource_group}"
            f"/providers/Microsoft.Sql/servers/{name}",
            "name": name,
            "type": "Microsoft.Sql/servers",
            "kind": "v12.0",
            "location": settings.location,
            "properties": {
                "version": "12.0",
                "state": "Ready",
                "fullyQualifiedDomainName": f"{name}{settings.sql_server_suffix}",
            },
        }
    )


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.services.settings
    return settings


def _tenant(settings: Settings) -> str:
    # Local mode has no tenant; clients want one nevertheless.
    return str(settings.entra_tenant_id or UUID(int=0))


def _subscription(settings: Settings) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{settings.subscription_id}",
        "subscriptionId": str(settings.subscription_id),
        "displayName": _NAME,
        "state": "Enabled",
        "tenantId": _tenant(settings),
        "authorizationSource": "RoleBased",
    }

"""Private endpoints through the network API of Azure Resource Manager, with the app's own identity.

An endpoint is asked for with *manual* approval: the owner of the target server approves it there, whichever
subscription that is in, and until then it carries nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline.policies import (
    BearerTokenCredentialPolicy,
    HeadersPolicy,
    HttpLoggingPolicy,
    RequestIdPolicy,
    RetryPolicy,
    UserAgentPolicy,
)
from azure.core.rest import HttpRequest, HttpResponse

from elastic_jobs.errors import ElasticJobsError, is_away
from elastic_jobs.settings import Settings

_log = logging.getLogger(__name__)

API_VERSION = "2024-05-01"
"""Of Microsoft.Network."""
GROUP_ID = "sqlServer"
"""What of a logical server a private endpoint leads to."""
OWNER_TAG = "elastic-jobs-agent"
PENDING = "Pending"
_MESSAGE_LENGTH = 140
"""Longest message to the owner of the target server."""
_DESCRIPTION_LENGTH = 512
_LIMITS: Mapping[str, Any] = {"connection_timeout": 5, "read_timeout": 30, "retry_total": 3}
_MOST_PAGES = 100


class PrivateEndpointError(ElasticJobsError):
    """The network API refuses or does not answer; a sentence."""


@dataclass(frozen=True, kw_only=True)
class EndpointState:
    """A private endpoint as Azure has it.

    status: ``Pending``, ``Approved``, ``Rejected`` or ``Disconnected``, as the owner of the target server decided.
    provisioning_state: of the resource itself, ``Updating``, ``Succeeded``, ``Failed``.
    """

    name: str
    target_server_id: str
    status: str
    description: str
    provisioning_state: str


class PrivateEndpointNetwork:
    """The private endpoints of one agent in one subnet. Safe to use from many threads."""

    def __init__(
        self,
        client: PipelineClient[HttpRequest, HttpResponse],
        base_url: str,
        *,
        subscription_id: str,
        resource_group: str,
        location: str,
        subnet_id: str,
        owner: str,
    ) -> None:
        """
        base_url: of the client; where lists may lead to their next page.
        owner: what the endpoints are tagged with; endpoints with another tag are never touched.
        """
        self._client, self._base_url, self._owner = client, base_url.rstrip("/"), owner
        self._root = (
            f"{self._base_url}/subscriptions/{quote(subscription_id, safe='')}"
            f"/resourceGroups/{quote(resource_group, safe='')}"
            "/providers/Microsoft.Network/privateEndpoints"
        )
        self._location, self._subnet_id = location, subnet_id

    def create(self, name: str, target_server_id: str, message: str) -> EndpointState:
        """Ask for an endpoint to a logical server, or find the one that leads there; Azure makes it in a minute.

        message: shown to the owner of the server, who is to approve it.

        Raises:
            PrivateEndpointError: it cannot be made, or the name is taken by an endpoint that is not this agent's.
        """
        current = self._find(name)
        if current is not None:
            self._require_own(name, current)
            return _state(current)
        connection = {
            "name": name,
            "properties": {
                "privateLinkServiceId": target_server_id,
                "groupIds": [GROUP_ID],
                "requestMessage": message[:_MESSAGE_LENGTH],
            },
        }
        body = {
            "location": self._location,
            "tags": {OWNER_TAG: self._owner},
            "properties": {"subnet": {"id": self._subnet_id}, "manualPrivateLinkServiceConnections": [connection]},
        }
        return _state(self._json(self._call("PUT", self._path(name), f"Private endpoint '{name}'", body)))

    def find(self, name: str) -> EndpointState | None:
        """The endpoint of this name with its approval, or None. Raises ``PrivateEndpointError``."""
        found = self._find(name)
        return None if found is None else _state(found)

    def list(self) -> list[EndpointState]:
        """All endpoints of this agent. Raises ``PrivateEndpointError``."""
        return [_state(each) for each in self._pages() if self._is_own(each)]

    def delete(self, name: str) -> bool:
        """Delete an endpoint of this agent; False when there is none. Azure does it in a minute.

        Raises:
            PrivateEndpointError: it cannot be deleted, or is not this agent's.
        """
        found = self._find(name)
        if found is None:
            return False
        self._require_own(name, found)
        self._call("DELETE", self._path(name), f"Private endpoint '{name}'")
        return True

    def _path(self, name: str) -> str:
        return f"{self._root}/{quote(name, safe='')}"

    def _find(self, name: str) -> dict[str, Any] | None:
        response = self._call("GET", self._path(name), f"Private endpoint '{name}'", none_when_missing=True)
        return None if response.status_code == 404 else self._json(response)

    def _pages(self) -> Iterator[dict[str, Any]]:
        url: str | None = self._root
        for _ in range(_MOST_PAGES):
            if url is None:
                return
            page = self._json(self._call("GET", url, "The list of private endpoints"))
            yield from page.get("value", [])
            url = page.get("nextLink")
            if url is not None and not url.startswith(f"{self._base_url}/"):
                raise PrivateEndpointError("The network API named a next page on another host; it is not followed.")

    def _is_own(self, resource: Mapping[str, Any]) -> bool:
        return (resource.get("tags") or {}).get(OWNER_TAG) == self._owner

    def _require_own(self, name: str, resource: Mapping[str, Any]) -> None:
        if not self._is_own(resource):
            raise PrivateEndpointError(
                f"There is a private endpoint '{name}' that is not of this job agent; choose another name."
            )

    def _call(
        self, method: str, url: str, what: str, body: object = None, *, none_when_missing: bool = False
    ) -> HttpResponse:
        parameters = None if "api-version=" in url else {"api-version": API_VERSION}
        request = HttpRequest(method, url, params=parameters, json=body)
        try:
            response = self._client.send_request(request)
            response.read()
        except ClientAuthenticationError:
            raise self._failure(what, "this app could not identify itself; check its managed identity") from None
        except AzureError as error:
            reason = f"the network API does not answer ({type(error).__name__})"
            raise self._failure(what, reason, passing=True) from None
        if response.status_code < 400 or (response.status_code == 404 and none_when_missing):
            return response
        raise self._failure(what, _reason(response), passing=is_away(response.status_code))

    @staticmethod
    def _failure(what: str, reason: str, *, passing: bool = False) -> PrivateEndpointError:
        sentence = f"{what}: {reason}."
        _log.warning("%s", sentence, extra={"action": "network_api_failed"})
        return PrivateEndpointError(sentence, passing=passing)

    @staticmethod
    def _json(response: HttpResponse) -> dict[str, Any]:
        try:
            value = json.loads(response.text())
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise PrivateEndpointError("The network API answered with something that is no JSON object.")
        return value


def make_network(settings: Settings, credential: TokenCredential, **options: Any) -> PrivateEndpointNetwork | None:
    """The network of the deployment, or None when it makes no private endpoints (PRIVATE_ENDPOINT_SUBNET_ID).

    options: for the pipeline's transport, for example ``connection_verify`` (a file of certificate authorities).
    """
    if not settings.private_endpoint_subnet_id:
        return None
    limits = {**_LIMITS, **options}
    policies = [
        RequestIdPolicy(),
        HeadersPolicy(),
        UserAgentPolicy("elastic-jobs"),
        RetryPolicy(**limits),
        BearerTokenCredentialPolicy(credential, f"{settings.resource_manager_url}/.default"),
        HttpLoggingPolicy(),
    ]
    client: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(
        settings.resource_manager_url, policies=policies, **limits
    )
    return PrivateEndpointNetwork(
        client,
        settings.resource_manager_url,
        subscription_id=str(settings.subscription_id),
        resource_group=settings.resource_group,
        location=settings.location,
        subnet_id=settings.private_endpoint_subnet_id,
        owner=f"{settings.server_name}/{settings.database_name}",
    )


def _state(resource: Mapping[str, Any]) -> EndpointState:
    properties = resource.get("properties") or {}
    connections = [
        *(properties.get("manualPrivateLinkServiceConnections") or []),
        *(properties.get("privateLinkServiceConnections") or []),
    ]
    connection = connections[0].get("properties", {}) if connections else {}
    state = connection.get("privateLinkServiceConnectionState") or {}
    return EndpointState(
        name=str(resource.get("name", "")),
        target_server_id=str(connection.get("privateLinkServiceId", "")),
        status=str(state.get("status") or PENDING),
        description=str(state.get("description") or "")[:_DESCRIPTION_LENGTH],
        provisioning_state=str(properties.get("provisioningState", "")),
    )


_REASONS = {
    "AuthorizationFailed": "this app may not do that; give its identity the role Network Contributor on the resource"
    " group and on the subnet",
    "LinkedAuthorizationFailed": "this app may not use the subnet; give its identity the role Network Contributor"
    " on it",
    "MissingSubscriptionRegistration": "the resource provider Microsoft.Network is not registered in the subscription;"
    " register it",
}


def _reason(response: HttpResponse) -> str:
    """Why, by the error's code. Its text comes from outside and is left out."""
    try:
        code = str(json.loads(response.text())["error"]["code"])[:100]
    except (ValueError, KeyError, TypeError):
        code = ""
    if code in _REASONS:
        return _REASONS[code]
    if response.status_code == 429:
        return "the network API is throttling; try again later"
    said = f"status {response.status_code}" + (f", {code}" if code.isalnum() else "")
    if response.status_code >= 500:
        return f"the network API is not available ({said}); try again later"
    return f"the network API refuses it ({said}); check the target server's id, the subnet and the location"

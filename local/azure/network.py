"""The private endpoints of Azure's network API (Microsoft.Network), with the approval that a server's owner gives."""

from __future__ import annotations

import re
import threading
from typing import Any

from local.azure.http_service import Answer, HttpService, Request, azure_error
from local.sqlserver.certificates import CertificateFiles

_PATH = re.compile(
    r"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft\.Network/privateEndpoints(?:/([^/]+))?", re.I
)
_SERVER = re.compile(r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Sql/servers/[^/]+", re.I)


class NetworkApi(HttpService):
    """Keeps private endpoints. ``tokens``: bearer tokens that it accepts.

    To misbehave: ``failure`` is the status and code of every answer, ``next_link_host`` where lists lead to.
    """

    def __init__(self, tls: CertificateFiles, *, tokens: set[str] | None = None, page: int = 2, port: int = 0) -> None:
        """page: how many endpoints one page of a list has."""
        super().__init__(port=port, tls=tls)
        self._lock = threading.Lock()
        self._endpoints: dict[str, dict[str, Any]] = {}
        self._page = page
        self.tokens = tokens
        self.failure: tuple[int, str] | None = None
        self.next_link_host = ""

    def decide(self, name: str, status: str, description: str = "") -> None:
        """What the owner of the target server does: ``Approved``, ``Rejected``, ``Disconnected``."""
        with self._lock:
            state = self._connection(self._endpoints[name.lower()])["privateLinkServiceConnectionState"]
            state.update(status=status, description=description)

    def names(self) -> list[str]:
        with self._lock:
            return sorted(resource["name"] for resource in self._endpoints.values())

    def put(self, name: str, tags: dict[str, str]) -> None:
        """An endpoint of somebody else."""
        with self._lock:
            self._endpoints[name.lower()] = {"name": name, "tags": tags, "properties": {}}

    def answer(self, request: Request) -> Answer:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or (self.tokens is not None and token not in self.tokens):
            return azure_error(401, "InvalidAuthenticationToken", "The access token is invalid.")
        if self.failure is not None:
            return azure_error(*self.failure, "Told to fail.")
        match = _PATH.fullmatch(request.path)
        if match is None or "api-version" not in request.query:
            return azure_error(404, "InvalidResourceType", "The path or its api-version is not known.")
        with self._lock:
            name = match[3]
            if name is None:
                return self._list(request)
            return self._one(request, name, request.path)

    def _one(self, request: Request, name: str, path: str) -> Answer:
        found = self._endpoints.get(name.lower())
        if request.method == "PUT":
            return self._put(request, name, path)
        if found is None:
            return Answer(204) if request.method == "DELETE" else azure_error(404, "ResourceNotFound", "Not found.")
        if request.method == "DELETE":
            del self._endpoints[name.lower()]
            return Answer(202)
        found["properties"]["provisioningState"] = "Succeeded"
        return Answer(200, found)

    def _put(self, request: Request, name: str, path: str) -> Answer:
        body = request.json()
        properties = body.get("properties") or {}
        connections = properties.get("manualPrivateLinkServiceConnections") or []
        if not body.get("location") or not (properties.get("subnet") or {}).get("id") or len(connections) != 1:
            return azure_error(400, "InvalidRequestFormat", "Location, subnet and one connection are needed.")
        link = connections[0].get("properties") or {}
        if not _SERVER.fullmatch(link.get("privateLinkServiceId", "")) or link.get("groupIds") != ["sqlServer"]:
            return azure_error(400, "InvalidResourceReference", "The connection leads to no logical server.")
        if len(link.get("requestMessage", "")) > 140:
            return azure_error(400, "InvalidRequestMessage", "The message has more than 140 characters.")
        link["privateLinkServiceConnectionState"] = {"status": "Pending", "description": "Awaiting approval"}
        resource = {"id": path, "name": name, **body, "properties": {**properties, "provisioningState": "Updating"}}
        new = name.lower() not in self._endpoints
        self._endpoints[name.lower()] = resource
        return Answer(201 if new else 200, resource)

    def _list(self, request: Request) -> Answer:
        start = int(request.query.get("$skiptoken", "0"))
        resources = [self._endpoints[key] for key in sorted(self._endpoints)]
        page: dict[str, Any] = {"value": resources[start : start + self._page]}
        if start + self._page < len(resources):
            root = self.next_link_host or self.url
            page["nextLink"] = f"{root}{request.path}?api-version=1&$skiptoken={start + self._page}"
        return Answer(200, page)

    @staticmethod
    def _connection(resource: dict[str, Any]) -> dict[str, Any]:
        connection: dict[str, Any] = resource["properties"]["manualPrivateLinkServiceConnections"][0]["properties"]
        return connection

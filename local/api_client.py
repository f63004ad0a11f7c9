"""A small client of the management API in its ARM shape, for the demo and the tests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

API_VERSION = "2025-01-01"


class ApiError(Exception):
    """The API answered with an error; its sentence, its code and the status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status, self.code, self.message = status, code, message


class ApiClient:
    """Calls the API of one agent. Paths are relative to the agent's resource, e.g. ``/jobs/Job1``."""

    def __init__(self, endpoint: Mapping[str, Any], agent: str, *, token: str | None = None) -> None:
        self.root = (
            f"/subscriptions/{endpoint['subscription']}/resourceGroups/{endpoint['resource_group']}"
            f"/providers/Microsoft.Sql/servers/{endpoint['server']}"
        )
        self.agent = f"{self.root}/jobAgents/{quote(agent, safe='')}"
        self._http = httpx.Client(
            base_url=endpoint["api"],
            headers={"Authorization": f"Bearer {token or endpoint['token']}"},
            timeout=60,
        )

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str = "", body: object = None, **query: object) -> Any:
        """One request; the answer's JSON, None when it has none.

        Raises:
            ApiError: any status of 400 and above.
        """
        parameters = {"api-version": API_VERSION, **{name: str(value) for name, value in query.items()}}
        try:
            response = self._http.request(method, self.agent + path, json=body, params=parameters)
        except httpx.TransportError:
            # The worker process behind a kept connection may have been replaced; what changes nothing is asked again.
            if method != "GET":
                raise
            response = self._http.request(method, self.agent + path, json=body, params=parameters)
        return _read(response)

    def put(self, path: str, properties: Mapping[str, object]) -> Any:
        """Create or update a child resource."""
        return self.call("PUT", path, {"properties": properties})

    def put_agent(self, location: str, database: str, **fields: object) -> Any:
        """Create the agent and wait until it is there."""
        body = {"location": location, "properties": {"databaseId": f"{self.root}/databases/{database}"}, **fields}
        response = self._http.put(self.agent, json=body, params={"api-version": API_VERSION})
        _read(response)
        status_url = response.headers.get("Azure-AsyncOperation")
        while status_url and _read(self._http.get(status_url))["status"] not in {"Succeeded", "Failed", "Canceled"}:
            time.sleep(0.2)
        return self.call("GET")

    def list(self, path: str, **query: object) -> list[Any]:
        """All pages of a list."""
        page = self.call("GET", path, **query)
        items = list(page.get("value", []))
        while page.get("nextLink"):
            page = _read(self._http.get(page["nextLink"]))
            items += page.get("value", [])
        return items


def _read(response: httpx.Response) -> Any:
    if response.status_code >= 400:
        try:
            error = response.json()["error"]
            raise ApiError(response.status_code, error["code"], error["message"])
        except (ValueError, KeyError, TypeError):
            raise ApiError(response.status_code, "NoErrorBody", response.text[:500]) from None
    return response.json() if response.content else None

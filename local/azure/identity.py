"""The identity endpoint of a machine in Azure: of App Service and Functions (2019-08-01), and IMDS of virtual machines.

App Service: ``IDENTITY_ENDPOINT`` names the URL, ``IDENTITY_HEADER`` the secret that must come as X-IDENTITY-HEADER.
IMDS: ``AZURE_POD_IDENTITY_AUTHORITY_HOST`` names the root URL, requests carry ``Metadata: true``.
Both answer for the user-assigned identities that were assigned, by client id or resource id, and for no others.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from local.azure.http_service import Answer, HttpService, Request, azure_error

APP_SERVICE_PATH = "/msi/token"
IMDS_PATH = "/metadata/identity/oauth2/token"
_RESOURCE_ID_PARAMETERS = ("mi_res_id", "msi_res_id")


@dataclass(frozen=True)
class AssignedIdentity:
    """A user-assigned identity of the machine."""

    client_id: str
    resource_id: str


class IdentityEndpoint(HttpService):
    """Gives out tokens that live for ``lifetime_seconds``. Told to by a test, it fails or waits."""

    def __init__(
        self,
        *identities: AssignedIdentity,
        lifetime_seconds: int = 3600,
        on_token: Callable[[str, AssignedIdentity], object] | None = None,
        port: int = 0,
    ) -> None:
        """on_token: told of every new token before it is answered, so that a target server can learn it."""
        super().__init__(port=port)
        self._identities = identities
        self._on_token = on_token
        self._lock = threading.Lock()
        self.lifetime_seconds = lifetime_seconds
        self.header = secrets.token_urlsafe(16)
        self.failures: list[int] = []
        """Statuses for the next requests, each used once; what is left of them is the future."""
        self.gate = threading.Event()
        """Answers wait for it; set unless a test clears it."""
        self.gate.set()
        self.issued: list[tuple[str, float]] = []
        """Tokens with the instant at which they expire."""
        self.requests = 0

    def environment(self) -> dict[str, str]:
        """Settings of an app in App Service or Functions."""
        return {"IDENTITY_ENDPOINT": self.url + APP_SERVICE_PATH, "IDENTITY_HEADER": self.header}

    def imds_environment(self) -> dict[str, str]:
        """Settings that lead the SDK's IMDS client here."""
        return {"AZURE_POD_IDENTITY_AUTHORITY_HOST": self.url}

    def answer(self, request: Request) -> Answer:
        self.gate.wait(30)
        with self._lock:
            self.requests += 1
            status = self.failures.pop(0) if self.failures else 200
        if status != 200:
            return azure_error(status, "temporarily_unavailable", "The identity endpoint was told to fail.")
        if request.method != "GET" or request.path not in (APP_SERVICE_PATH, IMDS_PATH):
            return azure_error(404, "not_found", "There is no such path.")
        if request.path == APP_SERVICE_PATH and request.headers.get("x-identity-header") != self.header:
            return azure_error(401, "unauthorized", "The header X-IDENTITY-HEADER is missing or wrong.")
        if request.path == IMDS_PATH and request.headers.get("metadata", "").lower() != "true":
            return azure_error(400, "bad_request", "The header Metadata: true is missing.")
        return self._token(request)

    def _token(self, request: Request) -> Answer:
        identity = self._named(request)
        if identity is None or "resource" not in request.query:
            return Answer(400, {"error": "invalid_request", "error_description": "Identity not found"})
        expires_on = int(time.time()) + self.lifetime_seconds
        token = f"eyJ0eXAi.{secrets.token_urlsafe(32)}.{secrets.token_urlsafe(16)}"
        with self._lock:
            self.issued.append((token, expires_on))
        if self._on_token is not None:
            self._on_token(token, identity)
        return Answer(
            200,
            {
                "access_token": token,
                "client_id": identity.client_id,
                "expires_on": str(expires_on),
                "expires_in": str(self.lifetime_seconds),
                "resource": request.query["resource"],
                "token_type": "Bearer",
            },
        )

    def _named(self, request: Request) -> AssignedIdentity | None:
        """The identity of the request. None of its own name is the system-assigned one, which does not exist here."""
        resource_id = next((request.query[name] for name in _RESOURCE_ID_PARAMETERS if name in request.query), None)
        client_id = request.query.get("client_id")
        for identity in self._identities:
            if client_id == identity.client_id:
                return identity
            if resource_id is not None and resource_id.lower() == identity.resource_id.lower():
                return identity
        return None

"""The secrets of an Azure Key Vault (data plane, api-version 7.x) with versions, soft delete and recovery."""

from __future__ import annotations

import re
import secrets
import threading
import time
from dataclasses import dataclass, field

from local.azure.http_service import Answer, HttpService, Request, azure_error
from local.sqlserver.certificates import CertificateFiles

_NAME = re.compile(r"[0-9a-zA-Z-]{1,127}")
_PATH = re.compile(r"/(secrets|deletedsecrets)/([^/]+)(?:/([^/]*))?")
_PERMISSION = {
    ("PUT", "secrets"): "set",
    ("GET", "secrets"): "get",
    ("DELETE", "secrets"): "delete",
    ("GET", "deletedsecrets"): "get",
    ("POST", "deletedsecrets"): "recover",
}


@dataclass
class _Version:
    version: str
    value: str = field(repr=False)
    tags: dict[str, str]
    content_type: str | None
    created: int
    enabled: bool = True


class KeyVault(HttpService):
    """One vault with soft delete, as all vaults in Azure have it. ``tokens``: bearer tokens that it accepts.

    To misbehave: ``forbidden`` holds permissions that are not granted, ``firewall`` refuses everybody, ``failures`` the
    statuses of the next requests (429 with Retry-After), ``slow_deletion`` a number of polls that deletions and
    recoveries take.
    """

    def __init__(self, tls: CertificateFiles, *, tokens: set[str] | None = None, port: int = 0) -> None:
        super().__init__(port=port, tls=tls)
        self._lock = threading.Lock()
        self._live: dict[str, list[_Version]] = {}
        self._deleted: dict[str, list[_Version]] = {}
        self._busy: dict[str, int] = {}
        self.tokens = tokens
        self.forbidden: set[str] = set()
        self.firewall = False
        self.failures: list[int] = []
        self.slow_deletion = 0
        self.gate = threading.Event()
        self.gate.set()
        self.url_of_challenge = ""
        """The service that challenges name; empty: the right one."""
        self.asked: list[tuple[str, str]] = []
        """Method and path of every request that was let in."""

    def rotate(self, name: str, value: str) -> None:
        """A new version, as a security officer makes it in the portal."""
        with self._lock:
            self._live[name.lower()].append(_version(value, {}, None))

    def disable(self, name: str) -> None:
        with self._lock:
            self._live[name.lower()][-1].enabled = False

    def names(self) -> list[str]:
        """Of the secrets that are not deleted."""
        with self._lock:
            return sorted(self._live)

    def deleted_names(self) -> list[str]:
        with self._lock:
            return sorted(self._deleted)

    def tags(self, name: str) -> dict[str, str]:
        """Of the newest version."""
        with self._lock:
            return dict(self._live[name.lower()][-1].tags)

    def reads(self) -> int:
        """How many times a secret was read."""
        return sum(method == "GET" and path.startswith("/secrets/") for method, path in list(self.asked))

    def answer(self, request: Request) -> Answer:
        refused = self._refusal(request)
        if refused is not None:
            return refused
        match = _PATH.fullmatch(request.path)
        if match is None:
            return azure_error(404, "NotFound", "There is no such path.")
        kind, name, rest = match.groups()
        permission = _PERMISSION.get((request.method, kind))
        if permission is None or (request.method == "POST" and rest != "recover"):
            return azure_error(405, "MethodNotAllowed", "This resource does not have this method.")
        if permission in self.forbidden:
            return azure_error(403, "Forbidden", f"The caller lacks secrets/{permission}.", "ForbiddenByRbac")
        if not _NAME.fullmatch(name):
            return azure_error(400, "BadParameter", "The name of a secret has letters, digits and hyphens only.")
        self.gate.wait(30)
        with self._lock:
            self.asked.append((request.method, request.path))
            return self._do(request, kind, name.lower(), rest or "")

    def _refusal(self, request: Request) -> Answer | None:
        if self.failures:
            status = self.failures.pop(0)
            answer = azure_error(status, "Throttled" if status == 429 else "InternalError", "Told to fail.")
            return Answer(answer.status, answer.body, {"Retry-After": "0"})
        if self.firewall:
            return azure_error(403, "Forbidden", "Client address is not authorized.", "ForbiddenByFirewall")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme == "Bearer" and token and (self.tokens is None or token in self.tokens):
            return None
        # The SDK compares the resource with the end of the host that it asks: what stands behind the first dot.
        resource = self.url_of_challenge or "https://" + self.url.partition("://")[2].partition(".")[2]
        challenge = f'Bearer authorization="https://login.windows.net/tenant", resource="{resource}"'
        unauthorized = azure_error(401, "Unauthorized", "A bearer token is missing or not accepted.")
        return Answer(unauthorized.status, unauthorized.body, {"WWW-Authenticate": challenge})

    def _do(self, request: Request, kind: str, name: str, rest: str) -> Answer:
        if kind == "deletedsecrets":
            return self._recover(name) if request.method == "POST" else self._deleted_secret(name)
        if request.method == "PUT":
            return self._set(name, request)
        versions = self._live.get(name)
        if versions is None or self._still_busy(name):
            return azure_error(404, "SecretNotFound", "A secret with this name was not found in this key vault.")
        if request.method == "DELETE":
            self._deleted[name] = self._live.pop(name)
            self._busy[name] = self.slow_deletion
            return Answer(200, {**self._bundle(name, versions[-1]), **self._deletion(name)})
        wanted = next((version for version in versions if version.version == rest), versions[-1] if not rest else None)
        if wanted is None:
            return azure_error(404, "SecretNotFound", "There is no such version.")
        if not wanted.enabled:
            text = "Operation get is not allowed on a disabled secret."
            return azure_error(403, "Forbidden", text, "SecretDisabled")
        return Answer(200, self._bundle(name, wanted) | {"value": wanted.value})

    def _set(self, name: str, request: Request) -> Answer:
        if name in self._deleted:
            code = "ObjectIsBeingDeleted" if self._still_busy(name) else "ObjectIsDeletedButRecoverable"
            return azure_error(409, "Conflict", f"Secret {name} is in a deleted state and its name is taken.", code)
        if self._still_busy(name):
            return azure_error(409, "Conflict", "The secret is being recovered.", "ObjectIsBeingRecovered")
        body = request.json()
        if not isinstance(body.get("value"), str):
            return azure_error(400, "BadParameter", "A secret needs a value.")
        made = _version(body["value"], dict(body.get("tags") or {}), body.get("contentType"))
        self._live.setdefault(name, []).append(made)
        return Answer(200, self._bundle(name, made) | {"value": made.value})

    def _deleted_secret(self, name: str) -> Answer:
        if name not in self._deleted or self._still_busy(name):
            return azure_error(404, "SecretNotFound", "There is no deleted secret of this name.")
        return Answer(200, {**self._bundle(name, self._deleted[name][-1]), **self._deletion(name)})

    def _recover(self, name: str) -> Answer:
        if name not in self._deleted:
            return azure_error(404, "SecretNotFound", "There is no deleted secret of this name.")
        if self._still_busy(name):
            return azure_error(409, "Conflict", "The secret is being deleted.", "ObjectIsBeingDeleted")
        self._live[name] = self._deleted.pop(name)
        self._busy[name] = self.slow_deletion
        return Answer(200, self._bundle(name, self._live[name][-1]))

    def _still_busy(self, name: str) -> bool:
        """Whether a deletion or recovery is still under way; each look is a poll."""
        left = self._busy.get(name, 0)
        self._busy[name] = max(0, left - 1)
        return left > 0

    def _bundle(self, name: str, version: _Version) -> dict[str, object]:
        return {
            "id": f"{self.url}/secrets/{name}/{version.version}",
            "attributes": {"enabled": version.enabled, "created": version.created, "updated": version.created},
            "tags": version.tags,
            **({"contentType": version.content_type} if version.content_type else {}),
        }

    def _deletion(self, name: str) -> dict[str, object]:
        now = int(time.time())
        return {
            "recoveryId": f"{self.url}/deletedsecrets/{name}",
            "deletedDate": now,
            "scheduledPurgeDate": now + 90 * 86400,
        }


def _version(value: str, tags: dict[str, str], content_type: str | None) -> _Version:
    return _Version(secrets.token_hex(16), value, tags, content_type, int(time.time()))

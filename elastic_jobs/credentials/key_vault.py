"""Passwords in Azure Key Vault: written when a credential is saved, read at run time, never kept in the job database.

The job database's row holds only a mark. The name of the secret follows from the credential's name, so that nobody who
can write to the job database can point a credential at another secret of the vault. Read is always the newest version:
a password that is rotated in the vault is used from the next fetch on, or at once after a refused login.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from azure.core.credentials import TokenCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.keyvault.secrets import SecretClient

from elastic_jobs.credentials.single_flight import Fetched, SingleFlight
from elastic_jobs.domain.ports import Clock
from elastic_jobs.errors import CredentialError, is_away

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

MARK = b"\x02key vault"
"""What the job database holds in the place of a sealed password. Its first byte differs from those of sealed ones."""

_KEEP_WITHOUT_VAULT = timedelta(hours=1)
"""How long passwords that were read go on being used while the vault does not answer."""
_RECOVER_SECONDS = 60.0
"""How long a recovery of a deleted secret may take; in Azure it takes some seconds."""
_CLIENT_OPTIONS: dict[str, Any] = {"connection_timeout": 5, "read_timeout": 10, "retry_total": 3}
_NOT_ALLOWED_IN_NAMES = re.compile(r"[^0-9a-zA-Z]+")
_READABLE = 40


def secret_name(prefix: str, credential_name: str) -> str:
    """The secret of a credential: ``<prefix>-<readable part>-<hash of prefix and name>``, at most 115 characters.

    Key Vault takes letters, digits and hyphens, up to 127 characters, and compares without case; so are credential
    names compared. The hash (128 bits) keeps apart what looks the same without the other characters.
    """
    exact = f"{prefix.casefold()}\0{credential_name.casefold()}".encode()
    parts = (_slug(prefix), _slug(credential_name), hashlib.sha256(exact).hexdigest()[:32])
    return "-".join(part for part in parts if part)


def _slug(text: str) -> str:
    return _NOT_ALLOWED_IN_NAMES.sub("-", text)[:_READABLE].strip("-").lower()


def make_client(vault_url: str, credential: TokenCredential, **options: Any) -> SecretClient:
    """A client of the vault, with time limits. It sends its token to the vault's own domain only, and over TLS only.

    options: for the SDK's pipeline, for example ``connection_verify`` (a file of certificate authorities).
    """
    return SecretClient(vault_url, credential, **{**_CLIENT_OPTIONS, **options})


class KeyVaultSafe:
    """Keeps the passwords of credentials as secrets of one vault. Safe to use from many threads."""

    def __init__(self, client: SecretClient, clock: Clock, *, prefix: str, keep: timedelta) -> None:
        """
        prefix: first part of all secret names; each deployment that shares a vault has its own.
        keep: how long a password that was read is used without asking again.
        """
        self._client, self._clock, self._prefix, self._keep = client, clock, prefix, keep
        self._vault = client.vault_url
        self._secrets: dict[str, SingleFlight[str]] = {}
        self._lock = threading.Lock()

    def seal(self, name: str, password: str) -> bytes:
        """Write the password into the vault; what the job database keeps is the mark.

        A secret of this name that was deleted is recovered first: soft delete would refuse the name for months.

        Raises:
            CredentialError: the vault refuses or does not answer; nothing was changed.
        """
        tags = {"managed-by": "elastic-jobs", "credential": name[:256]}

        def write() -> object:
            return self._client.set_secret(self._name(name), password, content_type="password", tags=tags)

        try:
            self._ask(name, "written", write, expected=(ResourceExistsError,))
        except ResourceExistsError:
            self._recover(name)
            self._ask(name, "written", write)
        self._secret(name).forget()
        return MARK

    def open(self, name: str, sealed: bytes) -> str:
        """The password: read lately, or now.

        Raises:
            CredentialError: the vault refuses, does not answer or has no such secret.
        """
        del sealed
        return self._secret(name).get()

    def is_current(self, name: str, sealed: bytes) -> bool:
        """Whether what the job database holds is this safe's mark."""
        del name
        return sealed == MARK

    def renewed(self, name: str, sealed: bytes, refused: str) -> str | None:
        """Another password than the one that a server refused, if the vault has one. Raises as ``open``."""
        del sealed
        return self._secret(name).renew(refused)

    def forget(self, name: str, sealed: bytes) -> None:
        """Delete the secret; with soft delete it can be recovered for as long as the vault says.

        Raises:
            CredentialError: the vault refuses or does not answer.
        """
        if sealed != MARK:
            return
        try:
            self._ask(
                name,
                "deleted",
                lambda: self._client.begin_delete_secret(self._name(name)),
                expected=(ResourceNotFoundError,),
            )
        except ResourceNotFoundError:
            _log.info("The secret of credential '%s' was not in the vault any more.", name)
        self._secret(name).forget()

    def _name(self, name: str) -> str:
        return secret_name(self._prefix, name)

    def _secret(self, name: str) -> SingleFlight[str]:
        key = self._name(name)
        with self._lock:
            found = self._secrets.get(key)
            if found is None:
                what = f"The password of credential '{name}' from {self._vault}"
                found = self._secrets[key] = SingleFlight(self._clock, lambda: self._read(name), what=what)
            return found

    def _read(self, name: str) -> Fetched[str]:
        value = self._ask(name, "read", lambda: self._client.get_secret(self._name(name)).value)
        if not value:
            raise CredentialError(f"{self._where(name)} is empty; save the credential again.")
        now = self._clock.now()
        return Fetched(value, renew_at=now + self._keep, expires_at=now + max(self._keep, _KEEP_WITHOUT_VAULT))

    def _recover(self, name: str) -> None:
        """Bring a deleted secret back, so that it can have a new version."""

        def recover() -> None:
            poller = self._client.begin_recover_deleted_secret(self._name(name))
            poller.wait(_RECOVER_SECONDS)

        try:
            self._ask(name, "recovered", recover, expected=(ResourceNotFoundError, ResourceExistsError))
        except (ResourceNotFoundError, ResourceExistsError):
            # Another caller recovers it, or its deletion is not through.
            raise CredentialError(
                f"{self._where(name)} is just being deleted or recovered; save the credential again in a minute."
            ) from None
        _log.info("The deleted secret of credential '%s' was recovered.", name)

    def _ask(self, name: str, verb: str, call: Callable[[], _T], *, expected: tuple[type[AzureError], ...] = ()) -> _T:
        try:
            return call()
        except expected:
            raise
        except (AzureError, ValueError) as error:
            # Never the error's own text: it comes from outside and may quote the request.
            sentence = f"{self._where(name)} cannot be {verb}: {_reason(error)}"
            _log.warning("%s", sentence, extra={"action": "key_vault_failed"})
            raise CredentialError(sentence, passing=_is_passing(error)) from None

    def _where(self, name: str) -> str:
        return f"The password of credential '{name}' (secret '{self._name(name)}' in {self._vault})"


def _is_passing(error: Exception) -> bool:
    """Whether the vault is away or overloaded, rather than of another mind."""
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        return is_away(error.status_code)
    return isinstance(error, (ServiceRequestError, ServiceResponseError))


def _reason(error: Exception) -> str:
    """Why, and what to do, for an error of the SDK."""
    if isinstance(error, ClientAuthenticationError) and error.status_code is None:
        return "this app could not identify itself; check that it has a managed identity."
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        return _reason_of_status(error.status_code, _inner_code(error))
    if isinstance(error, (ServiceRequestError, ServiceResponseError)):
        return "the vault does not answer; check KEY_VAULT_URL, the vault's network rules and the route to it."
    return f"{type(error).__name__}."


_REASONS = {
    401: "the vault does not accept this app's token; check the tenant of the vault.",
    403: "the vault forbids it; give this app's identity the role Key Vault Secrets Officer on the vault"
    " (reading alone needs Key Vault Secrets User).",
    404: "there is no such secret; save the credential again.",
    409: "it is just being deleted or recovered; try again in a minute.",
    429: "the vault is throttling; try again later. A larger KEY_VAULT_CACHE_SECONDS makes reads rarer.",
}
_REASONS_OF_INNER_CODE = {
    "SecretDisabled": "the secret is disabled; enable it in the vault.",
    "ForbiddenByFirewall": "the vault's firewall refuses this app; allow its network, or give the vault a private"
    " endpoint.",
}


def _reason_of_status(status: int, inner_code: str) -> str:
    default = "the vault is not available; try again later" if status >= 500 else "the vault refuses it"
    return _REASONS_OF_INNER_CODE.get(inner_code) or _REASONS.get(status) or f"{default} (status {status})."


def _inner_code(error: HttpResponseError) -> str:
    """The error's inner code, a word such as ForbiddenByRbac; empty when there is none."""
    try:
        code = json.loads(error.response.text())["error"]["innererror"]["code"] if error.response else ""
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return code if isinstance(code, str) else ""

"""As whom a target server is reached: a SQL login with a password, or a managed identity with a token."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import AzureError

from elastic_jobs.domain.ports import Clock
from elastic_jobs.errors import CredentialError

TOKEN_SCOPE = "https://database.windows.net/.default"  # noqa: S105  # the audience of all Azure SQL servers, no secret
SQL_COPT_SS_ACCESS_TOKEN = 1256
"""Connection attribute of the Microsoft driver (msodbcsql.h) that takes an access token."""

_RENEW_BEFORE = timedelta(minutes=5)
_FORGET_FAILURE_AFTER = timedelta(seconds=5)
"""A failed request is not repeated by every waiting target one after the other."""


class TokenSource(Protocol):
    """Gives out access tokens for Azure SQL."""

    def token(self, client_id: str) -> str:
        """A token of this identity, valid for some minutes at least. Raises ``CredentialError``."""
        ...


@dataclass(frozen=True)
class PasswordLogin:
    """A SQL login or contained user."""

    username: str
    password: str = field(repr=False)

    def __str__(self) -> str:
        return f"user '{self.username}'"

    def secrets(self) -> tuple[str, ...]:
        """What must never appear in a message."""
        return (self.password,) if self.password else ()


@dataclass(frozen=True)
class TokenLogin:
    """A managed identity, by its client id. The token is fetched when a connection is made."""

    client_id: str
    tokens: TokenSource = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"managed identity '{self.client_id}'"

    def secrets(self) -> tuple[str, ...]:
        return ()


Login = PasswordLogin | TokenLogin


def pack_token(token: str) -> bytes:
    """The token as the driver wants it: length in bytes (little endian), then UTF-16LE."""
    data = token.encode("utf-16-le")
    return struct.pack("<I", len(data)) + data


def _managed_identity(client_id: str) -> TokenCredential:
    # Imported when it is needed: it is slow to load, and an app that uses credentials never needs it.
    from azure.identity import ManagedIdentityCredential

    return ManagedIdentityCredential(client_id=client_id)


@dataclass
class _Identity:
    """What is known of one identity; its lock lets one thread ask while the others wait for the answer."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    credential: TokenCredential | None = None
    token: AccessToken | None = None
    failed_at: datetime | None = None
    failure: str = ""


class ManagedIdentityTokens:
    """Tokens of managed identities: one request per identity, kept until 5 minutes before they expire."""

    def __init__(self, clock: Clock, credential: Callable[[str], TokenCredential] = _managed_identity) -> None:
        """credential: makes the credential of a client id; another one than the managed identity's in tests."""
        self._clock = clock
        self._credential = credential
        self._identities: dict[str, _Identity] = {}
        self._lock = threading.Lock()

    def token(self, client_id: str) -> str:
        with self._lock:
            identity = self._identities.setdefault(client_id, _Identity())
        with identity.lock:
            if identity.token is None or self._expires_soon(identity.token):
                identity.token = self._request(client_id, identity)
            return identity.token.token

    def _expires_soon(self, token: AccessToken) -> bool:
        return datetime.fromtimestamp(token.expires_on, UTC) - self._clock.now() <= _RENEW_BEFORE

    def _request(self, client_id: str, identity: _Identity) -> AccessToken:
        now = self._clock.now()
        if identity.failed_at is not None and now - identity.failed_at < _FORGET_FAILURE_AFTER:
            raise CredentialError(identity.failure)
        try:
            if identity.credential is None:
                identity.credential = self._credential(client_id)
            token = identity.credential.get_token(TOKEN_SCOPE)
        except (AzureError, ValueError) as error:
            # Only the kind of error: its text comes from outside and may quote the request.
            identity.failed_at = now
            identity.failure = (
                f"No access token for managed identity '{client_id}' could be had ({type(error).__name__});"
                " check that the identity is assigned to this app."
            )
            raise CredentialError(identity.failure) from None
        identity.failed_at = None
        return token

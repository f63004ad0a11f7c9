"""As whom a target server is reached: a SQL login with a password, or a managed identity with a token."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import AzureError

from elastic_jobs.credentials.single_flight import Fetched, SingleFlight
from elastic_jobs.domain.ports import Clock
from elastic_jobs.domain.server_scope import ServerScope
from elastic_jobs.errors import CredentialError, ServerNotAllowedError

TOKEN_SCOPE = "https://database.windows.net/.default"  # noqa: S105  # the audience of all Azure SQL servers, no secret
SQL_COPT_SS_ACCESS_TOKEN = 1256
"""Connection attribute of the Microsoft driver (msodbcsql.h) that takes an access token."""

REFUSED_NUMBERS = frozenset({18456, 37396})
"""Errors after which another password or token may help: login failed, access token expired."""

_RENEW_BEFORE = timedelta(minutes=5)
_IDENTITY_TIMEOUTS: dict[str, Any] = {"connection_timeout": 5, "read_timeout": 10}
"""Seconds. The identity endpoint is on the same machine; the SDK's own read timeout is 300 s."""


class TokenSource(Protocol):
    """Gives out access tokens for Azure SQL."""

    def token(self, client_id: str) -> str:
        """A token of this identity (client id or resource id), still valid. Raises ``CredentialError``."""
        ...


@runtime_checkable
class RenewingTokenSource(TokenSource, Protocol):
    """A source that can get another token when a server refuses one."""

    def renew(self, client_id: str, refused: str) -> bool:
        """Whether there is another token than the refused one now. Raises ``CredentialError``."""
        ...


@dataclass(frozen=True)
class PasswordLogin:
    """A SQL login or contained user.

    credential_name: the credential it comes from. scope: the servers that it may be sent to, None: those of the
    deployment. newer: looks for another password when a server refused this one.
    """

    username: str
    password: str = field(repr=False)
    credential_name: str | None = field(default=None, repr=False, compare=False)
    scope: ServerScope | None = field(default=None, repr=False, compare=False)
    newer: Callable[[str], PasswordLogin | None] | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f"user '{self.username}'"

    def secrets(self) -> tuple[str, ...]:
        """What must never appear in a message."""
        return (self.password,) if self.password else ()

    def secret(self) -> str:
        """What is sent to the server."""
        return self.password

    def require(self, server: str) -> None:
        """Refuse a server, by its canonical name, that this login may not be sent to.

        Raises:
            ServerNotAllowedError: a sentence that names credential and server.
        """
        who = self.username if self.credential_name is None else self.credential_name
        _require(self.scope, server, f"credential '{who}'")

    def renewed(self, refused: str) -> PasswordLogin | None:
        """The login with another password than the one that a server refused, if there is one by now.

        Raises:
            CredentialError: the store does not answer.
        """
        return None if self.newer is None else self.newer(refused)


@dataclass(frozen=True)
class TokenLogin:
    """A managed identity, by its client id or its resource id. The token is fetched when a connection is made.

    scope: the servers that its tokens may be sent to, None: those of the deployment.
    """

    client_id: str
    tokens: TokenSource = field(repr=False, compare=False)
    scope: ServerScope | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f"managed identity '{self.client_id}'"

    def secrets(self) -> tuple[str, ...]:
        return ()

    def secret(self) -> str:
        """The token to send to the server. Raises ``CredentialError``."""
        return self.tokens.token(self.client_id)

    def require(self, server: str) -> None:
        """As ``PasswordLogin.require``."""
        _require(self.scope, server, str(self))

    def renewed(self, refused: str) -> TokenLogin | None:
        """This login, when there is another token than the refused one by now. Raises ``CredentialError``."""
        source = self.tokens
        if isinstance(source, RenewingTokenSource) and source.renew(self.client_id, refused):
            return replace(self)
        return None


Login = PasswordLogin | TokenLogin


def _require(scope: ServerScope | None, server: str, who: str) -> None:
    if scope is not None and not scope.allows(server):
        raise ServerNotAllowedError(
            f"The {who} may not be sent to server '{server}': the server is not among its allowed servers."
            " Add it there, or name another credential."
        )


def pack_token(token: str) -> bytes:
    """The token as the driver wants it: length in bytes (little endian), then UTF-16LE."""
    data = token.encode("utf-16-le")
    return struct.pack("<I", len(data)) + data


def _managed_identity(client_id: str) -> TokenCredential:
    # Imported when it is needed: it is slow to load, and an app that uses credentials never needs it.
    from azure.identity import ManagedIdentityCredential

    if client_id.startswith("/"):
        # An ARM id: the agent's identity was named without its client id.
        return ManagedIdentityCredential(identity_config={"resource_id": client_id}, **_IDENTITY_TIMEOUTS)
    return ManagedIdentityCredential(client_id=client_id, **_IDENTITY_TIMEOUTS)


class _Identity:
    """The tokens of one identity."""

    def __init__(self, client_id: str, clock: Clock, make: Callable[[str], TokenCredential]) -> None:
        self._client_id, self._clock, self._make = client_id, clock, make
        self._credential: TokenCredential | None = None
        self._tokens = SingleFlight(clock, self._request, what=f"A token for managed identity '{client_id}'")

    def token(self) -> str:
        return self._tokens.get().token

    def renew(self, refused: str) -> bool:
        current = self._tokens.get()
        if current.token != refused:
            return True
        # The SDK's object keeps its token to itself until five minutes before the end; a new one asks.
        self._credential = None
        newer = self._tokens.renew(current)
        return newer is not None and newer.token != refused

    def _request(self) -> Fetched[AccessToken]:
        try:
            if self._credential is None:
                self._credential = self._make(self._client_id)
            token = self._credential.get_token(TOKEN_SCOPE)
        except (AzureError, ValueError) as error:
            # Only the kind of error: its text comes from outside and may quote the request.
            raise CredentialError(
                f"No access token for managed identity '{self._client_id}' could be had ({type(error).__name__});"
                " check that the identity is assigned to this app."
            ) from None
        expires_at = datetime.fromtimestamp(token.expires_on, UTC)
        # Tokens live for an hour or a day; of a shorter one half the life is kept in reserve.
        reserve = min(_RENEW_BEFORE, (expires_at - self._clock.now()) / 2)
        return Fetched(token, renew_at=expires_at - reserve, expires_at=expires_at)


class ManagedIdentityTokens:
    """Tokens of managed identities: one request per identity at a time, renewed 5 minutes before they expire."""

    def __init__(self, clock: Clock, credential: Callable[[str], TokenCredential] = _managed_identity) -> None:
        """credential: makes the credential of a client id or resource id."""
        self._clock = clock
        self._credential = credential
        self._identities: dict[str, _Identity] = {}
        self._lock = threading.Lock()

    def token(self, client_id: str) -> str:
        return self._identity(client_id).token()

    def renew(self, client_id: str, refused: str) -> bool:
        return self._identity(client_id).renew(refused)

    def _identity(self, client_id: str) -> _Identity:
        with self._lock:
            found = self._identities.get(client_id)
            if found is None:
                found = self._identities[client_id] = _Identity(client_id, self._clock, self._credential)
            return found

"""Where a step's login comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from elastic_jobs.credentials.sealing import Sealer
from elastic_jobs.errors import NotFoundError
from elastic_jobs.targets.authentication import PasswordLogin

SealedCredential = tuple[str, bytes]
"""User name and sealed password."""


class CredentialStore(Protocol):
    """Gives out logins by credential name."""

    def login(self, name: str) -> PasswordLogin:
        """The login of a credential.

        Raises:
            NotFoundError: no credential has this name.
            CredentialError: it exists, but its password cannot be had.
        """
        ...


class SealedCredentialStore:
    """Credentials whose sealed passwords are kept in the job database."""

    def __init__(self, find: Callable[[str], SealedCredential | None], sealer: Sealer) -> None:
        """find: looks up user name and sealed password of a credential by its name, None when there is none."""
        self._find = find
        self._sealer = sealer

    def login(self, name: str) -> PasswordLogin:
        found = self._find(name)
        if found is None:
            raise NotFoundError("credential", name, "Create it, or name another one in the job step.")
        username, sealed = found
        return PasswordLogin(username=username, password=self._sealer.open(name, sealed))

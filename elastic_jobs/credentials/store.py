"""Where a step's login comes from: the credential's row in the job database, and the safe that keeps its password."""

from __future__ import annotations

from collections.abc import Callable

from elastic_jobs.credentials.safes import PasswordSafe
from elastic_jobs.errors import JobDatabaseUnavailableError, NotFoundError
from elastic_jobs.jobdb.definitions.credentials import StoredCredential
from elastic_jobs.targets.authentication import PasswordLogin


class StoredCredentials:
    """Credentials whose rows are in the job database and whose passwords a safe keeps."""

    def __init__(self, find: Callable[[str], StoredCredential | None], safe: PasswordSafe) -> None:
        """find: looks up a credential by its name, None when there is none."""
        self._find, self._safe = find, safe

    def login(self, name: str, server: str | None = None) -> PasswordLogin:
        """The login of a credential. It can look for a newer password when a server refuses this one.

        server: canonical name of the server it is for; checked before the password is asked for.

        Raises:
            NotFoundError: no credential has this name.
            CredentialError: it exists, but its password cannot be had.
            ServerNotAllowedError: the credential may not be sent to ``server``.
        """
        found = self._found(name)
        if server is not None:
            self._login(found, "").require(server)
        return self._login(found, self._safe.open(found.name, found.sealed))

    def _found(self, name: str) -> StoredCredential:
        found = self._find(name)
        if found is None:
            raise NotFoundError("credential", name, "Create it, or name another one in the job step.")
        return found

    def _login(self, found: StoredCredential, password: str) -> PasswordLogin:
        return PasswordLogin(
            username=found.username,
            password=password,
            credential_name=found.name,
            scope=found.allowed_servers,
            newer=lambda refused: self._newer(found, refused),
        )

    def _newer(self, before: StoredCredential, refused: str) -> PasswordLogin | None:
        """The login again, when the row or the safe has something else by now than what was refused."""
        try:
            found = self._found(before.name)
        except (NotFoundError, JobDatabaseUnavailableError):
            # That the server refused the login is what people have to know.
            return None
        password = self._safe.open(found.name, found.sealed)
        if password == refused:
            password = self._safe.renewed(found.name, found.sealed, refused) or refused
        if (found.username, password) == (before.username, refused):
            return None
        return self._login(found, password)

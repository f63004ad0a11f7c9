"""As whom a target is reached: the agent's identity for everything, or else the credential that a definition names."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from elastic_jobs.credentials.safes import PasswordSafe
from elastic_jobs.credentials.store import StoredCredentials
from elastic_jobs.errors import CredentialError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions.agent import find_agent
from elastic_jobs.jobdb.definitions.credentials import StoredCredential, find_stored
from elastic_jobs.targets.authentication import Login, PasswordLogin, TokenLogin, TokenSource

KEPT_SECONDS = 1.0
"""How old an answer may be: a hundred targets that begin within a second are reached as the same login."""


class Logins:
    """Finds the login for a target at run time; what was saved may have changed since.

    A login carries the servers that it may be sent to, and looks for a newer password or token when one is refused;
    whoever connects asks it (``Connector.connect``).
    """

    def __init__(
        self,
        database: JobDatabase,
        safe: PasswordSafe,
        tokens: TokenSource,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._tokens, self._monotonic = database, tokens, monotonic
        self._lock = threading.Lock()
        self._kept: dict[str | None, tuple[float, Login]] = {}
        self._refusals = 0
        self._store = StoredCredentials(self._find, safe)

    def recent(self, credential_name: str | None) -> Login:
        """As ``login``, but what was found for the same name within ``KEPT_SECONDS`` is found again without asking.

        Where many targets follow each other; what changed a moment ago may reach some of them a moment later.
        """
        now = self._monotonic()
        with self._lock:
            until, login = self._kept.get(credential_name, (now, None))
            refusals = self._refusals
        if login is None or now >= until:
            login = self.login(credential_name)
            if isinstance(login, PasswordLogin):
                login = replace(login, newer=partial(self._renewed, credential_name, login))
            with self._lock:
                # What was found before a server refused it may be what it refused.
                if refusals == self._refusals:
                    self._kept[credential_name] = (now + KEPT_SECONDS, login)
        return login

    def _renewed(self, name: str | None, login: PasswordLogin, refused: str) -> PasswordLogin | None:
        """A server refused what was found: nobody else shall try that again."""
        self._forget(name)
        try:
            return login.renewed(refused)
        finally:
            # Until now the safe gave everybody the refused one.
            self._forget(name)

    def _forget(self, name: str | None) -> None:
        with self._lock:
            self._kept.pop(name, None)
            self._refusals += 1

    def login(self, credential_name: str | None, server: str | None = None) -> Login:
        """The login to use where a definition names this credential (None: none named).

        An agent with an identity uses it for everything, also where a step of the time before names a credential:
        so does Azure, and saving such a step again says that the credential is to be left out.

        server: canonical name; when given, a login that may not be sent there is refused before its password is asked.

        Raises:
            CredentialError: no credential is named and the agent has no identity, or the password cannot be had.
            NotFoundError: the credential was deleted.
            ServerNotAllowedError: it may not be sent to ``server``.
            JobDatabaseUnavailableError: the job database does not answer.
        """
        with self._database.read() as connection:
            agent = find_agent(connection)
        if agent is not None and agent.identity is not None:
            identity = agent.identity
            name = identity.client_id or identity.resource_id
            token_login = TokenLogin(name, self._tokens, scope=identity.allowed_servers)
            if server is not None:
                token_login.require(server)
            return token_login
        if credential_name is None:
            raise CredentialError("No credential is named and the job agent has no identity; name one in the job step.")
        return self._store.login(credential_name, server)

    def _find(self, name: str) -> StoredCredential | None:
        with self._database.read() as connection:
            return find_stored(connection, name)

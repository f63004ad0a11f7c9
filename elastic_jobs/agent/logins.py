"""As whom a target is reached: the agent's identity for everything, or else the credential that a definition names."""

from __future__ import annotations

from elastic_jobs.credentials.sealing import Sealer
from elastic_jobs.credentials.store import SealedCredential, SealedCredentialStore
from elastic_jobs.errors import CredentialError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions.agent import find_agent
from elastic_jobs.jobdb.definitions.credentials import find_sealed
from elastic_jobs.targets.authentication import Login, TokenLogin, TokenSource


class Logins:
    """Finds the login for a target at run time; what was saved may have changed since."""

    def __init__(self, database: JobDatabase, sealer: Sealer, tokens: TokenSource) -> None:
        self._database, self._tokens = database, tokens
        self._store = SealedCredentialStore(self._find, sealer)

    def login(self, credential_name: str | None) -> Login:
        """The login to use where a definition names this credential (None: none named).

        Raises:
            CredentialError: no credential is named and the agent has no identity, or the password cannot be opened.
            NotFoundError: the credential was deleted.
        """
        with self._database.read() as connection:
            agent = find_agent(connection)
        if agent is not None and agent.identity is not None:
            return TokenLogin(agent.identity.client_id or agent.identity.resource_id, self._tokens)
        if credential_name is None:
            raise CredentialError("No credential is named and the job agent has no identity; name one in the job step.")
        return self._store.login(credential_name)

    def _find(self, name: str) -> SealedCredential | None:
        with self._database.read() as connection:
            return find_sealed(connection, name)

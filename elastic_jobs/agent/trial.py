"""Tries a target group out for somebody who waits: on which of its databases a job could run, and what is in the way.

Nothing is run but the questions of ``targets/preflight.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from elastic_jobs.agent.logins import Logins
from elastic_jobs.agent.rehearsal import Rehearsal
from elastic_jobs.domain.rehearsal import NotAsked
from elastic_jobs.domain.targets import Member, ServerNames, resolve
from elastic_jobs.errors import CredentialError, NotFoundError
from elastic_jobs.targets.authentication import Login
from elastic_jobs.targets.connect import Connector
from elastic_jobs.targets.parallel import in_parallel
from elastic_jobs.targets.preflight import Preflight, TargetReport
from elastic_jobs.targets.stop import StopSignal


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What a trial found.

    targets: each database with its checks. failures: servers and shard maps that could not be asked, or a login that
    could not be had; while there are any, a step runs nowhere, and ``targets`` has only what the group names by itself.
    """

    targets: Sequence[TargetReport] = ()
    failures: Sequence[NotAsked] = ()

    @property
    def is_ready(self) -> bool:
        return not self.failures and all(target.is_ready for target in self.targets)


class Trial:
    """The service behind the API's preflight. Holds no state; safe to use from many threads."""

    def __init__(
        self,
        connector: Connector,
        logins: Logins,
        *,
        preflight: Preflight | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """preflight: what does the checks; by default the one with the usual bounds."""
        self._rehearsal, self._logins, self._monotonic = Rehearsal(connector, logins), logins, monotonic
        self._preflight = preflight or Preflight(connector, monotonic=monotonic)
        self._names: ServerNames = connector.servers.names

    def run(self, members: Sequence[Member], credential_name: str | None, time_limit_seconds: float) -> Tried:
        """Resolve the group as a step would, and check every database that comes out of it, within the time limit.

        credential_name: as whom scripts would run; None where the agent has an identity.

        Raises:
            JobDatabaseUnavailableError: the job database does not answer.
        """
        until = self._monotonic() + time_limit_seconds
        # A server that says nothing must not use up the time of the others' checks.
        found = self._rehearsal.resolve(members, time_limit_seconds / 2)
        failures = list(found.failures)
        # Named databases need no server's listing: that one server is away tells nothing of them.
        targets = resolve(members, {}, self._names) if failures else list(found.targets)
        targets += [each.target for each in found.refused]
        try:
            login = self._login(credential_name, max(0.0, until - self._monotonic()))
        except (CredentialError, NotFoundError) as error:
            return Tried(failures=[*failures, NotAsked(what="login of the job", error=str(error))])
        left = max(0.0, until - self._monotonic())
        return Tried(targets=self._preflight.check(targets, login, time_limit_seconds=left), failures=failures)

    def _login(self, credential_name: str | None, seconds: float) -> Login:
        """The login, within the time that is left: a vault that says nothing keeps its callers for a minute.

        Raises:
            CredentialError: it cannot be had, or not in time.
            NotFoundError: the credential was deleted.
            JobDatabaseUnavailableError: the job database does not answer.
        """
        (found,) = in_parallel(
            [credential_name],
            self._logins.login,
            at_most=1,
            stop=StopSignal(),
            name="login of a preflight",
            seconds=seconds,
        )
        if found is None:
            raise CredentialError(
                "The password did not come within the time limit; check that the key vault answers, or allow more time."
            )
        if isinstance(found, Exception):
            raise found
        return found

"""Which databases a target group would hit now: the servers are asked as a step would ask them, and nothing is run."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from elastic_jobs.agent.logins import Logins
from elastic_jobs.domain.outcome import StopReason
from elastic_jobs.domain.rehearsal import NotAsked, RefusedTarget, Rehearsed
from elastic_jobs.domain.targets import Member
from elastic_jobs.targets.connect import Connector
from elastic_jobs.targets.group import EnumerationError, GroupResolver
from elastic_jobs.targets.stop import Stopped, StopSignal

PATIENCE_SECONDS = 60.0
"""How long all servers together have: the front end of a Functions app gives up on an answer after 230 s."""


class Rehearsal:
    """Resolves target groups without running anything. Somebody waits for the answer, so nothing is tried twice."""

    def __init__(self, connector: Connector, logins: Logins, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._resolver, self._logins = GroupResolver(connector, retry_seconds=()), logins
        self._patience_seconds = patience_seconds

    def resolve(self, members: Sequence[Member], patience_seconds: float | None = None) -> Rehearsed:
        """The databases of these members, or what could not be asked.

        patience_seconds: how long all servers together have this time, when it is not as always.

        Raises:
            JobDatabaseUnavailableError: the job database does not answer.
        """
        patience = self._patience_seconds if patience_seconds is None else patience_seconds
        stop = StopSignal()
        timer = threading.Timer(patience, stop.set, [StopReason.TIMED_OUT])
        timer.daemon = True
        timer.start()
        try:
            found = self._resolver.resolve(members, self._logins.login, stop=stop)
        except EnumerationError as error:
            return Rehearsed(failures=[NotAsked(what=each.what, error=str(each.error)) for each in error.failures])
        except Stopped:
            return Rehearsed(
                failures=[NotAsked(what="target group", error=f"Its servers did not all answer within {patience:g} s.")]
            )
        finally:
            timer.cancel()
        return Rehearsed(
            targets=found.targets,
            refused=[RefusedTarget(target=each.target, reason=each.reason) for each in found.refused],
        )

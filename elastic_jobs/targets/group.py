"""The databases of a target group, now: asks every server and shard map manager that is needed, in parallel."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from elastic_jobs.domain.outcome import ErrorClass
from elastic_jobs.domain.targets import (
    Listing,
    Member,
    TargetDatabase,
    resolve,
    servers_to_list,
    servers_with_pools,
    shard_maps_to_list,
)
from elastic_jobs.errors import (
    CredentialError,
    ElasticJobsError,
    JobDatabaseUnavailableError,
    NotFoundError,
    ServerNotAllowedError,
)
from elastic_jobs.targets.authentication import Login
from elastic_jobs.targets.connect import Connector
from elastic_jobs.targets.enumeration import ENUMERATION_RETRY_SECONDS, list_databases
from elastic_jobs.targets.errors import TargetError
from elastic_jobs.targets.parallel import in_parallel
from elastic_jobs.targets.shard_maps import list_shards
from elastic_jobs.targets.stop import Stopped, StopSignal

_log = logging.getLogger(__name__)

SERVERS_AT_ONCE = 8
_FAILURES_TOLD = 10
"""More reasons than these make a message that nobody reads; the log has them all."""

LoginFor = Callable[[str | None], Login]
"""Finds the login for a refresh credential's name (None: none is named). May raise ``ElasticJobsError``."""


@dataclass(frozen=True)
class Refused:
    """A database that the group names, on a server that may not be reached. Nothing is ever sent there."""

    target: TargetDatabase
    reason: str


@dataclass(frozen=True)
class Resolution:
    """What a target group comes to. ``targets`` and the targets of ``refused`` have no database in common."""

    targets: list[TargetDatabase]
    refused: list[Refused]


@dataclass(frozen=True)
class Failure:
    """Something that could not be enumerated: ``server '...'`` or ``shard map '...' ...``, and the reason."""

    what: str
    error: ElasticJobsError

    @property
    def error_class(self) -> ErrorClass:
        if isinstance(self.error, TargetError):
            return self.error.error_class
        return ErrorClass.NOT_ALLOWED if isinstance(self.error, ServerNotAllowedError) else ErrorClass.LOGIN


class EnumerationError(ElasticJobsError):
    """A target group cannot be resolved. ``failures`` has all that failed, not only the first."""

    def __init__(self, failures: Sequence[Failure], asked: int) -> None:
        self.failures = tuple(failures)
        told = [str(failure.error) for failure in self.failures[:_FAILURES_TOLD]]
        if len(self.failures) > 1:
            told = [f"({number}) {sentence}" for number, sentence in enumerate(told, 1)]
            told.insert(0, f"{len(self.failures)} of {asked} servers and shard maps cannot be enumerated:")
        if len(self.failures) > _FAILURES_TOLD:
            told.append(f"And {len(self.failures) - _FAILURES_TOLD} more; the app's log has them all.")
        super().__init__(" ".join(told))


@dataclass(frozen=True)
class _Question:
    """A server, or the shard map of a member."""

    server: str
    credential: str | None
    shard_map: Member | None = None

    def __str__(self) -> str:
        if self.shard_map is None:
            return f"server '{self.server}'"
        return f"shard map '{self.shard_map.shard_map_name}' on server '{self.server}'"


class GroupResolver:
    """Resolves target groups. Keeps nothing: each call looks again, and asks each server and shard map once."""

    def __init__(
        self,
        connector: Connector,
        *,
        servers_at_once: int = SERVERS_AT_ONCE,
        retry_seconds: Sequence[float] = ENUMERATION_RETRY_SECONDS,
    ) -> None:
        self._connector = connector
        self._at_once, self._retry_seconds = servers_at_once, retry_seconds

    def resolve(self, members: Sequence[Member], login_for: LoginFor, *, stop: StopSignal | None = None) -> Resolution:
        """The databases of these members.

        Raises:
            EnumerationError: one or more servers or shard maps cannot be enumerated; it names each with its reason.
            JobDatabaseUnavailableError: ``login_for`` raised it.
            Stopped: ``stop`` was given.
        """
        signal, names = stop or StopSignal(), self._connector.servers.names
        maps = [
            _Question(names.canonical(member.server_name), member.refresh_credential_name, member)
            for member in shard_maps_to_list(members)
        ]
        first = [_Question(server, credential) for server, credential in servers_to_list(members, names).items()]
        listings, shards, failures = self._ask([*maps, *first], login_for, signal)
        # Only the shards tell on which servers an excluded pool may hold one of them.
        on_servers = {shard.server_name for found in shards.values() for shard in found}
        wanted = servers_to_list(members, names, on_servers)
        second = [_Question(s, wanted[s]) for s in wanted if s not in {question.server for question in first}]
        more, _, more_failures = self._ask(second, login_for, signal)
        listings |= more
        failures += more_failures
        failures += self._hidden_pools(members, listings)
        if failures:
            for failure in failures:
                _log.warning(
                    "%s cannot be enumerated: %s", failure.what, failure.error, extra={"action": "enumerate_failed"}
                )
            raise EnumerationError(failures, len(maps) + len(first) + len(second))
        return self._judge(resolve(members, listings, names, shards))

    def _ask(
        self, questions: Sequence[_Question], login_for: LoginFor, stop: StopSignal
    ) -> tuple[dict[str, Listing], dict[Member, list[TargetDatabase]], list[Failure]]:
        def answer(question: _Question) -> Listing | list[TargetDatabase]:
            login = login_for(question.credential)
            if question.shard_map is not None:
                return list_shards(
                    self._connector, question.shard_map, login, stop=stop, retry_seconds=self._retry_seconds
                )
            return list_databases(self._connector, question.server, login, stop=stop, retry_seconds=self._retry_seconds)

        stop.check()
        answers = in_parallel(questions, answer, at_most=self._at_once, stop=stop, name="enumeration")
        listings: dict[str, Listing] = {}
        shards: dict[Member, list[TargetDatabase]] = {}
        failures: list[Failure] = []
        for question, found in zip(questions, answers, strict=True):
            if isinstance(found, Listing):
                listings[question.server] = found
            elif isinstance(found, list) and question.shard_map is not None:
                shards[question.shard_map] = found
            elif isinstance(found, Exception):
                failures.append(Failure(str(question), _known(question, found)))
        return listings, shards, failures

    def _hidden_pools(self, members: Sequence[Member], listings: Mapping[str, Listing]) -> list[Failure]:
        pooled = servers_with_pools(members, self._connector.servers.names)
        return [
            Failure(
                f"server '{server}'",
                TargetError(
                    f"The elastic pools of server '{server}' cannot be seen: the login is shown the databases but not"
                    " their service objectives. Run in its database 'master': ALTER ROLE dbmanager ADD MEMBER"
                    " [the user of the refresh credential or identity];",
                    error_class=ErrorClass.PERMISSION,
                ),
            )
            for server, listing in listings.items()
            if server in pooled and not listing.pools_known
        ]

    def _judge(self, targets: Sequence[TargetDatabase]) -> Resolution:
        """Shard maps are data of somebody else: what they name is held against the list of allowed servers."""
        allowed: list[TargetDatabase] = []
        refused: list[Refused] = []
        for target in targets:
            try:
                self._connector.servers.require(target.server_name)
                allowed.append(target)
            except ServerNotAllowedError as error:
                refused.append(Refused(target, str(error)))
        return Resolution(allowed, refused)


def _known(question: _Question, error: Exception) -> ElasticJobsError:
    """The error as one of ours. Raises what is nobody's fault there."""
    if isinstance(error, Stopped | JobDatabaseUnavailableError) or not isinstance(error, ElasticJobsError):
        raise error
    if isinstance(error, CredentialError | NotFoundError):
        # These name no server.
        return CredentialError(f"There is no login to enumerate {question}: {error}")
    return error

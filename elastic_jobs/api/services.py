"""What the management API works with: handed in, so that it runs the same in a Functions app and under uvicorn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from elastic_jobs.agent.trial import Tried
from elastic_jobs.credentials.safes import PasswordSafe
from elastic_jobs.domain.ports import Clock, Ids
from elastic_jobs.domain.rehearsal import Rehearsed
from elastic_jobs.domain.targets import Member, ServerNames
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions.checks import Edit
from elastic_jobs.jobdb.definitions.private_endpoints import PrivateEndpoint
from elastic_jobs.settings import Settings


class Control(Protocol):
    """What the agent does for the API. Each call is a transaction of its own and writes its own audit entry."""

    def start_job(
        self, job_name: str, *, request_id: str | None = None, execution_id: UUID | None = None, caller: str
    ) -> UUID:
        """Start the job's current version; the id of the run, of the earlier one when this request repeats another.

        Raises:
            NotFoundError: there is no such job.
            InvalidDefinitionError: the job has no steps.
        """
        ...

    def rerun_execution(self, execution_id: UUID, *, request_id: str | None = None, caller: str) -> UUID:
        """Run a finished run again on the targets that did not succeed in it; the id of the new run, of the earlier one
        when this request repeats another.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: it has not ended.
            InvalidDefinitionError: it was run again already, or nothing is left to run.
        """
        ...

    def cancel_execution(self, execution_id: UUID, *, caller: str) -> None:
        """Ask for the cancellation of a run; of a finished one nothing happens.

        Raises:
            NotFoundError: there is no such run.
        """
        ...

    def job_deleted(self, job_id: UUID) -> None:
        """End the runs of a job that was just deleted, and see to it that its rows go."""
        ...


class Endpoints(Protocol):
    """Private endpoints in Azure, where the app makes them itself."""

    def ensure(self, name: str) -> PrivateEndpoint:
        """A wish of the job database, carried out, with its approval as it is now.

        Raises:
            NotFoundError: there is no such wish.
            PrivateEndpointError: the network API refuses or does not answer; a sentence.
        """
        ...

    def refresh(self, name: str) -> None:
        """Note the approval of a wish; nothing is changed in Azure. Raises as ``ensure`` does."""
        ...

    def try_refresh_all(self) -> None:
        """Note the approvals of all wishes. What fails is logged."""
        ...

    def try_align(self) -> object:
        """Carry out all wishes, note approvals, delete what nobody wishes for any more. What fails is logged."""
        ...


def _nothing_to_wake() -> None:
    """For an API without an agent behind it."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """The parts of a deployment that the API needs.

    check_server: raises ServerNotAllowedError or InvalidDefinitionError for a server that no credential may go to.
    rehearse: asks the servers of a target group now; takes up to some minutes.
    try_out: checks each database of a target group, given the credential of the job and a time limit in seconds.
    wake: does what is due, as the tick does; by default nobody ticks.
    stir: tells the scheduler that something was changed.
    endpoints: makes private endpoints in Azure; None: whoever deploys does that.
    """

    settings: Settings
    database: JobDatabase
    clock: Clock
    ids: Ids
    sealer: PasswordSafe
    check_server: Callable[[str], object]
    control: Control
    rehearse: Callable[[Sequence[Member]], Rehearsed]
    try_out: Callable[[Sequence[Member], str | None, float], Tried]
    wake: Callable[[], object] = _nothing_to_wake
    stir: Callable[[], object] = _nothing_to_wake
    endpoints: Endpoints | None = None

    @property
    def names(self) -> ServerNames:
        return ServerNames(self.settings.sql_server_suffix)

    def edit(self, caller: str) -> Edit:
        """A change of definitions that this caller makes now."""
        return Edit(
            caller=caller,
            now=self.clock.now(),
            new_id=self.ids,
            names=self.names,
            check_server=self.check_server,
        )

"""What the management API works with: handed in, so that it runs the same in a Functions app and under uvicorn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from elastic_jobs.domain.ports import Clock, Ids
from elastic_jobs.domain.targets import ServerNames
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions.checks import Edit
from elastic_jobs.jobdb.definitions.credentials import Sealer
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

    def cancel_execution(self, execution_id: UUID, *, caller: str) -> None:
        """Ask for the cancellation of a run; of a finished one nothing happens.

        Raises:
            NotFoundError: there is no such run.
        """
        ...

    def job_deleted(self, job_id: UUID) -> None:
        """End the runs of a job that was just deleted, and see to it that its rows go."""
        ...


@dataclass(frozen=True, kw_only=True)
class Services:
    """The parts of a deployment that the API needs.

    check_server: raises ServerNotAllowedError or InvalidDefinitionError for a server that no credential may go to.
    """

    settings: Settings
    database: JobDatabase
    clock: Clock
    ids: Ids
    sealer: Sealer
    check_server: Callable[[str], object]
    control: Control

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

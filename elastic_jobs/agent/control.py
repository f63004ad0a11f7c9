"""What people ask of the engine: start a job, cancel a run, end the runs of a job that is deleted by force."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from elastic_jobs.agent.flow import Flow
from elastic_jobs.agent.outbox import Outbox
from elastic_jobs.domain.ports import Clock, Ids
from elastic_jobs.errors import NotFoundError
from elastic_jobs.jobdb import history
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions import audit
from elastic_jobs.jobdb.executions import canceling, reruns, starting
from elastic_jobs.jobdb.executions.starting import Started


class Control:
    """The commands of the management API. Each is done when its transaction is committed; messages only speed it up."""

    def __init__(self, database: JobDatabase, outbox: Outbox, flow: Flow, clock: Clock, ids: Ids) -> None:
        self._database, self._outbox, self._flow, self._clock, self._ids = database, outbox, flow, clock, ids

    def start_job(
        self, job_name: str, *, request_id: str | None = None, execution_id: UUID | None = None, caller: str
    ) -> UUID:
        """Start the current version of a job; the id of the run.

        A request that repeats an earlier one (same request id or same execution id) answers with the earlier run.

        Raises:
            NotFoundError: there is no such job.
            InvalidDefinitionError: the job has no steps.
        """
        try:
            started = self._start(job_name, request_id, execution_id, caller)
        except IntegrityError:
            # The same request came twice at once and the other one was faster; now it is found.
            started = self._start(job_name, request_id, execution_id, caller)
        if started.step_execution_id is not None:
            self._outbox.wake_steps([started.step_execution_id])
        return started.execution_id

    def _start(self, job_name: str, request_id: str | None, execution_id: UUID | None, caller: str) -> Started:
        with self._database.write() as connection:
            earlier = starting.find_repeated(connection, job_name, execution_id=execution_id, request_id=request_id)
            if earlier is not None:
                return Started(execution_id=earlier, step_execution_id=None)
            started = starting.start(
                connection,
                self._database,
                job_name,
                ids=self._ids,
                execution_id=execution_id,
                request_id=request_id,
            )
            run = history.get_job_execution(connection, started.execution_id)
            audit.record(
                connection,
                time=self._clock.now(),
                caller=caller,
                action="start job",
                resource=f"jobs/{run.job_name}/executions/{run.id}",
                after={"jobVersion": run.job_version, "lifecycle": run.lifecycle},
            )
            return started

    def rerun_execution(self, execution_id: UUID, *, request_id: str | None = None, caller: str) -> UUID:
        """Run a finished run again on the targets that did not succeed in it; the id of the new run.

        A request that repeats an earlier one (same request id) answers with the earlier run.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: it has not ended.
            InvalidDefinitionError: it was run again already, or nothing is left to run.
        """
        try:
            started = self._rerun(execution_id, request_id, caller)
        except IntegrityError:
            # The same came twice at once and the other one was faster; now it is found.
            started = self._rerun(execution_id, request_id, caller)
        if started.step_execution_id is not None:
            self._outbox.wake_steps([started.step_execution_id])
        return started.execution_id

    def _rerun(self, execution_id: UUID, request_id: str | None, caller: str) -> Started:
        with self._database.write() as connection:
            old = history.get_job_execution(connection, execution_id)
            earlier = starting.find_repeated(connection, old.job_name, execution_id=None, request_id=request_id)
            if earlier is not None:
                return Started(execution_id=earlier, step_execution_id=None)
            started = reruns.start_rerun(connection, self._database, execution_id, ids=self._ids, request_id=request_id)
            if started.step_execution_id is None:  # the same request was faster, and has its entry
                return started
            audit.record(
                connection,
                time=self._clock.now(),
                caller=caller,
                action="rerun execution",
                resource=f"jobs/{old.job_name}/executions/{started.execution_id}",
                after={"rerunOf": str(execution_id)},
            )
            return started

    def cancel_execution(self, execution_id: UUID, *, caller: str) -> None:
        """Ask for the cancellation of a run. Of a finished run: nothing happens.

        Raises:
            NotFoundError: there is no such run.
        """
        with self._database.write() as connection:
            found = canceling.request_cancel(connection, self._database, execution_id)
            if found:
                self._record_cancel(connection, execution_id, caller)
        if not found:
            raise NotFoundError("execution", str(execution_id))
        self._flow.advance([execution_id])
        self._flow.fill_slots()

    def _record_cancel(self, connection: Connection, execution_id: UUID, caller: str) -> None:
        try:
            run = history.get_job_execution(connection, execution_id)
        except NotFoundError:  # of a job that was deleted by force
            resource, before = f"executions/{execution_id}", None
        else:
            # The request changes the run's flag only: this still is the state in which it was asked for.
            resource, before = f"jobs/{run.job_name}/executions/{run.id}", {"lifecycle": run.lifecycle}
        audit.record(
            connection,
            time=self._clock.now(),
            caller=caller,
            action="cancel execution",
            resource=resource,
            before=before,
        )

    def job_deleted(self, job_id: UUID) -> None:
        """End the runs of a job that was deleted by force; its rows go when the last of them has ended."""
        with self._database.read() as connection:
            active = canceling.active_runs(connection, job_id)
        for execution_id in active:
            self.cancel_execution(execution_id, caller="deletion of its job")

"""Runs scripts on targets: claim, run, record, hand the slot on, and go on with the next target of that slot.

The transaction that records an outcome also claims the target that gets the slot, so that a worker goes on without a
message until its time slice is over; a step over N databases thus costs about as many messages as there are slots.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from uuid import UUID

from sqlalchemy import Connection

from elastic_jobs.agent.flow import Flow
from elastic_jobs.agent.logins import Logins
from elastic_jobs.agent.outbox import Outbox
from elastic_jobs.agent.recorder import Recorder
from elastic_jobs.agent.registry import Registry, TooLateError
from elastic_jobs.agent.telling import step_context
from elastic_jobs.domain.lifecycle import Level
from elastic_jobs.domain.outcome import AttemptResult, ErrorClass, Outcome
from elastic_jobs.domain.ports import Ids
from elastic_jobs.domain.script import Batch, ScriptVariables, prepare
from elastic_jobs.errors import ElasticJobsError, JobDatabaseUnavailableError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.executions import claims, outcomes, slots
from elastic_jobs.jobdb.executions.claims import Claimant, TargetClaim
from elastic_jobs.jobdb.executions.recording import Ending
from elastic_jobs.jobdb.executions.work import StepRun, load_step_run
from elastic_jobs.targets.attempt import Attempt, TargetTask
from elastic_jobs.targets.connect import Connector
from elastic_jobs.targets.output import OutputTask
from elastic_jobs.telemetry import SILENT, Telemetry

_log = logging.getLogger(__name__)

TIME_SLICE = timedelta(minutes=4)
"""How long one queue message is worked on before the next target gets a message of its own: within the ten minutes for
which the host hides a message, and fair to other messages."""
RECORD_PATIENCE = timedelta(minutes=10)
"""How long a worker tries to record an outcome: longer than a failover of the job database takes."""
_RECORD_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class _Held:
    """A claim, and the monotonic time before it was asked for: its lease counts from then."""

    claim: TargetClaim
    asked_at: float


class TargetWorker:
    """The service behind the targets queue."""

    def __init__(
        self,
        database: JobDatabase,
        connector: Connector,
        logins: Logins,
        registry: Registry,
        outbox: Outbox,
        flow: Flow,
        ids: Ids,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
        telemetry: Telemetry = SILENT,
    ) -> None:
        self._database, self._connector, self._logins = database, connector, logins
        self._registry, self._outbox, self._flow, self._ids = registry, outbox, flow, ids
        self._monotonic, self._pause, self._telemetry = monotonic, pause, telemetry
        self._recorder = Recorder(database, monotonic=monotonic)
        # Everything about a step in a run is frozen, and a step over thousands of targets asks thousands of times.
        self._step_run = lru_cache(maxsize=256)(self._load_step_run)
        self._batches = lru_cache(maxsize=64)(self._prepare)

    def handle(self, target_execution_id: UUID) -> None:
        """Work on the target that a message names, if it waits for a worker, then on those that get its slot."""
        until = self._monotonic() + TIME_SLICE.total_seconds()
        asked_at = self._monotonic()
        claim = self._claim(target_execution_id)
        held = None
        if claim is not None:
            self._telemetry.target_claimed(waited_seconds=claim.waited_seconds)
            held = _Held(claim, asked_at)
        while held is not None:
            held = self._work(held, until)

    def _claim(self, target_execution_id: UUID) -> TargetClaim | None:
        token, holder = self._ids(), self._registry.holder

        def work(connection: Connection) -> TargetClaim | None:
            claim = claims.claim_target(connection, self._database, target_execution_id, token, holder)
            if claim is None and slots.take_one(connection, self._database, target_execution_id):
                # A retry that became due: it gave its slot away while it waited.
                claim = claims.claim_target(connection, self._database, target_execution_id, token, holder)
            return claim

        return self._database.transact(work)

    def _work(self, held: _Held, until: float) -> _Held | None:
        """Run a target and record its outcome; the next target of its slot, while the time slice lasts."""
        claim = held.claim
        run = self._step_run(claim.step_execution_id)
        if run is None:
            return None
        try:
            attempt = self._attempt(claim, run)
        except JobDatabaseUnavailableError:
            raise  # no fault of the target: the claim runs out and another worker takes it
        except ElasticJobsError as error:
            failed = AttemptResult(outcome=Outcome.FAILED, message=str(error), error_class=ErrorClass.LOGIN)
            return self._end(claim, run, failed, until)
        try:
            with self._registry.watching(
                Level.TARGET,
                claim.token,
                claimed_at=held.asked_at,
                timeout_seconds=run.step.definition.timeout_seconds,
                stop=attempt.stop,
            ):
                result = self._in_words(self._told(attempt, claim, run), claim, run)
                # Still watched, so that the claim lives on while the job database does not answer.
                return self._end(claim, run, result, until)
        except TooLateError:
            _log.warning(
                "Target execution %s was claimed but not begun in time; it is taken back when its lease ends.",
                claim.target_execution_id,
                extra={"action": "claim_too_old", "target": str(claim.target_execution_id)},
            )
            return None

    def _attempt(self, claim: TargetClaim, run: StepRun) -> Attempt:
        definition = run.step.definition
        batches = self._batches(claim.step_execution_id)
        output = definition.output
        return Attempt(
            self._connector,
            TargetTask(
                server_name=claim.server_name,
                database_name=claim.database_name,
                login=self._logins.recent(definition.credential_name),
                batches=batches,
                lock_resource=f"elastic_jobs:{claim.step_uid}",
                internal_execution_id=claim.target_execution_id,
                timeout_seconds=definition.timeout_seconds,
                output=None
                if output is None
                else OutputTask(output=output, login=self._logins.recent(output.credential_name)),
            ),
        )

    def _told(self, attempt: Attempt, claim: TargetClaim, run: StepRun) -> AttemptResult:
        """The result of an attempt, told to telemetry as well."""
        with self._telemetry.attempt(
            step_context(run),
            target_execution_id=claim.target_execution_id,
            server=claim.server_name,
            database=claim.database_name,
            number=claim.attempt,
        ) as attempting:
            attempting.result = attempt.run()
        return attempting.result

    def _end(self, claim: TargetClaim, run: StepRun, result: AttemptResult, until: float) -> _Held | None:
        """Record an outcome, and do what follows from it."""
        claimant = None
        if self._monotonic() < until:
            claimant = Claimant(token=self._ids(), holder=self._registry.holder)
        recorded, asked_at = self._record(claim, run, result, claimant)
        self._tell(claim, result, recorded)
        if recorded is None:
            return None
        if recorded.retry_after is not None:
            self._outbox.wake_targets([claim.target_execution_id], recorded.retry_after)
            self._telemetry.retried(step_context(run), server=claim.server_name, result=result)
        following = recorded.following
        if recorded.handed_on is not None and following is None:
            self._outbox.wake_targets([recorded.handed_on])
        if recorded.retry_after is None and (
            following is None or following.step_execution_id != claim.step_execution_id
        ):
            self._move_on(claim)
        return None if following is None else _Held(following, asked_at)

    def _move_on(self, claim: TargetClaim) -> None:
        try:
            self._flow.target_ended(claim.step_execution_id, claim.job_execution_id)
        except JobDatabaseUnavailableError as error:
            # The next target is claimed already and must not wait; the tick moves the run on.
            _log.warning(
                "The run %s could not be moved on: %s",
                claim.job_execution_id,
                error,
                extra={"action": "move_on_failed", "execution": str(claim.job_execution_id)},
            )

    def _record(
        self, claim: TargetClaim, run: StepRun, result: AttemptResult, claimant: Claimant | None
    ) -> tuple[outcomes.Recorded | None, float]:
        """Record an outcome, for as long as it takes the job database to answer again: the token is the guard.

        Also the monotonic time from which the lease of the following claim counts.
        """
        definition = run.step.definition
        ending = Ending(
            claim=claim,
            result=result,
            policy=definition.retry,
            max_parallelism=definition.max_parallelism,
            claimant=claimant,
        )
        began = self._monotonic()
        while True:
            try:
                answer = self._recorder.record(ending)
                # What an earlier try had claimed counts from then.
                return answer.recorded, began if ending.unsure else answer.asked_at
            except JobDatabaseUnavailableError as error:
                if self._monotonic() >= began + RECORD_PATIENCE.total_seconds():
                    _log.error(
                        "The outcome of target execution %s could not be recorded: %s",
                        claim.target_execution_id,
                        error,
                        extra={"action": "outcome_lost", "target": str(claim.target_execution_id)},
                    )
                    return None, began
                self._pause(_RECORD_RETRY_SECONDS)
                ending = replace(ending, unsure=True)

    def _load_step_run(self, step_execution_id: UUID) -> StepRun | None:
        with self._database.read() as connection:
            return load_step_run(connection, step_execution_id)

    def _prepare(self, step_execution_id: UUID) -> tuple[Batch, ...]:
        run = self._step_run(step_execution_id)
        return () if run is None else prepare(run.step.definition.command, _variables(run))

    def _in_words(self, result: AttemptResult, claim: TargetClaim, run: StepRun) -> AttemptResult:
        """A success in the words of Azure elastic jobs, which people search their history for."""
        if result.outcome is not Outcome.SUCCEEDED:
            return result
        server = self._connector.servers.names.short(claim.server_name)
        target = f"(server '{server}', database '{claim.database_name}')"
        return replace(result, message=f"Step {run.step.step_id} succeeded execution on target {target}.")

    def _tell(self, claim: TargetClaim, result: AttemptResult, recorded: outcomes.Recorded | None) -> None:
        _log.info(
            "Attempt %d on server '%s', database '%s' ended: %s.",
            claim.attempt,
            claim.server_name,
            claim.database_name,
            "its claim was lost" if recorded is None else f"{result.outcome}, the target is {recorded.lifecycle}",
            extra={
                "action": "attempt_ended",
                "execution": str(claim.job_execution_id),
                "target": str(claim.target_execution_id),
                "outcome": result.outcome.value,
                "error_number": result.error_number,
            },
        )


def _variables(run: StepRun) -> ScriptVariables:
    return ScriptVariables(
        job_name=run.job_name,
        job_id=run.step.job_id,
        job_version=run.step.job_version,
        step_id=run.step.step_id,
        step_name=run.step.definition.name,
        job_execution_id=run.job_execution_id,
        job_execution_create_time=run.job_execution_create_time,
        target_group_name=run.step.definition.target_group_name,
    )

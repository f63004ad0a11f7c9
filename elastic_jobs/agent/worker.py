"""Runs scripts on targets: claim, run, record, hand the slot on, and go on with the next target of that slot.

A worker that handed its slot on runs that next target itself, without a message, until its time slice is over; a step
over N databases thus costs about as many messages as there are slots, not N.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from uuid import UUID

from elastic_jobs.agent.flow import Flow
from elastic_jobs.agent.logins import Logins
from elastic_jobs.agent.outbox import Outbox
from elastic_jobs.agent.registry import Registry, TooLateError
from elastic_jobs.domain.lifecycle import Level
from elastic_jobs.domain.outcome import AttemptResult, ErrorClass, Outcome
from elastic_jobs.domain.ports import Ids
from elastic_jobs.domain.script import ScriptVariables, prepare
from elastic_jobs.errors import ElasticJobsError, JobDatabaseUnavailableError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.executions import claims, outcomes, slots
from elastic_jobs.jobdb.executions.claims import TargetClaim
from elastic_jobs.jobdb.executions.work import StepRun, load_step_run
from elastic_jobs.targets.attempt import Attempt, TargetTask
from elastic_jobs.targets.connect import Connector
from elastic_jobs.targets.output import OutputTask

_log = logging.getLogger(__name__)

TIME_SLICE = timedelta(minutes=4)
"""How long one queue message is worked on before the next target gets a message of its own: within the ten minutes for
which the host hides a message, and fair to other messages."""
RECORD_PATIENCE = timedelta(minutes=10)
"""How long a worker tries to record an outcome: longer than a failover of the job database takes."""
_RECORD_RETRY_SECONDS = 1.0


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
    ) -> None:
        self._database, self._connector, self._logins = database, connector, logins
        self._registry, self._outbox, self._flow, self._ids = registry, outbox, flow, ids
        self._monotonic, self._pause = monotonic, pause
        # Everything about a step in a run is frozen, and a step over thousands of targets asks thousands of times.
        self._step_run = lru_cache(maxsize=256)(self._load_step_run)

    def handle(self, target_execution_id: UUID) -> None:
        """Work on the target that a message names, if it waits for a worker, then on those that get its slot."""
        until = self._monotonic() + TIME_SLICE.total_seconds()
        claimed_at = self._monotonic()
        claim = self._claim(target_execution_id)
        while claim is not None:
            recorded = self._work(claim, claimed_at)
            following = None if recorded is None else recorded.handed_on
            claim = None
            if following is not None:
                if self._monotonic() < until:
                    claimed_at = self._monotonic()
                    claim = self._claim(following)
                else:
                    self._outbox.wake_targets([following])

    def _claim(self, target_execution_id: UUID) -> TargetClaim | None:
        token, holder = self._ids(), self._registry.holder
        with self._database.write() as connection:
            claim = claims.claim_target(connection, self._database, target_execution_id, token, holder)
            if claim is None and slots.take_one(connection, self._database, target_execution_id):
                # A retry that became due: it gave its slot away while it waited.
                claim = claims.claim_target(connection, self._database, target_execution_id, token, holder)
        return claim

    def _work(self, claim: TargetClaim, claimed_at: float) -> outcomes.Recorded | None:
        run = self._step_run(claim.step_execution_id)
        if run is None:
            return None
        try:
            attempt = self._attempt(claim, run)
        except JobDatabaseUnavailableError:
            raise  # no fault of the target: the claim runs out and another worker takes it
        except ElasticJobsError as error:
            failed = AttemptResult(outcome=Outcome.FAILED, message=str(error), error_class=ErrorClass.LOGIN)
            return self._record(claim, run, failed)
        try:
            with self._registry.watching(
                Level.TARGET,
                claim.token,
                claimed_at=claimed_at,
                timeout_seconds=run.step.definition.timeout_seconds,
                stop=attempt.stop,
            ):
                result = self._in_words(attempt.run(), claim, run)
                # Still watched, so that the claim lives on while the job database does not answer.
                return self._record(claim, run, result)
        except TooLateError:
            _log.warning(
                "Target execution %s was claimed but not begun in time; it is taken back when its lease ends.",
                claim.target_execution_id,
                extra={"action": "claim_too_old", "target": str(claim.target_execution_id)},
            )
            return None

    def _attempt(self, claim: TargetClaim, run: StepRun) -> Attempt:
        definition = run.step.definition
        batches = prepare(definition.command, _variables(run))
        output = definition.output
        return Attempt(
            self._connector,
            TargetTask(
                server_name=claim.server_name,
                database_name=claim.database_name,
                login=self._logins.login(definition.credential_name),
                batches=batches,
                lock_resource=f"elastic_jobs:{claim.step_uid}",
                internal_execution_id=claim.target_execution_id,
                timeout_seconds=definition.timeout_seconds,
                output=None
                if output is None
                else OutputTask(output=output, login=self._logins.login(output.credential_name)),
            ),
        )

    def _record(self, claim: TargetClaim, run: StepRun, result: AttemptResult) -> outcomes.Recorded | None:
        """Record an outcome, for as long as it takes the job database to answer again: the token is the guard."""
        definition = run.step.definition
        until = self._monotonic() + RECORD_PATIENCE.total_seconds()
        while True:
            try:
                with self._database.write() as connection:
                    recorded = outcomes.record(
                        connection,
                        self._database,
                        claim,
                        result,
                        definition.retry,
                        max_parallelism=definition.max_parallelism,
                    )
                break
            except JobDatabaseUnavailableError as error:
                if self._monotonic() >= until:
                    _log.error(
                        "The outcome of target execution %s could not be recorded: %s",
                        claim.target_execution_id,
                        error,
                        extra={"action": "outcome_lost", "target": str(claim.target_execution_id)},
                    )
                    return None
                self._pause(_RECORD_RETRY_SECONDS)
        self._tell(claim, result, recorded)
        if recorded is None:
            return None
        if recorded.retry_after is not None:
            self._outbox.wake_targets([claim.target_execution_id], recorded.retry_after)
        else:
            self._flow.target_ended(claim.step_execution_id, claim.job_execution_id)
        return recorded

    def _load_step_run(self, step_execution_id: UUID) -> StepRun | None:
        with self._database.read() as connection:
            return load_step_run(connection, step_execution_id)

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

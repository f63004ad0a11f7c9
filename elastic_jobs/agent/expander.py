"""Resolves a step's target group, now, and plans one target execution per database."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from elastic_jobs.agent.flow import Flow
from elastic_jobs.agent.logins import Logins
from elastic_jobs.agent.outbox import Outbox
from elastic_jobs.agent.registry import Registry, TooLateError
from elastic_jobs.agent.telling import step_context
from elastic_jobs.domain.lifecycle import Level
from elastic_jobs.domain.outcome import StopReason
from elastic_jobs.domain.ports import Ids
from elastic_jobs.domain.targets import TargetDatabase
from elastic_jobs.errors import ElasticJobsError, JobDatabaseUnavailableError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions.target_groups import members_of
from elastic_jobs.jobdb.executions import claims, planning
from elastic_jobs.jobdb.executions.claims import StepClaim
from elastic_jobs.jobdb.executions.work import StepRun, load_step_run
from elastic_jobs.targets.connect import Connector
from elastic_jobs.targets.group import GroupResolver
from elastic_jobs.targets.stop import Stopped, StopSignal
from elastic_jobs.telemetry import SILENT, Telemetry

_log = logging.getLogger(__name__)

RESOLVE_TIMEOUT = timedelta(minutes=10)
"""How long the servers of a target group have to list their databases, all together."""


class StepExpander:
    """The service behind the steps queue."""

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
        telemetry: Telemetry = SILENT,
    ) -> None:
        self._database, self._logins, self._resolver = database, logins, GroupResolver(connector)
        self._registry, self._outbox, self._flow, self._ids = registry, outbox, flow, ids
        self._monotonic, self._telemetry = monotonic, telemetry

    def handle(self, step_execution_id: UUID) -> None:
        """Resolve and plan the step that a message names, if it waits for that."""
        token, claimed_at = self._ids(), self._monotonic()

        def take_up(connection: Connection) -> tuple[StepClaim | None, StepRun | None]:
            claim = claims.claim_step(connection, self._database, step_execution_id, token, self._registry.holder)
            return claim, None if claim is None else load_step_run(connection, step_execution_id)

        claim, run = self._database.transact(take_up)
        if claim is None or run is None:
            return
        if claim.begins_run_after is not None:
            self._telemetry.step_taken_up(run.job_name, seconds=claim.begins_run_after.total_seconds())
        stop = StopSignal()
        try:
            with self._registry.watching(
                Level.STEP,
                token,
                claimed_at=claimed_at,
                timeout_seconds=RESOLVE_TIMEOUT.total_seconds(),
                stop=stop.set,
            ):
                self._expand(claim, run, stop)
        except TooLateError:
            _log.warning("Step execution %s was claimed but not begun in time.", step_execution_id)

    def _expand(self, claim: StepClaim, run: StepRun, stop: StopSignal) -> None:
        try:
            with self._telemetry.resolving(step_context(run)):
                targets = self._resolve(run, stop)
        except JobDatabaseUnavailableError:
            raise
        except Stopped:
            if stop.reason is StopReason.TIMED_OUT:
                self._failed(claim, run, f"Its servers did not answer within {RESOLVE_TIMEOUT.total_seconds():g} s.")
            elif stop.reason is StopReason.CANCELED:
                self._canceled(claim)
            return
        except ElasticJobsError as error:
            self._failed(claim, run, str(error))
            return
        try:
            planned = self._database.transact(lambda connection: self._plan(connection, claim, run, targets))
        except IntegrityError:
            self._failed(claim, run, "Another run of this step was being planned on the same databases.")
            return
        if planned is not None:
            _log.info(
                "Step %d of execution %s has %d targets to run, %d skipped.",
                run.step.step_id,
                run.job_execution_id,
                planned.waiting,
                planned.skipped,
                extra={"action": "step_planned", "execution": str(run.job_execution_id)},
            )
            self._outbox.wake_targets(planned.dispatched)
        if planned is None or not planned.waiting:
            self._flow.advance([claim.job_execution_id])

    def _plan(
        self, connection: Connection, claim: StepClaim, run: StepRun, targets: list[TargetDatabase]
    ) -> planning.Planned | None:
        planned = planning.plan(connection, self._database, claim, run.step, targets, self._ids)
        if planned is None:
            planning.abandon_canceled(connection, self._database, claim)
        return planned

    def _canceled(self, claim: StepClaim) -> None:
        with self._database.write() as connection:
            planning.abandon_canceled(connection, self._database, claim)
        self._flow.advance([claim.job_execution_id])

    def _resolve(self, run: StepRun, stop: StopSignal) -> list[TargetDatabase]:
        with self._database.read() as connection:
            members = members_of(connection, run.step.target_group_id)
        resolution = self._resolver.resolve(members, self._logins.login, stop=stop)
        for refused in resolution.refused:
            _log.warning(
                "Step %d names a database that may not be reached: %s",
                run.step.step_id,
                refused.reason,
                extra={"action": "target_refused", "execution": str(run.job_execution_id)},
            )
        # Planned too, so that they fail in everybody's sight: the connector refuses them before anything is sent.
        return [*resolution.targets, *(refused.target for refused in resolution.refused)]

    def _failed(self, claim: StepClaim, run: StepRun, reason: str) -> None:
        policy, failures = run.step.definition.retry, claim.failed_attempts + 1
        retry_after: timedelta | None = None
        message = f"Step {run.step.step_id} could not resolve target group '{run.step.definition.target_group_name}': "
        message += reason
        if policy.may_retry(failures):
            retry_after = policy.delay(failures)
            message += f" Retry {failures} of {policy.attempts} begins after {retry_after.total_seconds():g} s."
        with self._database.write() as connection:
            planning.planning_failed(connection, self._database, claim, message, retry_after)
        _log.warning("%s", message, extra={"action": "expand_failed", "execution": str(run.job_execution_id)})
        if retry_after is not None:
            self._outbox.wake_steps([claim.step_execution_id], retry_after)
        self._flow.advance([claim.job_execution_id])

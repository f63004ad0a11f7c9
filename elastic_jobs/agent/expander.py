"""Resolves a step's target group, now, and plans one target execution per database."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from elastic_jobs.agent.flow import Flow
from elastic_jobs.agent.logins import Logins
from elastic_jobs.agent.outbox import Outbox
from elastic_jobs.agent.registry import Registry, TooLateError
from elastic_jobs.domain.lifecycle import Level
from elastic_jobs.domain.outcome import StopReason
from elastic_jobs.domain.ports import Ids
from elastic_jobs.domain.targets import Listing, ServerNames, TargetDatabase, resolve, servers_to_list
from elastic_jobs.errors import ElasticJobsError, JobDatabaseUnavailableError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions.target_groups import members_of
from elastic_jobs.jobdb.executions import claims, planning
from elastic_jobs.jobdb.executions.claims import StepClaim
from elastic_jobs.jobdb.executions.work import StepRun, load_step_run
from elastic_jobs.targets.connect import Connector
from elastic_jobs.targets.enumeration import list_databases
from elastic_jobs.targets.stop import Stopped, StopSignal

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
        names: ServerNames,
        registry: Registry,
        outbox: Outbox,
        flow: Flow,
        ids: Ids,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._connector, self._logins, self._names = database, connector, logins, names
        self._registry, self._outbox, self._flow, self._ids = registry, outbox, flow, ids
        self._monotonic = monotonic

    def handle(self, step_execution_id: UUID) -> None:
        """Resolve and plan the step that a message names, if it waits for that."""
        token, claimed_at = self._ids(), self._monotonic()
        with self._database.write() as connection:
            claim = claims.claim_step(connection, self._database, step_execution_id, token, self._registry.holder)
            run = None if claim is None else load_step_run(connection, step_execution_id)
        if claim is None or run is None:
            return
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
            with self._database.write() as connection:
                planned = planning.plan(connection, self._database, claim, run.step, targets, self._ids)
                if planned is None:
                    planning.abandon_canceled(connection, self._database, claim)
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

    def _canceled(self, claim: StepClaim) -> None:
        with self._database.write() as connection:
            planning.abandon_canceled(connection, self._database, claim)
        self._flow.advance([claim.job_execution_id])

    def _resolve(self, run: StepRun, stop: StopSignal) -> list[TargetDatabase]:
        with self._database.read() as connection:
            members = members_of(connection, run.step.target_group_id)
        listings: dict[str, Listing] = {}
        for server, refresh_credential in servers_to_list(members, self._names).items():
            listings[server] = list_databases(
                self._connector, server, self._logins.login(refresh_credential), stop=stop
            )
        return resolve(members, listings, self._names)

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

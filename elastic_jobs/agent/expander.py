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
from elastic_jobs.agent.registry import Registry
from elastic_jobs.domain.lifecycle import Level
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

_log = logging.getLogger(__name__)


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
        with self._registry.watching(Level.STEP, step_execution_id, token, claimed_at=claimed_at):
            self._expand(claim, run)

    def _expand(self, claim: StepClaim, run: StepRun) -> None:
        try:
            targets = self._resolve(run)
        except JobDatabaseUnavailableError:
            raise
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

    def _resolve(self, run: StepRun) -> list[TargetDatabase]:
        with self._database.read() as connection:
            members = members_of(connection, run.step.target_group_id)
        listings: dict[str, Listing] = {}
        for server, refresh_credential in servers_to_list(members, self._names).items():
            listings[server] = list_databases(self._connector, server, self._logins.login(refresh_credential))
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

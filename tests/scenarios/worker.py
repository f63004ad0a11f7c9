"""The agent's part of a scenario: runs are worked on move by move, as the services do it, without any target."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import select

from elastic_jobs.domain.outcome import AttemptResult, CapturedMessage, MessageKind, Outcome
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.domain.targets import TargetDatabase
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions import steps
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions
from elastic_jobs.jobdb.executions import advancing, claims, planning, repairs
from elastic_jobs.jobdb.executions.claims import Holder
from tests.jobdb.record import record

HOLDER = Holder(instance=UUID(int=1), lease=timedelta(seconds=30))
TARGETS = [
    TargetDatabase(server_name="server1.database.windows.net", database_name="database1"),
    TargetDatabase(server_name="server1.database.windows.net", database_name="database2", elastic_pool_name="Pool 1"),
]
NO_RETRIES = RetryPolicy(attempts=0)


def work(database: JobDatabase, execution: UUID, outcome: Outcome) -> None:
    """Run all steps of a run on two databases; every attempt has this outcome."""
    while (step_execution := _waiting_step(database, execution)) is not None:
        for target in _planned(database, step_execution):
            _attempt(database, target, outcome)
        with database.write() as connection:
            advancing.advance(connection, database, execution, uuid4)


def end_canceled_runs(database: JobDatabase) -> None:
    """End the runs that were canceled before anything of them began, as the tick does."""
    with database.read() as connection:
        stranded = list(repairs.stranded_runs(connection))
    for execution in stranded:
        with database.write() as connection:
            advancing.advance(connection, database, execution, uuid4)


def _waiting_step(database: JobDatabase, execution: UUID) -> UUID | None:
    own = step_executions.c
    with database.read() as connection:
        waits = select(own.id).where(own.job_execution_id == execution, own.lifecycle == "Created")
        return connection.execute(waits).scalar_one_or_none()


def _planned(database: JobDatabase, step_execution: UUID) -> list[UUID]:
    with database.write() as connection:
        claim = claims.claim_step(connection, database, step_execution, uuid4(), HOLDER)
        assert claim is not None
    with database.read() as connection:
        version = select(job_executions.c.job_version).where(job_executions.c.id == claim.job_execution_id)
        listed = steps.list_steps(connection, claim.job_id, connection.execute(version).scalar_one())
    with database.write() as connection:
        planned = planning.plan(connection, database, claim, listed[claim.step_id - 1], TARGETS, uuid4)
    assert planned is not None
    return planned.dispatched


def _attempt(database: JobDatabase, target: UUID, outcome: Outcome) -> None:
    with database.write() as connection:
        claim = claims.claim_target(connection, database, target, uuid4(), HOLDER)
        assert claim is not None
        said = CapturedMessage(kind=MessageKind.MESSAGE, batch=1, text="It said Ä.")
        result = AttemptResult(outcome=outcome, message=f"It {outcome}.", messages=(said,))
        assert record(connection, database, claim, result, NO_RETRIES) is not None

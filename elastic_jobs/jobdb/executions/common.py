"""What the statements on executions share."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from sqlalchemy import Connection, CursorResult, Table, literal_column, update
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import ColumnElement

from elastic_jobs.domain.lifecycle import ACTIVE, Level, Lifecycle, sources
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions

YES: ColumnElement[Any] = literal_column("1")
"""Written into the statement, not bound: the predicate of a partial index is only recognised literally."""
NO: ColumnElement[Any] = literal_column("0")

WAITING = (Lifecycle.CREATED, Lifecycle.WAITING_FOR_RETRY)
"""Not begun, or between two attempts: nobody works on it."""

UNCLAIMED: dict[str, Any] = {"claim_token": None, "claimed_by": None, "lease_until": None}

_TABLES: dict[Level, Table] = {
    Level.JOB: job_executions,
    Level.STEP: step_executions,
    Level.TARGET: target_executions,
}


def changed(connection: Connection, statement: UpdateBase) -> int:
    """Execute an UPDATE, INSERT or DELETE; the number of rows it changed. Zero is an answer, not an error."""
    return cast("CursorResult[Any]", connection.execute(statement)).rowcount


def reachable(level: Level, to: Lifecycle) -> ColumnElement[bool]:
    """The guard of a move: the row is in a state from which ``to`` may follow."""
    table = _TABLES[level]
    return table.c.lifecycle.in_(sorted(sources(level, to)))


def into(database: JobDatabase, to: Lifecycle) -> dict[str, Any]:
    """The columns that every move sets: the state, what follows from it, and the end time when it is an end."""
    active = to in ACTIVE
    return {
        "lifecycle": to.value,
        "is_active": 1 if active else 0,
        "end_time": None if active else database.now(),
    }


def lock_run(connection: Connection, job_execution_id: UUID) -> None:
    """Keep others from changing a run until this transaction ends.

    Whoever changes a run and its steps locks the run first, then the steps, then the targets.
    """
    run = job_executions.c
    connection.execute(update(job_executions).where(run.id == job_execution_id).values(is_active=run.is_active))

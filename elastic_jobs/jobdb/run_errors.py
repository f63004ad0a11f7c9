"""The errors of a run's targets, counted by the database where they are the same word for word."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, func, select

from elastic_jobs.jobdb.execution_tables import step_executions, target_executions
from elastic_jobs.jobdb.target_errors import WITH_ERROR, error_text

_T, _S = target_executions.c, step_executions.c


class CountedError(NamedTuple):
    """An error that ``targets`` targets in this state have; ``database``: one of them."""

    number: int | None
    message: str | None
    lifecycle: str
    targets: int
    database: str


class TargetError(NamedTuple):
    """The error of one target."""

    id: UUID
    number: int | None
    message: str | None
    lifecycle: str
    step_id: int
    server_name: str
    database_name: str


def count_errors(connection: Connection, job_execution_id: UUID) -> list[CountedError]:
    """The different errors of a run, as the targets tell them that failed, timed out, or wait for a retry."""
    # The inner select names the message: SQL Server takes no expression with parameters for the one of GROUP BY.
    each = (
        select(_T.error_number, error_text().label("message"), _T.lifecycle, _T.database_name)
        .where(_T.job_execution_id == job_execution_id, _T.lifecycle.in_(WITH_ERROR))
        .subquery("each_target")
    )
    kind = (each.c.error_number, each.c.message, each.c.lifecycle)
    rows = connection.execute(select(*kind, func.count(), func.min(each.c.database_name)).group_by(*kind))
    return [CountedError._make(row) for row in rows]


def list_errors(connection: Connection, job_execution_id: UUID) -> list[TargetError]:
    """The same, target by target, in the order of step, server and database."""
    rows = connection.execute(
        select(_T.id, _T.error_number, error_text(), _T.lifecycle, _S.step_id, _T.server_name, _T.database_name)
        .join(step_executions, _S.id == _T.step_execution_id)
        .where(_T.job_execution_id == job_execution_id, _T.lifecycle.in_(WITH_ERROR))
        .order_by(_S.step_id, _T.server_name, _T.database_name)
    )
    return [TargetError._make(row) for row in rows]

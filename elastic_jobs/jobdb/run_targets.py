"""The targets of one run as the portal shows them: a page of many, one in full, and all of them as spans of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, Select, func, or_, select

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.errors import NotFoundError
from elastic_jobs.jobdb.execution_tables import step_executions, target_executions
from elastic_jobs.jobdb.likes import contains
from elastic_jobs.jobdb.types import EpochSeconds

_SHOWN_CHARACTERS = 400
"""Of a last message in a list; the page of the target has all of it."""
_T, _S = target_executions.c, step_executions.c


@dataclass(frozen=True, kw_only=True)
class TargetLine:
    """One target of a run."""

    id: UUID
    step_id: int
    step_name: str
    server_name: str
    database_name: str
    elastic_pool_name: str | None
    lifecycle: Lifecycle
    current_attempts: int
    create_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    current_attempt_start_time: datetime | None
    next_attempt_start_time: datetime | None
    error_number: int | None
    last_message: str | None


@dataclass(frozen=True, kw_only=True)
class TargetFilter:
    """Which targets. states: empty for all; text: a part of the database's or server's name; ids: only these."""

    step_id: int | None = None
    states: frozenset[Lifecycle] = frozenset()
    text: str = ""
    ids: Sequence[UUID] | None = None


class Span(NamedTuple):
    """When a target waited and ran, for the timeline: seconds since 1970, as far as it has come.

    attempt: when its last attempt began.
    """

    name: str
    lifecycle: str
    created: float
    started: float | None
    attempt: float | None
    ended: float | None


def list_targets(
    connection: Connection, job_execution_id: UUID, wanted: TargetFilter, *, limit: int, skip: int = 0
) -> list[TargetLine]:
    """A page in the order of step, server and database, which does not move while the run goes on."""
    statement = _filtered(_lines(), job_execution_id, wanted)
    statement = statement.order_by(_S.step_id, _T.server_name, _T.database_name).limit(limit)
    if skip:
        statement = statement.offset(skip)
    return [_line(row) for row in connection.execute(statement)]


def count_targets(connection: Connection, job_execution_id: UUID, wanted: TargetFilter) -> int:
    """How many targets the filter lets through."""
    own = select(func.count()).select_from(target_executions).join(step_executions, _S.id == _T.step_execution_id)
    count: int = connection.execute(_filtered(own, job_execution_id, wanted)).scalar_one()
    return count


def get_target(connection: Connection, job_execution_id: UUID, target_execution_id: UUID) -> TargetLine:
    """One target with its whole message.

    Raises:
        NotFoundError: the run has no such target.
    """
    statement = _lines(whole=True).where(_T.id == target_execution_id, _S.job_execution_id == job_execution_id)
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise NotFoundError("target execution", str(target_execution_id))
    return _line(row)


def list_spans(connection: Connection, job_execution_id: UUID) -> list[Span]:
    """All targets of a run as spans of time, in no order; one statement."""
    times = (_T.create_time, _T.start_time, _T.current_attempt_start_time, _T.end_time)
    rows = connection.execute(
        select(_T.database_name, _T.lifecycle, *(EpochSeconds(time) for time in times)).where(
            _T.job_execution_id == job_execution_id
        )
    )
    return [Span._make(row) for row in rows]


def _lines(*, whole: bool = False) -> Select[Any]:
    message = _T.last_message if whole else func.substring(_T.last_message, 1, _SHOWN_CHARACTERS)
    return select(
        _T.id,
        _S.step_id,
        _S.step_name,
        _T.server_name,
        _T.database_name,
        _T.elastic_pool_name,
        _T.lifecycle,
        _T.current_attempts,
        _T.create_time,
        _T.start_time,
        _T.end_time,
        _T.current_attempt_start_time,
        _T.next_attempt_start_time,
        _T.error_number,
        message.label("last_message"),
    ).join_from(target_executions, step_executions, _S.id == _T.step_execution_id)


def _filtered(statement: Select[Any], job_execution_id: UUID, wanted: TargetFilter) -> Select[Any]:
    # Through the steps, so that the index by step and state serves counts and filters.
    statement = statement.where(_S.job_execution_id == job_execution_id)
    if wanted.step_id is not None:
        statement = statement.where(_S.step_id == wanted.step_id)
    if wanted.states:
        statement = statement.where(_T.lifecycle.in_(sorted(wanted.states)))
    if wanted.text:
        statement = statement.where(or_(contains(_T.database_name, wanted.text), contains(_T.server_name, wanted.text)))
    if wanted.ids is not None:
        statement = statement.where(_T.id.in_(wanted.ids))
    return statement


def _line(row: Row[Any]) -> TargetLine:
    values = dict(row._mapping)
    values["lifecycle"] = Lifecycle(values["lifecycle"])
    return TargetLine(**values)

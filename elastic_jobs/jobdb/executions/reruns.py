"""A finished run is tried again where it did not succeed: the same version, and in each step only what was left undone.

What a rerun may touch is frozen when it starts (``rerun_targets``), for the steps that the run before it had planned;
later steps run as in any run. Everything else is as with any run: planning, overlap, slots, retries, cancellation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, and_, exists, func, insert, literal, or_, select, update

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.domain.ports import Ids
from elastic_jobs.domain.targets import TargetDatabase
from elastic_jobs.errors import ConflictError, InvalidDefinitionError, NotFoundError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import job_executions, rerun_targets, step_executions, target_executions
from elastic_jobs.jobdb.executions.common import changed, into, lock_run
from elastic_jobs.jobdb.executions.starting import Started, insert_next_step
from elastic_jobs.jobdb.tables import jobs

_RUN, _STEP, _TARGET = job_executions.c, step_executions.c, target_executions.c


def start_rerun(
    connection: Connection,
    database: JobDatabase,
    job_execution_id: UUID,
    *,
    ids: Ids,
    request_id: str | None = None,
) -> Started:
    """Start a new run of the same version on the targets that did not succeed in a finished run.

    The same request twice at once starts one run: the second is answered with it, and has no step to wake up.

    Raises:
        NotFoundError: there is no such run, or its job was deleted.
        ConflictError: the run has not ended.
        InvalidDefinitionError: it has a rerun already, all of it succeeded, or a part of its history was removed.
        sqlalchemy.exc.IntegrityError: the same was asked for at this moment by somebody else.
    """
    lock_run(connection, job_execution_id)
    old = connection.execute(select(job_executions).where(_RUN.id == job_execution_id)).one_or_none()
    if old is None:
        raise NotFoundError("execution", str(job_execution_id))
    if old.is_active:
        raise ConflictError(
            f"The execution '{old.id}' has not ended; wait for its end or cancel it, then rerun what did not succeed."
        )
    other = connection.execute(select(job_executions).where(_RUN.rerun_of == old.id)).one_or_none()
    if other is not None:
        return _repeated(old, other, request_id)
    # Keeps the job from being deleted until the run is committed.
    kept = update(jobs).where(jobs.c.id == old.job_id, jobs.c.delete_time.is_(None)).values(version=jobs.c.version)
    if not changed(connection, kept):
        raise NotFoundError("job", old.job_name)
    execution_id = ids()
    connection.execute(
        insert(job_executions).values(
            id=execution_id,
            job_id=old.job_id,
            job_name=old.job_name,
            job_version=old.job_version,
            **into(database, Lifecycle.CREATED),
            create_time=database.now(),
            last_message=f"Rerun of the unsuccessful targets of execution {old.id} created.",
            request_id=request_id,
            rerun_of=old.id,
            rerun_reached=_reached(connection, old),
        )
    )
    connection.execute(
        insert(rerun_targets).from_select(
            ["job_execution_id", "step_id", "server_name", "database_name"], _undone(old.id, execution_id)
        )
    )
    # Only now: history is removed without the lock, and what is whole here was whole when the list was read.
    _refuse_incomplete(connection, old)
    first = insert_next_step(
        connection, database, execution_id, job_id=old.job_id, job_version=old.job_version, after=0, ids=ids
    )
    if first is None:
        raise InvalidDefinitionError(
            f"All targets of the execution '{old.id}' succeeded, so there is nothing to run again; "
            "start the job instead."
        )
    return Started(execution_id=execution_id, step_execution_id=first)


def allowed(
    connection: Connection, job_execution_id: UUID, step_id: int, targets: Sequence[TargetDatabase]
) -> Sequence[TargetDatabase]:
    """Of the databases that a target group resolved to, those that this step of this run may touch.

    All of them, unless the run is a rerun and the run before it had planned this step.
    """
    reached = connection.execute(select(_RUN.rerun_reached).where(_RUN.id == job_execution_id)).scalar()
    if reached is None or step_id > reached:
        return targets
    rows = connection.execute(
        select(rerun_targets.c.server_name, rerun_targets.c.database_name).where(
            rerun_targets.c.job_execution_id == job_execution_id, rerun_targets.c.step_id == step_id
        )
    )
    undone = {(row.server_name, row.database_name.casefold()) for row in rows}
    return [target for target in targets if target.key in undone]


def _repeated(old: Row[Any], other: Row[Any], request_id: str | None) -> Started:
    """The rerun that there is: the answer to the request that made it, and to no other."""
    if request_id is None or other.request_id != request_id:
        raise InvalidDefinitionError(
            f"The execution '{old.id}' was run again already, as execution '{other.id}'; "
            "rerun that one for what is still not done."
        )
    return Started(execution_id=other.id, step_execution_id=None)


def _refuse_incomplete(connection: Connection, old: Row[Any]) -> None:
    planned = connection.execute(
        select(func.sum(_STEP.planned_targets)).where(_STEP.job_execution_id == old.id)
    ).scalar()
    found = connection.execute(
        select(func.count()).select_from(target_executions).where(_TARGET.job_execution_id == old.id)
    ).scalar_one()
    if found < (planned or 0):
        raise InvalidDefinitionError(
            f"A part of the history of the execution '{old.id}' was removed, so nobody knows what succeeded in it; "
            "start the job instead."
        )


def _reached(connection: Connection, old: Row[Any]) -> int:
    """The last step whose targets were planned, in this run or before it; 0 when there is none."""
    any_target = exists().where(_TARGET.step_execution_id == _STEP.id)
    own = connection.execute(
        select(func.max(_STEP.step_id)).where(
            _STEP.job_execution_id == old.id, or_(_STEP.planned_targets.is_not(None), any_target)
        )
    ).scalar()
    return max(own or 0, old.rerun_reached or 0)


def _undone(old_id: UUID, new_id: UUID) -> Select[Any]:
    """What is left of the old run: planned and not succeeded, and what it could have touched but did not come to."""
    target = and_(_STEP.id == _TARGET.step_execution_id, _STEP.job_execution_id == old_id)
    new = literal(new_id, _RUN.id.type)
    planned = (
        select(new.label("job_execution_id"), _STEP.step_id, _TARGET.server_name, _TARGET.database_name)
        .join_from(step_executions, target_executions, target)
        .where(_TARGET.lifecycle != Lifecycle.SUCCEEDED)
    )
    before = rerun_targets.c
    was_planned = (
        exists()
        .where(target, _STEP.step_id == before.step_id)
        .where(_TARGET.server_name == before.server_name, _TARGET.database_name == before.database_name)
    )
    never_planned = select(new, before.step_id, before.server_name, before.database_name).where(
        before.job_execution_id == old_id, ~was_planned
    )
    both = planned.union_all(never_planned).subquery()
    return select(both)

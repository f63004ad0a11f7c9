"""Which current steps use a target group or a credential: what is in use is not deleted."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, and_, or_, select
from sqlalchemy.sql.elements import ColumnElement

from elastic_jobs.jobdb.tables import job_steps, jobs, target_group_members, target_groups

_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class StepUse:
    job_name: str
    step_name: str
    credential_name: str | None = None


CURRENT_STEPS = and_(
    job_steps.c.job_id == jobs.c.id, job_steps.c.job_version == jobs.c.version, jobs.c.delete_time.is_(None)
)
"""Joins jobs that are not deleted with the steps of their current version."""


def steps_using_group(connection: Connection, group_id: UUID) -> list[StepUse]:
    """The steps of current versions that run on this target group."""
    return _steps(connection, job_steps.c.target_group_id == group_id)


def steps_using_credential(connection: Connection, name: str) -> list[StepUse]:
    """The steps of current versions that name this credential, for the targets or for the output."""
    return _steps(connection, or_(job_steps.c.credential_name == name, job_steps.c.output_credential_name == name))


def groups_using_credential(connection: Connection, name: str) -> list[str]:
    """The target groups with a member that names this refresh credential."""
    rows = connection.execute(
        select(target_groups.c.name)
        .join(target_group_members, target_group_members.c.target_group_id == target_groups.c.id)
        .where(target_group_members.c.refresh_credential_name == name)
        .distinct()
        .order_by(target_groups.c.name)
    )
    return [row.name for row in rows]


def name_steps(uses: list[StepUse]) -> str:
    """``step 'a' of job 'b', step 'c' of job 'd' and 4 more``."""
    shown = ", ".join(f"step '{use.step_name}' of job '{use.job_name}'" for use in uses[:_SHOWN])
    return shown + (f" and {len(uses) - _SHOWN} more" if len(uses) > _SHOWN else "")


def _steps(connection: Connection, condition: ColumnElement[bool]) -> list[StepUse]:
    rows = connection.execute(
        select(jobs.c.name.label("job_name"), job_steps.c.name.label("step_name"), job_steps.c.credential_name)
        .join_from(jobs, job_steps, CURRENT_STEPS)
        .where(condition)
        .order_by(jobs.c.name, job_steps.c.step_id)
    )
    return [
        StepUse(job_name=row.job_name, step_name=row.step_name, credential_name=row.credential_name) for row in rows
    ]

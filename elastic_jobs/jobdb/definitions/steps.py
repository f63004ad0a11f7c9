"""Steps of jobs. A version of a job is never changed: every change of a step writes all steps of a new version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, select, update

from elastic_jobs.domain.model import Agent, Job, Output, Step, StepDefinition
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.errors import InvalidDefinitionError, NotFoundError
from elastic_jobs.jobdb import tables
from elastic_jobs.jobdb.definitions.agent import lock_agent
from elastic_jobs.jobdb.definitions.checks import (
    NAME_LENGTH,
    SERVER_NAME_LENGTH,
    Edit,
    check_name,
    check_retry,
    check_server_allowed,
    check_text,
    check_whole,
    invalid,
)
from elastic_jobs.jobdb.definitions.credentials import check_scope, stored_name
from elastic_jobs.jobdb.definitions.jobs import get_job, rearm, record, settled
from elastic_jobs.jobdb.definitions.target_groups import find_group, servers_of


@dataclass(frozen=True, kw_only=True)
class SavedStep:
    step: Step
    job: Job
    created: bool


def list_steps(connection: Connection, job_id: UUID, version: int) -> list[Step]:
    """The steps of a version in their order; none when the version has none or never was."""
    column = tables.job_steps.c
    rows = connection.execute(
        select(tables.job_steps).where(column.job_id == job_id, column.job_version == version).order_by(column.step_id)
    )
    return [_from_row(row) for row in rows.mappings()]


def find_step(connection: Connection, job: Job, name: str, version: int | None = None) -> Step | None:
    """A step by its name, of the job's current version or of an older one, or None."""
    column = tables.job_steps.c
    row = connection.execute(
        select(tables.job_steps).where(
            column.job_id == job.id,
            column.job_version == (job.version if version is None else version),
            column.name == name,
        )
    ).mappings()
    found = row.one_or_none()
    return None if found is None else _from_row(found)


def get_step(connection: Connection, job: Job, name: str, version: int | None = None) -> Step:
    """A step by its name, of the job's current version or of an older one.

    Raises:
        NotFoundError: that version has no such step.
    """
    found = find_step(connection, job, name, version)
    if found is None:
        raise NotFoundError("step", name)
    return found


def save_step(
    connection: Connection,
    edit: Edit,
    job_name: str,
    definition: StepDefinition,
    *,
    step_id: int | None = None,
    current_name: str | None = None,
) -> SavedStep:
    """Create a step, or change the one of this name; either makes a new version of the job.

    step_id: the step's place from 1; it and the later steps move up. None: the last place for a new step, the place
        that it has for an existing one.
    current_name: the name of the step to change when ``definition.name`` gives it another; that step must exist.

    Raises:
        NotFoundError: there is no such agent, job or step.
        InvalidDefinitionError: something in the definition is not allowed or names what does not exist.
    """
    agent = lock_agent(connection)
    job = settled(connection, get_job(connection, job_name))
    old = (
        find_step(connection, job, definition.name) if current_name is None else get_step(connection, job, current_name)
    )
    checked, group_id = _check(connection, edit, agent, definition)
    checked = _settle_name(connection, job, checked, old, rename=bool(current_name))
    steps = list_steps(connection, job.id, job.version)
    others = [step for step in steps if old is None or step.uid != old.uid]
    place = step_id if step_id is not None else (len(others) + 1 if old is None else old.step_id)
    if not 1 <= place <= len(others) + 1:
        raise invalid(f"The step id {place} is not from 1 to {len(others) + 1}; the job's steps have no gaps.")
    new = Step(
        job_id=job.id,
        job_version=job.version,
        step_id=place,
        uid=old.uid if old else edit.new_id(),
        target_group_id=group_id,
        definition=checked,
    )
    others.insert(place - 1, new)
    saved_job, saved_steps = _save_version(connection, edit, job, others, had_steps=bool(steps))
    saved = saved_steps[place - 1]
    action = "create step" if old is None else "update step"
    record(connection, edit, action, f"jobs/{job.name}/steps/{saved.definition.name}", old, saved)
    return SavedStep(step=saved, job=saved_job, created=old is None)


def delete_step(connection: Connection, edit: Edit, job_name: str, name: str) -> Job | None:
    """Delete a step; the later ones move down. The job at its new version, or None when there was no such step.

    Raises:
        NotFoundError: there is no such agent or job.
    """
    lock_agent(connection)
    job = settled(connection, get_job(connection, job_name))
    old = find_step(connection, job, name)
    if old is None:
        return None
    steps = list_steps(connection, job.id, job.version)
    rest = [step for step in steps if step.uid != old.uid]
    saved, _ = _save_version(connection, edit, job, rest, had_steps=True)
    record(connection, edit, "delete step", f"jobs/{job.name}/steps/{old.definition.name}", old, None)
    return saved


def _save_version(
    connection: Connection, edit: Edit, job: Job, steps: Sequence[Step], *, had_steps: bool
) -> tuple[Job, list[Step]]:
    """Write the steps, renumbered from 1, as the job's next version."""
    version = job.version + 1
    renumbered = [replace(step, job_version=version, step_id=place) for place, step in enumerate(steps, 1)]
    connection.execute(insert(tables.job_versions).values(job_id=job.id, version=version, create_time=edit.now))
    if renumbered:
        connection.execute(insert(tables.job_steps), [_values(step) for step in renumbered])
    connection.execute(update(tables.jobs).where(tables.jobs.c.id == job.id).values(version=version))
    saved = rearm(connection, edit, replace(job, version=version), had_steps=had_steps, has_steps=bool(renumbered))
    return saved, renumbered


def _settle_name(
    connection: Connection, job: Job, definition: StepDefinition, old: Step | None, *, rename: bool
) -> StepDefinition:
    """The definition under the name that it will have; an existing step keeps its spelling unless it is renamed."""
    if old is not None and not rename:
        return replace(definition, name=old.definition.name)
    if old is None or definition.name != old.definition.name:
        check_name("step", definition.name)
        taken = find_step(connection, job, definition.name)
        if taken is not None and old is not None and taken.uid != old.uid:
            raise InvalidDefinitionError(
                f"The job '{job.name}' has a step '{taken.definition.name}' already; choose another name."
            )
    return definition


def _check(connection: Connection, edit: Edit, agent: Agent, definition: StepDefinition) -> tuple[StepDefinition, UUID]:
    """The definition with names as they are spelled in the store, and the id of its target group."""
    if not definition.command.strip():
        raise invalid(f"The script of the step '{definition.name}' is empty.")
    check_retry(definition.retry)
    check_whole("step timeout in seconds", definition.timeout_seconds, 1)
    if definition.max_parallelism is not None:
        check_whole("maximum parallelism", definition.max_parallelism, 1)
    group = find_group(connection, definition.target_group_name)
    if group is None:
        raise InvalidDefinitionError(
            f"Cannot reference the target group '{definition.target_group_name}', because it does not exist."
        )
    step = f"step '{definition.name}'"
    credential = stored_name(connection, agent, definition.credential_name, needed_for=step)
    check_scope(connection, edit, agent, credential, servers_of(member for _, member in group.members), step)
    checked = replace(
        definition,
        target_group_name=group.name,
        credential_name=credential,
        output=None
        if definition.output is None
        else _check_output(connection, edit, agent, definition.output, needed_for=f"output of the {step}"),
    )
    return checked, group.id


def _check_output(connection: Connection, edit: Edit, agent: Agent, output: Output, *, needed_for: str) -> Output:
    for what, text, longest in (
        ("server name", output.server_name, SERVER_NAME_LENGTH),
        ("database name", output.database_name, NAME_LENGTH),
        ("schema name", output.schema_name, NAME_LENGTH),
        ("table name", output.table_name, NAME_LENGTH),
    ):
        check_text(f"{what} of the output", text, longest)
    if output.resource_group_name is not None:
        check_text("resource group name of the output", output.resource_group_name, NAME_LENGTH)
    check_server_allowed(edit, output.server_name)
    credential = stored_name(connection, agent, output.credential_name, needed_for=needed_for)
    check_scope(connection, edit, agent, credential, [output.server_name], needed_for)
    return replace(output, credential_name=credential)


def _values(step: Step) -> dict[str, object]:
    definition, output = step.definition, step.definition.output
    return {
        "job_id": step.job_id,
        "job_version": step.job_version,
        "step_id": step.step_id,
        "step_uid": step.uid,
        "name": definition.name,
        "command": definition.command,
        "credential_name": definition.credential_name,
        "target_group_id": step.target_group_id,
        "target_group_name": definition.target_group_name,
        "initial_retry_interval_seconds": definition.retry.initial_interval_seconds,
        "maximum_retry_interval_seconds": definition.retry.maximum_interval_seconds,
        "retry_interval_backoff_multiplier": definition.retry.backoff_multiplier,
        "retry_attempts": definition.retry.attempts,
        "step_timeout_seconds": definition.timeout_seconds,
        "output_server_name": output.server_name if output else None,
        "output_database_name": output.database_name if output else None,
        "output_schema_name": output.schema_name if output else None,
        "output_table_name": output.table_name if output else None,
        "output_credential_name": output.credential_name if output else None,
        "output_subscription_id": output.subscription_id if output else None,
        "output_resource_group_name": output.resource_group_name if output else None,
        "max_parallelism": definition.max_parallelism,
    }


def _from_row(row: Mapping[Any, Any]) -> Step:
    return Step(
        job_id=row["job_id"],
        job_version=row["job_version"],
        step_id=row["step_id"],
        uid=row["step_uid"],
        target_group_id=row["target_group_id"],
        definition=StepDefinition(
            name=row["name"],
            command=row["command"],
            target_group_name=row["target_group_name"],
            credential_name=row["credential_name"],
            retry=RetryPolicy(
                attempts=row["retry_attempts"],
                initial_interval_seconds=row["initial_retry_interval_seconds"],
                maximum_interval_seconds=row["maximum_retry_interval_seconds"],
                backoff_multiplier=row["retry_interval_backoff_multiplier"],
            ),
            timeout_seconds=row["step_timeout_seconds"],
            output=_output(row),
            max_parallelism=row["max_parallelism"],
        ),
    )


def _output(row: Mapping[Any, Any]) -> Output | None:
    if row["output_server_name"] is None:
        return None
    return Output(
        server_name=row["output_server_name"],
        database_name=row["output_database_name"],
        table_name=row["output_table_name"],
        schema_name=row["output_schema_name"],
        credential_name=row["output_credential_name"],
        subscription_id=row["output_subscription_id"],
        resource_group_name=row["output_resource_group_name"],
    )

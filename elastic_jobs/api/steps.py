"""Steps of a job, as they are now and as they were in older versions."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from fastapi import APIRouter, Response

from elastic_jobs.api.bodies import OutputBody, StepBody, StepProperties
from elastic_jobs.api.context import DEFINE, READ, Call, Json, saved
from elastic_jobs.api.envelope import listing
from elastic_jobs.api.jobs import version_number
from elastic_jobs.api.paths import Segment
from elastic_jobs.api.references import References
from elastic_jobs.api.repeating import RepeatingRoute
from elastic_jobs.domain.model import Output, StepDefinition
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.jobdb.definitions import jobs, steps
from elastic_jobs.jobdb.definitions.checks import invalid

router = APIRouter(prefix="/jobs/{job_name}", tags=["steps"], route_class=RepeatingRoute)


@router.get("/steps", dependencies=[READ])
def list_steps(call: Call, job_name: Segment) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        job = jobs.get_job(connection, job_name)
        rows = steps.list_steps(connection, job.id, job.version)
        resources = (f"jobs/{job.name}/steps/{row.definition.name}" for row in rows)
        envelope = call.envelope_with_origins(connection, agent, resources)
    return Json(listing([envelope.step(job, row) for row in rows], None))


@router.get("/steps/{step_name}", dependencies=[READ])
def get_step(call: Call, job_name: Segment, step_name: Segment) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        job = jobs.get_job(connection, job_name)
        step = steps.get_step(connection, job, step_name)
        resources = [f"jobs/{job.name}/steps/{step.definition.name}"]
        envelope = call.envelope_with_origins(connection, agent, resources)
    return Json(envelope.step(job, step))


@router.put("/steps/{step_name}", dependencies=[DEFINE])
def put_step(call: Call, job_name: Segment, step_name: Segment, body: StepBody) -> Json:
    """Create or change a step, which makes a new version of the job."""
    with call.write() as connection:
        agent = call.agent(connection)
        job = jobs.get_job(connection, job_name)
        current = steps.find_step(connection, job, step_name)
        definition = _definition(step_name, body.properties, call.references(agent))
        if body.properties.max_parallelism is None and current is not None:
            definition = _with_parallelism(definition, current.definition.max_parallelism)
        result = steps.save_step(connection, call.edit, job_name, definition, step_id=body.properties.step_id)
        resources = [f"jobs/{result.job.name}/steps/{result.step.definition.name}"]
        envelope = call.envelope_with_origins(connection, agent, resources)
    return saved(envelope.step(result.job, result.step), created=result.created)


@router.delete("/steps/{step_name}", dependencies=[DEFINE])
def delete_step(call: Call, job_name: Segment, step_name: Segment) -> Response:
    """Delete a step, which makes a new version of the job."""
    with call.write() as connection:
        call.agent(connection)
        job = steps.delete_step(connection, call.edit, job_name, step_name)
    return Response(status_code=204 if job is None else 200)


@router.get("/versions/{job_version}/steps", dependencies=[READ])
def list_steps_by_version(call: Call, job_name: Segment, job_version: Segment) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        job = jobs.get_job(connection, job_name)
        version = version_number(job_version)
        jobs.check_version(connection, job.id, version)
        rows = steps.list_steps(connection, job.id, version)
    envelope = call.envelope(agent)
    return Json(listing([envelope.step(job, row, version=version) for row in rows], None))


@router.get("/versions/{job_version}/steps/{step_name}", dependencies=[READ])
def get_step_by_version(call: Call, job_name: Segment, job_version: Segment, step_name: Segment) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        job = jobs.get_job(connection, job_name)
        version = version_number(job_version)
        jobs.check_version(connection, job.id, version)
        step = steps.get_step(connection, job, step_name, version)
    return Json(call.envelope(agent).step(job, step, version=version))


def _definition(name: str, body: StepProperties, references: References) -> StepDefinition:
    options = body.execution_options
    definition = StepDefinition(
        name=name,
        command=body.action.value,
        target_group_name=references.target_group(body.target_group),
        credential_name=references.credential(body.credential),
        retry=RetryPolicy(
            attempts=options.retry_attempts,
            initial_interval_seconds=options.initial_retry_interval_seconds,
            maximum_interval_seconds=options.maximum_retry_interval_seconds,
            backoff_multiplier=options.retry_interval_backoff_multiplier,
        ),
        timeout_seconds=options.timeout_seconds,
        output=None if body.output is None else _output(body.output, references),
    )
    return _with_parallelism(definition, body.max_parallelism)


def _with_parallelism(definition: StepDefinition, value: int | None) -> StepDefinition:
    """-1 means no limit, as in ``jobs.sp_update_jobstep``."""
    return replace(definition, max_parallelism=None if value == -1 else value)


def _output(body: OutputBody, references: References) -> Output:
    return Output(
        server_name=body.server_name,
        database_name=body.database_name,
        table_name=body.table_name,
        schema_name=body.schema_name,
        credential_name=references.credential(body.credential),
        subscription_id=_subscription(body.subscription_id),
        resource_group_name=body.resource_group_name or None,
    )


def _subscription(text: str | None) -> UUID | None:
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise invalid("The subscriptionId of the output is no GUID.") from None

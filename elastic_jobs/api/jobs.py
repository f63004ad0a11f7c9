"""Jobs with their schedule, and the versions of a job."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import ValidationError

from elastic_jobs.api.bodies import JobBody, ScheduleBody, ScheduleType
from elastic_jobs.api.context import DEFINE, READ, Call, Json, saved
from elastic_jobs.api.envelope import instant, listing
from elastic_jobs.api.errors import ApiError
from elastic_jobs.api.paging import PAGE_SIZE, Token, name_page, read_number_token, read_token
from elastic_jobs.api.paths import Segment
from elastic_jobs.api.repeating import RepeatingRoute
from elastic_jobs.domain.durations import parse_duration
from elastic_jobs.domain.schedule import IntervalType, Schedule, first_due, upcoming
from elastic_jobs.errors import InvalidDefinitionError, NotFoundError
from elastic_jobs.jobdb.definitions import jobs
from elastic_jobs.jobdb.definitions.checks import INT_MAX, INVALID_DURATION, invalid, normal_schedule

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=RepeatingRoute)

Force = Annotated[bool, Query(description="Delete although executions are active; they are canceled.")]

PreviewCount = Annotated[int, Query(ge=1, le=1000, description="How many instants.")]


async def _preview_schedule(
    start_time: Annotated[datetime | None, Query(alias="startTime")] = None,
    end_time: Annotated[datetime | None, Query(alias="endTime")] = None,
    schedule_type: Annotated[str | None, Query(alias="type", description="Once or Recurring.")] = None,
    interval: Annotated[str | None, Query(description="As an ISO 8601 duration: PT5M, P1D.")] = None,
) -> ScheduleBody | None:
    """The schedule in a query; None when there is none."""
    given = {"startTime": start_time, "endTime": end_time, "type": schedule_type, "interval": interval}
    known = {name: value for name, value in given.items() if value is not None}
    if not known:
        return None
    if "type" not in known and interval is not None:
        known["type"] = ScheduleType.RECURRING.value
    try:
        return ScheduleBody.model_validate({**known, "enabled": True})
    except ValidationError:
        raise ApiError(400, "InvalidParameterValue", "The type of a schedule must be Once or Recurring.") from None


PreviewSchedule = Annotated[ScheduleBody | None, Depends(_preview_schedule)]


@router.get("", dependencies=[READ])
def list_jobs(call: Call, token: Token = None) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        after = None if token is None else read_token(token)
        rows = jobs.list_jobs(connection, after=after, limit=PAGE_SIZE + 1)
        envelope = call.envelope_with_origins(connection, agent, (f"jobs/{row.name}" for row in rows))
    shown, link = name_page(call.request, rows, lambda row: row.name)
    return Json(listing([envelope.job(row) for row in shown], link))


@router.get("/{job_name}", dependencies=[READ])
def get_job(call: Call, job_name: Segment) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        job = jobs.get_job(connection, job_name)
        envelope = call.envelope_with_origins(connection, agent, [f"jobs/{job.name}"])
    return Json(envelope.job(job))


@router.put("/{job_name}", dependencies=[DEFINE])
def put_job(call: Call, job_name: Segment, body: JobBody | None = None) -> Json:
    properties = (body or JobBody()).properties
    with call.write() as connection:
        agent = call.agent(connection)
        job, created = jobs.save_job(
            connection,
            call.edit,
            job_name,
            description=properties.description,
            schedule=to_schedule(properties.schedule),
        )
        envelope = call.envelope_with_origins(connection, agent, [f"jobs/{job.name}"])
    return saved(envelope.job(job), created=created)


@router.delete("/{job_name}", dependencies=[DEFINE])
def delete_job(call: Call, job_name: Segment, force: Force = False) -> Response:
    """Delete the job with its history. ``force`` is not part of Azure's API."""
    with call.write() as connection:
        call.agent(connection)
        deleted = jobs.delete_job(connection, call.edit, job_name, force=force)
    if deleted is None:
        return Response(status_code=204)
    # Outside the transaction: the agent has its own. Should this be lost, the tick finds the deleted job.
    call.services.control.job_deleted(deleted.id)
    return Response(status_code=200)


@router.get("/{job_name}/preview", dependencies=[READ])
def preview_schedule(call: Call, job_name: Segment, count: PreviewCount = 10, wanted: PreviewSchedule = None) -> Json:
    """The next instants at which the job's schedule starts it; with a schedule in the query, those of that one.

    With one, the job need not be there yet. Not part of Azure's API.
    """
    now = call.services.clock.now()
    with call.read() as connection:
        call.agent(connection)
        if wanted is None:
            job = jobs.get_job(connection, job_name)
            schedule, due = job.schedule, jobs.find_due(connection, job.id)
        else:
            schedule = normal_schedule(to_schedule(wanted))
            due = first_due(schedule, now=now, consumed_start=None)
    return Json({"value": [instant(time) for time in upcoming(schedule, due, count)]})


@router.get("/{job_name}/versions", dependencies=[READ])
def list_versions(call: Call, job_name: Segment, token: Token = None) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        job = jobs.get_job(connection, job_name)
        after = None if token is None else read_number_token(token)
        rows = jobs.list_versions(connection, job.id, after=after, limit=PAGE_SIZE + 1)
    shown, link = name_page(call.request, rows, lambda row: row)
    envelope = call.envelope(agent)
    return Json(listing([envelope.version(job, version) for version in shown], link))


@router.get("/{job_name}/versions/{job_version}", dependencies=[READ])
def get_version(call: Call, job_name: Segment, job_version: Segment) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        job = jobs.get_job(connection, job_name)
        version = version_number(job_version)
        jobs.check_version(connection, job.id, version)
    return Json(call.envelope(agent).version(job, version))


def version_number(text: str) -> int:
    """A job version in a path.

    Raises:
        NotFoundError: it is no number, so no version can be called so.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= INT_MAX):
        raise NotFoundError("version", text)
    return int(text)


def to_schedule(body: ScheduleBody) -> Schedule:
    """The schedule that a body means.

    Raises:
        InvalidDefinitionError: its interval is missing or is none.
    """
    kind, count = IntervalType.ONCE, 1
    if body.type is ScheduleType.RECURRING:
        if not body.interval:
            raise invalid("A recurring schedule needs an interval such as PT5M, PT1H, P1D, P1W or P1M.")
        try:
            kind, count = parse_duration(body.interval)
        except ValueError as error:
            raise InvalidDefinitionError(str(error), INVALID_DURATION) from None
    return Schedule(
        interval_type=kind,
        interval_count=count,
        start_time=body.start_time,
        end_time=body.end_time,
        enabled=body.enabled,
    )

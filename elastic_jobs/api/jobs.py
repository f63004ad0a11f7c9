"""Jobs with their schedule, and the versions of a job."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from elastic_jobs.api.bodies import JobBody, ScheduleBody, ScheduleType
from elastic_jobs.api.context import DEFINE, READ, Call, Json, saved
from elastic_jobs.api.durations import parse_duration
from elastic_jobs.api.envelope import listing
from elastic_jobs.api.paging import PAGE_SIZE, Token, name_page, read_number_token, read_token
from elastic_jobs.api.paths import Segment
from elastic_jobs.domain.schedule import IntervalType, Schedule
from elastic_jobs.errors import NotFoundError
from elastic_jobs.jobdb.definitions import jobs
from elastic_jobs.jobdb.definitions.checks import INT_MAX, invalid

router = APIRouter(prefix="/jobs", tags=["jobs"])

Force = Annotated[bool, Query(description="Delete although executions are active; they are canceled.")]


@router.get("", dependencies=[READ])
def list_jobs(call: Call, token: Token = None) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        after = None if token is None else read_token(token)
        rows = jobs.list_jobs(connection, after=after, limit=PAGE_SIZE + 1)
    shown, link = name_page(call.request, rows, lambda row: row.name)
    envelope = call.envelope(agent)
    return Json(listing([envelope.job(row) for row in shown], link))


@router.get("/{job_name}", dependencies=[READ])
def get_job(call: Call, job_name: Segment) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        job = jobs.get_job(connection, job_name)
    return Json(call.envelope(agent).job(job))


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
            schedule=_schedule(properties.schedule),
        )
    return saved(call.envelope(agent).job(job), created=created)


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


def _schedule(body: ScheduleBody) -> Schedule:
    kind, count = IntervalType.ONCE, 1
    if body.type is ScheduleType.RECURRING:
        if not body.interval:
            raise invalid("A recurring schedule needs an interval such as PT5M, PT1H, P1D, P1W or P1M.")
        kind, count = parse_duration(body.interval)
    return Schedule(
        interval_type=kind,
        interval_count=count,
        start_time=body.start_time,
        end_time=body.end_time,
        enabled=body.enabled,
    )

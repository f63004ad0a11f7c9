"""Executions on three levels: start, cancel, and see."""

from __future__ import annotations

import hashlib
from uuid import UUID

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from elastic_jobs.api.context import OPERATE, READ, Call, Context, Json
from elastic_jobs.api.envelope import listing, message, step_progress
from elastic_jobs.api.errors import ApiError
from elastic_jobs.api.paging import PAGE_SIZE, Listing, Token, next_link, read_token
from elastic_jobs.api.paths import Segment
from elastic_jobs.api.repeating import RepeatingRoute
from elastic_jobs.domain import error_groups
from elastic_jobs.domain.model import Agent
from elastic_jobs.errors import InvalidDefinitionError, NotFoundError
from elastic_jobs.jobdb import history
from elastic_jobs.jobdb.definitions import jobs
from elastic_jobs.jobdb.target_errors import failures_of

router = APIRouter(tags=["executions"], route_class=RepeatingRoute)
_JOB = "/jobs/{job_name}"
_RUN = _JOB + "/executions/{job_execution_id}"
_REQUEST_ID_LENGTH = 128


@router.get("/executions", dependencies=[READ])
def list_executions_by_agent(call: Call, query: Listing) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        rows = history.list_job_executions(connection, query.page, query.filters)
    return _listed(call, agent, query, rows)


@router.get(_JOB + "/executions", dependencies=[READ])
def list_executions_by_job(call: Call, job_name: Segment, query: Listing) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        job = jobs.get_job(connection, job_name)
        rows = history.list_job_executions(connection, query.page, query.filters, job_id=job.id)
    return _listed(call, agent, query, rows)


@router.post(_JOB + "/start", dependencies=[OPERATE])
def start_job(call: Call, job_name: Segment) -> Json:
    """Start a run: 200, the execution, and its URL in ``Location``. A repeated request gets the first run again."""
    with call.read() as connection:
        agent = call.agent(connection)
        job = jobs.get_job(connection, job_name)
    execution_id = call.services.control.start_job(job.name, request_id=_request_id(call), caller=call.caller.name)
    return _started(call, agent, execution_id, 200)


@router.put(_RUN, dependencies=[OPERATE])
def put_execution(call: Call, job_name: Segment, job_execution_id: Segment) -> Json:
    """Start a run under an id of the caller's choice: 201, or 200 when it exists already (nothing is started)."""
    with call.read() as connection:
        agent = call.agent(connection)
        job = jobs.get_job(connection, job_name)
        try:
            wanted = UUID(job_execution_id)
        except ValueError:
            raise ApiError(400, "InvalidParameterValue", "The id of a job execution must be a GUID.") from None
        owner = history.find_job_of_execution(connection, wanted)
    if owner is not None and owner != job.id:
        raise InvalidDefinitionError(f"The id {wanted} is that of an execution of another job; choose another id.")
    execution_id = call.services.control.start_job(job.name, execution_id=wanted, caller=call.caller.name)
    return _started(call, agent, execution_id, 201 if owner is None else 200)


@router.get(_RUN, dependencies=[READ])
def get_execution(call: Call, job_name: Segment, job_execution_id: Segment) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        run = _run(connection, job_name, job_execution_id)
    return Json(call.envelope(agent).execution(run))


@router.post(_RUN + "/cancel", dependencies=[OPERATE])
def cancel_execution(call: Call, job_name: Segment, job_execution_id: Segment) -> Response:
    """Ask for the cancellation of a run. Exactly 200 and no body: clients take nothing else."""
    with call.read() as connection:
        call.agent(connection)
        run = _run(connection, job_name, job_execution_id)
    call.services.control.cancel_execution(run.id, caller=call.caller.name)
    return Response(status_code=200)


@router.post(_RUN + "/rerun", dependencies=[OPERATE])
def rerun_execution(call: Call, job_name: Segment, job_execution_id: Segment) -> Json:
    """Run a finished run again where it did not succeed: same version, same steps, only the targets left undone.

    200, the new execution, and its URL in ``Location``, as a start. Not part of Azure's API.
    """
    with call.read() as connection:
        agent = call.agent(connection)
        run = _run(connection, job_name, job_execution_id)
    # With the run in it: clients that keep one id for several requests do not mean the rerun of another run.
    request_id = _request_id(call, prefix=f"rerun:{run.id.hex}:")
    execution_id = call.services.control.rerun_execution(run.id, request_id=request_id, caller=call.caller.name)
    return _started(call, agent, execution_id, 200)


@router.get(_RUN + "/errors", dependencies=[READ])
def list_error_groups(call: Call, job_name: Segment, job_execution_id: Segment) -> Json:
    """The targets that failed, timed out or wait for a retry, grouped by what their errors have in common.

    Largest group first, the 100 largest. Not part of Azure's API.
    """
    with call.read() as connection:
        agent = call.agent(connection)
        run = _run(connection, job_name, job_execution_id)
        groups = error_groups.group(failures_of(connection, run.id))
    envelope = call.envelope(agent)
    return Json(listing([envelope.error_group(run, found) for found in groups[:PAGE_SIZE]], None))


@router.get(_RUN + "/progress", dependencies=[READ])
def get_progress(call: Call, job_name: Segment, job_execution_id: Segment) -> Json:
    """How many targets of each step are in which state. Not part of Azure's API."""
    with call.read() as connection:
        call.agent(connection)
        run = _run(connection, job_name, job_execution_id)
        steps = history.progress(connection, run.id)
    return Json(listing([step_progress(step) for step in steps], None))


@router.get(_RUN + "/steps", dependencies=[READ])
def list_step_executions(call: Call, job_name: Segment, job_execution_id: Segment, query: Listing) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        run = _run(connection, job_name, job_execution_id)
        rows = history.list_step_executions(connection, run.id, query.page, query.filters)
    return _listed(call, agent, query, rows)


@router.get(_RUN + "/steps/{step_name}", dependencies=[READ])
def get_step_execution(call: Call, job_name: Segment, job_execution_id: Segment, step_name: Segment) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        run = _run(connection, job_name, job_execution_id)
        step = history.get_step_execution(connection, run.id, step_name)
    return Json(call.envelope(agent).execution(step))


@router.get(_RUN + "/targets", dependencies=[READ])
def list_target_executions(call: Call, job_name: Segment, job_execution_id: Segment, query: Listing) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        run = _run(connection, job_name, job_execution_id)
        rows = history.list_target_executions(connection, run.id, query.page, query.filters)
    return _listed(call, agent, query, rows)


@router.get(_RUN + "/steps/{step_name}/targets", dependencies=[READ])
def list_target_executions_by_step(
    call: Call, job_name: Segment, job_execution_id: Segment, step_name: Segment, query: Listing
) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        run = _run(connection, job_name, job_execution_id)
        step = history.get_step_execution(connection, run.id, step_name)
        rows = history.list_target_executions(connection, run.id, query.page, query.filters, step_execution_id=step.id)
    return _listed(call, agent, query, rows)


@router.get(_RUN + "/steps/{step_name}/targets/{target_id}", dependencies=[READ])
def get_target_execution(
    call: Call, job_name: Segment, job_execution_id: Segment, step_name: Segment, target_id: Segment
) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        target = _target(connection, job_name, job_execution_id, step_name, target_id)
    return Json(call.envelope(agent).execution(target))


@router.get(_RUN + "/steps/{step_name}/targets/{target_id}/messages", dependencies=[READ])
def list_messages(
    call: Call,
    job_name: Segment,
    job_execution_id: Segment,
    step_name: Segment,
    target_id: Segment,
    token: Token = None,
) -> Json:
    """What the script said on a database: PRINT, errors, row counts, of every attempt. Not part of Azure's API."""
    after = None if token is None else _message_place(token)
    with call.read() as connection:
        call.agent(connection)
        target = _target(connection, job_name, job_execution_id, step_name, target_id)
        rows = history.list_messages(connection, target.id, limit=PAGE_SIZE + 1, after=after)
    shown, link = rows[:PAGE_SIZE], None
    if len(rows) > PAGE_SIZE:
        link = next_link(call.request, f"{shown[-1].attempt}|{shown[-1].ordinal}")
    return Json(listing([message(row) for row in shown], link))


def _listed(call: Context, agent: Agent, query: Listing, rows: list[history.Execution]) -> Json:
    shown, link = query.finish(call.request, rows)
    envelope = call.envelope(agent)
    return Json(listing([envelope.execution(row) for row in shown], link))


def _started(call: Context, agent: Agent, execution_id: UUID, status: int) -> Json:
    with call.read() as connection:
        run = history.get_job_execution(connection, execution_id)
    location = call.url(agent, "jobs", run.job_name, "executions", str(run.id))
    return Json(call.envelope(agent).execution(run), status_code=status, headers={"Location": location})


def _run(connection: Connection, job_name: str, job_execution_id: str) -> history.Execution:
    job = jobs.get_job(connection, job_name)
    return history.get_job_execution(connection, _guid("execution", job_execution_id), job_id=job.id)


def _target(
    connection: Connection, job_name: str, job_execution_id: str, step_name: str, target_id: str
) -> history.Execution:
    run = _run(connection, job_name, job_execution_id)
    step = history.get_step_execution(connection, run.id, step_name)
    return history.get_target_execution(connection, step.id, _guid("target execution", target_id))


def _guid(kind: str, text: str) -> UUID:
    """An id in a path; what is no GUID names nothing."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError(kind, text) from None


def _message_place(token: str) -> tuple[int, int]:
    attempt, _, ordinal = read_token(token).partition("|")
    if not (attempt.isdecimal() and ordinal.isdecimal() and len(attempt) <= 10 and len(ordinal) <= 10):
        raise ApiError(400, "InvalidParameterValue", "The $skiptoken is not one of a nextLink; begin the list anew.")
    return int(attempt), int(ordinal)


def _request_id(call: Context, *, prefix: str = "") -> str | None:
    """By what a repeated start is known: SDKs send one id per call and keep it when they send it again."""
    given = call.request.headers.get("x-ms-client-request-id", "").strip()
    if not given:
        return None
    if len(prefix + given) > _REQUEST_ID_LENGTH:
        given = hashlib.sha256(given.encode()).hexdigest()
    return prefix + given

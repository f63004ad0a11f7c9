"""The pages of jobs: the list, one job, its versions and what changed between two; start, enable, delete."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy import Connection
from starlette.responses import Response

from elastic_jobs.api.jobs import version_number
from elastic_jobs.api.paths import Segment
from elastic_jobs.domain.model import Job, Step
from elastic_jobs.jobdb import history
from elastic_jobs.jobdb.definitions import jobs, steps
from elastic_jobs.jobdb.definitions.origins import Origin, find_origins
from elastic_jobs.jobdb.job_list import VersionLine, list_job_lines, list_version_lines
from elastic_jobs.portal.actions import Refusal, act
from elastic_jobs.portal.job_editing_schedule import Preview, has_end, job_body, preview_of, spoken
from elastic_jobs.portal.page import DEFINE, OPERATE, READ, Page, address
from elastic_jobs.portal.versions import compare, settings_of

router = APIRouter(prefix="/jobs")

PAGE_SIZE = 100
_RUNS, _VERSIONS = 10, 5
"""How many the page of a job shows; the rest is a page of its own."""
_SHOWN_SCRIPT = 4000
"""Characters of a script on the page of its job; all of it is on the page of the step."""

Name = Annotated[str, Query()]


@dataclass(frozen=True, kw_only=True)
class ShownStep:
    """A step as its page shows it. cut: characters of the script that are left out."""

    step: Step
    settings: list[tuple[str, str | None]]
    script: str
    cut: int


@dataclass(frozen=True, kw_only=True)
class Detail:
    """All that the page of a job shows."""

    job: Job
    preview: Preview
    steps: list[ShownStep]
    runs: list[history.Execution]
    more_runs: bool
    versions: list[VersionLine]
    more_versions: bool
    origin: Origin | None


@router.get("", dependencies=[READ])
def list_jobs(visit: Page, name: Name = "", after: Name = "") -> Response:
    part = name.strip()
    with visit.read() as connection:
        agent = visit.agent(connection)
        lines = list_job_lines(connection, limit=PAGE_SIZE + 1, name_part=part, after=after or None)
    shown = lines[:PAGE_SIZE]
    return visit.page(
        "jobs/list.html",
        section="jobs",
        title="Jobs",
        agent=agent,
        name=part,
        after=after,
        lines=shown,
        next=address("jobs", name=part, after=shown[-1].name) if len(lines) > PAGE_SIZE else "",
        spoken=spoken,
    )


@router.get("/{job_name}", dependencies=[READ])
def get_job(visit: Page, job_name: Segment) -> Response:
    with visit.read() as connection:
        detail = _detail(visit, connection, job_name)
    return visit.page(
        "jobs/detail.html",
        section="jobs",
        title=detail.job.name,
        detail=detail,
        job=detail.job,
        spoken=spoken,
        has_end=has_end(detail.job.schedule),
        start_id=str(visit.services.ids()),
    )


@router.get("/{job_name}/steps/{step_name}", dependencies=[READ])
def get_step(visit: Page, job_name: Segment, step_name: Segment) -> Response:
    with visit.read() as connection:
        job = jobs.get_job(connection, job_name)
        step = steps.get_step(connection, job, step_name)
    title = f"{step.definition.name} of {job.name}"
    return visit.page("jobs/step.html", section="jobs", title=title, job=job, shown=_shown(step, None))


@router.get("/{job_name}/executions", dependencies=[READ])
def list_executions(visit: Page, job_name: Segment, after: UUID | None = None) -> Response:
    """The runs of a job, newest first. after: the last run of the page before."""
    with visit.read() as connection:
        job = jobs.get_job(connection, job_name)
        place = None
        if after is not None:
            last = history.get_job_execution(connection, after, job_id=job.id)
            place = (last.create_time, last.id)
        page = history.Page(limit=PAGE_SIZE + 1, after=place)
        rows = history.list_job_executions(connection, page, history.ExecutionFilter(), job_id=job.id)
    shown = rows[:PAGE_SIZE]
    return visit.page(
        "jobs/executions.html",
        section="jobs",
        title=f"Executions of {job.name}",
        job=job,
        runs=shown,
        first=after is None,
        next=address("jobs", job.name, "executions", after=shown[-1].id) if len(rows) > PAGE_SIZE else "",
    )


@router.get("/{job_name}/versions", dependencies=[READ])
def list_versions(visit: Page, job_name: Segment, before: Name = "") -> Response:
    with visit.read() as connection:
        job = jobs.get_job(connection, job_name)
        last = version_number(before) if before else None
        lines = list_version_lines(connection, job.id, job.name, limit=PAGE_SIZE + 1, before=last)
    shown = lines[:PAGE_SIZE]
    return visit.page(
        "jobs/versions.html",
        section="jobs",
        title=f"Versions of {job.name}",
        job=job,
        versions=shown,
        next=address("jobs", job.name, "versions", before=shown[-1].version) if len(lines) > PAGE_SIZE else "",
    )


@router.get("/{job_name}/difference", dependencies=[READ])
def get_difference(visit: Page, job_name: Segment, older: Name = "", newer: Name = "") -> Response:
    """What changed between two versions; without any, between the current one and the one before it."""
    with visit.read() as connection:
        job = jobs.get_job(connection, job_name)
        new = version_number(newer) if newer else job.version
        old = version_number(older) if older else max(0, new - 1)
        if old > new:
            old, new = new, old
        for version in (old, new):
            jobs.check_version(connection, job.id, version)
        before, after = (steps.list_steps(connection, job.id, version) for version in (old, new))
        (line,) = list_version_lines(connection, job.id, job.name, limit=1, before=new + 1)
    return visit.page(
        "jobs/difference.html",
        section="jobs",
        title=f"{job.name}: version {old} and {new}",
        job=job,
        older=old,
        newer=new,
        line=line,
        changes=compare(before, after),
        last=job.version,
    )


@router.post("/{job_name}/start", dependencies=[OPERATE])
async def start_job(visit: Page, job_name: Segment) -> Response:
    """Start a run and show it. A form that is sent twice starts one run."""
    try:
        started = await act(visit, "POST", "jobs", job_name, "start", request_id=visit.form.text("start_id")[:64])
    except Refusal as refusal:
        return visit.go(address("jobs", job_name), error=str(refusal))
    return visit.go(address("executions", started.body["properties"]["jobExecutionId"]), done="Started.")


@router.post("/{job_name}/enable", dependencies=[DEFINE])
async def enable_job(visit: Page, job_name: Segment) -> Response:
    return await _set_enabled(visit, job_name, enabled=True)


@router.post("/{job_name}/disable", dependencies=[DEFINE])
async def disable_job(visit: Page, job_name: Segment) -> Response:
    return await _set_enabled(visit, job_name, enabled=False)


@router.get("/{job_name}/delete", dependencies=[DEFINE])
def ask_delete(visit: Page, job_name: Segment) -> Response:
    with visit.read() as connection:
        job = jobs.get_job(connection, job_name)
        active = _has_active(connection, job)
    return _ask_delete(visit, job, active=active)


@router.post("/{job_name}/delete", dependencies=[DEFINE])
async def delete_job(visit: Page, job_name: Segment) -> Response:
    """Delete the job when its name was typed; what still runs is canceled only when that was ticked."""
    job = await visit.reading(lambda connection: jobs.get_job(connection, job_name))
    if visit.form.text("confirm").casefold() != job.name.casefold():
        active = await visit.reading(lambda connection: _has_active(connection, job))
        return _ask_delete(visit, job, active=active, error="Type the name of the job to delete it.")
    try:
        await act(visit, "DELETE", "jobs", job.name, query={"force": "true" if visit.form.on("force") else "false"})
    except Refusal as refusal:
        return _ask_delete(visit, job, active=True, error=str(refusal))
    return visit.go(address("jobs"), done=f"The job '{job.name}' was deleted with its history.")


async def _set_enabled(visit: Page, job_name: str, *, enabled: bool) -> Response:
    job = await visit.reading(lambda connection: jobs.get_job(connection, job_name))
    try:
        await act(
            visit, "PUT", "jobs", job.name, body=job_body(job.description, replace(job.schedule, enabled=enabled))
        )
    except Refusal as refusal:
        return visit.go(address("jobs", job.name), error=str(refusal))
    return visit.go(address("jobs", job.name), done=f"The schedule is {'enabled' if enabled else 'disabled'}.")


def _ask_delete(visit: Page, job: Job, *, active: bool, error: str = "") -> Response:
    return visit.page(
        "jobs/delete.html",
        section="jobs",
        title=f"Delete {job.name}",
        status=400 if error else 200,
        job=job,
        active=active,
        error=error,
    )


def _has_active(connection: Connection, job: Job) -> bool:
    page, active = history.Page(limit=1), history.ExecutionFilter(is_active=True)
    return bool(history.list_job_executions(connection, page, active, job_id=job.id))


def _detail(visit: Page, connection: Connection, job_name: str) -> Detail:
    job = jobs.get_job(connection, job_name)
    rows = steps.list_steps(connection, job.id, job.version)
    due = jobs.find_due(connection, job.id)
    page = history.Page(limit=_RUNS + 1)
    runs = history.list_job_executions(connection, page, history.ExecutionFilter(), job_id=job.id)
    versions = list_version_lines(connection, job.id, job.name, limit=_VERSIONS + 1)
    return Detail(
        job=job,
        preview=preview_of(job, due, visit.services.clock.now(), has_steps=bool(rows)),
        steps=[_shown(step, _SHOWN_SCRIPT) for step in rows],
        runs=runs[:_RUNS],
        more_runs=len(runs) > _RUNS,
        versions=versions[:_VERSIONS],
        more_versions=len(versions) > _VERSIONS,
        origin=find_origins(connection, [f"jobs/{job.name}"]).get(f"jobs/{job.name}"),
    )


def _shown(step: Step, longest: int | None) -> ShownStep:
    script = step.definition.command
    kept = script if longest is None or len(script) <= longest + longest // 4 else script[:longest]
    settings: list[tuple[str, Any]] = [
        (name, value) for name, value in settings_of(step) if value is not None and name not in {"Place", "Name"}
    ]
    return ShownStep(step=step, settings=settings, script=kept, cut=len(script) - len(kept))

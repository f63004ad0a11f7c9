"""The pages on which Contributors write jobs: a new job, its schedule, its steps.

A form carries a fingerprint of what it was made from: when somebody else changed that meanwhile, nothing is saved
before the one who typed has seen it, and what was typed stays in the form.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import Response

from elastic_jobs.api.envelope import Envelope
from elastic_jobs.api.paths import Segment
from elastic_jobs.domain.model import Agent, Job, Step
from elastic_jobs.domain.schedule import Schedule
from elastic_jobs.jobdb.definitions import jobs, steps
from elastic_jobs.jobdb.definitions.agent import get_agent
from elastic_jobs.jobdb.group_list import group_names
from elastic_jobs.portal import job_editing_schedule as job_form
from elastic_jobs.portal import job_editing_steps as step_form
from elastic_jobs.portal.actions import Refusal, act
from elastic_jobs.portal.choices import MOST_OFFERED, credentials_offered
from elastic_jobs.portal.fields import Fields, fingerprint
from elastic_jobs.portal.page import DEFINE, Page, address

router = APIRouter()

_CHANGED = (
    "Somebody changed this meanwhile, so nothing was saved. What you typed is still here; compare it with what is "
    "saved now, and save again to replace that."
)


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a step may name."""

    agent: Agent
    groups: list[str]
    credentials: list[str]

    @property
    def groups_offered(self) -> list[tuple[str, str]]:
        return [(name, name) for name in self.groups]

    @property
    def credentials_offered(self) -> list[tuple[str, str]]:
        return [(name, name) for name in self.credentials]


@router.get("/new-job", dependencies=[DEFINE])
def new_job(visit: Page) -> Response:
    with visit.read() as connection:
        get_agent(connection, None)
    return _job_page(visit, job_form.new_form(), None)


@router.post("/new-job", dependencies=[DEFINE])
async def create_job(visit: Page) -> Response:
    fields = job_form.fields_of(visit.form.raw_of(job_form.NAMES))
    previewed = visit.form.text("do") == "preview"
    if not previewed:
        job_form.check_job(fields, new=True)
    schedule = job_form.read_schedule(fields)
    if previewed:
        return _job_page(visit, fields, None, schedule=schedule)
    name = fields["name"]
    if fields.is_right and await visit.reading(lambda connection: jobs.find_job(connection, name)) is not None:
        fields.refuse("name", f"There is a job '{name}' already; choose another name.")
    if fields.is_right:
        try:
            await act(visit, "PUT", "jobs", name, body=job_form.job_body(fields["description"], schedule))
        except Refusal as refusal:
            fields.blame(str(refusal), job_form.PLACES)
    if not fields.is_right:
        return _job_page(visit, fields, None)
    return visit.go(address("jobs", name), done=f"The job '{name}' was created. Now add its first step.")


@router.get("/jobs/{job_name}/edit", dependencies=[DEFINE])
def edit_job(visit: Page, job_name: Segment) -> Response:
    with visit.read() as connection:
        job = jobs.get_job(connection, job_name)
    fields = job_form.form_of(job)
    fields.values["seen"] = _seen_job(job)
    return _job_page(visit, fields, job, schedule=job.schedule)


@router.post("/jobs/{job_name}/edit", dependencies=[DEFINE])
async def save_job(visit: Page, job_name: Segment) -> Response:
    job = await visit.reading(lambda connection: jobs.get_job(connection, job_name))
    fields = job_form.fields_of(visit.form.raw_of(job_form.NAMES))
    previewed = visit.form.text("do") == "preview"
    if not previewed:
        job_form.check_job(fields, new=False)
    schedule = job_form.read_schedule(fields, job.schedule)
    if previewed:
        return _job_page(visit, fields, job, schedule=schedule)
    fields.check_unchanged(_seen_job(job), _CHANGED)
    if fields.is_right:
        try:
            await act(visit, "PUT", "jobs", job.name, body=job_form.job_body(fields["description"], schedule))
        except Refusal as refusal:
            fields.blame(str(refusal), job_form.PLACES)
    if not fields.is_right:
        return _job_page(visit, fields, job)
    return visit.go(address("jobs", job.name), done="Saved.")


@router.post("/schedule-preview", dependencies=[DEFINE])
def preview_schedule(visit: Page) -> Response:
    """The next instants of the schedule that is in the form right now; nothing is saved."""
    fields = job_form.fields_of(visit.form.raw_of(job_form.NAMES))
    schedule = job_form.read_schedule(fields)
    return visit.part(
        "jobs/schedule_preview.html",
        preview=job_form.preview(schedule, visit.services.clock.now()) if fields.is_right else None,
    )


@router.get("/jobs/{job_name}/new-step", dependencies=[DEFINE])
def new_step(visit: Page, job_name: Segment) -> Response:
    with visit.read() as connection:
        job, choices = jobs.get_job(connection, job_name), _choices(connection)
    fields = step_form.new_form()
    for name, offered in (("target_group", choices.groups), ("credential", choices.credentials)):
        fields.values[name] = offered[0] if len(offered) == 1 else ""
    return _step_page(visit, fields, job, None, choices)


@router.post("/jobs/{job_name}/new-step", dependencies=[DEFINE])
async def create_step(visit: Page, job_name: Segment) -> Response:
    return await _save_step(visit, job_name, None)


@router.get("/jobs/{job_name}/steps/{step_name}/edit", dependencies=[DEFINE])
def edit_step(visit: Page, job_name: Segment, step_name: Segment) -> Response:
    with visit.read() as connection:
        job, choices = jobs.get_job(connection, job_name), _choices(connection)
        step = steps.get_step(connection, job, step_name)
    fields = step_form.form_of(step)
    fields.values["seen"] = _seen_step(step)
    return _step_page(visit, fields, job, step, choices)


@router.post("/jobs/{job_name}/steps/{step_name}/edit", dependencies=[DEFINE])
async def save_step(visit: Page, job_name: Segment, step_name: Segment) -> Response:
    return await _save_step(visit, job_name, step_name)


@router.get("/jobs/{job_name}/steps/{step_name}/delete", dependencies=[DEFINE])
def ask_delete_step(visit: Page, job_name: Segment, step_name: Segment) -> Response:
    with visit.read() as connection:
        job = jobs.get_job(connection, job_name)
        step = steps.get_step(connection, job, step_name)
        only = len(steps.list_steps(connection, job.id, job.version)) == 1
    title = f"Delete {step.definition.name}"
    return visit.page("jobs/delete_step.html", section="jobs", title=title, job=job, step=step, only=only)


@router.post("/jobs/{job_name}/steps/{step_name}/delete", dependencies=[DEFINE])
async def delete_step(visit: Page, job_name: Segment, step_name: Segment) -> Response:
    try:
        await act(visit, "DELETE", "jobs", job_name, "steps", step_name)
    except Refusal as refusal:
        return visit.go(address("jobs", job_name), error=str(refusal))
    return visit.go(address("jobs", job_name), done=f"The step '{step_name}' was deleted; that made a new version.")


async def _save_step(visit: Page, job_name: str, step_name: str | None) -> Response:
    def look(connection: Connection) -> tuple[Job, Step | None, Choices]:
        job = jobs.get_job(connection, job_name)
        wanted = visit.form.raw("name") if step_name is None else step_name
        found = steps.find_step(connection, job, wanted)
        if found is None and step_name is not None:
            steps.get_step(connection, job, step_name)
        return job, found, _choices(connection)

    job, step, choices = await visit.reading(look)
    fields = step_form.fields_of(visit.form.raw_of(step_form.NAMES))
    stored = None if step is None or step_name is None else step.definition.command
    envelope = Envelope(visit.services.settings, choices.agent)
    body = step_form.read_step(fields, envelope.id, stored)
    if step_name is None and step is not None:
        fields.refuse("name", f"The job has a step '{step.definition.name}' already; choose another name.")
        step = None
    if step is not None:
        fields.check_unchanged(_seen_step(step), _CHANGED)
    name = fields["name"] if step is None else step.definition.name
    if fields.is_right:
        try:
            await act(visit, "PUT", "jobs", job.name, "steps", name, body=body)
        except Refusal as refusal:
            fields.blame(str(refusal), step_form.PLACES)
    if not fields.is_right:
        return _step_page(visit, fields, job, step, choices)
    return visit.go(address("jobs", job.name), done=f"The step '{name}' was saved; that made a new version of the job.")


def _job_page(visit: Page, fields: Fields, job: Job | None, *, schedule: Schedule | None = None) -> Response:
    now = visit.services.clock.now()
    return visit.page(
        "jobs/edit.html",
        section="jobs",
        title="New job" if job is None else f"Edit {job.name}",
        status=200 if fields.is_right else 400,
        job=job,
        fields=fields,
        units=job_form.UNITS,
        preview=job_form.preview(schedule, now) if schedule is not None and fields.is_right else None,
    )


def _step_page(visit: Page, fields: Fields, job: Job, step: Step | None, choices: Choices) -> Response:
    return visit.page(
        "jobs/edit_step.html",
        section="jobs",
        title=f"New step of {job.name}" if step is None else f"Edit {step.definition.name} of {job.name}",
        status=200 if fields.is_right else 400,
        job=job,
        step=step,
        fields=fields,
        choices=choices,
        has_output=any(fields[name] for name in step_form.OUTPUT_NAMES if name != "output_schema"),
    )


def _choices(connection: Connection) -> Choices:
    agent = get_agent(connection, None)
    return Choices(
        agent=agent,
        groups=group_names(connection, limit=MOST_OFFERED),
        credentials=credentials_offered(connection, agent),
    )


def _seen_job(job: Job) -> str:
    return fingerprint(job.description, job.schedule)


def _seen_step(step: Step) -> str:
    return fingerprint(step.step_id, step.definition)

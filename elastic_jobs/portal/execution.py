"""One run: its steps, how far they are, what went wrong, its targets; cancel it, or run what failed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from sqlalchemy import Connection
from starlette.responses import Response

from elastic_jobs.api.paths import Segment
from elastic_jobs.domain.lifecycle import ACTIVE, Lifecycle
from elastic_jobs.errors import NotFoundError
from elastic_jobs.jobdb import history, run_errors, run_list, run_targets
from elastic_jobs.jobdb.definitions.steps import list_steps
from elastic_jobs.jobdb.history import Execution
from elastic_jobs.jobdb.run_errors import TargetError
from elastic_jobs.jobdb.run_targets import TargetFilter
from elastic_jobs.portal import errors, progress, timeline
from elastic_jobs.portal.actions import Refusal, act
from elastic_jobs.portal.page import OPERATE, READ, Page, Visit, address

router = APIRouter()

PAGE_SIZE = 50
_GROUPS = 20
_LONGEST_TEXT = 128
_RUN = "/executions/{execution_id}"
STATES = {
    "": ("All", frozenset[Lifecycle]()),
    "failed": ("Failed", frozenset({Lifecycle.FAILED, Lifecycle.TIMED_OUT})),
    "running": ("In progress", frozenset({Lifecycle.IN_PROGRESS})),
    "retry": ("Waiting for retry", frozenset({Lifecycle.WAITING_FOR_RETRY})),
    "waiting": ("Created", frozenset({Lifecycle.CREATED})),
    "succeeded": ("Succeeded", frozenset({Lifecycle.SUCCEEDED})),
    "skipped": ("Skipped", frozenset({Lifecycle.SKIPPED})),
    "canceled": ("Canceled", frozenset({Lifecycle.CANCELED})),
}


@dataclass(frozen=True, kw_only=True)
class StepLine:
    """A step of a run; ``lifecycle`` None: the run has not come to it."""

    step_id: int
    name: str
    target_group: str
    lifecycle: Lifecycle | None
    message: str | None
    targets: dict[Lifecycle, int]

    @property
    def total(self) -> int:
        return sum(self.targets.values())


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What of the targets the reader wants to see."""

    state: str
    step: int | None
    text: str
    error: str
    page: int

    def kept(self) -> dict[str, object]:
        """The parameters of an address that shows the same, without the page."""
        return {"state": self.state, "step": self.step, "text": self.text, "error": self.error}


async def _asked(state: str = "", step: int | None = None, text: str = "", error: str = "", page: int = 1) -> Asked:
    return Asked(
        state=state if state in STATES else "",
        step=step,
        text=text.strip()[:_LONGEST_TEXT],
        error=error[:_LONGEST_TEXT],
        page=min(max(page, 1), 1_000_000),
    )


Wanted = Annotated[Asked, Depends(_asked)]


@router.get(_RUN, dependencies=[READ])
def get_execution(visit: Page, execution_id: Segment, asked: Wanted) -> Response:
    values = _values(visit, run_id(execution_id), asked)
    title = f"{values['run'].job_name}, execution"
    return visit.page("executions/run.html", section="executions", title=title, oob=False, **values)


@router.get(_RUN + "/live", dependencies=[READ])
def get_live(visit: Page, execution_id: Segment, asked: Wanted) -> Response:
    """What changes on the page of a run, for htmx."""
    values = _values(visit, run_id(execution_id), asked)
    return visit.part("executions/live.html", oob=True, **values)


@router.post(_RUN + "/cancel", dependencies=[OPERATE])
async def cancel_execution(visit: Page, execution_id: Segment) -> Response:
    done = "The cancellation was asked for. What runs on a target now is stopped there."
    return await _acted(visit, run_id(execution_id), "cancel", done)


@router.post(_RUN + "/rerun", dependencies=[OPERATE])
async def rerun_execution(visit: Page, execution_id: Segment) -> Response:
    return await _acted(visit, run_id(execution_id), "rerun", "Started again on the targets that did not succeed.")


def run_id(text: str) -> UUID:
    """The id of a run in an address.

    Raises:
        NotFoundError: it is none.
    """
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError("execution", text) from None


async def _acted(visit: Visit, execution_id: UUID, action: str, done: str) -> Response:
    run = await visit.reading(lambda connection: history.get_job_execution(connection, execution_id))
    segments = ("jobs", run.job_name, "executions", str(execution_id), action)
    try:
        answer = await act(visit, "POST", *segments, request_id=visit.form.text("request_id"))
    except Refusal as refusal:
        return visit.go(address("executions", execution_id), error=str(refusal))
    shown = answer.body["name"] if answer.body else execution_id
    return visit.go(address("executions", shown), done=done)


def _values(visit: Visit, execution_id: UUID, asked: Asked) -> dict[str, Any]:
    with visit.read() as connection:
        run = history.get_job_execution(connection, execution_id)
        steps = _steps(connection, run)
        groups = errors.grouped(run_errors.count_errors(connection, run.id))
        ids = _with_error(run_errors.list_errors(connection, run.id), asked) if asked.error else None
        targets, found = _targets(connection, run.id, asked, ids)
        spans = run_targets.list_spans(connection, run.id)
        canceled = run_list.cancel_time(connection, run.id)
        rerun = run_list.find_rerun(connection, run.id)
    totals = progress.together(step.targets for step in steps)
    return {
        "run": run,
        "active": run.lifecycle in ACTIVE,
        "cancel_time": canceled,
        "rerun": rerun,
        "steps": steps,
        "totals": totals,
        "total": sum(totals.values()),
        "ended": progress.ended(totals),
        "undone": sum(count for state, count in totals.items() if state is not Lifecycle.SUCCEEDED),
        "groups": groups[:_GROUPS],
        "more_groups": max(0, len(groups) - _GROUPS),
        "timeline": timeline.draw(spans, visit.services.clock.now()),
        "targets": targets,
        "found": found,
        "asked": asked,
        "request_id": visit.services.ids(),
        **_addresses(run, steps, asked, found, totals),
    }


def _addresses(
    run: Execution, steps: Sequence[StepLine], asked: Asked, found: int, totals: dict[Lifecycle, int]
) -> dict[str, Any]:
    kept = asked.kept()

    def to(**changed: object) -> str:
        return address("executions", run.id, **{**kept, **changed}) + "#targets"

    tabs = [
        (text, to(state=key), key == asked.state, sum(totals.get(state, 0) for state in states))
        for key, (text, states) in STATES.items()
    ]
    first = (asked.page - 1) * PAGE_SIZE
    return {
        "live_address": address("executions", run.id, "live", **kept, page=asked.page if asked.page > 1 else None),
        "tabs": [tab for tab in tabs if tab[3] or tab[2] or tab[0] == "All"],
        "previous": to(page=asked.page - 1) if asked.page > 1 else "",
        "following": to(page=asked.page + 1) if first + PAGE_SIZE < found else "",
        "first_shown": first + 1,
        "unfiltered": address("executions", run.id) + "#targets",
        "step_names": [(step.step_id, step.name) for step in steps],
    }


def _steps(connection: Connection, run: Execution) -> list[StepLine]:
    """The steps of the run's version: those that it has come to, and those that are still to come."""
    counted = {step.step_id: step for step in history.progress(connection, run.id)}
    said = {
        step.step_id: step.last_message
        for step in history.list_step_executions(
            connection, run.id, history.Page(limit=max(1, len(counted))), history.ExecutionFilter()
        )
    }
    lines = {
        step.step_id: StepLine(
            step_id=step.step_id,
            name=step.definition.name,
            target_group=step.definition.target_group_name,
            lifecycle=None,
            message=None,
            targets={},
        )
        for step in list_steps(connection, run.job_id, run.job_version)
    }
    for number, step in counted.items():
        defined = lines.get(number)
        lines[number] = StepLine(
            step_id=number,
            name=step.step_name,
            target_group="" if defined is None else defined.target_group,
            lifecycle=step.lifecycle,
            message=said.get(number),
            targets=progress.in_order(step.targets),
        )
    return [lines[number] for number in sorted(lines)]


def _with_error(found: Sequence[TargetError], asked: Asked) -> list[UUID]:
    """The targets whose error is of the kind that was asked for, which SQL cannot tell, in the order of the list."""
    return [
        each.id
        for each in found
        if (not asked.state or each.lifecycle in STATES[asked.state][1])
        and (not asked.text or asked.text.lower() in f"{each.server_name}\n{each.database_name}".lower())
        and errors.error_key(each.number, each.message) == asked.error
    ]


def _targets(
    connection: Connection, execution_id: UUID, asked: Asked, ids: list[UUID] | None
) -> tuple[list[run_targets.TargetLine], int]:
    """A page of targets, and how many there are on all pages."""
    skip = (asked.page - 1) * PAGE_SIZE
    if ids is not None:
        wanted = TargetFilter(ids=ids[skip : skip + PAGE_SIZE])
        return run_targets.list_targets(connection, execution_id, wanted, limit=PAGE_SIZE), len(ids)
    wanted = TargetFilter(step_id=asked.step, states=STATES[asked.state][1], text=asked.text)
    shown = run_targets.list_targets(connection, execution_id, wanted, limit=PAGE_SIZE, skip=skip)
    return shown, run_targets.count_targets(connection, execution_id, wanted)

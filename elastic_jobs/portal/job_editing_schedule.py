"""A job and its schedule as a form: what is shown, what is read, what the API is asked for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from elastic_jobs.api.envelope import instant
from elastic_jobs.domain.durations import format_duration
from elastic_jobs.domain.model import Job
from elastic_jobs.domain.schedule import DEFAULT_END, DEFAULT_START, Due, IntervalType, Schedule, first_due, upcoming
from elastic_jobs.errors import InvalidDefinitionError
from elastic_jobs.jobdb.definitions.checks import INVALID_DURATION, check_description, check_name, normal_schedule
from elastic_jobs.portal.fields import Fields, shown_instant

PREVIEWED = 5
UNITS = (
    (IntervalType.MINUTES, "minutes"),
    (IntervalType.HOURS, "hours"),
    (IntervalType.DAYS, "days"),
    (IntervalType.WEEKS, "weeks"),
    (IntervalType.MONTHS, "months"),
)
_WORDS = {unit.value: unit for unit, _ in UNITS}
NAMES = ("name", "description", "type", "count", "unit", "start", "end", "enabled", "seen")
PLACES = {"name of the job": "name", "description": "description", "'%'": "name"}
"""Where to say what the API refuses of a job."""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a schedule does next.

    instants: the next ones. why_none: a sentence for people when there are none.
    only_when_enabled: the schedule is disabled; these are the instants that it would have.
    """

    instants: tuple[datetime, ...]
    why_none: str = ""
    only_when_enabled: bool = False


def new_form() -> Fields:
    """An empty form: a job that is started by hand until somebody gives it a schedule."""
    return Fields(values={"type": "Once", "count": "1", "unit": IntervalType.DAYS.value})


def form_of(job: Job) -> Fields:
    """The form of a job that is there."""
    schedule = job.schedule
    once = schedule.interval_type is IntervalType.ONCE
    return Fields(
        values={
            "name": job.name,
            "description": job.description,
            "type": "Once" if once else "Recurring",
            "count": "1" if once else str(schedule.interval_count),
            "unit": IntervalType.DAYS.value if once else schedule.interval_type.value,
            "start": shown_instant(schedule.start_time) if schedule.has_start else "",
            "end": shown_instant(schedule.end_time) if has_end(schedule) else "",
            "enabled": "on" if schedule.enabled else "",
        }
    )


def has_end(schedule: Schedule) -> bool:
    """Whether a real end was given."""
    return schedule.end_time.year < DEFAULT_END.year


def read_schedule(fields: Fields, stored: Schedule | None = None) -> Schedule:
    """The schedule that a form means; what is wrong with it is noted in the form.

    stored: the schedule that the form was made from.
    """
    kind, count = IntervalType.ONCE, 1
    if fields["type"] == "Recurring":
        kind = _WORDS.get(fields["unit"], IntervalType.DAYS)
        if fields["unit"] not in _WORDS:
            fields.refuse("count", "The unit of the interval must be one of the list.")
        if not fields["count"].strip():
            fields.refuse("count", "A recurring schedule needs an interval; write how many, for example 1.")
        count = fields.whole("count", "interval", 1, 1)
    elif fields["type"] != "Once":
        fields.refuse("type", "The type of a schedule is Once or Recurring.")
    schedule = Schedule(
        interval_type=kind,
        interval_count=count,
        start_time=fields.instant("start", "start", DEFAULT_START, stored.start_time if stored else None),
        end_time=fields.instant("end", "end", DEFAULT_END, stored.end_time if stored else None),
        enabled=bool(fields["enabled"]),
    )
    try:
        return normal_schedule(schedule)
    except InvalidDefinitionError as error:
        fields.refuse("count" if error.code == INVALID_DURATION else "end", str(error))
        return replace(schedule, interval_count=1, end_time=DEFAULT_END)


def check_job(fields: Fields, *, new: bool) -> None:
    """Note what is wrong with name and description."""
    if new:
        fields.check("name", lambda: check_name("job", fields["name"]))
    fields.check("description", lambda: check_description(fields["description"]))


def job_body(description: str, schedule: Schedule) -> dict[str, Any]:
    """What PUT of a job is sent."""
    once = schedule.interval_type is IntervalType.ONCE
    body: dict[str, Any] = {
        "type": "Once" if once else "Recurring",
        "startTime": instant(schedule.start_time),
        "endTime": instant(schedule.end_time),
        "enabled": schedule.enabled,
    }
    if not once:
        body["interval"] = format_duration(schedule.interval_type, schedule.interval_count)
    return {"properties": {"description": description, "schedule": body}}


def preview(schedule: Schedule, now: datetime) -> Preview:
    """The next instants of a schedule that is being written."""
    due = first_due(replace(schedule, enabled=True), now=now, consumed_start=None)
    return _preview(schedule, due)


def preview_of(job: Job, due: Due | None, now: datetime, *, has_steps: bool) -> Preview:
    """The next instants of a job as it is stored. due: what its schedule does next."""
    if not has_steps:
        return Preview(instants=(), why_none="The job has no steps yet, so that nothing is started. Add a step.")
    if not job.schedule.enabled:
        return preview(job.schedule, now)
    return _preview(job.schedule, due)


def _preview(schedule: Schedule, due: Due | None) -> Preview:
    instants = tuple(upcoming(replace(schedule, enabled=True), due, PREVIEWED))
    if instants:
        return Preview(instants=instants, only_when_enabled=not schedule.enabled)
    if schedule.interval_type is IntervalType.ONCE:
        return Preview(
            instants=(), why_none="It ran already, or its time is over. Give it a new start time to run it again."
        )
    return Preview(instants=(), why_none="Its end is reached. Give it a later end, or none.")


def spoken(schedule: Schedule) -> str:
    """A schedule in a few words, without its instants: ``Every 15 minutes``."""
    if schedule.interval_type is IntervalType.ONCE:
        return "Once"
    unit = schedule.interval_type.value.lower()
    return f"Every {unit[:-1]}" if schedule.interval_count == 1 else f"Every {schedule.interval_count} {unit}"


def fields_of(raw: Mapping[str, str]) -> Fields:
    """The form as it was sent."""
    return Fields(values={name: raw.get(name, "") for name in NAMES})

"""The forms of jobs, steps and target groups without a browser: what is read, what is said beside which field."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from elastic_jobs.api.bodies import JobBody, StepBody, TargetGroupBody
from elastic_jobs.api.jobs import to_schedule
from elastic_jobs.domain.model import Job, Output, Step, StepDefinition
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.domain.schedule import IntervalType, Schedule
from elastic_jobs.domain.targets import Member, MembershipType, TargetType
from elastic_jobs.jobdb.definitions.checks import normal_schedule
from elastic_jobs.portal import job_editing_schedule as job_form
from elastic_jobs.portal import job_editing_steps as step_form
from elastic_jobs.portal import target_groups_form as group_form
from elastic_jobs.portal.fields import WHOLE_FORM, Fields, fingerprint

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
START = datetime(2026, 3, 5, 6, 0, 0, 123456, tzinfo=UTC)
SCHEDULES = [
    Schedule(),
    Schedule(enabled=True, start_time=START),
    Schedule(interval_type=IntervalType.MINUTES, interval_count=15, enabled=True),
    Schedule(interval_type=IntervalType.MONTHS, interval_count=3, start_time=START, end_time=START + timedelta(9)),
]


def job(schedule: Schedule, **values: Any) -> Job:
    return Job(id=UUID(int=1), name="nightly", schedule=schedule, **values)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_comes_back_from_its_form_as_it_was(schedule: Schedule) -> None:
    fields = job_form.form_of(job(schedule, description="d"))
    sent = job_form.fields_of(fields.values)
    read = job_form.read_schedule(sent, schedule)
    assert sent.errors == {}
    assert read == schedule
    body = JobBody.model_validate(job_form.job_body("d", read))
    assert normal_schedule(to_schedule(body.properties.schedule)) == schedule
    assert body.properties.description == "d"


def schedule_of(**typed: str) -> tuple[Schedule, dict[str, str]]:
    fields = job_form.fields_of({"type": "Recurring", "count": "1", "unit": "Days"} | typed)
    return job_form.read_schedule(fields), fields.errors


def test_times_are_utc_with_or_without_seconds() -> None:
    schedule, errors = schedule_of(start="2026-03-05T06:00", end="2026-03-06T06:00:30")
    assert errors == {}
    assert schedule.start_time == datetime(2026, 3, 5, 6, tzinfo=UTC)
    assert schedule.end_time == datetime(2026, 3, 6, 6, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"count": ""}, "count", "needs an interval"),
        ({"count": "0"}, "count", "whole number of at least 1"),
        ({"count": "1.5"}, "count", "whole number"),
        ({"count": "9" * 30}, "count", "whole number"),
        ({"count": "2000000000"}, "count", "at most 100 years"),
        ({"unit": "Years"}, "count", "one of the list"),
        ({"type": "Cron"}, "type", "Once or Recurring"),
        ({"start": "tomorrow"}, "start", "must be a date and a time"),
        ({"start": "2026-03-05T06:00", "end": "2026-03-04T06:00"}, "end", "before it starts"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_said_beside_its_field(typed: dict[str, str], field: str, said: str) -> None:
    _, errors = schedule_of(**typed)
    assert list(errors) == [field]
    assert said in errors[field]


def test_all_wrong_fields_are_told_at_once() -> None:
    fields = job_form.fields_of({"type": "Recurring", "name": "50%", "description": "x" * 600, "start": "soon"})
    job_form.read_schedule(fields)
    job_form.check_job(fields, new=True)
    assert set(fields.errors) == {"name", "description", "start", "count"}
    assert fields["description"] == "x" * 600


def test_the_next_five_instants_before_anything_is_saved() -> None:
    hourly = Schedule(interval_type=IntervalType.HOURS, interval_count=6, start_time=START, enabled=True)
    found = job_form.preview(hourly, NOW)
    assert found.instants == tuple(START + n * timedelta(hours=6) for n in range(5))
    assert not found.only_when_enabled
    assert job_form.preview(replace(hourly, enabled=False), NOW).only_when_enabled


def test_a_schedule_that_does_nothing_says_why() -> None:
    ended = Schedule(interval_type=IntervalType.DAYS, start_time=START - timedelta(9), end_time=START - timedelta(8))
    assert "end is reached" in job_form.preview(ended, NOW).why_none
    hourly = job(Schedule(interval_type=IntervalType.HOURS, enabled=True))
    assert "no steps" in job_form.preview_of(hourly, None, NOW, has_steps=False).why_none
    once = job(Schedule(enabled=True))
    assert "ran already" in job_form.preview_of(once, None, NOW, has_steps=True).why_none


def test_schedules_in_words() -> None:
    words = [
        job_form.spoken(Schedule(interval_type=kind, interval_count=count))
        for kind, count in ((IntervalType.ONCE, 1), (IntervalType.DAYS, 1), (IntervalType.MINUTES, 15))
    ]
    assert words == ["Once", "Every day", "Every 15 minutes"]


def reference(kind: str, name: str) -> str:
    return f"/{kind}/{name}"


OUTPUT = Output(
    server_name="s", database_name="d", table_name="t", credential_name="writer", subscription_id=UUID(int=7)
)


def step(**values: Any) -> Step:
    content = {"command": "SELECT 1", "target_group_name": "group1"} | values
    return Step(
        job_id=UUID(int=1),
        job_version=1,
        step_id=2,
        uid=UUID(int=3),
        target_group_id=UUID(int=4),
        definition=StepDefinition(name="s1", **content),
    )


def test_a_step_comes_back_from_its_form_as_it_was() -> None:
    retry = RetryPolicy(attempts=3, initial_interval_seconds=2, maximum_interval_seconds=60, backoff_multiplier=1.5)
    stored = step(credential_name="runner", retry=retry, timeout_seconds=60, output=OUTPUT, max_parallelism=4)
    fields = step_form.fields_of(step_form.form_of(stored).values)
    body = StepBody.model_validate(step_form.read_step(fields, reference, "SELECT 1")).properties
    assert fields.errors == {}
    assert (body.step_id, body.target_group, body.credential) == (2, "/targetGroups/group1", "/credentials/runner")
    assert (body.action.value, body.max_parallelism) == ("SELECT 1", 4)
    options = body.execution_options
    assert (options.timeout_seconds, options.retry_attempts, options.retry_interval_backoff_multiplier) == (60, 3, 1.5)
    assert (options.initial_retry_interval_seconds, options.maximum_retry_interval_seconds) == (2, 60)
    assert body.output is not None
    assert (body.output.server_name, body.output.schema_name, body.output.table_name) == ("s", "dbo", "t")
    assert (body.output.credential, body.output.subscription_id) == ("/credentials/writer", str(UUID(int=7)))


def test_a_new_step_has_the_defaults_of_elastic_jobs() -> None:
    typed = step_form.new_form().values | {"name": "s", "script": "SELECT 1", "target_group": "g"}
    fields = step_form.fields_of(typed)
    body = StepBody.model_validate(step_form.read_step(fields, reference)).properties
    assert fields.errors == {}
    plain = StepBody.model_validate({"properties": {"targetGroup": "g", "action": {"value": "x"}}}).properties
    assert body.execution_options == plain.execution_options
    assert (body.output, body.credential, body.step_id) == (None, None, None)
    assert body.max_parallelism == -1, "an empty field removes the limit"


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"name": " s"}, "name", "begins or ends with a space"),
        ({"script": " \n"}, "script", "is empty"),
        ({"target_group": ""}, "target_group", "needs a target group"),
        ({"step_id": "0"}, "step_id", "at least 1"),
        ({"timeout": "0"}, "timeout", "at least 1"),
        ({"retries": "-1"}, "retries", "at least 0"),
        ({"first_wait": "9", "longest_wait": "8"}, "longest_wait", "shorter than the initial one"),
        ({"multiplier": "0.5"}, "multiplier", "at least 1"),
        ({"multiplier": "inf"}, "multiplier", "at least 1"),
        ({"multiplier": "twice"}, "multiplier", "must be a number"),
        ({"parallel": "0"}, "parallel", "at least 1"),
        ({"output_table": "t", "output_server": "s"}, "output_database", "is empty"),
    ],
)
def test_what_is_wrong_with_a_step_is_said_beside_its_field(typed: dict[str, str], field: str, said: str) -> None:
    right = step_form.new_form().values | {"name": "s", "script": "SELECT 1", "target_group": "g"}
    fields = step_form.fields_of(right | typed)
    step_form.read_step(fields, reference)
    assert list(fields.errors) == [field]
    assert said in fields.errors[field]
    assert fields.values == dict.fromkeys(step_form.NAMES, "") | right | typed


def test_a_subscription_that_is_no_guid() -> None:
    right = step_form.form_of(step(output=OUTPUT)).values
    fields = step_form.fields_of(right | {"output_subscription": "mine"})
    step_form.read_step(fields, reference, "SELECT 1")
    assert "GUID" in fields.error("output_subscription")


@pytest.mark.parametrize(
    ("typed", "stored", "sent"),
    [
        ("a\nb", None, "a\nb"),
        ("a\r\nb", None, "a\nb"),
        ("a\nb", "a\r\nb", "a\r\nb"),
        ("a\nb\nc", "a\r\nb", "a\r\nb\r\nc"),
        ("a\nb", "a\r\nb\n", "a\nb"),
        ("a\nb\n", "a\r\nb\n", "a\r\nb\n"),
        ("a\nc", "a\nb", "a\nc"),
    ],
)
def test_a_script_keeps_its_line_ends(typed: str, stored: str | None, sent: str) -> None:
    assert step_form.script_text(typed, stored) == sent


MEMBERS = [
    Member(target_type=TargetType.SQL_SERVER, server_name="s1", refresh_credential_name="r"),
    Member(
        target_type=TargetType.SQL_DATABASE,
        server_name="s1",
        database_name="d1",
        membership_type=MembershipType.EXCLUDE,
    ),
    Member(
        target_type=TargetType.SQL_ELASTIC_POOL, server_name="s1", elastic_pool_name="p", refresh_credential_name="r"
    ),
    Member(
        target_type=TargetType.SQL_SHARD_MAP,
        server_name="s1",
        database_name="d1",
        shard_map_name="m",
        refresh_credential_name="r",
    ),
]


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_comes_back_from_its_form_as_it_was(member: Member) -> None:
    fields = group_form.fields_of(group_form.form_of(member).values)
    assert group_form.read_members(fields, with_credentials=True) == [member]
    assert fields.errors == {}
    sent = group_form.members_body([member], reference)
    (body,) = TargetGroupBody.model_validate(sent).properties.members
    assert (body.type, body.membership_type, body.server_name) == (
        member.target_type,
        member.membership_type,
        member.server_name,
    )
    assert (body.database_name, body.elastic_pool_name, body.shard_map_name, body.refresh_credential) == (
        member.database_name,
        member.elastic_pool_name,
        member.shard_map_name,
        f"/credentials/{member.refresh_credential_name}" if member.refresh_credential_name else None,
    )


def members_of(**typed: str) -> tuple[list[Member], dict[str, str]]:
    fields = group_form.fields_of({"membership": "Include", "type": "SqlDatabase", "server": "s1"} | typed)
    return group_form.read_members(fields, with_credentials=True), fields.errors


def test_several_databases_are_several_members() -> None:
    found, errors = members_of(databases="d1\r\n\r\n d2 \r\nd1", credential="ignored", pool="hidden")
    assert errors == {}
    assert [(member.database_name, member.refresh_credential_name) for member in found] == [("d1", None), ("d2", None)]


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"server": " ", "databases": "d"}, "server", "is empty"),
        ({"databases": "\n"}, "databases", "is empty"),
        ({"type": "SqlServer"}, "credential", "choose one"),
        ({"type": "SqlElasticPool", "credential": "r"}, "pool", "is empty"),
        ({"type": "SqlShardMap", "credential": "r", "databases": "a\nb", "shard_map": "m"}, "databases", "one name"),
        ({"type": "TargetGroup", "databases": "d"}, "type", "Choose"),
        ({"membership": "Maybe", "databases": "d"}, "membership", "included or excluded"),
    ],
)
def test_what_is_wrong_with_a_member_is_said_beside_its_field(typed: dict[str, str], field: str, said: str) -> None:
    found, errors = members_of(**typed)
    assert found == []
    assert list(errors) == [field]
    assert said in errors[field]


def test_what_the_api_refuses_is_said_where_it_belongs() -> None:
    fields = Fields(values={})
    fields.blame("Cannot reference the target group 'x', because it does not exist.", step_form.PLACES)
    fields.blame("The output of the step 's' needs a credential, because ...", step_form.PLACES)
    fields.blame("Something else is the matter.", step_form.PLACES)
    assert list(fields.errors) == ["target_group", "output_credential", WHOLE_FORM]


def test_a_fingerprint_tells_one_definition_from_another() -> None:
    assert fingerprint(step()) == fingerprint(step())
    assert fingerprint(step()) != fingerprint(step(command="SELECT 2"))

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from elastic_jobs.domain.model import Output, StepDefinition
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.errors import InvalidDefinitionError, NotFoundError
from elastic_jobs.jobdb import tables
from elastic_jobs.jobdb.definitions import jobs, steps
from tests.definitions.conftest import Hand

OUTPUT = Output(server_name="server1", database_name="results", table_name="t", credential_name="RUNNER")


@pytest.fixture
def with_steps(hand: Hand) -> Hand:
    """A job with the steps a, b, c: version 3."""
    hand.job()
    for name in ("a", "b", "c"):
        hand.step(name)
    return hand


def delete(hand: Hand, name: str) -> object:
    with hand.database.write() as connection:
        return steps.delete_step(connection, hand.edit, "job1", name)


def uids(hand: Hand, version: int) -> dict[str, UUID]:
    with hand.database.read() as connection:
        job = jobs.get_job(connection, "job1")
        return {step.definition.name: step.uid for step in steps.list_steps(connection, job.id, version)}


def test_every_change_makes_a_version_and_old_ones_stay(with_steps: Hand) -> None:
    saved = with_steps.step("B", command="SELECT 2")
    assert (saved.created, saved.job.version, saved.step.step_id, saved.step.definition.name) == (False, 4, 2, "b")
    delete(with_steps, "A")
    with with_steps.database.read() as connection:
        job = jobs.get_job(connection, "job1")
        assert job.version == 5
        assert jobs.list_versions(connection, job.id) == [0, 1, 2, 3, 4, 5]
        assert jobs.list_versions(connection, job.id, after=2, limit=2) == [3, 4]
        assert steps.get_step(connection, job, "b", 3).definition.command == "SELECT 1"
        assert steps.get_step(connection, job, "b").definition.command == "SELECT 2"
        jobs.check_version(connection, job.id, 0)
        with pytest.raises(NotFoundError, match="version '6'"):
            jobs.check_version(connection, job.id, 6)
        with pytest.raises(NotFoundError, match="step 'a'"):
            steps.get_step(connection, job, "a")
    assert [with_steps.step_names(version=version) for version in (0, 1, 4, 5)] == [
        [],
        ["a"],
        ["a", "b", "c"],
        ["b", "c"],
    ]


@pytest.mark.parametrize(
    ("place", "expected"),
    [(None, ["a", "b", "c", "x"]), (1, ["x", "a", "b", "c"]), (2, ["a", "x", "b", "c"]), (4, ["a", "b", "c", "x"])],
)
def test_a_new_step_moves_those_behind_it_up(with_steps: Hand, place: int | None, expected: list[str]) -> None:
    with_steps.step("x", step_id=place)
    assert with_steps.step_names() == expected


@pytest.mark.parametrize(
    ("name", "place", "expected"),
    [("a", 3, ["b", "c", "a"]), ("c", 1, ["c", "a", "b"]), ("b", 2, ["a", "b", "c"]), ("b", None, ["a", "b", "c"])],
)
def test_an_existing_step_is_moved(with_steps: Hand, name: str, place: int | None, expected: list[str]) -> None:
    with_steps.step(name, step_id=place)
    assert with_steps.step_names() == expected
    assert uids(with_steps, 4) == uids(with_steps, 3)


@pytest.mark.parametrize(("name", "place"), [("x", 5), ("x", 0), ("a", 4), ("a", -1)])
def test_places_that_would_leave_a_gap(with_steps: Hand, name: str, place: int) -> None:
    with pytest.raises(InvalidDefinitionError, match=f"step id {place}"):
        with_steps.step(name, step_id=place)


def test_a_renamed_step_is_the_same_step(with_steps: Hand) -> None:
    with_steps.step("x", current_name="B")
    assert with_steps.step_names() == ["a", "x", "c"]
    assert uids(with_steps, 4)["x"] == uids(with_steps, 3)["b"]
    with pytest.raises(InvalidDefinitionError, match="a step 'c' already"):
        with_steps.step("C", current_name="x")
    with pytest.raises(NotFoundError):
        with_steps.step("y", current_name="ghost")
    with_steps.step("X", current_name="x")
    assert with_steps.step_names() == ["a", "X", "c"]


def test_deleting_closes_the_gap(with_steps: Hand) -> None:
    assert delete(with_steps, "b") is not None
    assert with_steps.step_names() == ["a", "c"]
    assert delete(with_steps, "b") is None
    with pytest.raises(NotFoundError, match="job 'nobody'"), with_steps.database.write() as connection:
        steps.delete_step(connection, with_steps.edit, "nobody", "a")


def test_a_whole_step_comes_back_as_it_was_saved(hand: Hand) -> None:
    hand.job()
    subscription = UUID(int=7)
    saved = hand.step(
        command="PRINT 'grüße';\nGO\nSELECT 1",
        retry=RetryPolicy(attempts=0, initial_interval_seconds=0, maximum_interval_seconds=0, backoff_multiplier=1.5),
        timeout_seconds=1,
        max_parallelism=3,
        output=Output(
            server_name="server2",
            database_name="results",
            table_name="t",
            schema_name="s",
            credential_name="RUNNER",
            subscription_id=subscription,
            resource_group_name="rg",
        ),
        target_group_name="GROUP1",
    )
    definition = saved.step.definition
    assert (definition.target_group_name, definition.output and definition.output.credential_name) == (
        "group1",
        "runner",
    )
    with hand.database.read() as connection:
        assert steps.get_step(connection, saved.job, "STEP1") == saved.step


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"command": " \n"}, "script of the step 'step1' is empty"),
        ({"name": ""}, "name of the step is empty"),
        ({"target_group_name": "ghost"}, "target group 'ghost'"),
        ({"credential_name": "ghost"}, "credential 'ghost'"),
        ({"credential_name": None}, "step 'step1' needs a credential"),
        ({"retry": RetryPolicy(attempts=-1)}, "retry attempts"),
        ({"retry": RetryPolicy(initial_interval_seconds=-1)}, "initial retry interval"),
        ({"retry": RetryPolicy(initial_interval_seconds=200)}, "shorter than the initial"),
        ({"retry": RetryPolicy(backoff_multiplier=0.5)}, "backoff multiplier"),
        ({"retry": RetryPolicy(backoff_multiplier=float("nan"))}, "backoff multiplier"),
        ({"timeout_seconds": 0}, "timeout"),
        ({"timeout_seconds": 2**31}, "timeout"),
        ({"max_parallelism": 0}, "maximum parallelism"),
        ({"output": Output(server_name="evil", database_name="d", table_name="t")}, "not on the list"),
        ({"output": Output(server_name="s", database_name="d", table_name="t")}, "output of the step 'step1' needs"),
        ({"output": Output(server_name="s", database_name="", table_name="t")}, "database name of the output"),
        ({"job": "nobody"}, "no job 'nobody'"),
    ],
)
def test_wrong_steps_are_refused_and_make_no_version(hand: Hand, values: dict[str, Any], said: str) -> None:
    hand.job()
    with pytest.raises((InvalidDefinitionError, NotFoundError), match=said):
        hand.step(**values)
    with hand.database.read() as connection:
        assert jobs.get_job(connection, "job1").version == 0


def test_under_an_identity_credentials_are_an_error(hand: Hand) -> None:
    hand.agent(identity="/subscriptions/s/identity")
    hand.job()
    without = Output(server_name="s", database_name="d", table_name="t")
    assert hand.step(credential_name=None, output=without).step.definition.credential_name is None
    for values in ({"credential_name": "runner"}, {"credential_name": None, "output": OUTPUT}):
        with pytest.raises(InvalidDefinitionError, match="user-assigned identity"):
            hand.step(**values)


def test_the_audit_trail_tells_a_script_by_its_hash(hand: Hand) -> None:
    hand.job()
    hand.step(command="SELECT 'a secret of the script'")
    entry = hand.audit()[-1]
    assert (entry["action"], entry["resource"]) == ("create step", "jobs/job1/steps/step1")
    assert entry["after"]["definition"]["command"]["characters"] == 31
    assert "a secret" not in repr(entry)


def test_two_changes_in_one_transaction_make_two_versions(hand: Hand) -> None:
    hand.job()
    with hand.database.write() as connection:
        for name in ("a", "b"):
            steps.save_step(
                connection,
                hand.edit,
                "job1",
                StepDefinition(name=name, command="SELECT 1", target_group_name="group1", credential_name="runner"),
            )
    assert hand.step_names() == ["a", "b"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 5)), max_size=8))
def test_places_never_have_gaps(hand: Hand, changes: list[tuple[str, int]]) -> None:
    hand.job()
    expected: list[str] = []
    for name, place in changes:
        others = [other for other in expected if other != name]
        if place == 0:  # delete
            delete(hand, name)
            expected = others
        elif place <= len(others) + 1:
            hand.step(name, step_id=place)
            expected = [*others[: place - 1], name, *others[place - 1 :]]
        assert hand.step_names() == expected
    with hand.database.write() as connection:
        job = jobs.delete_job(connection, hand.edit, "job1", force=True)
        assert job is not None
        rows = connection.execute(select(tables.job_versions.c.version).where(tables.job_versions.c.job_id == job.id))
        assert sorted(rows.scalars()) == list(range(job.version + 1))

"""What a plan shows, and what apply does with it: order, safety, other people's edits, failures in the middle."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from elastic_jobs.cli.errors import ApiError, CliError
from elastic_jobs.cli.files.applying import ChangedMeanwhileError, PutStep, apply_plan, step_edits
from elastic_jobs.cli.files.model import Definitions, JobDefinition
from elastic_jobs.cli.files.plan import make_plan
from elastic_jobs.cli.files.rendering import lines_of
from elastic_jobs.cli.files.state import read_state
from elastic_jobs.cli.files.writing import write_folder
from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.domain.model import StepDefinition
from elastic_jobs.domain.schedule import IntervalType, Schedule
from elastic_jobs.domain.targets import MembershipType
from elastic_jobs.jobdb.execution_tables import job_executions
from tests.api.support import ALL_ROLES, token
from tests.cli.files_support import Agent, emptied, running_agent, sample

SAMPLE = sample()
ONE, SERVERS = SAMPLE.groups
IDLE, NIGHTLY = SAMPLE.jobs
HOURLY = Schedule(interval_type=IntervalType.HOURS, enabled=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with running_agent(tmp_path_factory.mktemp("agent")) as running:
        yield running


@pytest.fixture
def agent(shared: Agent) -> Iterator[Agent]:
    """An agent that holds the sample."""
    with emptied(shared) as empty:
        empty.apply(SAMPLE)
        yield empty


def with_jobs(*jobs: JobDefinition) -> Definitions:
    return replace(SAMPLE, jobs=jobs).sorted()


def with_steps(*steps: StepDefinition, schedule: Schedule = NIGHTLY.schedule) -> Definitions:
    return with_jobs(IDLE, replace(NIGHTLY, steps=steps, schedule=schedule))


def shown(agent: Agent, wanted: Definitions, *, prune: bool = False) -> list[str]:
    return [line for _, line in lines_of(agent.plan(wanted, prune=prune))]


def actions(agent: Agent, since: int) -> list[str]:
    """What was done after so many entries of the audit trail, oldest first."""
    entries = list(agent.client.pages("/audit"))
    return [f"{each['action']} {each['resource']}" for each in reversed(entries[: len(entries) - since])]


def count(agent: Agent) -> int:
    return len(list(agent.client.pages("/audit")))


def test_a_plan_as_people_read_it(agent: Agent) -> None:
    measure, collect = NIGHTLY.steps
    changed = replace(measure, command="SELECT 1\nSELECT 'more'\n", timeout_seconds=60, max_parallelism=2)
    wanted = Definitions(
        groups=(replace(SERVERS, members=(SERVERS.members[1], ONE.members[0])),),
        jobs=(
            replace(NIGHTLY, steps=(replace(collect, target_group_name="Servers"), changed), description="Sizes"),
            JobDefinition(name="weekly", schedule=HOURLY, steps=(replace(measure, name="only", command="SELECT 5"),)),
        ),
    )
    assert shown(agent, wanted, prune=True) == [
        "~ target group Servers",
        "    - SqlServer server1 as refresh",
        "    + SqlDatabase server2/orders",
        "~ job nightly",
        "    + description: Sizes",
        "    ~ step collect (step 1)",
        "        ~ targetGroup: One -> Servers",
        "    ~ step measure (step 2)",
        "        + maxParallelism: 2",
        "        + executionOptions.timeoutSeconds: 60",
        "          script @@ -1,2 +1,3 @@",
        "          |  SELECT 1".rstrip().replace("|  ", "| "),
        "        + | SELECT 'more'",
        "          |",
        "    ~ order of the steps: collect, measure",
        "+ job weekly",
        "    + schedule.enabled: true",
        "    + schedule.interval: PT1H",
        "    + step only (step 1)",
        "        + targetGroup: Servers",
        "        + credential: runner",
        "        + | SELECT 5",
        "- job idle",
        "- target group One",
        "    - SqlDatabase server2/orders",
        "Plan: 1 to create, 2 to change, 2 to delete.",
    ]
    assert shown(agent, replace(SAMPLE, jobs=(NIGHTLY,))) == [
        "  job 'idle' is not in the files and stays (--prune would delete it)",
        "Plan: no changes.",
    ]


def test_only_line_ends_that_differ_are_shown(agent: Agent) -> None:
    measure, collect = NIGHTLY.steps
    assert "        + | SELECT 1\\r" in shown(agent, with_steps(replace(measure, command="SELECT 1\r\n"), collect))


def test_what_means_the_same_is_no_difference(agent: Agent) -> None:
    upper = [
        replace(
            step, name=step.name.upper(), credential_name="RUNNER", target_group_name=step.target_group_name.upper()
        )
        for step in NIGHTLY.steps
    ]
    wanted = Definitions(
        groups=(replace(ONE, name="ONE"), replace(SERVERS, members=tuple(reversed(SERVERS.members)))),
        jobs=(IDLE, replace(NIGHTLY, name="NIGHTLY", steps=tuple(upper))),
    )
    assert agent.plan(wanted, prune=True).changes == ()


def test_exit_codes_and_json(agent: Agent, tmp_path: Path) -> None:
    write_folder(tmp_path, with_jobs(NIGHTLY, replace(IDLE, description="Something")), replace=False)
    assert agent.run("plan", tmp_path).exit_code == 0
    answer = agent.run("plan", tmp_path, "--exit-code", "-o", "json")
    assert answer.exit_code == 5
    found = json.loads(answer.stdout)
    assert [(each["kind"], each["name"], each["action"]) for each in found["changes"]] == [("job", "idle", "change")]
    assert found["changes"][0]["after"]["description"] == "Something"
    refused = agent.run("apply", tmp_path, "--yes", "--expect", "0123456789abcdef")
    assert refused.exit_code == 1
    assert "This is another plan" in refused.stderr
    assert agent.holds() == SAMPLE
    applied = agent.run("apply", tmp_path, "--yes", "--expect", found["fingerprint"], "-o", "json")
    assert (applied.exit_code, json.loads(applied.stdout)["applied"]) == (0, 1)
    assert agent.run("plan", tmp_path, "--exit-code").exit_code == 0


def test_missing_credentials_are_listed_before_anything_changes(agent: Agent, tmp_path: Path) -> None:
    steps = (replace(NIGHTLY.steps[0], credential_name="nobody"), replace(NIGHTLY.steps[1], credential_name=None))
    write_folder(tmp_path, with_jobs(replace(IDLE, description="x"), replace(NIGHTLY, steps=steps)), replace=False)
    before = count(agent)
    result = agent.run("apply", tmp_path, "--yes")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "Nothing was changed:",
        "The step 'collect' of job 'nightly' names no credential, and the agent has no identity; name a credential.",
        "The agent has no credential 'nobody', which the step 'measure' of job 'nightly' needs; create it with "
        "'elastic-jobs credential set nobody --username USER'.",
    ]
    assert count(agent) == before
    planned = agent.run("plan", tmp_path)
    assert planned.exit_code == 1
    assert "! The agent has no credential 'nobody'" in planned.stdout


def test_an_agent_with_an_identity_is_told_of_credential_names(agent: Agent) -> None:
    state = replace(read_state(agent.client), has_identity=True)
    problems = make_plan(SAMPLE, state, prune=False).problems
    assert len(problems) == 4
    assert all("the agent reaches its targets by its identity" in problem for problem in problems)


def test_groups_come_before_jobs_and_enabling_last(shared: Agent) -> None:
    with emptied(shared) as empty:
        before = count(empty)
        empty.apply(SAMPLE)
        assert actions(empty, before) == [
            "create target group targetGroups/One",
            "create target group targetGroups/Servers",
            "create job jobs/idle",
            "create job jobs/nightly",
            "create step jobs/nightly/steps/measure",
            "create step jobs/nightly/steps/collect",
            "update job jobs/nightly",
        ]
        before = count(empty)
        off = replace(NIGHTLY.schedule, enabled=False)
        empty.apply(with_steps(replace(NIGHTLY.steps[0], timeout_seconds=5), schedule=off))
        assert actions(empty, before) == [
            "update job jobs/nightly",
            "delete step jobs/nightly/steps/collect",
            "update step jobs/nightly/steps/measure",
        ]
        before = count(empty)
        empty.apply(Definitions(), prune=True)
        assert actions(empty, before) == [
            "delete job jobs/idle",
            "delete job jobs/nightly",
            "delete target group targetGroups/One",
            "delete target group targetGroups/Servers",
        ]


def test_a_group_that_is_left_may_become_empty_at_once(agent: Agent) -> None:
    steps = tuple(replace(step, target_group_name="Servers") for step in NIGHTLY.steps)
    wanted = Definitions(groups=(replace(ONE, members=()), SERVERS), jobs=(IDLE, replace(NIGHTLY, steps=steps)))
    agent.apply(wanted)
    assert agent.holds() == wanted
    agent.apply(SAMPLE)
    none_left = Definitions(groups=(replace(ONE, members=()), replace(SERVERS, members=SERVERS.members[1:])))
    agent.apply(none_left, prune=True)
    assert agent.holds() == none_left


def test_a_group_that_steps_still_need_is_not_emptied_and_nothing_else_begins(agent: Agent, tmp_path: Path) -> None:
    left_out = replace(ONE, members=(replace(ONE.members[0], membership_type=MembershipType.EXCLUDE),))
    wanted = Definitions(groups=(left_out, SERVERS), jobs=(replace(IDLE, description="x"), NIGHTLY))
    write_folder(tmp_path, wanted, replace=False)
    problem = (
        "The target group 'One' would be left without an included member, but step 'collect' of job 'nightly' runs on "
        "it; keep a member, or give the step another target group first."
    )
    planned = agent.run("plan", tmp_path)
    assert planned.exit_code == 1
    assert f"! {problem}" in planned.stdout
    refused = agent.run("apply", tmp_path, "--yes")
    assert (refused.exit_code, refused.stderr) == (1, f"Nothing was changed:\n{problem}\n")
    assert agent.holds() == SAMPLE
    # A job that is in no file stays without --prune, and so does what it needs.
    write_folder(tmp_path, replace(wanted, jobs=()), replace=True)
    assert agent.run("apply", tmp_path, "--yes").exit_code == 1
    assert agent.holds() == SAMPLE
    assert agent.run("apply", tmp_path, "--yes", "--prune").exit_code == 0
    assert agent.holds() == Definitions(groups=(left_out, SERVERS))


def test_keeping_going_does_what_a_problem_is_not_about(agent: Agent) -> None:
    changed = replace(IDLE, description="x")
    state = read_state(agent.client)
    plan = make_plan(
        Definitions(groups=(replace(ONE, members=()), SERVERS), jobs=(changed, NIGHTLY)), state, prune=True
    )
    applied = apply_plan(agent.client, plan, state.agent_id, keep_going=True)
    assert [reason.partition(",")[0] for _, reason in applied.failed] == [
        "The target group 'One' would be left without an included member"
    ]
    assert agent.holds() == with_jobs(changed, NIGHTLY)


def test_a_step_on_a_group_that_is_empty_already_is_no_problem(agent: Agent) -> None:
    empty = replace(ONE, name="empty", members=())
    wanted = replace(with_steps(replace(NIGHTLY.steps[0], target_group_name="empty")), groups=(ONE, SERVERS, empty))
    agent.apply(wanted.sorted())
    assert agent.holds() == wanted.sorted()
    excluding = replace(empty, members=(replace(ONE.members[0], membership_type=MembershipType.EXCLUDE),))
    agent.apply(replace(wanted, groups=(ONE, SERVERS, excluding)).sorted())
    assert excluding in agent.holds().groups


def test_steps_that_are_all_replaced_do_not_start_the_schedule_anew(agent: Agent) -> None:
    agent.apply(with_steps(*NIGHTLY.steps, schedule=HOURLY))
    due = agent.client.get("/jobs/nightly")["properties"]["nextRunTime"]
    others = tuple(replace(step, name=f"new {step.name}") for step in NIGHTLY.steps)
    agent.apply(with_steps(*others, schedule=HOURLY))
    assert agent.client.get("/jobs/nightly")["properties"]["nextRunTime"] == due


def test_a_job_that_was_enabled_without_steps_starts_when_it_has_all(agent: Agent) -> None:
    agent.apply(with_jobs(replace(IDLE, schedule=HOURLY)))
    before = count(agent)
    agent.apply(with_jobs(replace(IDLE, schedule=HOURLY, steps=NIGHTLY.steps)))
    assert [each.split()[1] for each in actions(agent, before)] == ["job", "step", "step", "job"]


def test_what_runs_is_not_deleted_and_nothing_else_is_changed(agent: Agent, tmp_path: Path) -> None:
    run = agent.client.post("/jobs/nightly/start")
    write_folder(tmp_path, Definitions(jobs=(replace(IDLE, description="new"),)), replace=False)
    before = count(agent)
    result = agent.run("apply", tmp_path, "--prune", "--yes")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "Nothing was changed:",
        "The job 'nightly' is running and is not deleted; wait for its end, or cancel it, and try again.",
        *(
            f"The target group '{name}' is not deleted, because the job 'nightly' is running on it; wait for its end, "
            "or cancel it, and try again."
            for name in ("One", "Servers")
        ),
    ]
    assert count(agent) == before
    now = datetime.now(UTC)
    with agent.server.database.write() as connection:
        ended = {"lifecycle": Lifecycle.SUCCEEDED, "is_active": 0, "start_time": now, "end_time": now}
        connection.execute(update(job_executions).where(job_executions.c.id == UUID(run["name"])).values(**ended))
    assert agent.run("apply", tmp_path, "--prune", "--yes").exit_code == 0
    assert agent.holds() == Definitions(jobs=(replace(IDLE, description="new"),))


def test_a_group_of_an_older_version_that_runs_is_not_deleted(agent: Agent) -> None:
    agent.client.post("/jobs/nightly/start")
    agent.apply(with_steps(NIGHTLY.steps[0]))
    with pytest.raises(CliError, match="'One' is not deleted, because the job 'nightly' is running on it"):
        agent.apply(replace(with_steps(NIGHTLY.steps[0]), groups=(SERVERS,)), prune=True)
    assert len(agent.holds().groups) == 2


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(agent: Agent) -> None:
    plan = agent.plan(with_jobs(replace(IDLE, description="ours"), NIGHTLY))
    agent.client.put("/jobs/idle", {"properties": {"description": "theirs"}})
    with pytest.raises(ChangedMeanwhileError, match="Somebody else changed the job 'idle' meanwhile"):
        apply_plan(agent.client, plan, read_state(agent.client).agent_id)
    assert agent.client.get("/jobs/idle")["properties"]["description"] == "theirs"
    new = agent.plan(with_jobs(IDLE, NIGHTLY, replace(IDLE, name="new")))
    agent.client.put("/jobs/new", {})
    with pytest.raises(ChangedMeanwhileError):
        apply_plan(agent.client, new, read_state(agent.client).agent_id)


def test_a_failure_in_the_middle_is_told_and_running_again_goes_on(shared: Agent) -> None:
    output = NIGHTLY.steps[1].output
    assert output is not None
    refused = replace(NIGHTLY.steps[1], output=replace(output, server_name="server.example.net"))
    with emptied(shared) as empty:
        with pytest.raises(ApiError) as caught:
            empty.apply(with_steps(NIGHTLY.steps[0], refused))
        lines = str(caught.value).splitlines()
        assert lines[0].startswith("Stopped at the job 'nightly': ")
        assert "server.example.net" in lines[0]
        assert lines[1] == "3 of 4 changes are made. Run it again to go on from here."
        half = {job.name: job for job in empty.holds().jobs}["nightly"]
        assert not half.schedule.enabled, "a job that is not whole does not start"
        assert [step.name for step in half.steps] == ["measure"]
        empty.apply(SAMPLE)
        assert empty.holds() == SAMPLE


def test_an_agent_that_is_not_there_and_one_that_does_not_answer(shared: Agent, tmp_path: Path) -> None:
    write_folder(tmp_path, SAMPLE, replace=False)
    with emptied(shared) as empty:
        empty.client.delete("")
        answer = empty.run("plan", tmp_path)
        assert answer.exit_code == 1
        assert "has no job agent yet; create it with 'elastic-jobs agent create'" in answer.stderr
        assert empty.run("plan", tmp_path, ELASTIC_JOBS_ENDPOINT="http://127.0.0.1:1").exit_code == 1
        reader = empty.run("plan", tmp_path, ELASTIC_JOBS_TOKEN=token(*ALL_ROLES, exp=1))
        assert reader.exit_code == 4


def test_a_reader_may_plan_but_not_apply(agent: Agent, tmp_path: Path) -> None:
    write_folder(tmp_path, with_jobs(replace(IDLE, description="x"), NIGHTLY), replace=False)
    assert agent.run("plan", tmp_path, ELASTIC_JOBS_TOKEN=token("Reader")).exit_code == 0
    refused = agent.run("apply", tmp_path, "--yes", ELASTIC_JOBS_TOKEN=token("Reader"))
    assert refused.exit_code == 4
    assert "0 of 1 changes are made" in refused.stderr


def on_a_terminal(agent: Agent, words: Sequence[str | Path], answer: Callable[[str], str]) -> tuple[int, str, str]:
    """The command as a process whose standard input is a terminal; ``answer`` gets what it asks and answers it."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "elastic_jobs.cli.main", *map(str, words)],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"ELASTIC_JOBS_ENDPOINT": agent.server.url, "ELASTIC_JOBS_TOKEN": token(*ALL_ROLES)},
    )
    os.close(theirs)
    assert process.stderr is not None
    asked = b""
    while not asked.endswith(b"[y/N]:"):
        read = os.read(process.stderr.fileno(), 4096)
        assert read, f"It ended without asking: {asked!r}"
        asked += read
    os.write(ours, (answer(asked.decode()) + "\n").encode())
    out, err = process.communicate(timeout=60)
    os.close(ours)
    return process.returncode, out.decode(), asked.decode() + err.decode()


def test_a_person_is_asked_and_told_what_goes(agent: Agent, tmp_path: Path) -> None:
    write_folder(tmp_path, Definitions(groups=SAMPLE.groups, jobs=(NIGHTLY,)), replace=False)
    asked: list[str] = []

    def decide(word: str) -> Callable[[str], str]:
        def answer(question: str) -> str:
            asked.append(question)
            return word

        return answer

    code, out, _ = on_a_terminal(agent, ["apply", tmp_path, "--prune"], decide("n"))
    assert code == 1
    assert "- job idle" in out
    assert asked == ["Apply these changes, and delete job 'idle'? [y/N]:"]
    assert agent.holds() == SAMPLE
    code, out, _ = on_a_terminal(agent, ["apply", tmp_path, "--prune"], decide("y"))
    assert code == 0
    assert out.endswith("deleted job idle\n")
    assert agent.holds().jobs == (NIGHTLY,)
    # Where nobody can be asked, nothing is done.
    refused = agent.run("apply", tmp_path, "--prune")
    assert refused.exit_code == 0, "there is nothing to ask any more"
    write_folder(tmp_path, Definitions(groups=SAMPLE.groups), replace=True)
    assert agent.run("apply", tmp_path, "--prune").exit_code == 2
    assert agent.holds().jobs == (NIGHTLY,)


def test_a_change_while_the_question_stands_is_noticed(agent: Agent, tmp_path: Path) -> None:
    write_folder(tmp_path, with_jobs(replace(IDLE, description="ours"), NIGHTLY), replace=False)

    def answer(question: str) -> str:
        agent.client.put("/jobs/idle", {"properties": {"description": "theirs"}})
        return "y"

    code, _, err = on_a_terminal(agent, ["apply", tmp_path], answer)
    assert code == 1
    assert "The agent changed since the plan was shown. Nothing was changed" in err
    assert agent.client.get("/jobs/idle")["properties"]["description"] == "theirs"


def _step(name: str, timeout: int = 1) -> StepDefinition:
    return StepDefinition(name=name, command="SELECT 1", target_group_name="g", timeout_seconds=timeout)


_STEPS = st.lists(
    st.builds(_step, st.sampled_from("abcdef"), st.integers(1, 2)), max_size=6, unique_by=lambda step: step.name
)


@given(before=_STEPS, after=_STEPS)
def test_edits_of_steps_lead_there_and_never_through_nothing(
    before: list[StepDefinition], after: list[StepDefinition]
) -> None:
    now = list(before)
    edits = list(step_edits(before, after))
    for edit in edits:
        name = edit.step.name if isinstance(edit, PutStep) else edit.name
        rest = [step for step in now if step.name != name]
        if isinstance(edit, PutStep):
            assert 1 <= edit.place <= len(rest) + 1
            rest.insert(edit.place - 1, edit.step)
        now = rest
        assert now or not before or not after, "a job that has steps and will have some always has one"
    assert now == after
    if before == after:
        assert edits == []
    assert len(edits) <= len(before) + len(after)


def test_dropping_a_step_makes_one_version() -> None:
    edits: list[Any] = list(step_edits([_step("a"), _step("b"), _step("c")], [_step("b"), _step("c")]))
    assert len(edits) == 1

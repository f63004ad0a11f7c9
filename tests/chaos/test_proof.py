"""Each law of the proof notices what breaks it: a good run, and the same run with one thing changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from local.stack import TARGET_SERVER
from tests.chaos.facts import Facts, Move, Row, Script
from tests.chaos.plan import Database, JobPlan, Plan, StepPlan
from tests.chaos.proof import violations

RUN = UUID(int=1)
STEP, STEP_UID, WAITS = "step", "uid", "WaitingForChildJobExecutions"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DATABASES = tuple(Database(server=TARGET_SERVER, name=f"d{number}", pool="blue") for number in range(3))


def _at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def _text(seconds: float) -> str:
    return _at(seconds).replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")


@pytest.fixture
def plan() -> Plan:
    """One job, one step, three databases of a pool: d0 and d1 succeed, d2 throws and is tried twice."""
    step = StepPlan(
        marker="s1j1s1",
        members=(),
        databases=DATABASES,
        parts=1,
        wait_milliseconds=0,
        slow=frozenset(),
        throwers=frozenset({"d2"}),
        overlong=frozenset(),
        retries=1,
        max_parallelism=2,
    )
    return Plan(
        seed=1,
        prefix="s1",
        capacity=2,
        rush=False,
        databases=DATABASES,
        jobs=(JobPlan(name="j1", steps=(step,)),),
        runs={RUN: "j1"},
        actions=(),
    )


def _row(row: str, lifecycle: str, **columns: Any) -> Row:
    common = {"id": row, "lifecycle": lifecycle, "job_execution_id": RUN.hex, "cancel_request_time": None}
    claim = {"dispatch_time": None, "claim_token": None, "claimed_by": None, "lease_until": None, "last_message": ""}
    return Row({**common, **claim, "create_time": _text(0), "end_time": _text(9), **columns})


def _target(number: int, lifecycle: str, attempts: int, failed: int) -> Row:
    return _row(
        f"target{number}",
        lifecycle,
        step_execution_id=STEP,
        step_uid=STEP_UID,
        server_name=TARGET_SERVER,
        database_name=f"d{number}",
        elastic_pool_name="blue",
        current_attempts=attempts,
        failed_attempts=failed,
        lost_attempts=0,
    )


def _way(level: str, row: str, *way: tuple[float, str], before: str | None = None) -> list[Move]:
    states = [before, *(state for _, state in way)]
    return [
        Move(at=_at(at), level=level, row_id=row, old=old, new=new, open_children=0)
        for old, (at, new) in zip(states, way, strict=False)
    ]


def _script(number: int, began: float, ended: float, outcome: str = "ok") -> Script:
    return Script(
        server=TARGET_SERVER,
        database=f"d{number}",
        marker="s1j1s1",
        run=RUN.hex,
        parts=1,
        began=began,
        ended=ended,
        began_at=_at(began),
        ended_at=_at(ended),
        outcomes=[outcome],
    )


@pytest.fixture
def facts() -> Facts:
    both = {(RUN.hex, "s1j1s1", "begin"), (RUN.hex, "s1j1s1", "end")}
    return Facts(
        runs=[_row(RUN.hex, "Failed")],
        steps=[_row(STEP, "Failed", step_id=1)],
        targets=[_target(0, "Succeeded", 1, 0), _target(1, "Succeeded", 1, 0), _target(2, "Failed", 2, 2)],
        moves=[
            *_way("job", RUN.hex, (0, "Created"), (0.1, "InProgress"), (9, "Failed")),
            *_way("step", STEP, (0, "Created"), (0.1, "InProgress"), (0.2, WAITS), (9, "Failed")),
            *_way("target", "target0", (0.2, "Created"), (1, "InProgress"), (2, "Succeeded")),
            *_way("target", "target1", (0.2, "Created"), (1, "InProgress"), (2, "Succeeded")),
            *_way("target", "target2", (0.2, "Created"), (2, "InProgress"), (3, "WaitingForRetry")),
            *_way("target", "target2", (4, "InProgress"), (5, "Failed"), before="WaitingForRetry"),
        ],
        excess=[],
        scripts=[
            _script(0, 1.1, 1.9),
            _script(1, 1.1, 1.9),
            _script(2, 2.1, 2.9, "error"),
            _script(2, 4.1, 4.9, "error"),
        ],
        effects={
            (TARGET_SERVER, "d0"): both,
            (TARGET_SERVER, "d1"): both,
            (TARGET_SERVER, "d2"): {(RUN.hex, "s1j1s1", "begin")},
        },
    )  # fmt: skip


def _change(rows: list[Row], index: int, **columns: Any) -> None:
    rows[index] = Row({**rows[index].columns, **columns})


def test_a_good_run_breaks_nothing(plan: Plan, facts: Facts) -> None:
    assert violations(plan, facts) == []


def _forget_a_target(facts: Facts) -> None:
    del facts.targets[1]


def _end_twice(facts: Facts) -> None:
    facts.moves += [Move(at=_at(3), level="target", row_id="target0", old="Succeeded", new="Failed", open_children=0)]


def _never_end(facts: Facts) -> None:
    _change(facts.targets, 0, lifecycle="InProgress")
    del facts.moves[9]


def _end_a_step_early(facts: Facts) -> None:
    facts.moves[6] = dataclasses.replace(facts.moves[6], open_children=1)


def _run_twice_at_once(facts: Facts) -> None:
    facts.scripts[3] = _script(2, 2.5, 2.95, "error")


def _run_without_claim(facts: Facts) -> None:
    facts.scripts[1] = _script(1, 3.0, 3.5)


def _outlive_the_claim(facts: Facts) -> None:
    facts.scripts[1] = _script(1, 1.1, 2.5)


def _run_for_nobody(facts: Facts) -> None:
    facts.scripts[1] = dataclasses.replace(facts.scripts[1], run=UUID(int=9).hex)


def _run_three_at_once(facts: Facts) -> None:
    facts.moves[13:16] = _way("target", "target2", (0.2, "Created"), (1, "InProgress"), (3, "WaitingForRetry"))
    facts.scripts[2] = _script(2, 1.2, 1.8, "error")


def _attempt_too_often(facts: Facts) -> None:
    _change(facts.targets, 2, current_attempts=3, failed_attempts=3)


def _give_up_early(facts: Facts) -> None:
    _change(facts.targets, 2, failed_attempts=1, lost_attempts=1)


def _run_more_often_than_attempted(facts: Facts) -> None:
    facts.scripts.append(_script(0, 1.91, 1.95))


def _lie_about_success(facts: Facts) -> None:
    facts.effects[TARGET_SERVER, "d0"] = {(RUN.hex, "s1j1s1", "begin")}


def _lie_about_a_batch(facts: Facts) -> None:
    facts.scripts[0].outcomes = ["error"]


def _skip_without_reason(facts: Facts) -> None:
    _change(facts.targets, 0, lifecycle="Skipped", current_attempts=0)


def _keep_a_slot(facts: Facts) -> None:
    _change(facts.targets, 0, dispatch_time=_text(1))


def _keep_a_claim(facts: Facts) -> None:
    _change(facts.steps, 0, lease_until=_text(20))


def _roll_up_wrongly(facts: Facts) -> None:
    _change(facts.steps, 0, lifecycle="TimedOut")


def _end_a_run_wrongly(facts: Facts) -> None:
    _change(facts.runs, 0, lifecycle="Succeeded")


def _exceed_within_the_database(facts: Facts) -> None:
    facts.excess.append("3 slots, allowed are 2")


@pytest.mark.parametrize(
    ("change", "law"),
    [
        (_forget_a_target, "planned_targets_are_those_of_the_group"),
        (_end_twice, "all_has_ended_once"),
        (_end_twice, "every_move_is_legal"),
        (_never_end, "all_has_ended_once"),
        (_end_a_step_early, "nothing_ends_before_its_children"),
        (_run_twice_at_once, "no_two_scripts_overlap"),
        (_run_without_claim, "scripts_run_within_their_claims"),
        (_outlive_the_claim, "scripts_run_within_their_claims"),
        (_run_for_nobody, "scripts_run_within_their_claims"),
        (_run_three_at_once, "capacity_holds"),
        (_run_three_at_once, "max_parallelism_holds"),
        (_exceed_within_the_database, "capacity_holds"),
        (_attempt_too_often, "attempts_are_counted"),
        (_give_up_early, "attempts_are_counted"),
        (_run_more_often_than_attempted, "attempts_are_counted"),
        (_lie_about_success, "ends_are_honest"),
        (_lie_about_a_batch, "ends_are_honest"),
        (_skip_without_reason, "skipped_only_under_overlap"),
        (_keep_a_slot, "nothing_is_left"),
        (_keep_a_claim, "nothing_is_left"),
        (_roll_up_wrongly, "roll_ups_are_right"),
        (_end_a_run_wrongly, "runs_go_through_their_steps"),
    ],
)
def test_what_breaks_a_law_is_noticed(plan: Plan, facts: Facts, change: Callable[[Facts], None], law: str) -> None:
    change(facts)
    assert law in {found.partition(":")[0] for found in violations(plan, facts)}

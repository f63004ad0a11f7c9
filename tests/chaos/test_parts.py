"""The parts of the suite that decide what a run does: the plan of a seed, and the orders to workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import broken
from tests.chaos.control import Control
from tests.chaos.plan import MISCHIEF_SECONDS, TARGETS, make_plan


def test_a_seed_draws_the_same_plan_again_and_another_seed_another() -> None:
    assert make_plan(7) == make_plan(7)
    assert len({str(make_plan(seed)) for seed in range(50)}) == 50


@pytest.mark.parametrize("seed", range(1, 201))
def test_every_plan_keeps_its_bounds(seed: int) -> None:
    plan = make_plan(seed)
    steps = [step for job in plan.jobs for step in job.steps]
    assert TARGETS[0] <= sum(len(step.databases) for step in steps) <= TARGETS[1]
    assert all(set(step.databases) <= set(plan.databases) for step in steps)
    assert len({database.name for database in plan.databases}) == len(plan.databases)
    assert plan.mischief
    assert all(0 <= action.at <= MISCHIEF_SECONDS for action in plan.actions)


def test_200_seeds_draw_every_kind_of_mischief() -> None:
    plans = [make_plan(seed) for seed in range(1, 201)]
    kinds = {action.kind for plan in plans for action in plan.mischief}
    assert kinds == {
        *("kill", "point", "message", "forge", "fault", "cancel"),
        *("lock", "cut", "answer lost", "freeze", "azurite"),
    }


def test_emphasis_adds_to_what_is_drawn() -> None:
    for seed in range(20):
        assert "freeze" in {action.kind for action in make_plan(seed, emphasis=["freeze"]).mischief}
        assert make_plan(seed, emphasis=["rush"]).rush


def test_an_order_is_taken_once_and_after_as_many_as_it_skips(tmp_path: Path) -> None:
    control, other = Control(tmp_path), Control(tmp_path)
    control.arm("after_claim", skip=2, seconds=0.5)
    assert [other.take("after_claim") for _ in range(4)] == [None, None, 0.5, None]
    assert other.take("after_script") is None


def test_orders_that_nobody_took_are_named_and_taken_back(tmp_path: Path) -> None:
    control = Control(tmp_path)
    control.arm("drop")
    control.arm("drop")
    control.arm("in_record", skip=5)
    control.cut_database(60)
    assert control.database_is_cut()
    assert control.clear() == ["drop", "drop", "in_record"]
    assert control.take("drop") is None
    assert not control.database_is_cut()


def test_an_unknown_break_is_refused() -> None:
    with pytest.raises(ValueError, match="no break 'nonsense'"):
        broken.install("nonsense")

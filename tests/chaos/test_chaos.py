"""The engine under chaos: a short form with every test run; the long one is ``make chaos``."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.chaos import broken, recovery
from tests.chaos.campaign import Campaign

SEEDS = (8, 12, 19, 30)
"""Together they hold most kinds of mischief, and each is over in some seconds."""
LONG = pytest.mark.skipif(not os.environ.get("CHAOS_LONG"), reason="takes minutes: set CHAOS_LONG=1 (make chaos)")


@pytest.fixture(scope="module")
def campaign() -> Iterator[Campaign]:
    with Campaign() as campaign:
        yield campaign


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seeded_run_breaks_no_law(campaign: Campaign, seed: int) -> None:
    verdict = campaign.run(seed)
    assert verdict.good, "\n".join([*verdict.violations, f"Again: python -m tests.chaos --runs 1 --seed {seed}"])
    assert verdict.scripts, "Nothing ran, so nothing was proved."


@LONG
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", broken.BREAKS)
def test_a_law_that_is_broken_on_purpose_is_noticed(name: str) -> None:
    with Campaign(break_law=name) as campaign:
        verdicts = (campaign.run(seed, emphasis=broken.EMPHASIS[name]) for seed in range(1, 21))
        assert any(not verdict.good for verdict in verdicts), f"20 seeds did not notice {name}."


@LONG
@pytest.mark.timeout(300)
def test_all_is_terminal_within_a_minute_after_all_workers_were_killed_under_load() -> None:
    measured = recovery.measure()
    assert measured.good, measured

"""The arithmetic of docs/scale.md, and that the pages say what the results say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import model, pages
from bench.report import RESULTS

MEASURED = model.Measured(
    worker_ms=8.0,
    statements=10.0,
    storage_per_message=8.0,
    plan_us=100.0,
    start_lag=0.5,
    waiting_kib=200.0,
    idle_statements=360.0,
    idle_storage=7200.0,
)
ASSUMED = model.Assumed()


def test_a_run_is_as_fast_as_its_narrowest_place() -> None:
    narrow = model.run(10_000, 100, MEASURED, ASSUMED)
    assert (narrow.instances, narrow.limited_by) == (1, "CPU of the instances")
    assert narrow.seconds == pytest.approx(0.5 + 1.0 + 10_000 / 125)
    wide = model.run(10_000, 100, MEASURED, ASSUMED, instances=10)
    assert wide.limited_by == "slots of the tier"
    assert wide.seconds == pytest.approx(0.5 + 1.0 + 10_000 / 400)


def test_a_run_never_ends_before_one_target_could() -> None:
    slow = model.Assumed(target_seconds=60.0)
    assert model.run(10, 100, MEASURED, slow).seconds > 60.0


def test_twice_the_databases_cost_twice_the_compute() -> None:
    once, twice = (model.run(number, 800, MEASURED, ASSUMED) for number in (50_000, 100_000))
    assert once.rates == twice.rates
    assert twice.dollars / once.dollars == pytest.approx(2.0, rel=0.05)


def test_one_core_serves_as_many_as_it_can_keep_waiting() -> None:
    assert model.best_concurrency(MEASURED, ASSUMED) == 31
    assert model.best_concurrency(MEASURED, model.Assumed(target_seconds=1.0)) == 125


def test_an_idle_month_within_the_free_grant_costs_polls_and_executions_only() -> None:
    month = model.idle_month(MEASURED, ASSUMED, tick_seconds=60.0)
    assert month.gigabyte_seconds == pytest.approx(2 * 730 * 60)
    assert month.gigabyte_seconds < ASSUMED.free_gigabyte_seconds
    assert month.dollars == pytest.approx(730 * 60 / 1e6 * 0.40 + 7200 * 730 / 1e6 * 0.04)


def test_a_block_is_replaced_and_the_rest_of_the_page_stays() -> None:
    text = "before\n<!-- bench: lag -->\nold\n<!-- end -->\nafter\n"
    kind = {"seconds": [0.1, 0.2], "p50": 0.1, "p95": 0.2, "p99": 0.2}
    made = pages.filled(text, {"lag": {"data": {"asked, idle": kind}}})
    assert made.startswith("before\n<!-- bench: lag -->\n\n|")
    assert "| asked, idle | 2 | 0.10 s | 0.20 s | 0.20 s |" in made
    assert made.endswith("<!-- end -->\nafter\n")
    assert "old" not in made
    assert pages.filled(made, {"lag": {"data": {"asked, idle": kind}}}) == made


def test_a_block_without_results_stays_as_it_is() -> None:
    text = "<!-- bench: lag -->\nold\n<!-- end -->\n"
    assert pages.filled(text, {}) == text


def test_a_block_that_nobody_makes_is_an_error() -> None:
    with pytest.raises(KeyError, match="nonsense"):
        pages.filled("<!-- bench: nonsense -->\n<!-- end -->\n", {})


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_the_pages_say_what_the_results_say(page: Path) -> None:
    if not any(RESULTS.glob("*.json")):
        pytest.skip("There are no results: make bench")
    text = page.read_text(encoding="utf-8")
    assert pages.filled(text, pages.load(RESULTS)) == text


def test_results_that_are_kept_are_of_a_real_run() -> None:
    for file in RESULTS.glob("*.json"):
        assert not json.loads(file.read_text(encoding="utf-8"))["options"]["tiny"], file

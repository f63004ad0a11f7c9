"""Every other part of the suite runs once in its tiny form: real stack, real driver; nothing is measured by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import growth, idle, lag, recovery, waiting
from bench.charts import OURS
from tests.bench.support import run_tiny

pytestmark = pytest.mark.timeout(300)  # each starts a whole stack, on a machine that others may use


def test_start_lag(tmp_path: Path) -> None:
    found = run_tiny("lag", lag.main, tmp_path)
    assert set(found["data"]) == {"asked, idle", "scheduled, idle", "asked, under load", "scheduled, under load"}
    assert all(seconds > 0 for kind in found["data"].values() for seconds in kind["seconds"])


def test_waiting(tmp_path: Path) -> None:
    found = run_tiny("waiting", waiting.main, tmp_path)
    assert found["data"][OURS]["threads"] > found["data"][OURS]["targets"] == 6


def test_growth(tmp_path: Path) -> None:
    found = run_tiny("growth", growth.main, tmp_path)
    assert [each["targets"] for each in found["data"]["expansion"]] == [5, 20]
    assert found["data"]["history"]["tick"].keys() == {"100", "200"}


def test_idle(tmp_path: Path) -> None:
    found = run_tiny("idle", idle.main, tmp_path)
    assert 0 < found["data"]["idle"]["statements per tick"] <= 2
    assert found["data"]["per_target"]["writing transactions"] > 0
    assert found["data"]["per_target"]["storage operations, the app's own"] > 0


def test_recovery(tmp_path: Path) -> None:
    found = run_tiny("recovery", recovery.main, tmp_path)
    assert found["data"]["both workers killed"]["taken_again_seconds"]
    assert all(demand["met"] for demand in found["demands"])

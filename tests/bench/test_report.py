"""Medians, percentiles and verdicts: what the tables say must be what was measured."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bench.machine import CpuMark, cpu_seconds, describe, resident_bytes
from bench.report import Demand, Report, Spread, percentile


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([1.0, 2.0], 0.5) == 1.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_a_spread_keeps_its_extremes() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(median=2.0, least=1.0, most=3.0, runs=3)
    assert Spread.of([3.0, 1.0, 2.0]).text(1) == "2.0 (1.0-3.0)"
    assert Spread.of([1234.5]).text(1) == "1,234.5"


@pytest.mark.parametrize(
    ("value", "at_least", "met"), [(0.7, True, True), (0.69, True, False), (0.7, False, True), (0.71, False, False)]
)
def test_a_demand_is_met_at_its_limit(value: float, *, at_least: bool, met: bool) -> None:
    demand = Demand(what="ratio", value=value, limit=0.7, at_least=at_least)
    assert demand.met is met
    assert demand.sentence().startswith("met" if met else "MISSED")


def test_a_missed_demand_is_an_exit_code_and_is_in_the_file(tmp_path: Path) -> None:
    report = Report(part="sample", title="Sample", options={"seed": 1})
    report.demands.append(Demand(what="speed", value=1.0, limit=2.0, at_least=True))
    assert report.finish(tmp_path) == 1
    written = json.loads((tmp_path / "sample.json").read_text(encoding="utf-8"))
    assert written["demands"][0]["met"] is False
    assert written["machine"] == report.machine
    report.demands.clear()
    assert report.finish(tmp_path) == 0


def test_the_machine_is_described_without_its_name() -> None:
    found = describe()
    assert found["python"]
    assert f"{os.cpu_count()} cores" in found["processor"]
    assert os.uname().nodename not in json.dumps(found)


def test_cpu_is_counted_for_a_living_process_and_zero_for_none() -> None:
    mark = CpuMark.now({"self": [os.getpid()], "nobody": [2**22 + 1]})
    until = cpu_seconds(os.getpid()) + 0.05
    while cpu_seconds(os.getpid()) < until:
        sum(range(10_000))
    used = mark.since()
    assert used["self"] >= 0.04  # the kernel counts in hundredths of a second
    assert used["nobody"] == 0.0


def test_memory_that_is_taken_is_seen() -> None:
    before = resident_bytes(os.getpid())
    taken = bytearray(os.urandom(1)) * (32 * 2**20)
    assert resident_bytes(os.getpid()) - before > 30 * 2**20
    assert len(taken) == 32 * 2**20

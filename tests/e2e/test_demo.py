"""``make demo``: the tutorial runs to its end, and a deviation is exit code 1 and a sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.demo.show import Screen
from local.demo.tutorial import DeviationError, Tutorial

ROOT = Path(__file__).resolve().parents[2]


def test_the_tutorial_runs_to_its_end() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "local.demo"], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    said = answer.stdout
    assert "database1: Step1Table, Step2Table" in said
    assert "database2: Step1Table\n" in said
    assert "password!123" not in said
    for listing in ("ElasticJobExecution", "ElasticJobStepExecution", "ElasticJobTargetExecution"):
        assert listing in said


def test_a_deviation_is_told(stack: Any) -> None:
    endpoint = stack.endpoint()
    endpoint["sql"]["port"] = stack.emulator.ports["manyserver.database.windows.net"]
    with pytest.raises(DeviationError, match=r"lists .* not database1, database2"):
        Tutorial(endpoint, Screen()).required_resources()

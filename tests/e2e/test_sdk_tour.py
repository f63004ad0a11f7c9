"""The stock SDK goes through all forty operations against ``make serve``; the tutorial's jobs run to their ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.e2e.test_serve import ROOT, serving

OPERATIONS = 40


def test_every_method_of_the_ten_groups(tmp_path: Path) -> None:
    with serving(tmp_path):
        answer = subprocess.run(
            [sys.executable, str(ROOT / "tests" / "e2e" / "sdk_tour.py"), str(tmp_path / "endpoint.json")],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert answer.returncode == 0, answer.stderr
    assert len(answer.stdout.split()) == OPERATIONS

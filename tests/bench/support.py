"""Runs one part of the suite in its tiny form and reads what it left."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

LARGEST_CHART = 150_000
"""Bytes."""
HAS_CHARTS = importlib.util.find_spec("matplotlib") is not None


def run_tiny(part: str, main: Callable[[list[str]], int], folder: Path, *options: str) -> dict[str, Any]:
    """The JSON of a part's tiny form; its chart must be there when charts can be drawn."""
    assert main(["--tiny", "--results", str(folder), *options]) == 0
    found: dict[str, Any] = json.loads((folder / f"{part}.json").read_text(encoding="utf-8"))
    assert found["machine"]["processor"]
    if HAS_CHARTS:
        chart = (folder / f"{part}.png").read_bytes()
        assert chart.startswith(b"\x89PNG")
        assert len(chart) < LARGEST_CHART
    return found

"""How the suite is shared out between processes (pytest-xdist, ``--dist loadfile``): files stay whole, in this order.

Most tests of the whole stack wait for clocks, leases and ticks, so that several processes help even on two cores.
"""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# No test is timed: on a busy machine anything may take a third of a second.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A suite that a script started in the background ignores interrupts, and so would the processes that it interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Several stacks run at once, most of them idle: host.json's 0.2 s would cost a good part of a core in polls.
os.environ.setdefault("AzureFunctionsJobHost__extensions__queues__maxPollingInterval", "00:00:01")

ROOT = Path(__file__).parent
LONGEST_FIRST = (
    "e2e",
    "chaos",
    "bench",
    "host",
    "telemetry",
    "portal",
    "cli",
    "api",
    "emulator",
    "targets",
    "tsql",
    "credentials",
)
"""Folders whose files take longest, so that none of them is begun last."""


def pytest_collection_finish() -> None:
    # What was imported stays until the end; the collector would walk through all of it again and again.
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _rank(item.path.relative_to(ROOT).parts[0]))


def _rank(folder: str) -> int:
    return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)

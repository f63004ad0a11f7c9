"""What the campaign tells worker processes: small files in a folder, each taken by exactly one process.

A worker looks into the folder at every named point; an empty folder costs it some microseconds.
"""

from __future__ import annotations

import itertools
import json
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

KILL_POINTS = (
    "after_claim",
    "during_script",
    "after_script",
    "in_record",
    "after_record",
    "before_next",
    "step_claimed",
    "planned",
    "in_advance",
    "advanced",
    "in_expire",
    "claims_taken_back",
)
"""Where a worker process can be told to die; ``points`` says what each means."""

AFTER_A_LOSS = ("in_expire",)
"""Points that are only passed when a lease has ended."""

MESSAGE_TRICKS = ("drop", "double", "delay")
"""What can happen to a wake-up message between a worker and the queue."""

ANSWER_LOST = "answer_lost"
"""A transaction is committed, but the connection breaks before the answer arrives."""


class Control:
    """Both sides of the folder: the campaign arms, workers take."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._down = folder / "down"
        self._numbers = itertools.count()

    def arm(self, name: str, *, skip: int = 0, seconds: float = 0.0) -> None:
        """Have the ``skip``-th next process that comes to ``name`` act on it. seconds: a delay, where it has one."""
        self._write(name, skip, seconds)

    def _write(self, name: str, skip: int, seconds: float) -> None:
        unique = f"{os.getpid()}-{next(self._numbers)}"
        partial = self._folder / f"partial-{unique}"
        partial.write_text(json.dumps({"skip": skip, "seconds": seconds}), encoding="ascii")
        partial.rename(self._folder / f"{name}-{unique}")

    def take(self, name: str) -> float | None:
        """Whether to act now: the seconds of what was armed, or None. Only one process gets it."""
        for file in os.listdir(self._folder):
            if not file.startswith(f"{name}-"):
                continue
            taken = self._folder / f"taken-{uuid.uuid4().hex}"
            try:
                (self._folder / file).rename(taken)
            except FileNotFoundError:
                continue  # another process was faster
            order = json.loads(taken.read_text(encoding="ascii"))
            taken.unlink()
            if not order["skip"]:
                return float(order["seconds"])
            self._write(name, order["skip"] - 1, order["seconds"])
            return None
        return None

    def waits(self, name: str) -> bool:
        """Whether an order for ``name`` has not been taken yet."""
        return any(file.startswith(f"{name}-") for file in os.listdir(self._folder))

    def cut_database(self, seconds: float) -> None:
        """No transaction on the job database can begin for this long."""
        partial = self._folder / "partial-down"
        partial.write_text(str(time.time() + seconds), encoding="ascii")
        partial.rename(self._down)

    def database_is_cut(self) -> bool:
        try:
            return time.time() < float(self._down.read_text(encoding="ascii"))
        except FileNotFoundError:
            return False

    def clear(self) -> list[str]:
        """Take back everything; the names of what nobody had come to."""
        left: list[str] = []
        for file in self._folder.iterdir():
            if not file.name.startswith(("partial-", "taken-", "down")):
                left.append(file.name.partition("-")[0])
            file.unlink(missing_ok=True)
        return sorted(left)


def no_order(name: str) -> float | None:
    """As ``Control.take``, for processes that nobody steers."""
    del name
    return None


Take = Callable[[str], "float | None"]

"""Many blocking calls at once, bounded in number and in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from elastic_jobs.targets.stop import StopSignal

T = TypeVar("T")
R = TypeVar("R")


def in_parallel(
    items: Sequence[T],
    work: Callable[[T], R],
    *,
    at_most: int,
    stop: StopSignal,
    name: str,
    seconds: float | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> list[R | Exception | None]:
    """``work`` on every item, no more than ``at_most`` at a time; results or exceptions in the order of the items.

    seconds: come back after so long; what was not finished by then is None. Calls that are under way go on in threads
    of their own, because a driver that waits for a silent server cannot be interrupted, and end by their own timeouts.

    Raises:
        Stopped: ``stop`` was given; nothing is waited for.
    """
    run = _Run(items, work, stop)
    stop.on_stop(run.changed.set)
    for number in range(min(at_most, len(items))):
        threading.Thread(target=run.work_off, name=f"{name} {number + 1}", daemon=True).start()
    until = None if seconds is None else monotonic() + seconds
    while not run.is_done():
        left = None if until is None else until - monotonic()
        if left is not None and left <= 0:
            break
        run.changed.wait(left)
        stop.check()
    return run.give_up()


class _Run(Generic[T, R]):
    def __init__(self, items: Sequence[T], work: Callable[[T], R], stop: StopSignal) -> None:
        self._items, self._work, self._stop = items, work, stop
        self._lock = threading.Lock()
        self._next = self._finished = 0
        self._results: list[R | Exception | None] = [None] * len(items)
        self.changed = threading.Event()

    def is_done(self) -> bool:
        with self._lock:
            return self._finished == len(self._items)

    def give_up(self) -> list[R | Exception | None]:
        """What there is; no item is begun any more."""
        with self._lock:
            self._next = len(self._items)
            return list(self._results)

    def work_off(self) -> None:
        while self._stop.reason is None:
            with self._lock:
                index, self._next = self._next, self._next + 1
            if index >= len(self._items):
                return
            result: R | Exception
            try:
                result = self._work(self._items[index])
            except Exception as error:  # whoever asked for it decides what it means
                result = error
            with self._lock:
                self._results[index] = result
                self._finished += 1
                done = self._finished == len(self._items)
            if done:
                self.changed.set()

"""Blocking calls side by side: order, bound, time limit, stop."""

from __future__ import annotations

import threading
import time

import pytest

from elastic_jobs.domain.outcome import StopReason
from elastic_jobs.targets.parallel import in_parallel
from elastic_jobs.targets.stop import Stopped, StopSignal
from tests.targets.lab import until


def test_results_and_errors_come_in_the_order_of_the_items() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item * item

    found = in_parallel(range(6), work, at_most=4, stop=StopSignal(), name="test")
    assert isinstance(found[3], ValueError)
    assert found[:3] + found[4:] == [0, 1, 4, 16, 25]
    assert in_parallel([], work, at_most=4, stop=StopSignal(), name="test") == []


def test_no_more_than_allowed_run_at_a_time() -> None:
    lock, running, most = threading.Lock(), [0], [0]
    both = threading.Barrier(2)

    def work(_: int) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        both.wait(10)
        with lock:
            running[0] -= 1

    in_parallel(range(10), work, at_most=2, stop=StopSignal(), name="test")
    assert most[0] == 2


def test_what_is_late_is_left_behind_and_nothing_more_is_begun() -> None:
    release, begun = threading.Event(), []

    def work(item: int) -> int:
        begun.append(item)
        if item:
            release.wait(10)
        return item

    started = time.monotonic()
    found = in_parallel(range(5), work, at_most=2, stop=StopSignal(), name="late", seconds=0.2)
    assert time.monotonic() - started < 8
    assert found == [0, None, None, None, None]
    release.set()
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith("late")])
    assert sorted(begun) == [0, 1, 2]


def test_a_stop_is_not_kept_waiting() -> None:
    release, signal = threading.Event(), StopSignal()
    threading.Timer(0.1, signal.set, [StopReason.CANCELED]).start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        in_parallel([1], lambda _: release.wait(10), at_most=1, stop=signal, name="test")
    assert time.monotonic() - started < 8
    release.set()

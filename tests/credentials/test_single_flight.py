"""One fetch for many threads: bounded waits, failures that pass, values that were changed meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from elastic_jobs.credentials.single_flight import Fetched, SingleFlight
from elastic_jobs.errors import CredentialError
from tests.credentials.conftest import HandClock, until


class Source:
    """Where the value comes from: counts, waits at a gate, fails when told to."""

    def __init__(self, clock: HandClock) -> None:
        self.clock, self.value, self.fetches = clock, "one", 0
        self.error: BaseException | None = None
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self) -> Fetched[str]:
        self.fetches += 1
        value, now = self.value, self.clock.now()
        assert self.gate.wait(30)
        if self.error is not None:
            raise self.error
        return Fetched(value, renew_at=now + timedelta(minutes=5), expires_at=now + timedelta(minutes=60))


@pytest.fixture
def source(clock: HandClock) -> Source:
    return Source(clock)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as pool:
        yield pool


def flight(source: Source, wait_seconds: float = 30) -> SingleFlight[str]:
    return SingleFlight(source.clock, source, what="The value", wait_seconds=wait_seconds)


def test_nobody_waits_longer_than_the_bound(source: Source, pool: ThreadPoolExecutor) -> None:
    cached = flight(source, wait_seconds=0.1)
    source.gate.clear()
    first = pool.submit(cached.get)
    until(lambda: source.fetches == 1)
    with pytest.raises(CredentialError, match=r"The value did not come within 0.1 s"):
        cached.get()
    with pytest.raises(CredentialError, match="did not come within"):
        cached.renew("one")
    source.gate.set()
    assert first.result(10) == "one"
    assert source.fetches == 1


def test_a_failure_reaches_all_who_wait_and_is_one_request(source: Source, pool: ThreadPoolExecutor) -> None:
    cached = flight(source)
    source.gate.clear()
    source.error = CredentialError("It cannot be had.")
    waiting = [pool.submit(cached.get) for _ in range(40)]
    until(lambda: source.fetches == 1)
    source.gate.set()
    for each in waiting:
        with pytest.raises(CredentialError, match="It cannot be had"):
            each.result(10)
    assert source.fetches == 1
    source.error = None
    source.clock.move(seconds=2)
    assert cached.get() == "one"


@pytest.mark.parametrize("passing", [True, False])
def test_whoever_comes_a_moment_after_a_failure_is_told_of_its_kind_too(source: Source, *, passing: bool) -> None:
    cached, source.error = flight(source), CredentialError("The vault does not answer.", passing=passing)
    for _ in range(2):
        with pytest.raises(CredentialError, match="The vault does not answer") as failure:
            cached.get()
        assert failure.value.passing is passing
    assert source.fetches == 1


def test_a_clock_that_is_set_back_does_not_prolong_a_failure(source: Source) -> None:
    cached = flight(source)
    source.error = CredentialError("It cannot be had.")
    with pytest.raises(CredentialError):
        cached.get()
    source.error = None
    source.clock.move(hours=-1)
    assert cached.get() == "one"


def test_what_nobody_foresaw_does_not_lock_the_others_out(source: Source) -> None:
    cached = flight(source)
    source.error = RuntimeError("unforeseen")
    with pytest.raises(RuntimeError):
        cached.get()
    source.error = None
    assert cached.get() == "one"


def test_a_value_that_was_changed_during_a_fetch_is_fetched_again(source: Source, pool: ThreadPoolExecutor) -> None:
    cached = flight(source)
    source.gate.clear()
    first = pool.submit(cached.get)
    until(lambda: source.fetches == 1)
    source.value = "two"
    cached.forget()
    source.gate.set()
    assert first.result(10) == "one", "asked before the change"
    assert cached.get() == "two"


def _rotated(source: Source, cached: SingleFlight[str]) -> None:
    assert cached.get() == "one"
    source.value = "two"


def test_whoever_was_refused_gets_the_next_one(source: Source, pool: ThreadPoolExecutor) -> None:
    cached = flight(source)
    _rotated(source, cached)
    assert cached.renew("something older") == "one", "no fetch: there is another value already"
    assert {each.result(10) for each in [pool.submit(cached.renew, "one") for _ in range(40)]} == {"two"}
    assert source.fetches == 2


def test_a_refusal_while_the_source_fails_leaves_what_there_is(source: Source) -> None:
    cached = flight(source)
    _rotated(source, cached)
    source.error = CredentialError("It cannot be had.")
    assert cached.renew("one") is None
    assert cached.get() == "one"
    source.error = None
    source.clock.move(seconds=11)
    assert cached.renew("one") == "two"

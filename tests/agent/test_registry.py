"""The heartbeat and the watchdog, with clocks moved by hand and a real job database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from uuid import UUID

import pytest

from elastic_jobs.agent.registry import Registry, TooLateError
from elastic_jobs.domain.lifecycle import Level
from elastic_jobs.domain.outcome import StopReason
from elastic_jobs.errors import JobDatabaseUnavailableError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.executions import claims, repairs
from elastic_jobs.jobdb.executions.claims import Holder, TargetClaim
from tests.agent.conftest import Seconds, wait_for
from tests.jobdb.conftest import Engine, databases


class QuietRegistry(Registry):
    """A registry whose beats are given by the test."""

    def _start_threads(self) -> None:
        pass


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def registry(database: JobDatabase, engine: Engine, seconds: Seconds) -> Registry:
    return QuietRegistry(database, engine.holder, monotonic=seconds, heartbeat_seconds=2)


def move(engine: Engine, seconds: Seconds, by: float) -> None:
    engine.clock.move(seconds=by)
    seconds.now += by


def claimed(engine: Engine, count: int = 1) -> list[TargetClaim]:
    engine.define()
    _, dispatched = engine.planned(databases(count))
    found = [engine.claim(target) for target in dispatched]
    return [claim for claim in found if claim is not None]


def expire(engine: Engine) -> list[UUID]:
    with engine.database.write() as connection:
        return [lost.row_id for lost in repairs.expire_claims(connection, engine.database, Level.TARGET)]


def test_a_watched_claim_lives_on_as_long_as_it_is_renewed(
    engine: Engine, registry: Registry, seconds: Seconds
) -> None:
    (claim,) = claimed(engine)
    stops: list[StopReason] = []
    with registry.watching(Level.TARGET, claim.token, claimed_at=seconds(), stop=stops.append):
        assert not registry.is_idle()
        for _ in range(30):
            move(engine, seconds, 2)
            registry.heartbeat()
            registry.watch()
        assert expire(engine) == []
    assert registry.is_idle()
    assert stops == []


def test_a_claim_that_cannot_be_renewed_is_stopped_before_its_lease_ends(
    engine: Engine, registry: Registry, seconds: Seconds
) -> None:
    (claim,) = claimed(engine)
    stops: list[StopReason] = []
    with registry.watching(Level.TARGET, claim.token, claimed_at=seconds(), stop=stops.append):
        move(engine, seconds, 21.9)
        registry.watch()
        assert stops == []
        move(engine, seconds, 0.2)
        registry.watch()
        assert stops == [StopReason.LEASE_LOST]
        assert expire(engine) == []


def test_the_lease_counts_from_before_the_claim_was_asked_for(
    engine: Engine, registry: Registry, seconds: Seconds
) -> None:
    (claim,) = claimed(engine)
    stops: list[StopReason] = []
    with registry.watching(Level.TARGET, claim.token, claimed_at=seconds() - 21.9, stop=stops.append):
        registry.watch()
        assert stops == []
        seconds.now += 0.1
        registry.watch()
    assert stops == [StopReason.LEASE_LOST]


def test_work_does_not_begin_when_it_could_not_be_stopped_within_its_lease(
    engine: Engine, registry: Registry, seconds: Seconds
) -> None:
    (claim,) = claimed(engine)
    begun = False
    with pytest.raises(TooLateError), registry.watching(Level.TARGET, claim.token, claimed_at=seconds() - 22):
        begun = True
    assert not begun
    assert registry.is_idle()


def test_a_timeout_is_noticed_without_the_job_database(engine: Engine, registry: Registry, seconds: Seconds) -> None:
    (claim,) = claimed(engine)
    stops: list[StopReason] = []
    with registry.watching(
        Level.TARGET,
        claim.token,
        claimed_at=seconds(),
        timeout_seconds=10,
        stop=stops.append,
    ):
        engine.database.dispose()
        seconds.now += 9.9
        registry.watch()
        assert stops == []
        seconds.now += 0.1
        registry.watch()
    assert stops == [StopReason.TIMED_OUT]


def test_a_cancel_reaches_the_work_with_the_next_beat(engine: Engine, registry: Registry, seconds: Seconds) -> None:
    first, second = claimed(engine, 2)
    stops: list[tuple[int, StopReason]] = []
    with (
        registry.watching(
            Level.TARGET,
            first.token,
            claimed_at=seconds(),
            stop=lambda reason: stops.append((1, reason)),
        ),
        registry.watching(
            Level.TARGET,
            second.token,
            claimed_at=seconds(),
            stop=lambda reason: stops.append((2, reason)),
        ),
    ):
        registry.heartbeat()
        assert stops == []
        engine.cancel(first.job_execution_id)
        registry.heartbeat()
    assert stops == [(1, StopReason.CANCELED), (2, StopReason.CANCELED)]


def test_work_whose_claim_is_gone_is_stopped_and_others_go_on(
    engine: Engine, registry: Registry, seconds: Seconds
) -> None:
    lost, kept = claimed(engine, 2)
    stops: list[tuple[str, StopReason]] = []
    with (
        registry.watching(
            Level.TARGET,
            lost.token,
            claimed_at=seconds(),
            stop=lambda reason: stops.append(("lost", reason)),
        ),
        registry.watching(
            Level.TARGET,
            kept.token,
            claimed_at=seconds(),
            stop=lambda reason: stops.append(("kept", reason)),
        ),
    ):
        engine.record(lost)
        registry.heartbeat()
    assert stops == [("lost", StopReason.LEASE_LOST)]


def test_a_claim_that_another_instance_took_over_is_not_taken_for_ones_own(
    engine: Engine, registry: Registry, seconds: Seconds
) -> None:
    (claim,) = claimed(engine)
    stops: list[StopReason] = []
    with registry.watching(Level.TARGET, claim.token, claimed_at=seconds(), stop=stops.append):
        engine.clock.move(seconds=31)
        expire(engine)
        heir = engine.claim(engine.take()[0])
        assert heir is not None
        assert heir.target_execution_id == claim.target_execution_id
        registry.heartbeat()
    assert stops == [StopReason.LEASE_LOST]


def test_a_claim_that_nobody_works_on_any_more_expires_although_the_instance_lives(
    engine: Engine, registry: Registry, seconds: Seconds
) -> None:
    """A worker left without recording: an unexpected error, or a lease that it gave up before the end."""
    left, held = claimed(engine, 2)
    with registry.watching(Level.TARGET, held.token, claimed_at=seconds()):
        for _ in range(60):
            move(engine, seconds, 2)
            registry.heartbeat()
            if left.target_execution_id in expire(engine):
                return
    raise AssertionError("After two minutes the target that nobody works on still is InProgress and holds its slot.")


def test_a_target_given_up_while_the_job_database_was_away_comes_back(
    engine: Engine, registry: Registry, seconds: Seconds
) -> None:
    given_up, other = claimed(engine, 2)
    stops: list[StopReason] = []
    with registry.watching(Level.TARGET, other.token, claimed_at=seconds()):
        with registry.watching(Level.TARGET, given_up.token, claimed_at=seconds(), stop=stops.append):
            move(engine, seconds, 26)
            registry.watch()
            assert stops == [StopReason.LEASE_LOST]
        for _ in range(60):
            registry.heartbeat()
            if given_up.target_execution_id in expire(engine):
                return
            move(engine, seconds, 2)
    raise AssertionError("The target was given up and never came back.")


def test_the_end_of_a_lost_claim_leaves_the_next_claim_on_the_same_row_watched(
    engine: Engine, registry: Registry, seconds: Seconds
) -> None:
    (zombie,) = claimed(engine)
    old = registry.watching(Level.TARGET, zombie.token, claimed_at=seconds())
    old.__enter__()
    move(engine, seconds, 31)
    expire(engine)
    heir = engine.claim(engine.take()[0])
    assert heir is not None
    stops: list[StopReason] = []
    with registry.watching(Level.TARGET, heir.token, claimed_at=seconds(), timeout_seconds=5, stop=stops.append):
        old.__exit__(None, None, None)
        move(engine, seconds, 6)
        registry.watch()
        assert stops == [StopReason.TIMED_OUT]


def test_a_lost_claim_is_stopped_also_when_its_row_was_claimed_again_on_the_same_instance(
    engine: Engine, registry: Registry, seconds: Seconds
) -> None:
    (zombie,) = claimed(engine)
    stops: list[StopReason] = []
    with registry.watching(Level.TARGET, zombie.token, claimed_at=seconds(), stop=stops.append):
        engine.clock.move(seconds=31)  # the job database's clock jumped, this machine's did not
        expire(engine)
        heir = engine.claim(engine.take()[0])
        assert heir is not None
        with registry.watching(Level.TARGET, heir.token, claimed_at=seconds()):
            registry.heartbeat()
            assert stops == [StopReason.LEASE_LOST]


def test_a_stop_that_fails_does_not_keep_others_from_being_stopped(
    engine: Engine, registry: Registry, seconds: Seconds
) -> None:
    broken, other = claimed(engine, 2)
    stops: list[StopReason] = []

    def fail(reason: StopReason) -> None:
        raise RuntimeError("This stop does not work.")

    with (
        registry.watching(Level.TARGET, broken.token, claimed_at=seconds(), stop=fail),
        registry.watching(Level.TARGET, other.token, claimed_at=seconds(), stop=stops.append),
    ):
        seconds.now += 26
        registry.watch()
    assert stops == [StopReason.LEASE_LOST]


def test_a_beat_that_fails_says_so_and_changes_nothing(
    engine: Engine, registry: Registry, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    (claim,) = claimed(engine)
    stops: list[StopReason] = []

    def unavailable() -> object:
        raise JobDatabaseUnavailableError("The job database does not answer.")

    with registry.watching(Level.TARGET, claim.token, claimed_at=seconds(), stop=stops.append) as work:
        monkeypatch.setattr(engine.database, "write", unavailable)
        before = work.lease_ends_at
        with pytest.raises(JobDatabaseUnavailableError):
            registry.heartbeat()
        assert work.lease_ends_at == before
    assert stops == []


def test_the_threads_outlive_a_job_database_that_fails_for_a_while(
    engine: Engine, database: JobDatabase, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    (claim,) = claimed(engine)
    registry = Registry(database, engine.holder, monotonic=seconds, heartbeat_seconds=0.02)
    stopped = threading.Event()
    beats, write = [0], database.write

    def failing() -> object:
        beats[0] += 1
        raise (JobDatabaseUnavailableError("Away.") if beats[0] % 2 else ValueError("Something else."))

    with registry.watching(
        Level.TARGET,
        claim.token,
        claimed_at=seconds(),
        timeout_seconds=60,
        stop=lambda _: stopped.set(),
    ) as work:
        monkeypatch.setattr(database, "write", failing)
        wait_for(lambda: beats[0] >= 4)
        monkeypatch.setattr(database, "write", write)
        seconds.now += 3
        wait_for(lambda: work.lease_ends_at == seconds.now + 30)
        assert not stopped.is_set()
        engine.cancel(claim.job_execution_id)
        assert stopped.wait(10)


def test_the_threads_rest_while_there_is_nothing_to_watch_and_wake_up_again(
    engine: Engine, database: JobDatabase, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = claimed(engine, 2)
    registry = Registry(database, engine.holder, monotonic=seconds, heartbeat_seconds=0.01)
    beats: list[int] = []
    original: Callable[..., list[claims.Renewed]] = claims.renew

    def counting(*args: object) -> list[claims.Renewed]:
        beats.append(1)
        return original(*args)

    monkeypatch.setattr("elastic_jobs.agent.registry.renew", counting)
    for claim in (first, second):
        beats.clear()
        with registry.watching(Level.TARGET, claim.token, claimed_at=seconds()):
            wait_for(lambda: len(beats) >= 3)
        wait_for(lambda: not registry._wake.is_set())


@pytest.mark.parametrize(("lease", "margin"), [(3, 1), (8, 8 / 3), (30, 8), (600, 8)])
def test_the_margin_leaves_time_within_the_lease(
    database: JobDatabase, engine: Engine, seconds: Seconds, lease: int, margin: float
) -> None:
    holder = Holder(instance=engine.holder.instance, lease=engine.holder.lease * lease / 30)
    registry = QuietRegistry(database, holder, monotonic=seconds, heartbeat_seconds=1)
    stops: list[StopReason] = []
    (claim,) = claimed(engine)
    with registry.watching(Level.TARGET, claim.token, claimed_at=seconds(), stop=stops.append):
        seconds.now += lease - margin - 0.01
        registry.watch()
        assert stops == []
        seconds.now += 0.02
        registry.watch()
        assert stops == [StopReason.LEASE_LOST]

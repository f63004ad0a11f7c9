"""The state machine of executions on a real job database: the laws, one by one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from elastic_jobs.domain.lifecycle import Level, Lifecycle
from elastic_jobs.domain.outcome import Outcome
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.errors import InvalidDefinitionError, NotFoundError
from elastic_jobs.jobdb.execution_tables import job_executions, target_executions
from elastic_jobs.jobdb.executions import outcomes, repairs, starting
from elastic_jobs.jobdb.tables import agent
from tests.jobdb.conftest import Engine, databases


def test_a_run_goes_through_its_steps_to_success(engine: Engine) -> None:
    engine.define(steps=2)
    execution, dispatched = engine.planned(databases(3))
    assert engine.job_state(execution) == "InProgress"
    assert engine.run_all(dispatched) == 3
    second = engine.advance(execution)
    assert second is not None
    assert engine.step_states(execution) == ["Succeeded", "Created"]
    claim = engine.claim_step(second)
    assert claim is not None
    planned = engine.plan(claim, databases(1))
    assert planned is not None
    engine.run_all(planned.dispatched)
    assert engine.advance(execution) is None
    assert engine.step_states(execution) == ["Succeeded", "Succeeded"]
    assert engine.job_state(execution) == "Succeeded"


def test_a_failed_step_ends_the_run_after_all_its_targets_ended(engine: Engine) -> None:
    engine.define(steps=2)
    execution, dispatched = engine.planned(databases(2))
    bad, good = (engine.claim(target) for target in dispatched)
    assert bad is not None
    assert good is not None
    engine.record(bad, Outcome.FAILED)
    assert engine.advance(execution) is None
    assert engine.step_states(execution) == ["WaitingForChildJobExecutions"]
    engine.record(good)
    assert engine.advance(execution) is None
    assert engine.step_states(execution) == ["Failed"]
    assert engine.job_state(execution) == "Failed"


def test_a_group_without_databases_succeeds_and_says_so(engine: Engine) -> None:
    engine.define()
    execution, _ = engine.planned([])
    engine.advance(execution)
    assert engine.job_state(execution) == "Succeeded"


def test_only_one_of_many_claims_wins(engine: Engine) -> None:
    engine.define()
    _, dispatched = engine.planned(databases(1))
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: engine.claim(dispatched[0]), range(24)))
    assert sum(claim is not None for claim in found) == 1


def test_a_lost_claim_can_neither_finish_nor_overwrite(engine: Engine) -> None:
    engine.define()
    execution, dispatched = engine.planned(databases(1))
    zombie = engine.claim(dispatched[0])
    assert zombie is not None
    engine.clock.move(seconds=31)
    with engine.database.write() as connection:
        lost = repairs.expire_claims(connection, engine.database, Level.TARGET)
    assert [row.lifecycle for row in lost] == ["WaitingForRetry"]
    assert engine.record(zombie) is None
    assert engine.target_states(execution) == {"db0": "WaitingForRetry"}
    (again,) = engine.take()
    heir = engine.claim(again)
    assert heir is not None
    assert heir.attempt == 2
    assert engine.record(zombie, Outcome.FAILED) is None
    assert engine.record(heir) is not None
    assert engine.record(zombie) is None
    assert engine.target_states(execution) == {"db0": "Succeeded"}


def test_a_renewed_claim_does_not_expire_and_an_expired_one_is_not_renewed(engine: Engine) -> None:
    engine.define()
    _, dispatched = engine.planned(databases(2))
    kept, dead = (engine.claim(target) for target in dispatched[:2])
    assert kept is not None
    assert dead is not None
    engine.clock.move(seconds=20)
    assert [claim.token for claim in engine.renew(kept)] == [kept.token]
    engine.clock.move(seconds=20)
    assert [claim.token for claim in engine.renew(kept, dead)] == [kept.token]
    engine.clock.move(seconds=31)
    assert engine.renew(kept, dead) == []


def test_a_target_whose_worker_is_lost_each_time_fails_in_the_end(engine: Engine) -> None:
    engine.define()
    execution, waiting = engine.planned(databases(1))
    for _ in range(outcomes.LOST_LIMIT + 1):
        assert engine.claim(waiting[0]) is not None
        engine.clock.move(seconds=31)
        with engine.database.write() as connection:
            repairs.expire_claims(connection, engine.database, Level.TARGET)
        waiting = engine.take()
    assert engine.target_states(execution) == {"db0": "Failed"}


def test_retries_wait_as_long_as_the_policy_says_and_give_their_slot_away(engine: Engine) -> None:
    engine.define(capacity=1)
    engine.policy = RetryPolicy(attempts=2)
    execution, dispatched = engine.planned(databases(2))
    assert len(dispatched) == 1
    first = engine.claim(dispatched[0])
    assert first is not None
    recorded = engine.record(first, Outcome.FAILED)
    assert recorded is not None
    assert recorded.lifecycle is Lifecycle.WAITING_FOR_RETRY
    assert recorded.retry_after == timedelta(seconds=1)
    assert recorded.handed_on is not None
    assert recorded.handed_on != dispatched[0]
    engine.clock.move(seconds=0.5)
    assert engine.take() == []
    assert engine.run_all([recorded.handed_on]) == 1
    engine.clock.move(seconds=0.6)
    (retried,) = engine.take()
    second = engine.claim(retried)
    assert second is not None
    assert (second.attempt, second.failed_attempts) == (2, 1)
    recorded = engine.record(second, Outcome.FAILED)
    assert recorded is not None
    assert recorded.retry_after == timedelta(seconds=2)
    engine.clock.move(seconds=2)
    third = engine.claim(engine.take()[0])
    assert third is not None
    recorded = engine.record(third, Outcome.FAILED)
    assert recorded is not None
    assert recorded.lifecycle is Lifecycle.FAILED
    assert engine.target_states(execution) == {"db0": "Failed", "db1": "Succeeded"}


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.CANCELED])
def test_timed_out_and_canceled_are_not_retried(engine: Engine, outcome: Outcome) -> None:
    engine.define()
    engine.policy = RetryPolicy(attempts=10)
    execution, dispatched = engine.planned(databases(1))
    claim = engine.claim(dispatched[0])
    assert claim is not None
    engine.record(claim, outcome)
    assert engine.target_states(execution) == {"db0": outcome.value}


def test_a_busy_target_is_tried_again_without_using_up_a_retry(engine: Engine) -> None:
    engine.define()
    execution, dispatched = engine.planned(databases(1))
    claim = engine.claim(dispatched[0])
    assert claim is not None
    recorded = engine.record(claim, Outcome.BUSY)
    assert recorded is not None
    assert recorded.retry_after == outcomes.BUSY_DELAY
    assert engine.row(dispatched[0])["failed_attempts"] == 0
    engine.clock.move(seconds=5)
    engine.run_all(engine.take())
    assert engine.target_states(execution) == {"db0": "Succeeded"}


def test_capacity_is_never_exceeded_whoever_takes_slots(engine: Engine) -> None:
    engine.define(capacity=10)
    _, dispatched = engine.planned(databases(50))
    assert len(dispatched) == 10
    high_water, lock = [0], threading.Lock()

    def work(target: object) -> None:
        queue = [target]
        while queue:
            claim = engine.claim(queue.pop())  # type: ignore[arg-type]  # ids
            if claim is None:
                continue
            with engine.database.read() as connection:
                slots = connection.execute(
                    select(target_executions.c.id).where(target_executions.c.dispatch_time.is_not(None))
                ).all()
            with lock:
                high_water[0] = max(high_water[0], len(slots))
            engine.take()
            recorded = engine.record(claim)
            assert recorded is not None
            queue += [recorded.handed_on] if recorded.handed_on else []

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(work, dispatched))
    assert high_water == [10]


def test_reduced_capacity_takes_slots_away_as_they_come_free(engine: Engine) -> None:
    engine.define(capacity=4)
    _, dispatched = engine.planned(databases(8))
    with engine.database.write() as connection:
        connection.execute(update(agent).values(capacity=2))
    handed = []
    for target in dispatched:
        claim = engine.claim(target)
        assert claim is not None
        recorded = engine.record(claim)
        assert recorded is not None
        handed.append(recorded.handed_on)
    assert [target is not None for target in handed] == [False, False, True, True]


def test_max_parallelism_holds_per_pool_and_not_for_others(engine: Engine) -> None:
    engine.define(max_parallelism=2)
    targets = [*databases(6, pool="p1"), *databases(4, pool="p2", prefix="q"), *databases(3, prefix="single")]
    execution, dispatched = engine.planned(targets)
    names = sorted(str(engine.row(target)["database_name"]) for target in dispatched)
    assert names == ["db0", "db1", "q0", "q1", "single0", "single1", "single2"]
    first = engine.claim(dispatched[0])
    assert first is not None
    recorded = engine.record(first)
    assert recorded is not None
    assert recorded.handed_on is not None
    assert engine.row(recorded.handed_on)["elastic_pool_name"] == "p1"
    engine.run_all([*dispatched[1:], recorded.handed_on])
    assert set(engine.target_states(execution).values()) == {"Succeeded"}


def test_a_retry_in_a_full_pool_lets_others_go_first_and_comes_back(engine: Engine) -> None:
    engine.define(max_parallelism=1)
    engine.policy = RetryPolicy(attempts=1)
    execution, dispatched = engine.planned(databases(2, pool="p1"))
    failing = engine.claim(dispatched[0])
    assert failing is not None
    recorded = engine.record(failing, Outcome.FAILED)
    assert recorded is not None
    assert recorded.handed_on is not None
    assert engine.row(dispatched[0])["admitted"] is False
    engine.clock.move(seconds=5)
    assert engine.take() == []
    engine.run_all([recorded.handed_on])
    assert engine.target_states(execution) == {"db0": "Succeeded", "db1": "Succeeded"}


def test_a_small_step_does_not_wait_behind_a_large_one(engine: Engine) -> None:
    engine.define(capacity=5, steps=1)
    large, dispatched = engine.planned(databases(200))
    queue = list(dispatched)
    for _ in range(20):
        claim = engine.claim(queue.pop(0))
        assert claim is not None
        recorded = engine.record(claim)
        assert recorded is not None
        assert recorded.handed_on is not None
        queue.append(recorded.handed_on)
    small, _ = engine.planned(databases(10, prefix="small"))
    for _ in range(30):
        claim = engine.claim(queue.pop(0))
        assert claim is not None
        recorded = engine.record(claim)
        assert recorded is not None
        assert recorded.handed_on is not None
        queue.append(recorded.handed_on)
    assert set(engine.target_states(small).values()) == {"Succeeded"}
    assert list(engine.target_states(large).values()).count("Created") > 100


def test_the_same_step_on_the_same_database_is_skipped_while_it_is_active(engine: Engine) -> None:
    engine.define()
    first, dispatched = engine.planned(databases(2))
    second, more = engine.planned([*databases(3)])
    assert engine.target_states(second) == {"db0": "Skipped", "db1": "Skipped", "db2": "Created"}
    engine.run_all([*dispatched, *more])
    for execution in (first, second):
        engine.advance(execution)
    assert engine.job_state(first) == "Succeeded"
    assert engine.job_state(second) == "SucceededWithSkipped"
    third, _ = engine.planned(databases(1))
    assert engine.target_states(third) == {"db0": "Created"}


def test_the_database_itself_refuses_a_second_active_target(engine: Engine) -> None:
    engine.define()
    _, dispatched = engine.planned(databases(1))
    twin = {**engine.row(dispatched[0]), "id": uuid4(), "step_execution_id": uuid4()}
    with engine.database.write() as connection:
        if engine.database.is_sqlite:
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        with pytest.raises(IntegrityError, match=r"(?i)unique|duplicate"):
            connection.execute(insert(target_executions).values(**twin))


@pytest.mark.parametrize(
    "values",
    [
        {"lifecycle": "InProgress"},
        {"lifecycle": "Succeeded"},
        {"lifecycle": "Succeeded", "is_active": 0},
        {"lifecycle": "Waiting"},
        {"is_active": 0},
        {"claim_token": uuid4()},
        {"admitted": False},
    ],
)
def test_the_database_itself_refuses_impossible_rows(engine: Engine, values: dict[str, object]) -> None:
    engine.define()
    _, dispatched = engine.planned(databases(1))
    with pytest.raises(IntegrityError, match=r"(?i)check"), engine.database.write() as connection:
        connection.execute(update(target_executions).where(target_executions.c.id == dispatched[0]).values(**values))


def test_cancel_ends_what_waits_and_flags_what_runs(engine: Engine) -> None:
    engine.define(capacity=2)
    execution, dispatched = engine.planned(databases(4))
    running = engine.claim(dispatched[0])
    assert running is not None
    engine.cancel(execution)
    states = engine.target_states(execution)
    assert sorted(states.values()) == ["Canceled", "Canceled", "Canceled", "InProgress"]
    (renewed,) = engine.renew(running)
    assert renewed.cancel_requested
    engine.advance(execution)
    assert engine.job_state(execution) == "InProgress"
    engine.record(running, Outcome.CANCELED)
    engine.advance(execution)
    assert engine.job_state(execution) == "Canceled"
    engine.cancel(execution)
    assert engine.job_state(execution) == "Canceled"


def test_a_canceled_target_is_not_retried(engine: Engine) -> None:
    engine.define()
    engine.policy = RetryPolicy(attempts=10)
    execution, dispatched = engine.planned(databases(1))
    running = engine.claim(dispatched[0])
    assert running is not None
    engine.cancel(execution)
    recorded = engine.record(running, Outcome.FAILED)
    assert recorded is not None
    assert recorded.lifecycle is Lifecycle.CANCELED


def test_cancel_before_anything_began(engine: Engine) -> None:
    engine.define()
    started = engine.start()
    engine.cancel(started.execution_id)
    engine.advance(started.execution_id)
    assert engine.job_state(started.execution_id) == "Canceled"
    assert started.step_execution_id is not None
    assert engine.claim_step(started.step_execution_id) is None


def test_cancel_while_the_group_is_being_resolved(engine: Engine) -> None:
    engine.define()
    started = engine.start()
    assert started.step_execution_id is not None
    claim = engine.claim_step(started.step_execution_id)
    assert claim is not None
    engine.cancel(started.execution_id)
    assert engine.plan(claim, databases(3)) is None
    assert engine.target_states(started.execution_id) == {}


def test_a_repeated_start_request_is_found_again(engine: Engine) -> None:
    engine.define()
    first = engine.start(request_id="r1")
    with engine.database.read() as connection:
        found = starting.find_repeated(connection, "JOB1", execution_id=None, request_id="r1")
    assert found == first.execution_id
    with pytest.raises(IntegrityError):
        engine.start(request_id="r1")


def test_starting_what_cannot_be_started(engine: Engine) -> None:
    with pytest.raises(NotFoundError, match="no job 'job1'"):
        engine.start()
    engine.define(steps=0)
    with pytest.raises(InvalidDefinitionError, match="has no steps"):
        engine.start()
    with engine.database.read() as connection:
        assert connection.execute(select(job_executions.c.id)).all() == []


def test_two_that_finish_last_at_the_same_time_move_the_run_on_once(engine: Engine) -> None:
    engine.define(steps=2)
    execution, dispatched = engine.planned(databases(2))
    for target in dispatched:
        claim = engine.claim(target)
        assert claim is not None
        engine.record(claim)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: engine.advance(execution), range(16)))
    assert sum(step is not None for step in found) == 1
    assert engine.step_states(execution) == ["Succeeded", "Created"]


def test_lost_messages_are_found_and_sent_again_once(engine: Engine) -> None:
    engine.define()
    execution, dispatched = engine.planned(databases(2))
    claim = engine.claim(dispatched[0])
    assert claim is not None
    with engine.database.write() as connection:
        assert repairs.unsent(connection, engine.database, Level.TARGET) == []
    engine.clock.move(seconds=61)
    with engine.database.write() as connection:
        assert repairs.unsent(connection, engine.database, Level.TARGET) == [dispatched[1]]
        assert repairs.unsent(connection, engine.database, Level.TARGET) == []
    started = engine.start()
    engine.clock.move(seconds=61)
    with engine.database.write() as connection:
        assert repairs.unsent(connection, engine.database, Level.STEP) == [started.step_execution_id]
    assert execution != started.execution_id


def test_a_run_that_nobody_moved_on_is_found(engine: Engine) -> None:
    engine.define()
    execution, dispatched = engine.planned(databases(2))
    with engine.database.read() as connection:
        assert repairs.stranded_runs(connection) == []
    engine.run_all(dispatched)
    with engine.database.read() as connection:
        assert repairs.stranded_runs(connection) == [execution]

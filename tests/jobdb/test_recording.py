"""Many ends of attempts in one transaction leave what each by itself would have left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, update

from elastic_jobs.domain.outcome import AttemptResult, CapturedMessage, MessageKind, Outcome
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.jobdb.execution_tables import target_executions
from elastic_jobs.jobdb.executions.claims import Claimant, TargetClaim
from elastic_jobs.jobdb.executions.outcomes import Recorded
from elastic_jobs.jobdb.executions.recording import Ending, record_all
from elastic_jobs.jobdb.tables import agent
from tests.jobdb.conftest import Engine, databases


def ending(
    engine: Engine, claim: TargetClaim, outcome: Outcome = Outcome.SUCCEEDED, *, goes_on: bool = True, **fields: Any
) -> Ending:
    said = (CapturedMessage(batch=1, kind=MessageKind.MESSAGE, text=f"It was {claim.database_name}."),)
    return Ending(
        claim=claim,
        result=AttemptResult(outcome=outcome, message=f"{claim.database_name} {outcome}.", messages=said),
        policy=fields.pop("policy", RetryPolicy(attempts=0)),
        max_parallelism=engine.max_parallelism,
        claimant=Claimant(token=uuid4(), holder=engine.holder) if goes_on else None,
        **fields,
    )


def record(engine: Engine, endings: Sequence[Ending]) -> list[Recorded | None]:
    with engine.database.write() as connection:
        return record_all(connection, engine.database, endings)


def claimed(engine: Engine, targets: Sequence[Any]) -> list[TargetClaim]:
    found = [engine.claim(target) for target in targets]
    assert None not in found
    return [claim for claim in found if claim is not None]


def test_each_worker_goes_on_with_a_target_of_its_own(engine: Engine) -> None:
    engine.define(capacity=4)
    execution, dispatched = engine.planned(databases(8))
    endings = [ending(engine, claim) for claim in claimed(engine, dispatched)]
    answers = record(engine, endings)
    following = [answer.following for answer in answers if answer is not None]
    assert {claim.database_name for claim in following if claim} == {"db4", "db5", "db6", "db7"}
    for answer, one in zip(answers, endings, strict=True):
        assert answer is not None
        assert answer.following is not None
        assert one.claimant is not None
        assert (answer.handed_on, answer.following.token) == (
            answer.following.target_execution_id,
            one.claimant.token,
        )
        row = engine.row(one.claim.target_execution_id)
        assert (row["lifecycle"], row["last_message"], row["claim_token"], row["dispatch_time"]) == (
            "Succeeded",
            f"{one.claim.database_name} Succeeded.",
            None,
            None,
        )
    states = engine.target_states(execution)
    assert sorted(states.values()) == ["InProgress"] * 4 + ["Succeeded"] * 4


def test_who_may_go_on_gets_a_slot_before_who_may_not(engine: Engine) -> None:
    """Two slots are free and one target waits: a worker that can go on at once takes it, without a message."""
    engine.define(capacity=2)
    _, dispatched = engine.planned(databases(3))
    first, second = claimed(engine, dispatched)
    done, goes_on = record(engine, [ending(engine, first, goes_on=False), ending(engine, second)])
    assert done is not None
    assert goes_on is not None
    assert done.handed_on is None
    assert goes_on.following is not None


def test_a_slot_of_a_worker_that_stops_waits_for_another(engine: Engine) -> None:
    engine.define(capacity=2)
    _, dispatched = engine.planned(databases(4))
    answers = record(engine, [ending(engine, claim, goes_on=False) for claim in claimed(engine, dispatched)])
    assert all(answer is not None and answer.handed_on and answer.following is None for answer in answers)


def test_a_lost_claim_changes_nothing_and_does_not_disturb_the_others(engine: Engine) -> None:
    engine.define(capacity=2)
    _, dispatched = engine.planned(databases(4))
    held, lost = claimed(engine, dispatched)
    other = uuid4()
    with engine.database.write() as connection:
        own = target_executions.c
        connection.execute(
            update(target_executions).where(own.id == lost.target_execution_id).values(claim_token=other)
        )
    first, second = record(engine, [ending(engine, held), ending(engine, lost)])
    assert first is not None
    assert second is None
    row = engine.row(lost.target_execution_id)
    assert (row["lifecycle"], row["claim_token"]) == ("InProgress", other)
    assert len(engine.take()) == 0


def test_failures_and_successes_together(engine: Engine) -> None:
    engine.define(capacity=3)
    _, dispatched = engine.planned(databases(9))
    one, two, three = claimed(engine, dispatched)
    patient = RetryPolicy(attempts=2, initial_interval_seconds=60)
    answers = record(
        engine,
        [
            ending(engine, one, Outcome.FAILED, policy=patient),
            ending(engine, two),
            ending(engine, three, Outcome.FAILED),
        ],
    )
    assert [answer and answer.lifecycle.value for answer in answers] == ["WaitingForRetry", "Succeeded", "Failed"]
    following = [answer.following for answer in answers if answer and answer.following]
    assert len({claim.target_execution_id for claim in following}) == 3
    assert engine.row(one.target_execution_id)["failed_attempts"] == 1


def test_a_pool_passes_its_admissions_on(engine: Engine) -> None:
    engine.define(capacity=10, max_parallelism=2)
    _, dispatched = engine.planned(databases(6, pool="p1"))
    assert len(dispatched) == 2
    answers = record(engine, [ending(engine, claim) for claim in claimed(engine, dispatched)])
    assert all(answer and answer.following and answer.following.elastic_pool_name == "p1" for answer in answers)
    assert engine.take() == []


def test_slots_that_the_capacity_has_lost_are_handed_to_nobody(engine: Engine) -> None:
    engine.define(capacity=4)
    _, dispatched = engine.planned(databases(8))
    endings = [ending(engine, claim) for claim in claimed(engine, dispatched)]
    with engine.database.write() as connection:
        connection.execute(update(agent).values(capacity=1))
    answers = record(engine, endings)
    assert len([answer for answer in answers if answer and answer.following]) == 1


def test_what_an_unconfirmed_transaction_did_is_found_again(engine: Engine) -> None:
    engine.define(capacity=2)
    _, dispatched = engine.planned(databases(4))
    endings = [ending(engine, claim, unsure=True) for claim in claimed(engine, dispatched)]
    before = record(engine, endings)
    assert record(engine, endings) == before


def test_a_batch_costs_as_many_statements_as_one(engine: Engine) -> None:
    engine.define(capacity=30)
    _, dispatched = engine.planned(databases(60))
    claims = claimed(engine, dispatched)
    counts: list[int] = []
    for part in (claims[:1], claims[1:30]):
        seen: list[str] = []
        with engine.database.write() as connection:

            def count(*arguments: Any, into: list[str] = seen) -> None:
                into.append(arguments[2])

            event.listen(connection, "before_cursor_execute", count)
            record_all(connection, engine.database, [ending(engine, claim) for claim in part])
        counts.append(len(seen))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("outcome", [Outcome.CANCELED, Outcome.TIMED_OUT, Outcome.BUSY, Outcome.LEASE_LOST])
def test_other_outcomes_beside_successes(engine: Engine, outcome: Outcome) -> None:
    engine.define(capacity=2)
    _, dispatched = engine.planned(databases(2))
    one, two = claimed(engine, dispatched)
    first, second = record(engine, [ending(engine, one, outcome), ending(engine, two)])
    assert (first is None) == (outcome is Outcome.LEASE_LOST)
    assert second is not None

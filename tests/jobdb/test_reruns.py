"""A finished run is run again on what did not succeed in it, and on nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, delete, event, select
from sqlalchemy.exc import IntegrityError

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.domain.outcome import Outcome
from elastic_jobs.domain.targets import TargetDatabase
from elastic_jobs.errors import ConflictError, InvalidDefinitionError, NotFoundError
from elastic_jobs.jobdb.execution_tables import job_executions, rerun_targets, step_executions, target_executions
from elastic_jobs.jobdb.executions import planning, purging, reruns
from elastic_jobs.jobdb.executions.starting import Started
from elastic_jobs.jobdb.tables import jobs
from tests.jobdb.conftest import Engine, ManualClock, databases


def rerun(engine: Engine, execution: UUID, request_id: str | None = None) -> Started:
    with engine.database.write() as connection:
        return reruns.start_rerun(connection, engine.database, execution, ids=uuid4, request_id=request_id)


def work(engine: Engine, step: UUID, targets: Sequence[TargetDatabase], bad: Mapping[str, Outcome]) -> set[str]:
    """Plan a step on these databases and run them, each with success unless ``bad`` says else; which were touched."""
    claim = engine.claim_step(step)
    assert claim is not None
    planned = engine.plan(claim, list(targets))
    assert planned is not None
    touched: set[str] = set()
    for target in planned.dispatched:
        held = engine.claim(target)
        assert held is not None
        touched.add(held.database_name)
        engine.record(held, bad.get(held.database_name, Outcome.SUCCEEDED))
    return touched


def first_run(engine: Engine, targets: Sequence[TargetDatabase], bad: Mapping[str, Outcome]) -> UUID:
    started = engine.start()
    assert started.step_execution_id is not None
    work(engine, started.step_execution_id, targets, bad)
    engine.advance(started.execution_id)
    return started.execution_id


def test_only_what_failed_runs_again_and_later_steps_run_everywhere(engine: Engine) -> None:
    engine.define(steps=2)
    old = first_run(engine, databases(4), {"db1": Outcome.FAILED, "db2": Outcome.TIMED_OUT})
    assert engine.job_state(old) == "Failed"
    new = rerun(engine, old)
    assert new.step_execution_id is not None
    # A database that joined the group since then is not this run's business in this step.
    assert work(engine, new.step_execution_id, databases(5), {}) == {"db1", "db2"}
    second = engine.advance(new.execution_id)
    assert second is not None
    assert work(engine, second, databases(5), {}) == {"db0", "db1", "db2", "db3", "db4"}
    assert engine.advance(new.execution_id) is None
    assert engine.job_state(new.execution_id) == "Succeeded"
    assert engine.step_states(new.execution_id) == ["Succeeded", "Succeeded"]


def test_steps_that_are_done_do_not_run_again(engine: Engine) -> None:
    engine.define(steps=3)
    old = engine.start()
    assert old.step_execution_id is not None
    work(engine, old.step_execution_id, databases(2), {})
    second = engine.advance(old.execution_id)
    assert second is not None
    work(engine, second, databases(2), {"db0": Outcome.FAILED})
    engine.advance(old.execution_id)
    new = rerun(engine, old.execution_id)
    assert new.step_execution_id is not None
    with engine.database.read() as connection:
        names = connection.execute(
            select(step_executions.c.step_name).where(step_executions.c.job_execution_id == new.execution_id)
        ).scalars()
        assert list(names) == ["step2"]
    assert work(engine, new.step_execution_id, databases(2), {}) == {"db0"}
    third = engine.advance(new.execution_id)
    assert third is not None
    assert work(engine, third, databases(2), {}) == {"db0", "db1"}


def test_what_was_skipped_in_an_earlier_step_is_made_up_for(engine: Engine) -> None:
    engine.define(steps=2)
    other = engine.start()
    assert other.step_execution_id is not None
    busy = engine.claim_step(other.step_execution_id)
    assert busy is not None
    blocker = engine.plan(busy, databases(1))
    assert blocker is not None
    old = engine.start()
    assert old.step_execution_id is not None
    assert work(engine, old.step_execution_id, databases(3), {}) == {"db1", "db2"}
    engine.run_all(blocker.dispatched)
    engine.advance(other.execution_id)
    second = engine.advance(old.execution_id)
    assert second is not None
    work(engine, second, databases(3), {"db2": Outcome.FAILED})
    engine.advance(old.execution_id)
    new = rerun(engine, old.execution_id)
    assert new.step_execution_id is not None
    assert work(engine, new.step_execution_id, databases(3), {}) == {"db0"}
    following = engine.advance(new.execution_id)
    assert following is not None
    assert work(engine, following, databases(3), {}) == {"db2"}


def test_a_chain_of_reruns_never_touches_what_has_succeeded(engine: Engine) -> None:
    engine.define()
    bad = {f"db{number}": Outcome.FAILED for number in range(1, 5)}
    run = first_run(engine, databases(6), bad)
    for left in (4, 3, 2):
        del bad[f"db{left}"]
        new = rerun(engine, run)
        assert new.step_execution_id is not None
        assert work(engine, new.step_execution_id, databases(6), bad) == {f"db{n}" for n in range(1, left + 1)}
        engine.advance(new.execution_id)
        run = new.execution_id
    assert engine.job_state(run) == "Failed"


def test_a_rerun_that_was_canceled_before_it_planned_hands_its_list_on(engine: Engine) -> None:
    engine.define(steps=2)
    old = first_run(engine, databases(3), {"db1": Outcome.FAILED})
    canceled = rerun(engine, old)
    engine.cancel(canceled.execution_id)
    engine.advance(canceled.execution_id)
    assert engine.job_state(canceled.execution_id) == "Canceled"
    # The first run's history may be gone by then.
    with engine.database.write() as connection:
        connection.execute(delete(step_executions).where(step_executions.c.job_execution_id == old))
        connection.execute(delete(job_executions).where(job_executions.c.id == old))
    new = rerun(engine, canceled.execution_id)
    assert new.step_execution_id is not None
    assert work(engine, new.step_execution_id, databases(3), {}) == {"db1"}
    second = engine.advance(new.execution_id)
    assert second is not None
    assert work(engine, second, databases(3), {}) == {"db0", "db1", "db2"}


def test_a_database_that_left_its_group_is_left_alone(engine: Engine) -> None:
    engine.define()
    old = first_run(engine, databases(2), {"db0": Outcome.FAILED})
    new = rerun(engine, old)
    assert new.step_execution_id is not None
    assert work(engine, new.step_execution_id, databases(2)[1:], {}) == set()
    engine.advance(new.execution_id)
    assert engine.job_state(new.execution_id) == "Succeeded"
    with engine.database.read() as connection:
        message = connection.execute(
            select(step_executions.c.last_message).where(step_executions.c.job_execution_id == new.execution_id)
        ).scalar_one()
    assert message == "Step 1 succeeded: no database that was left undone is in its target group any more."


def test_names_of_databases_are_compared_without_case(engine: Engine) -> None:
    engine.define()
    old = first_run(engine, databases(1, prefix="Orders"), {"Orders0": Outcome.FAILED})
    new = rerun(engine, old)
    assert new.step_execution_id is not None
    assert work(engine, new.step_execution_id, databases(1, prefix="ORDERS"), {}) == {"ORDERS0"}


def test_a_step_that_was_never_planned_runs_everywhere(engine: Engine) -> None:
    engine.define()
    started = engine.start()
    assert started.step_execution_id is not None
    claim = engine.claim_step(started.step_execution_id)
    assert claim is not None
    with engine.database.write() as connection:
        assert planning.planning_failed(connection, engine.database, claim, "The server is down.", None)
    engine.advance(started.execution_id)
    assert engine.job_state(started.execution_id) == "Failed"
    new = rerun(engine, started.execution_id)
    assert new.step_execution_id is not None
    assert work(engine, new.step_execution_id, databases(2), {}) == {"db0", "db1"}


def test_runs_that_cannot_be_run_again_are_refused_in_a_sentence(engine: Engine) -> None:
    engine.define()
    with pytest.raises(NotFoundError):
        rerun(engine, uuid4())
    good = first_run(engine, databases(2), {})
    with pytest.raises(InvalidDefinitionError, match="nothing to run again; start the job instead"):
        rerun(engine, good)
    started = engine.start()
    with pytest.raises(ConflictError, match="has not ended"):
        rerun(engine, started.execution_id)
    engine.cancel(started.execution_id)
    bad = first_run(engine, databases(2), {"db1": Outcome.FAILED})
    new = rerun(engine, bad)
    with pytest.raises(InvalidDefinitionError, match=f"as execution '{new.execution_id}'"):
        rerun(engine, bad)
    with engine.database.read() as connection:
        assert connection.execute(select(rerun_targets.c.job_execution_id)).scalars().all() == [new.execution_id]


def test_a_run_whose_history_is_being_removed_is_refused(engine: Engine) -> None:
    engine.define()
    old = first_run(engine, databases(3), {"db1": Outcome.FAILED})
    with engine.database.write() as connection:
        connection.execute(delete(target_executions).where(target_executions.c.database_name == "db0"))
    with pytest.raises(InvalidDefinitionError, match="part of the history"):
        rerun(engine, old)


def test_history_that_is_removed_while_the_list_is_made_is_noticed(engine: Engine) -> None:
    engine.define()
    old = first_run(engine, databases(3), {"db1": Outcome.FAILED})

    def purge(_: Connection, cursor: Any, statement: str, *__: object) -> None:
        # As a purge that commits between two statements of the rerun; it does not wait for the lock of the run.
        if "rerun_targets" in statement and statement.startswith("INSERT"):
            cursor.execute(f"DELETE FROM {table} WHERE database_name = 'db1'")  # ours

    dialect = engine.database.engine.dialect
    is_sqlite = dialect.name == "sqlite"
    table = target_executions.name if is_sqlite else dialect.identifier_preparer.format_table(target_executions)
    event.listen(engine.database.engine, "before_cursor_execute", purge)
    try:
        with pytest.raises(InvalidDefinitionError, match="part of the history"):
            rerun(engine, old)
    finally:
        event.remove(engine.database.engine, "before_cursor_execute", purge)
    with engine.database.read() as connection:
        assert connection.execute(select(job_executions.c.id)).scalars().all() == [old]


def test_a_deleted_job_is_not_run_again(engine: Engine, clock: ManualClock) -> None:
    engine.define()
    old = first_run(engine, databases(1), {"db0": Outcome.FAILED})
    with engine.database.write() as connection:
        connection.execute(jobs.update().values(delete_time=clock.now()))
    with pytest.raises(NotFoundError):
        rerun(engine, old)


def test_two_at_once_start_one(engine: Engine) -> None:
    engine.define()
    old = first_run(engine, databases(1), {"db0": Outcome.FAILED})

    def attempt(_: int) -> str:
        try:
            rerun(engine, old)
        except (InvalidDefinitionError, IntegrityError):
            return "refused"
        return "started"

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(attempt, range(4)))
    assert sorted(answers) == ["refused", "refused", "refused", "started"]


def test_the_same_request_twice_at_once_is_answered_with_one_run(engine: Engine) -> None:
    engine.define()
    old = first_run(engine, databases(1), {"db0": Outcome.FAILED})

    def attempt(_: int) -> Started:
        try:
            return rerun(engine, old, "one")
        except IntegrityError:  # asked again by whoever calls
            return rerun(engine, old, "one")

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(attempt, range(4)))
    assert len({answer.execution_id for answer in answers}) == 1
    assert sum(answer.step_execution_id is not None for answer in answers) == 1
    with pytest.raises(InvalidDefinitionError, match="was run again already"):
        rerun(engine, old, "two")


def test_the_list_goes_with_the_history_of_its_run(engine: Engine, clock: ManualClock) -> None:
    engine.define()
    old = first_run(engine, databases(1), {"db0": Outcome.FAILED})
    new = rerun(engine, old)
    engine.cancel(new.execution_id)
    engine.advance(new.execution_id)
    clock.move(days=1)
    for _ in range(5):
        with engine.database.write() as connection:
            purging.purge_some(connection, clock.now())
    with engine.database.read() as connection:
        assert connection.execute(select(job_executions.c.id)).first() is None
        assert connection.execute(select(rerun_targets.c.step_id)).first() is None


def test_overlap_counts_for_a_rerun_too(engine: Engine) -> None:
    engine.define()
    old = first_run(engine, databases(1), {"db0": Outcome.FAILED})
    other = engine.start()
    assert other.step_execution_id is not None
    claim = engine.claim_step(other.step_execution_id)
    assert claim is not None
    assert engine.plan(claim, databases(1)) is not None
    new = rerun(engine, old)
    assert new.step_execution_id is not None
    assert work(engine, new.step_execution_id, databases(1), {}) == set()
    assert engine.target_states(new.execution_id) == {"db0": Lifecycle.SKIPPED}

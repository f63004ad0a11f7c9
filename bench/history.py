"""What a long history costs: the same work over a job database with 1,000 and with 1,000,000 finished targets.

    python -m bench.history [--sizes 1000,1000000] [--folder DIR] [--repeats 30]

Fills SQLite job databases with finished runs of 10 targets each, plus one run that is active, and measures one tick,
one record with the next claim, one transaction of purging, and each list of the API. The table shows the CPU time of
each in milliseconds and the ratio of the largest to the smallest history. Exit code 1 when a ratio is above the limit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import Connection, insert, select

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.domain.outcome import AttemptResult, Outcome
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.jobdb import history, schema
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions
from elastic_jobs.jobdb.executions import claims, purging
from elastic_jobs.jobdb.executions.due import find_duties
from elastic_jobs.jobdb.executions.recording import Ending, record_all
from elastic_jobs.jobdb.history import ExecutionFilter, Page
from elastic_jobs.jobdb.tables import agent, job_steps, jobs

LIMIT = 1.5
"""Largest ratio that counts as "costs the same"."""
FLOOR_SECONDS = 0.001
"""What is faster than this counts as this fast: below it, the clock and the caches are measured."""
TARGETS_PER_RUN = 10
"""Few, so that the short history fills the pages of the lists too."""
PAGE = 25
ACTIVE_TARGETS, SLOTS = 400, 100
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EVERY = timedelta(minutes=1)
"""Distance between two finished runs."""
KEEP = timedelta(days=45)
ALL = ExecutionFilter()


class _Clock:
    def now(self) -> datetime:
        return NOW


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A job database with a history, and what in it can be asked for. ``old`` is a finished run in the middle."""

    database: JobDatabase
    job_id: UUID
    old: UUID
    old_step: UUID
    oldest: datetime


def fill(file: Path, targets: int) -> Filled:
    """Make a job database with this many finished target executions, rounded up to whole runs, and an active run."""
    database = JobDatabase(f"sqlite:///{file}", clock=_Clock())
    schema.upgrade(database)
    job_id, count = uuid4(), -(-targets // TARGETS_PER_RUN)
    runs = [(uuid4(), uuid4(), NOW - EVERY * (count - number)) for number in range(count)]
    active = (uuid4(), uuid4(), NOW)
    with database.write() as connection:
        connection.exec_driver_sql("PRAGMA cache_size = -500000")
        _define(connection, job_id)
        _insert_runs(connection, job_id, runs, finished=True)
        _insert_targets(connection, TARGETS_PER_RUN, finished=True)
        _insert_runs(connection, job_id, [active], finished=False)
        _insert_targets(connection, ACTIVE_TARGETS, finished=False)
    middle = runs[count // 2]
    return Filled(database=database, job_id=job_id, old=middle[0], old_step=middle[1], oldest=runs[0][2])


def _define(connection: Connection, job_id: UUID) -> None:
    connection.execute(
        insert(agent).values(id=1, name="a", location="x", sku_name="JA100", capacity=SLOTS, create_time=NOW)
    )
    connection.execute(
        insert(jobs).values(
            id=job_id,
            name="Job1",
            description="",
            version=1,
            enabled=False,
            schedule_interval_type="Once",
            schedule_interval_count=1,
            schedule_start_time=NOW,
            schedule_end_time=NOW,
            create_time=NOW,
        )
    )
    connection.execute(
        insert(job_steps).values(
            job_id=job_id,
            job_version=1,
            step_id=1,
            step_uid=uuid4(),
            name="step1",
            command="SELECT 1",
            target_group_id=uuid4(),
            target_group_name="g",
            initial_retry_interval_seconds=1,
            maximum_retry_interval_seconds=120,
            retry_interval_backoff_multiplier=2,
            retry_attempts=10,
            step_timeout_seconds=60,
        )
    )


def _insert_runs(
    connection: Connection, job_id: UUID, runs: list[tuple[UUID, UUID, datetime]], *, finished: bool
) -> None:
    common = [
        {
            "job_id": job_id,
            "job_version": 1,
            "create_time": ended - timedelta(minutes=1),
            "start_time": ended - timedelta(minutes=1),
            "is_active": 0 if finished else 1,
            "end_time": ended if finished else None,
        }
        for _, _, ended in runs
    ]
    state = (Lifecycle.SUCCEEDED if finished else Lifecycle.IN_PROGRESS).value
    step_state = (Lifecycle.SUCCEEDED if finished else Lifecycle.WAITING_FOR_CHILD_JOB_EXECUTIONS).value
    roots = [
        {**values, "id": run[0], "job_name": "Job1", "lifecycle": state}
        for run, values in zip(runs, common, strict=True)
    ]
    steps = [
        {**values, "id": run[1], "job_execution_id": run[0], "step_id": 1, "step_name": "s", "lifecycle": step_state}
        for run, values in zip(runs, common, strict=True)
    ]
    connection.execute(insert(job_executions), roots)
    connection.execute(insert(step_executions), steps)


def _insert_targets(connection: Connection, per_run: int, *, finished: bool) -> None:
    """Targets of all runs that are finished, or of all that are not."""
    state = (Lifecycle.SUCCEEDED if finished else Lifecycle.CREATED).value
    connection.exec_driver_sql(
        "INSERT INTO target_executions (id, step_execution_id, job_execution_id, job_id, step_uid, server_name,"
        " database_name, turn, admitted, lifecycle, is_active, create_time, end_time, dispatch_time, cancel_requested,"
        " current_attempts, failed_attempts, lost_attempts, sent_messages, last_message)"
        " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        " SELECT lower(hex(randomblob(16))), s.id, s.job_execution_id, s.job_id, s.job_id,"
        " 'server1.database.windows.net', 'database' || i, i, 1, ?, s.is_active, s.create_time, s.end_time,"
        " CASE WHEN s.is_active = 1 AND i <= ? THEN s.create_time END, 0, 1, 0, 0, 1, 'Step 1 succeeded.'"
        " FROM step_executions AS s CROSS JOIN n WHERE s.is_active = ?",
        (per_run, state, SLOTS, int(not finished)),
    )


class Worker:
    """Works on the targets of the active run as the product does, one after the other, without running anything."""

    def __init__(self, filled: Filled) -> None:
        self._database = filled.database
        self._holder = claims.Holder(instance=uuid4(), lease=timedelta(seconds=30))
        with self._database.read() as connection:
            query = select(target_executions.c.id).where(target_executions.c.dispatch_time.is_not(None))
            self._left = list(connection.execute(query).scalars())

        self._claim: claims.TargetClaim | None = None

    def work(self) -> None:
        """Record a target, and claim the one that gets its slot."""
        with self._database.write() as connection:
            claim = self._claim or claims.claim_target(
                connection, self._database, self._left.pop(), uuid4(), self._holder
            )
        if claim is None:
            raise AssertionError("A target that holds a slot could not be claimed.")
        claimant = claims.Claimant(token=uuid4(), holder=self._holder)
        result = AttemptResult(outcome=Outcome.SUCCEEDED, message="It succeeded.")
        ending = Ending(claim=claim, result=result, policy=RetryPolicy(), max_parallelism=None, claimant=claimant)
        with self._database.write() as connection:
            (recorded,) = record_all(connection, self._database, [ending])
        if recorded is None or recorded.following is None:
            raise AssertionError("The target was not recorded, or its slot led to no other.")
        self._claim = recorded.following


def _list(filled: Filled, filters: ExecutionFilter, page: Page, *, of_job: bool = False) -> None:
    with filled.database.read() as connection:
        history.list_job_executions(connection, page, filters, job_id=filled.job_id if of_job else None)


def _read(filled: Filled, question: Callable[[Connection], object]) -> None:
    with filled.database.read() as connection:
        question(connection)


def _purge(filled: Filled) -> None:
    with filled.database.write() as connection:
        if not purging.purge_some(connection, filled.oldest + timedelta(days=9999)):
            raise AssertionError("There was nothing to purge.")


def works(filled: Filled) -> dict[str, Callable[[], None]]:
    """What is measured."""
    database, worker = filled.database, Worker(filled)
    first = Page(limit=PAGE)
    middle = filled.oldest + (NOW - filled.oldest) / 2
    behind = Page(limit=PAGE, after=(middle, uuid4()))
    window = ExecutionFilter(create_time_min=middle - timedelta(minutes=20), create_time_max=middle)
    ended = ExecutionFilter(end_time_min=middle - timedelta(minutes=20), end_time_max=middle)
    recent = ExecutionFilter(end_time_min=NOW)
    return {
        "tick": lambda: _read(filled, lambda c: find_duties(c, database, NOW, filled.oldest - KEEP)),
        "record, and claim the next": worker.work,
        "runs: first page": lambda: _list(filled, ALL, first),
        "runs: page in the middle": lambda: _list(filled, ALL, behind),
        "runs of a job": lambda: _list(filled, ALL, first, of_job=True),
        "runs that are active": lambda: _list(filled, ExecutionFilter(is_active=True), first),
        "runs of a job that are active": lambda: _list(filled, ExecutionFilter(is_active=True), first, of_job=True),
        "runs that have ended": lambda: _list(filled, ExecutionFilter(is_active=False), first),
        "runs created within 20 minutes": lambda: _list(filled, window, first),
        "runs ended within 20 minutes": lambda: _list(filled, ended, first),
        "runs ended since now": lambda: _list(filled, recent, first),
        "steps of a run": lambda: _read(filled, lambda c: history.list_step_executions(c, filled.old, first, ALL)),
        "targets of a run": lambda: _read(filled, lambda c: history.list_target_executions(c, filled.old, first, ALL)),
        "targets of a step": lambda: _read(
            filled,
            lambda c: history.list_target_executions(c, filled.old, first, ALL, step_execution_id=filled.old_step),
        ),
        "progress of a run": lambda: _read(filled, lambda c: history.progress(c, filled.old)),
        "purge, one transaction": lambda: _purge(filled),
    }


def measure(filled: Filled, repeats: int) -> dict[str, float]:
    """CPU seconds of each work, SQLite included; the best of its repeats, whatever else the machine does."""
    found: dict[str, list[float]] = {}
    all_works = works(filled)
    # Round after round, so that a busy moment of the machine does not hit all repeats of one work.
    for _ in range(repeats):
        for name, work in all_works.items():
            begun = time.thread_time()
            work()
            found.setdefault(name, []).append(time.thread_time() - begun)
    return {name: min(times) for name, times in found.items()}


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="history-") as made:
        yield Path(made)


def main(arguments: list[str]) -> int:
    """Print the table; 1 when something costs more with a long history than with a short one."""
    parser = argparse.ArgumentParser(description="What a long history costs.")
    parser.add_argument("--sizes", default="1000,1000000", help="finished target executions, separated by commas")
    parser.add_argument("--folder", type=Path, help="where the job databases go; default: a temporary folder")
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args(arguments)
    sizes = sorted(int(size) for size in options.sizes.split(","))
    results: list[dict[str, float]] = []
    with _folder(options.folder) as folder:
        for size in sizes:
            begun = time.perf_counter()
            filled = fill(folder / f"{size}-{uuid4().hex[:6]}.db", size)
            print(f"{size:,} finished targets written in {time.perf_counter() - begun:.0f} s", flush=True)
            results.append(measure(filled, options.repeats))
            filled.database.dispose()
    return report(sizes, results)


def ratio(short: float, long: float) -> float:
    """What a work costs with the long history over what it costs with the short one; both in CPU seconds."""
    return max(long, FLOOR_SECONDS) / max(short, FLOOR_SECONDS)


def report(sizes: list[int], results: list[dict[str, float]]) -> int:
    """Print the table; 1 when a ratio is above the limit."""
    print("\n" + f"{'CPU time in ms':32}" + "".join(f"{size:>12,}" for size in sizes) + f"{'ratio':>8}")
    worst = 0.0
    for name in results[0]:
        times = [result[name] for result in results]
        of_this = ratio(times[0], times[-1])
        worst = max(worst, of_this)
        print(f"{name:32}" + "".join(f"{seconds * 1000:12.2f}" for seconds in times) + f"{of_this:8.2f}")
    print(f"\nLargest ratio {worst:.2f}; it must not be above {LIMIT}.")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

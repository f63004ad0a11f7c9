"""Does what a plan says to a running site: starts its runs, and kills, freezes, forges and locks around them."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import signal
import sqlite3
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial

from azure.core.exceptions import AzureError

from elastic_jobs.agent.messages import STEPS_QUEUE, TARGETS_QUEUE
from tests.chaos.control import ANSWER_LOST, KILL_POINTS
from tests.chaos.facts import read_rows
from tests.chaos.plan import LEASE_SECONDS, Action, Plan
from tests.chaos.stage import RESTART_SECONDS, Site, active, forged, wait_for

_Step = Callable[[], None]
ORDER_SECONDS = LEASE_SECONDS + 4.0
"""How long orders to die lie in wait after all else was done: claims of a worker that died are taken back by then."""


class Conductor:
    """Carries out one plan. ``run`` belongs on the main thread: Azurite ends with the thread that started it."""

    def __init__(self, site: Site, plan: Plan) -> None:
        self._site, self._plan = site, plan
        self._due: list[tuple[float, int, _Step]] = []
        self._numbers = itertools.count()
        self._requests = ThreadPoolExecutor(8, thread_name_prefix="request")
        self._sent: list[Future[None]] = []
        self._started: dict[uuid.UUID, Future[None]] = {}
        self._frozen: set[int] = set()
        self._rng_ids = itertools.count(plan.seed << 64)

    def run(self) -> list[str]:
        """Everything of the plan, in its time; afterwards all that was broken on purpose is whole again.

        The names of the orders that no worker came to: points that the run did not pass.
        """
        began = time.monotonic()
        for action in self._plan.actions:
            self._later(began + action.at, partial(self._do, action))
        try:
            while self._due:
                at, _, step = heapq.heappop(self._due)
                time.sleep(max(0.0, at - time.monotonic()))
                step()
            for request in self._sent:
                request.result()
            wait_for(self._orders_are_done, ORDER_SECONDS)
        finally:
            missed = self._mend()
        return missed

    def _orders_are_done(self) -> bool:
        """Whether every point to die at was reached, or no run is left that could."""
        waiting = any(self._site.control.waits(point) for point in KILL_POINTS)
        return not waiting or not active(self._site)

    def _later(self, at: float, step: _Step) -> None:
        heapq.heappush(self._due, (at, next(self._numbers), step))

    def _after(self, seconds: float, step: _Step) -> None:
        self._later(time.monotonic() + seconds, step)

    def _mend(self) -> list[str]:
        missed = self._site.control.clear()
        self._site.emulator.control.clear_faults()
        self._thaw()
        self._site.stack.azurite.start()
        self._requests.shutdown(wait=True)
        assert wait_for(self._site.workers_are_whole, RESTART_SECONDS), "The host did not replace its workers."
        return missed

    def _do(self, action: Action) -> None:
        _DEEDS[action.kind](self, **action.details)

    def _start(self, job: str, run: uuid.UUID) -> None:
        self._started[run] = self._requests.submit(self._site.start, job, run)
        self._sent.append(self._started[run])

    def _cancel(self, run: uuid.UUID) -> None:
        def cancel() -> None:
            if run in self._started:
                self._started[run].result()
                self._site.cancel(self._plan.runs[run], run)

        self._sent.append(self._requests.submit(cancel))

    def _kill(self, workers: int, first: int) -> None:
        pids = self._site.stack.worker_pids
        for place in range(workers):
            with contextlib.suppress(ProcessLookupError):  # it may have died at a named point a moment ago
                os.kill(pids[(first + place) % len(pids)], signal.SIGKILL)

    def _freeze(self, worker: int, seconds: float) -> None:
        pid = self._site.stack.worker_pids[worker]
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            self._frozen.add(pid)
            self._after(seconds, self._thaw)

    def _thaw(self) -> None:
        for pid in self._frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._frozen.clear()

    def _point(self, point: str, skip: int, seconds: float) -> None:
        self._site.control.arm(point, skip=skip, seconds=seconds)

    def _message(self, trick: str, count: int, seconds: int) -> None:
        for _ in range(count):
            self._site.control.arm(trick, seconds=seconds)

    def _forge(self, what: str) -> None:
        ids = [uuid.UUID(int=next(self._rng_ids)) for _ in range(5)]
        if what == "known ids":
            ids = [
                uuid.UUID(row.id)
                for table in ("job_executions", "step_executions", "target_executions")
                for row in read_rows(
                    self._site.job_database, f"SELECT id FROM {table} ORDER BY create_time DESC LIMIT 8"
                )
            ]
        for name in (STEPS_QUEUE, TARGETS_QUEUE):
            with (
                contextlib.suppress(AzureError),
                self._site.queue(name) as queue,
            ):  # Azurite may be down, or no queue there
                for body in forged(what, ids):
                    queue.send_message(body)

    def _fault(self, rule: dict[str, object]) -> None:
        fields = {name: value for name, value in rule.items() if name not in {"kind", "at"}}
        self._site.emulator.control.add_fault(str(rule["kind"]), str(rule["at"]), **fields)

    def _lock(self, seconds: float) -> None:
        # Not on this thread: the lock may be held by a worker that only this thread can thaw.
        self._sent.append(self._requests.submit(self._hold_lock, seconds))

    def _hold_lock(self, seconds: float) -> None:
        with closing(sqlite3.connect(self._site.job_database, timeout=30, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            time.sleep(seconds)
            connection.rollback()

    def _cut(self, seconds: float) -> None:
        self._site.control.cut_database(seconds)
        self._after(seconds, lambda: None)

    def _answer_lost(self, skip: int) -> None:
        self._site.control.arm(ANSWER_LOST, skip=skip)

    def _start_azurite(self) -> None:
        self._site.stack.azurite.start()

    def _azurite(self, seconds: float) -> None:
        self._site.stack.azurite.kill()
        self._after(seconds, self._start_azurite)


_DEEDS: dict[str, Callable[..., None]] = {
    "start": Conductor._start,
    "cancel": Conductor._cancel,
    "kill": Conductor._kill,
    "freeze": Conductor._freeze,
    "point": Conductor._point,
    "message": Conductor._message,
    "forge": Conductor._forge,
    "fault": Conductor._fault,
    "lock": Conductor._lock,
    "cut": Conductor._cut,
    "answer lost": Conductor._answer_lost,
    "azurite": Conductor._azurite,
}

"""The timer trigger: one worker process of all holds a timer and runs it; another takes over when that one ends.

The real host holds a blob lease; here it is a file lock, which the kernel drops with the process. So the
singleton covers the worker processes of one host, not several hosts.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from azure.functions.meta import Datum

from local.functions_host.bindings import BoundFunction, TimerTrigger
from local.functions_host.converters import decode
from local.functions_host.invocation import InvocationFailedError, Invoker
from local.functions_host.schedules import is_monitored, parse_schedule

LOCK_RETRY = 0.5  # seconds between two looks at a lock that another worker holds
_log = logging.getLogger("functions_host.timer")


def utc_now() -> datetime:
    return datetime.now(UTC)


class TimerListener:
    """Serves one timer-triggered function in one worker process."""

    def __init__(
        self,
        function: BoundFunction,
        trigger: TimerTrigger,
        state_directory: Path,
        *,
        invoker: Invoker,
        loop: asyncio.AbstractEventLoop,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._function, self._trigger = function, trigger
        self._schedule = parse_schedule(trigger.schedule, function.name)
        self._monitored = trigger.use_monitor and is_monitored(self._schedule, now())
        self._lock_path = state_directory / f"timer-{function.name}.lock"
        self._status_path = state_directory / f"timer-{function.name}.json"
        self._invoker, self._loop, self._now = invoker, loop, now
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start the thread that waits for the lock and then for the ticks."""
        threading.Thread(target=self._run, name=f"timer-{self._function.name}", daemon=True).start()

    def stop(self) -> None:
        """Start no more ticks."""
        self._stopping.set()

    def _run(self) -> None:
        with self._lock_path.open("ab") as lock:
            if not self._acquire(lock.fileno()):
                return
            _log.info("Timer %s runs in this worker (process %d).", self._function.name, os.getpid())
            status = self._read_status() if self._monitored else {}
            self._first_run(status)
            last = self._now()
            while True:
                # From now, not from the last tick: ticks that fell into a long run are skipped.
                following = self._schedule.next_after(max(last, self._now()))
                self._write_status(last, following)
                if self._wait_until(following):
                    return
                last = following
                self._tick(past_due=False, last=last)

    def _acquire(self, descriptor: int) -> bool:
        while not self._stopping.is_set():
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                self._stopping.wait(LOCK_RETRY)
        return False

    def _first_run(self, status: dict[str, Any]) -> None:
        missed = "Next" in status and datetime.fromisoformat(status["Next"]) < self._now()
        if missed or self._trigger.run_on_startup:
            self._tick(past_due=missed, last=self._now())

    def _wait_until(self, moment: datetime) -> bool:
        """True when the worker stops first. Waits again when woken early: a tick must not come before its time."""
        while (rest := (moment - self._now()).total_seconds()) > 0:
            if self._stopping.wait(rest):
                return True
        return self._stopping.is_set()

    def _tick(self, *, past_due: bool, last: datetime) -> None:
        """Run the function to its end: the next tick cannot overlap it."""
        document = {
            "Schedule": {"AdjustForDST": True},
            "ScheduleStatus": {
                "Last": last.isoformat(),
                "Next": self._schedule.next_after(last).isoformat(),
                "LastUpdated": last.isoformat(),
            },
            "IsPastDue": past_due,
        }
        datum = Datum(json.dumps(document), "json")
        work = self._invoker.invoke(self._function, lambda: decode("timerTrigger", datum))
        # A failure is logged already, and the real host does not repeat a failed tick either.
        with contextlib.suppress(InvocationFailedError):
            asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _read_status(self) -> dict[str, Any]:
        try:
            status = json.loads(self._status_path.read_text(encoding="utf-8"))
            datetime.fromisoformat(status["Next"])
        except (OSError, ValueError, KeyError, TypeError):
            return {}  # none yet, or cut short by a crash: as if there had been none
        return dict(status)

    def _write_status(self, last: datetime, following: datetime) -> None:
        if not self._monitored:
            return
        document = {"Last": last.isoformat(), "Next": following.isoformat(), "LastUpdated": self._now().isoformat()}
        part = self._status_path.with_suffix(".part")
        part.write_text(json.dumps(document), encoding="utf-8")
        part.replace(self._status_path)

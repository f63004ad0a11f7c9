"""Inside a worker process: the named points at which it may be killed, and what may happen to its messages.

=================  ==================================================================================================
after_claim        a target is claimed and nothing was done with the claim
during_script      the script has begun; dies some tenths of a second later
after_script       the script has ended and its outcome is not recorded
in_record          the outcome is written and the next target of the slot claimed, but not committed
after_record       outcome and next claim are committed, and nothing was done with either
before_next        the run was moved on; the next target of the slot is claimed and not begun
step_claimed       a step is claimed and its target group not resolved
planned            the targets of a step are committed and their messages not sent
in_advance         a run was moved on, but not committed
advanced           a run was started or moved on and committed; the next step's message is not sent
in_expire          claims of lost workers are taken back, but not committed
claims_taken_back  free slots are about to be given out
=================  ==================================================================================================

The product has no hooks for this: its functions are wrapped. A name that is gone stops the worker's start.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial, wraps
from typing import Any

from sqlalchemy import Connection

from elastic_jobs.agent.expander import StepExpander
from elastic_jobs.agent.flow import Flow
from elastic_jobs.agent.messages import Message
from elastic_jobs.agent.outbox import StorageOutbox
from elastic_jobs.agent.worker import TargetWorker
from elastic_jobs.errors import JobDatabaseUnavailableError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.executions import advancing, outcomes, planning, recording, repairs
from elastic_jobs.targets.attempt import Attempt
from tests.chaos.control import ANSWER_LOST, Control

SHORTER = (
    (repairs, "RESEND_SECONDS", (4, 4, 4, 4, 4)),
    (repairs, "STEP_GRACE", timedelta(seconds=1)),
    (outcomes, "BUSY_DELAY", timedelta(seconds=1)),
    (outcomes, "LOST_LIMIT", 8),
    (repairs, "LOST_LIMIT", 8),
)
"""Instead of the product's 20 s and more, 5 s, 5 s and 20 times: a run of the suite would otherwise mostly wait. A
target whose session hangs on a silent server refuses the next attempts for as long as its worker lives; each takes some
four seconds, so that twenty of them would outlast any run."""

_Any = Callable[..., Any]
_here = threading.local()


def install(control: Control) -> None:
    """Wrap the product's functions for this process."""
    for module, name, value in SHORTER:
        replace(module, name, partial(_instead, value))
    points = _Points(control)
    points.after(TargetWorker, "_claim", "after_claim")
    points.within(Attempt, "_run_script", "during_script")
    points.after(Attempt, "run", "after_script")
    points.after(recording, "record_all", "in_record", when=any)
    points.after(TargetWorker, "_record", "after_record")
    points.after(TargetWorker, "_work", "before_next")
    points.before(StepExpander, "_expand", "step_claimed")
    points.after(advancing, "advance", "in_advance", when=lambda _: True)
    points.before(StorageOutbox, "wake_steps", "advanced")
    points.after(repairs, "expire_claims", "in_expire")
    points.before(Flow, "fill_slots", "claims_taken_back")
    points.after_planning("planned")
    _break_messages(control)
    _break_database(control)


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put something else in the place of what the product has under this name.

    Raises:
        AttributeError: it has no such thing any more, and the point would be passed in vain.
    """
    setattr(owner, name, make(getattr(owner, name)))


def _instead(value: Any, _original: Any) -> Any:
    return value


def die() -> None:
    """No clean-up: as when a machine loses power."""
    os.kill(os.getpid(), signal.SIGKILL)


class _Points:
    def __init__(self, control: Control) -> None:
        self._control = control

    def _reach(self, point: str) -> None:
        if self._control.take(point) is not None:
            die()

    def before(self, owner: Any, name: str, point: str) -> None:
        def make(original: _Any) -> _Any:
            @wraps(original)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                self._reach(point)
                return original(*args, **kwargs)

            return wrapper

        replace(owner, name, make)

    def after(self, owner: Any, name: str, point: str, *, when: Callable[[Any], bool] = bool) -> None:
        """Only when something came of it; ``when`` tells by the answer."""

        def make(original: _Any) -> _Any:
            @wraps(original)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                answer = original(*args, **kwargs)
                if when(answer):
                    self._reach(point)
                return answer

            return wrapper

        replace(owner, name, make)

    def within(self, owner: Any, name: str, point: str) -> None:
        def make(original: _Any) -> _Any:
            @wraps(original)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                seconds = self._control.take(point)
                if seconds is not None:
                    threading.Timer(seconds, die).start()
                return original(*args, **kwargs)

            return wrapper

        replace(owner, name, make)

    def after_planning(self, point: str) -> None:
        """The first message that a thread sends after it has planned a step."""

        def planned(original: _Any) -> _Any:
            @wraps(original)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                answer = original(*args, **kwargs)
                _here.planned = answer is not None
                return answer

            return wrapper

        def wake(original: _Any) -> _Any:
            @wraps(original)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                if getattr(_here, "planned", False):
                    _here.planned = False
                    self._reach(point)
                return original(*args, **kwargs)

            return wrapper

        replace(planning, "plan", planned)
        replace(StorageOutbox, "wake_targets", wake)


def _break_messages(control: Control) -> None:
    """Messages get lost, come twice or late."""

    def make(original: _Any) -> _Any:
        @wraps(original)
        def send_one(self: StorageOutbox, queue: str, message: Message, delay: timedelta) -> Any:
            if control.take("drop") is not None:
                return None
            if control.take("double") is not None:
                original(self, queue, message, delay)
            late = control.take("delay")
            return original(self, queue, message, delay if late is None else delay + timedelta(seconds=late))

        return send_one

    replace(StorageOutbox, "_send_one", make)


def _break_database(control: Control) -> None:
    """The job database cannot be reached, or the answer to a commit is lost."""

    def require() -> None:
        if control.database_is_cut():
            raise JobDatabaseUnavailableError("The job database does not answer: cut off by the chaos suite.")

    def reading(original: _Any) -> _Any:
        @contextmanager
        def read(self: JobDatabase) -> Iterator[Connection]:
            require()
            with original(self) as connection:
                yield connection

        return read

    def writing(original: _Any) -> _Any:
        @contextmanager
        def write(self: JobDatabase) -> Iterator[Connection]:
            require()
            with original(self) as connection:
                yield connection
            if control.take(ANSWER_LOST) is not None:
                raise JobDatabaseUnavailableError("The job database does not answer: the answer to COMMIT was lost.")

        return write

    replace(JobDatabase, "read", reading)
    replace(JobDatabase, "write", writing)

"""One value that comes from far away (a token, a secret): fetched by one thread at a time, kept for a while.

The rules, for hundreds of threads that ask at the same moment:

* One of them fetches, the others wait for its answer, each for a bounded time.
* When a value grows old, one thread fetches the next one while the others go on with the one they have.
* A failed fetch is not repeated at once by every waiting thread; while the old value is still good, nobody notices it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from elastic_jobs.domain.ports import Clock
from elastic_jobs.errors import CredentialError

T = TypeVar("T")

WAIT_SECONDS = 30.0
"""How long a thread waits for another one's fetch: longer than a fetch with its retries usually takes, shorter than
the lease of a claim lasts with its renewals."""
FORGET_FAILURE_AFTER = timedelta(seconds=2)
REFETCH_AT_MOST_EVERY = timedelta(seconds=10)
"""How often a value that servers refuse is fetched anew: a wrong password on 300 databases is one fetch, not 300."""


@dataclass(frozen=True)
class Fetched(Generic[T]):
    """A value with its age limits.

    renew_at: from then on one caller fetches the next value. expires_at: from then on this one is not given out.
    """

    value: T
    renew_at: datetime
    expires_at: datetime


class SingleFlight(Generic[T]):
    """Keeps one value. Safe to use from many threads."""

    def __init__(
        self,
        clock: Clock,
        fetch: Callable[[], Fetched[T]],
        *,
        what: str,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        """fetch: gets the value or raises CredentialError with a sentence. what: the value, for sentences."""
        self._clock, self._fetch, self._what, self._wait_seconds = clock, fetch, what, wait_seconds
        self._changed = threading.Condition()
        self._fetching = False
        self._current: Fetched[T] | None = None
        self._generation = 0
        self._renewed_at: datetime | None = None
        self._failed_at: datetime | None = None
        # Its words and kind only: the error itself would keep the frames alive in which it was raised.
        self._failure, self._failure_passes = "", False

    def get(self) -> T:
        """The value, fetched when there is none or it grows old.

        Raises:
            CredentialError: it cannot be had, or did not come in time.
        """
        deadline = time.monotonic() + self._wait_seconds
        with self._changed:
            while True:
                usable = self._usable()
                if usable is not None and (self._fetching or self._failed_lately() or not self._is_old(usable)):
                    return usable.value
                if usable is None and self._failed_lately():
                    raise CredentialError(self._failure, passing=self._failure_passes)
                if not self._fetching:
                    self._fetching = True
                    break
                self._wait_until(deadline)
        return self._fetch_now()

    def renew(self, refused: T) -> T | None:
        """Another value than the one that a server refused; None when there is none (yet).

        Raises:
            CredentialError: as ``get``.
        """
        deadline = time.monotonic() + self._wait_seconds
        with self._changed:
            while True:
                usable = self._usable()
                if usable is not None and usable.value != refused:
                    return usable.value
                if self._fetching:
                    self._wait_until(deadline)
                    continue
                if self._failed_lately() or self._within(self._renewed_at, REFETCH_AT_MOST_EVERY):
                    return None
                self._fetching, self._renewed_at = True, self._clock.now()
                break
        value = self._fetch_now()
        return None if value == refused else value

    def forget(self) -> None:
        """The value was changed where it comes from: the next one who asks fetches it."""
        with self._changed:
            self._current = self._failed_at = self._renewed_at = None
            # What a fetch under way brings may be the value of before.
            self._generation += 1

    def _fetch_now(self) -> T:
        """Fetch, in the thread that has said it would; the lock is free meanwhile."""
        with self._changed:
            generation = self._generation
        try:
            fetched = self._fetch()
        except CredentialError as error:
            with self._changed:
                self._fetching, self._failed_at = False, self._clock.now()
                self._failure, self._failure_passes = str(error), error.passing
                self._changed.notify_all()
                usable = self._usable()
            if usable is None:
                raise
            return usable.value
        except BaseException:
            with self._changed:
                self._fetching = False
                self._changed.notify_all()
            raise
        with self._changed:
            self._fetching, self._failed_at = False, None
            if generation == self._generation:
                self._current = fetched
            self._changed.notify_all()
        return fetched.value

    def _wait_until(self, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not self._changed.wait(remaining):
            raise CredentialError(
                f"{self._what} did not come within {self._wait_seconds:g} s; "
                "try again, and look at the log of the app.",
                passing=True,
            )

    def _usable(self) -> Fetched[T] | None:
        current = self._current
        return None if current is None or self._clock.now() >= current.expires_at else current

    def _is_old(self, fetched: Fetched[T]) -> bool:
        return self._clock.now() >= fetched.renew_at

    def _failed_lately(self) -> bool:
        return self._within(self._failed_at, FORGET_FAILURE_AFTER)

    def _within(self, since: datetime | None, span: timedelta) -> bool:
        # A clock that was set back must not make a failure last.
        return since is not None and timedelta() <= self._clock.now() - since < span

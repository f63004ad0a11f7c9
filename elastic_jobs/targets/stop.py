"""The one signal that stops an attempt, whatever it waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable

from elastic_jobs.domain.outcome import StopReason


class Stopped(Exception):  # noqa: N818  # no error: the attempt was asked to end
    """Raised at the next safe place after the signal was given."""


class StopSignal:
    """Set once, with a reason, from any thread. What waits can be woken by it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._reason: StopReason | None = None
        self._wakers: list[Callable[[], None]] = []

    @property
    def reason(self) -> StopReason | None:
        return self._reason

    def set(self, reason: StopReason) -> bool:
        """Give the signal; False when it had been given before. The first reason stays."""
        with self._lock:
            if self._reason is not None:
                return False
            self._reason = reason
            self._event.set()
            wakers = list(self._wakers)
        for wake in wakers:
            wake()
        return True

    def check(self) -> None:
        """Raises ``Stopped`` when the signal was given."""
        if self._reason is not None:
            raise Stopped

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until the signal; True when it was given."""
        return self._event.wait(seconds)

    def on_stop(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` when the signal is given, at once when it was before. It must return quickly."""
        with self._lock:
            if self._reason is None:
                self._wakers.append(wake)
                return
        wake()

"""How much one instance takes: size of bodies, requests a second of one caller, and of all callers together.

Token buckets: a caller may send ten seconds' worth at once, and then as many a second as the rate says. Counted per
instance, in memory: the limits protect an instance from one caller, and the job database from an instance.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from elastic_jobs.api.errors import ApiError
from elastic_jobs.settings import Settings

BURST_SECONDS = 10
PLACES_EACH, PLACES_TOGETHER = 4, 12
_PLACE_RETRY_SECONDS = 10
_MOST_BUCKETS = 10_000
_EVERYBODY = "*"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a bucket answers. wait: seconds until the next request may come; 0: this one may pass."""

    remaining: int
    wait: float


class Buckets:
    """A bucket of tokens for each key.

    rate: tokens a second; 0 lets everything pass.
    """

    def __init__(self, rate: int, *, monotonic: Callable[[], float], most: int = _MOST_BUCKETS) -> None:
        self.rate = rate
        self._monotonic, self._most = monotonic, most
        self._size = float(rate * BURST_SECONDS)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> Taken:
        """Take one token from the key's bucket, or tell how long it takes until there is one."""
        if not self.rate:
            return Taken(remaining=0, wait=0)
        now = self._monotonic()
        tokens, since = self._buckets.pop(key, (self._size, now))
        tokens = min(self._size, tokens + max(0.0, now - since) * self.rate)
        passes = tokens >= 1
        tokens -= 1 if passes else 0
        self._buckets[key] = (tokens, now)
        while len(self._buckets) > self._most:
            # The one that was used longest ago: most likely full again anyway.
            self._buckets.popitem(last=False)
        return Taken(remaining=math.floor(tokens), wait=0 if passes else (1 - tokens) / self.rate)


class Limits:
    """The limits of an instance.

    body: bytes. Callers have a bucket each and one together; who has no valid token has one by address, so that
    strangers cannot use up what callers need, and callers cannot slow the probes of ``/health``.
    """

    def __init__(
        self, *, body: int, caller_rate: int, instance_rate: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.body = body
        self._callers = Buckets(caller_rate, monotonic=monotonic)
        self._instance = Buckets(instance_rate, monotonic=monotonic)
        self._strangers = Buckets(caller_rate, monotonic=monotonic)

    @classmethod
    def from_settings(cls, settings: Settings) -> Limits:
        """The limits that the settings name."""
        return cls(
            body=settings.request_body_limit,
            caller_rate=settings.caller_requests_per_second,
            instance_rate=settings.instance_requests_per_second,
        )

    def caller(self, caller_id: str) -> int | None:
        """Count a request of an authenticated caller; how many more may come at once, None without a limit.

        Raises:
            ApiError: 429.
        """
        own = self._callers.take(caller_id)
        if own.wait:
            raise _too_many(f"This caller has sent more than {self._callers.rate} requests a second", own.wait)
        everybody = self._instance.take(_EVERYBODY)
        if everybody.wait:
            raise _too_many(
                f"All callers together have sent more than {self._instance.rate} requests a second", everybody.wait
            )
        return own.remaining if self._callers.rate else None

    def stranger(self, address: str) -> None:
        """Count a request without a token, or with one that was refused.

        Raises:
            ApiError: 429.
        """
        found = self._strangers.take(address)
        if found.wait:
            raise _too_many("Too many requests without a valid token came from this address", found.wait)


class Places:
    """How many requests may wait for target servers at once: of one caller, and of all callers.

    Such a request may take minutes, and holds one of the threads (40 of an instance) that answer everything else, and
    some more for its connections: without a bound, one impatient caller would stop the API. Safe in many threads.
    """

    def __init__(self, *, each: int = PLACES_EACH, together: int = PLACES_TOGETHER) -> None:
        self._each, self._together = each, together
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def take(self, caller_id: str) -> Iterator[None]:
        """Hold a place.

        Raises:
            ApiError: 429, none is free.
        """
        with self._lock:
            if self._taken[caller_id] >= self._each:
                raise _too_many(f"{self._each} requests of this caller wait for target servers", _PLACE_RETRY_SECONDS)
            if self._taken.total() >= self._together:
                raise _too_many(f"{self._together} requests wait for target servers", _PLACE_RETRY_SECONDS)
            self._taken[caller_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[caller_id] -= 1
                if not self._taken[caller_id]:
                    del self._taken[caller_id]


def _too_many(what: str, wait: float) -> ApiError:
    seconds = max(1, math.ceil(wait))
    return ApiError(
        429,
        "SubscriptionTooManyRequests",
        f"{what}; try again in {seconds} s.",
        {"Retry-After": str(seconds)},
    )

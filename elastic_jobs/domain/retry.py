"""When a failed attempt is tried again.

The rule and the defaults are those of Azure elastic jobs (``jobs.sp_add_jobstep``): the k-th retry waits
``min(initial * multiplier ** (k - 1), maximum)`` seconds; 1 + ``attempts`` attempts in all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Retry policy of a job step. Intervals in seconds; ``attempts`` counts the retries after the first attempt."""

    attempts: int = 10
    initial_interval_seconds: int = 1
    maximum_interval_seconds: int = 120
    backoff_multiplier: float = 2.0

    def delay(self, retry: int) -> timedelta:
        """The wait before the ``retry``-th retry, counted from 1.

        Raises:
            ValueError: ``retry`` is below 1.
        """
        if retry < 1:
            raise ValueError(f"Retries are counted from 1, not {retry}.")
        try:
            seconds = self.initial_interval_seconds * self.backoff_multiplier ** (retry - 1)
        except OverflowError:
            seconds = float(self.maximum_interval_seconds)
        return timedelta(seconds=min(seconds, self.maximum_interval_seconds))

    def may_retry(self, failures: int) -> bool:
        """Whether another attempt follows after the ``failures``-th failed one."""
        return failures <= self.attempts

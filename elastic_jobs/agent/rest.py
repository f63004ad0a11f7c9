"""When an idle agent need not look at its job database at all."""

from __future__ import annotations

from datetime import datetime, timedelta

from elastic_jobs.jobdb.executions.due import Duties


class Rest:
    """The rest of one instance's tick: from a look that found nothing to do until something is due.

    Whoever changes something through this deployment's API ends the rests (``Scheduler.stir``). What is changed in
    T-SQL waits for the end of the rest, which is why there is none unless the deployment allows it.
    """

    def __init__(self, longest: timedelta) -> None:
        """longest: how long it may last; zero: the tick never rests."""
        self.allowed = longest > timedelta()
        self._longest = longest
        self._span: tuple[datetime, datetime] | None = None

    def looked(self, now: datetime, duties: Duties) -> None:
        """What a look at the job database found. The tick rests unless there is something to do or to watch over."""
        self._span = None
        if self.allowed and not duties.any and not duties.active:
            end = now + self._longest
            self._span = (now, end if duties.next_run_time is None else min(end, duties.next_run_time))

    def end(self) -> None:
        """Something was changed: the next tick looks."""
        self._span = None

    def lasts(self, now: datetime) -> bool:
        """Whether the tick may leave the job database alone. Not when the clock went back."""
        return self._span is not None and self._span[0] <= now < self._span[1]

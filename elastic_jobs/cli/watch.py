"""Following a run until it ends: what is asked, how often, and what happens when the API is away for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, Self

from elastic_jobs.cli.client import Client
from elastic_jobs.cli.errors import ApiError, Unreachable
from elastic_jobs.cli.runs import has_ended, lifecycle_of, run_path
from elastic_jobs.domain.lifecycle import TERMINAL, Lifecycle

FIRST_PAUSE, LONGEST_PAUSE = 0.3, 3.0
"""Seconds between two questions: short runs are followed closely, long ones without noise."""
PATIENCE = 300.0
"""Seconds for which the API may be away, for example while a new version is deployed."""


@dataclass(frozen=True, kw_only=True)
class StepState:
    """A step of a run and how many of its targets are in which state."""

    number: int
    name: str
    lifecycle: Lifecycle
    targets: dict[Lifecycle, int]

    @property
    def total(self) -> int:
        """Targets that are known so far."""
        return sum(self.targets.values())

    @property
    def ended(self) -> int:
        """Targets that have ended, however."""
        return sum(count for state, count in self.targets.items() if state in TERMINAL)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A run at one moment. seconds: since the watch began."""

    run: dict[str, Any]
    steps: tuple[StepState, ...]
    seconds: float

    @property
    def lifecycle(self) -> Lifecycle:
        """The state of the whole run."""
        return lifecycle_of(self.run)

    @property
    def has_ended(self) -> bool:
        """Whether it will not change any more."""
        return has_ended(self.run)


class Display(Protocol):
    """Where snapshots are shown while they come in."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, snapshot: Snapshot) -> None:
        """Show how far the run is."""
        ...

    def say(self, sentence: str) -> None:
        """Say something beside it."""
        ...


def read_steps(client: Client, job: str, execution: str) -> tuple[StepState, ...]:
    """The steps of a run with the counts of their targets."""
    return tuple(
        StepState(
            number=int(step["stepId"]),
            name=str(step["stepName"]),
            lifecycle=Lifecycle(step["lifecycle"]),
            targets={Lifecycle(state): int(count) for state, count in step["targets"].items()},
        )
        for step in client.pages(f"{run_path(job, execution)}/progress")
    )


class Watch:
    """Snapshots of one run until it ends. The run goes on, whatever happens to the watch."""

    def __init__(
        self,
        client: Client,
        job: str,
        execution: str,
        *,
        say: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._job, self._execution = client, job, execution
        self._say, self._monotonic, self._sleep = say, monotonic, sleep
        self._began = monotonic()
        self._away_since: float | None = None

    def snapshots(self) -> Iterator[Snapshot]:
        """One after the other; the last one is that of the run's end.

        Raises:
            Unreachable: the API is away for longer than ``PATIENCE``.
        """
        pause = FIRST_PAUSE
        while True:
            found = self._look()
            if found is not None:
                yield found
                if found.has_ended:
                    return
            self._sleep(pause)
            pause = min(pause * 1.15, LONGEST_PAUSE)

    def _look(self) -> Snapshot | None:
        """A snapshot, or None while the API is away."""
        try:
            # The run before its steps: when it has ended, the steps that are read afterwards have, too.
            run = self._client.get(run_path(self._job, self._execution))
            steps = read_steps(self._client, self._job, self._execution)
        except (Unreachable, ApiError) as error:
            if isinstance(error, ApiError) and error.status < 500:
                raise
            self._missed(error)
            return None
        if self._away_since is not None:
            self._say("The API answers again.")
            self._away_since = None
        return Snapshot(run=run, steps=steps, seconds=self._monotonic() - self._began)

    def _missed(self, error: Unreachable | ApiError) -> None:
        now = self._monotonic()
        if self._away_since is None:
            self._away_since = now
            self._say(f"{error} The run goes on without us; trying again.")
        elif now - self._away_since > PATIENCE:
            raise Unreachable(f"{error} The run may go on; watch it again later.") from error

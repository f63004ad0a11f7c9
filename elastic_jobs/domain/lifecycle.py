"""The states of job, step and target executions, the legal moves between them, and how children roll up.

The states are the ten of Azure elastic jobs, in Azure's words. Every table, statement and page takes them from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Lifecycle(StrEnum):
    """State of an execution on any of the three levels: job, step, target."""

    CREATED = "Created"
    """Asked for or planned; nothing has run yet."""
    IN_PROGRESS = "InProgress"
    """Target: a worker holds the claim. Step: its target group is being resolved. Job: a step of it is under way."""
    WAITING_FOR_CHILD_JOB_EXECUTIONS = "WaitingForChildJobExecutions"
    """Step: its targets are planned and not all of them have ended."""
    WAITING_FOR_RETRY = "WaitingForRetry"
    """An attempt ended without success; the next one has an instant from which it may begin."""
    SUCCEEDED = "Succeeded"
    SUCCEEDED_WITH_SKIPPED = "SucceededWithSkipped"
    """Step or job: nothing failed, but at least one target was skipped."""
    FAILED = "Failed"
    """The last attempt failed and no retry is left."""
    TIMED_OUT = "TimedOut"
    """An attempt ran longer than the step's timeout. Final: it is not retried."""
    CANCELED = "Canceled"
    """Somebody asked for the cancellation of the job execution."""
    SKIPPED = "Skipped"
    """Target: another execution of the same job step was active on this database."""


class Level(StrEnum):
    """The three levels of the execution tree."""

    JOB = "job"
    STEP = "step"
    TARGET = "target"


ACTIVE = frozenset(
    {
        Lifecycle.CREATED,
        Lifecycle.IN_PROGRESS,
        Lifecycle.WAITING_FOR_CHILD_JOB_EXECUTIONS,
        Lifecycle.WAITING_FOR_RETRY,
    }
)
TERMINAL = frozenset(Lifecycle) - ACTIVE

_C, _P, _W, _R = (
    Lifecycle.CREATED,
    Lifecycle.IN_PROGRESS,
    Lifecycle.WAITING_FOR_CHILD_JOB_EXECUTIONS,
    Lifecycle.WAITING_FOR_RETRY,
)
_ENDS = frozenset({Lifecycle.SUCCEEDED, Lifecycle.FAILED, Lifecycle.TIMED_OUT, Lifecycle.CANCELED})
_GROUP_ENDS = _ENDS | {Lifecycle.SUCCEEDED_WITH_SKIPPED}

MOVES: Mapping[Level, Mapping[Lifecycle | None, frozenset[Lifecycle]]] = {
    # A key is a state that may be left, its value the states that may follow; None stands for "not there yet".
    Level.JOB: {
        None: frozenset({_C}),
        _C: frozenset({_P, Lifecycle.CANCELED}),
        _P: _GROUP_ENDS,
    },
    Level.STEP: {
        None: frozenset({_C}),
        _C: frozenset({_P, Lifecycle.CANCELED}),
        # Back to WaitingForRetry: the group could not be resolved, or the instance that resolved it was lost.
        _P: frozenset({_W, _R, Lifecycle.FAILED, Lifecycle.CANCELED}),
        _R: frozenset({_P, Lifecycle.CANCELED}),
        _W: _GROUP_ENDS,
    },
    Level.TARGET: {
        None: frozenset({_C, Lifecycle.SKIPPED}),
        _C: frozenset({_P, Lifecycle.CANCELED}),
        _P: _ENDS | {_R},
        _R: frozenset({_P, Lifecycle.CANCELED}),
    },
}


def states(level: Level) -> frozenset[Lifecycle]:
    """All states that an execution of this level can be in."""
    return frozenset(state for followers in MOVES[level].values() for state in followers)


def sources(level: Level, to: Lifecycle) -> frozenset[Lifecycle]:
    """The states from which ``to`` can be reached in one move: the guard of the UPDATE that makes it."""
    return frozenset(state for state, followers in MOVES[level].items() if state is not None and to in followers)


def roll_up(children: Mapping[Lifecycle, int], *, cancel_requested: bool) -> Lifecycle:
    """The end state of a step or job from the counts of its children's end states.

    Canceled (when asked for) > Failed > TimedOut > SucceededWithSkipped > Succeeded. A child that was canceled
    although nobody asked (its job was deleted by force) counts as Canceled too. No children: Succeeded.

    Raises:
        ValueError: a child is still active.
    """
    still_active = {state for state, count in children.items() if count and state in ACTIVE}
    if still_active:
        raise ValueError(f"Cannot roll up while children are {', '.join(sorted(still_active))}.")
    if cancel_requested or children.get(Lifecycle.CANCELED):
        return Lifecycle.CANCELED
    for worst in (Lifecycle.FAILED, Lifecycle.TIMED_OUT):
        if children.get(worst):
            return worst
    if children.get(Lifecycle.SKIPPED) or children.get(Lifecycle.SUCCEEDED_WITH_SKIPPED):
        return Lifecycle.SUCCEEDED_WITH_SKIPPED
    return Lifecycle.SUCCEEDED

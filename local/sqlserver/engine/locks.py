"""Locks of one database: the single writer, and application locks (sp_getapplock).

A lock is handed over by the session that releases it, first come first served, so a waiting session costs one idle
``threading.Event`` and never polls. A wait that would close a circle of sessions is refused (error 1205).
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

EXCLUSIVE = "Exclusive"
SHARED = "Shared"
# Lock modes of sp_getapplock that may be held together; every pair not named here conflicts.
_COMPATIBLE = {
    frozenset(pair)
    for pair in (
        ("IntentShared", "IntentShared"), ("IntentShared", "Shared"), ("IntentShared", "Update"),
        ("IntentShared", "IntentExclusive"), ("IntentExclusive", "IntentExclusive"), ("Shared", "Shared"),
        ("Shared", "Update"),
    )
}  # fmt: skip
MODES = ("IntentShared", "Shared", "Update", "IntentExclusive", "Exclusive")
WRITER = "writer"


class Outcome(Enum):
    """How asking for a lock ended."""

    GRANTED = 0
    GRANTED_AFTER_WAIT = 1
    TIMEOUT = -1
    CANCELLED = -2
    DEADLOCK = -3


class Owner:
    """What asks for locks: one per session. ``cancelled`` is also the session's sign to stop its batch."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.waiting: Waiter | None = None

    def cancel(self) -> None:
        """Stop what this owner is doing; a wait for a lock ends with CANCELLED."""
        self.cancelled.set()
        waiter = self.waiting
        if waiter is not None:
            waiter.wake.set()


@dataclass(eq=False)
class Waiter:
    owner: Owner
    resource: _Resource
    mode: str
    wake: threading.Event = field(default_factory=threading.Event)
    granted: bool = False

    def blockers(self) -> set[Owner]:
        """Who has the lock, or stands before this one in the queue."""
        ahead = itertools.takewhile(lambda other: other is not self, self.resource.queue)
        return {*self.resource.holders, *(other.owner for other in ahead)}


@dataclass(eq=False)
class _Resource:
    holders: dict[Owner, list[str]] = field(default_factory=dict)
    queue: deque[Waiter] = field(default_factory=deque)

    def admits(self, owner: Owner, mode: str) -> bool:
        return all(
            holder is owner or all(frozenset((mode, held)) in _COMPATIBLE for held in modes)
            for holder, modes in self.holders.items()
        )


class LockManager:
    """All locks of one database. Resources are any strings; an owner may hold one several times."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._resources: dict[str, _Resource] = {}

    def acquire(self, owner: Owner, name: str, mode: str = EXCLUSIVE, timeout: float | None = None) -> Outcome:
        """timeout: seconds, None for ever, 0 not at all."""
        with self._mutex:
            resource = self._resources.setdefault(name, _Resource())
            waits_behind = bool(resource.queue) and owner not in resource.holders
            if not waits_behind and resource.admits(owner, mode):
                resource.holders.setdefault(owner, []).append(mode)
                return Outcome.GRANTED
            if timeout == 0:
                return Outcome.TIMEOUT
            waiter = Waiter(owner, resource, mode)
            if self._closes_a_circle(waiter):
                return Outcome.DEADLOCK
            resource.queue.append(waiter)
            owner.waiting = waiter
        return self._wait(waiter, name, timeout)

    def _wait(self, waiter: Waiter, name: str, timeout: float | None) -> Outcome:
        deadline = None if timeout is None else time.monotonic() + timeout
        owner = waiter.owner
        if not owner.cancelled.is_set():  # a cancel that came before owner.waiting was set woke nobody
            waiter.wake.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        with self._mutex:
            owner.waiting = None
            if waiter.granted:
                return Outcome.GRANTED_AFTER_WAIT
            waiter.resource.queue.remove(waiter)
            self._hand_over(name, waiter.resource)
        return Outcome.CANCELLED if owner.cancelled.is_set() else Outcome.TIMEOUT

    def release(self, owner: Owner, name: str, mode: str | None = None) -> bool:
        """Give back one hold. False when the owner does not hold it."""
        with self._mutex:
            resource = self._resources.get(name)
            if resource is None or owner not in resource.holders:
                return False
            modes = resource.holders[owner]
            modes.remove(mode) if mode in modes else modes.pop()
            if not modes:
                del resource.holders[owner]
            self._hand_over(name, resource)
            return True

    def held_mode(self, owner: Owner, name: str) -> str | None:
        """The strongest mode in which the owner holds the resource."""
        with self._mutex:
            resource = self._resources.get(name)
            modes = resource.holders.get(owner, []) if resource is not None else []
            return max(modes, key=MODES.index, default=None)

    def would_admit(self, owner: Owner, name: str, mode: str) -> bool:
        """Whether the lock could be had at this moment (APPLOCK_TEST)."""
        with self._mutex:
            resource = self._resources.get(name)
            return resource is None or (resource.admits(owner, mode) and not resource.queue)

    def _hand_over(self, name: str, resource: _Resource) -> None:
        while resource.queue and resource.admits(resource.queue[0].owner, resource.queue[0].mode):
            waiter = resource.queue.popleft()
            resource.holders.setdefault(waiter.owner, []).append(waiter.mode)
            waiter.granted = True
            waiter.wake.set()
        if not resource.queue and not resource.holders:
            self._resources.pop(name, None)

    def _closes_a_circle(self, start: Waiter) -> bool:
        """Whether the sessions that the waiter waits for wait, directly or through others, for its own session."""
        seen: set[Owner] = set()
        pending = [start]
        while pending:
            waiter = pending.pop()
            for owner in waiter.blockers():
                if owner is start.owner:
                    if waiter is not start:
                        return True
                    continue
                following = owner.waiting
                if owner not in seen and following is not None and not following.granted:
                    seen.add(owner)
                    pending.append(following)
        return False

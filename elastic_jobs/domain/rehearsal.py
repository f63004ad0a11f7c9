"""What a target group means at this moment: the answer of a dry run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from elastic_jobs.domain.targets import TargetDatabase


@dataclass(frozen=True, kw_only=True)
class RefusedTarget:
    """A database on a server that may not be reached: a step plans it, and it fails."""

    target: TargetDatabase
    reason: str


@dataclass(frozen=True, kw_only=True)
class NotAsked:
    """A server or shard map that did not say what it holds. ``what`` names it, ``error`` is a sentence."""

    what: str
    error: str


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """The databases that a step would run on now; none of them while a server or shard map cannot be asked."""

    targets: Sequence[TargetDatabase] = ()
    refused: Sequence[RefusedTarget] = ()
    failures: Sequence[NotAsked] = ()

"""Errors of targets that differ only in names and numbers, as one line each. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from elastic_jobs.domain.error_groups import shape_of
from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.jobdb.run_errors import CountedError


@dataclass(kw_only=True)
class Group:
    """Targets with the same error. key: stands for it in an address; message, database: of one of them."""

    key: str
    number: int | None
    message: str
    database: str
    lifecycles: Counter[Lifecycle] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return self.lifecycles.total()


def grouped(errors: Iterable[CountedError]) -> list[Group]:
    """The groups, the one with most targets first."""
    found: dict[str, Group] = {}
    for error in sorted(errors, key=lambda error: (error.number or 0, error.message or "")):
        key = error_key(error.number, error.message)
        group = found.get(key)
        if group is None:
            group = Group(key=key, number=error.number, message=error.message or "", database=error.database)
            found[key] = group
        group.lifecycles[Lifecycle(error.lifecycle)] += error.targets
    return sorted(found.values(), key=lambda group: -group.count)


def error_key(number: int | None, message: str | None) -> str:
    """A kind of error in an address: short, and the same as long as the error is."""
    return hashlib.sha256(f"{number}|{shape_of(message or '')}".encode()).hexdigest()[:16]

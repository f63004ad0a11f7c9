"""What the rest of the house is handed instead of reaching for it: the clock and the source of ids."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID, uuid4


class Clock(Protocol):
    """Tells the time. Everything that depends on time takes one, so that tests can move it."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...


class Ids(Protocol):
    """Makes new identifiers."""

    def __call__(self) -> UUID: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


new_id: Ids = uuid4

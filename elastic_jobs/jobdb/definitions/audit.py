"""The audit trail: who changed what, who started or canceled which execution. It never holds a secret."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, insert, or_, select

from elastic_jobs.jobdb.tables import audit_entries

_CALLER_LENGTH = 256
_RESOURCE_LENGTH = 512


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry, as it was written."""

    id: int
    time: datetime
    caller: str
    action: str
    resource: str
    before: Any
    after: Any


@dataclass(frozen=True, kw_only=True)
class AuditFilter:
    """Which entries are wanted; None: all.

    caller: part of the caller's name. action: the whole action. resource: a path below the agent and all below it.
    time_min: included, time_max: not; without a zone they are UTC.
    """

    caller: str | None = None
    action: str | None = None
    resource: str | None = None
    time_min: datetime | None = None
    time_max: datetime | None = None


def list_entries(connection: Connection, wanted: AuditFilter, *, limit: int, before: int | None = None) -> list[Entry]:
    """Entries, newest first; those older than the entry with the id ``before``."""
    own = audit_entries.c
    statement = select(audit_entries).order_by(own.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(own.id < before)
    if wanted.caller is not None:
        statement = statement.where(own.caller.icontains(wanted.caller, autoescape=True))
    if wanted.action is not None:
        statement = statement.where(own.action == wanted.action)
    if wanted.resource is not None:
        path = wanted.resource.rstrip("/")
        # Names are the same in any case; both sides are folded by the database, which need not fold as Python does.
        itself = func.lower(own.resource) == func.lower(path)
        statement = statement.where(or_(itself, own.resource.istartswith(f"{path}/", autoescape=True)))
    if wanted.time_min is not None:
        statement = statement.where(own.time >= _utc(wanted.time_min))
    if wanted.time_max is not None:
        statement = statement.where(own.time < _utc(wanted.time_max))
    return [Entry(**row) for row in connection.execute(statement).mappings()]


def _utc(instant: datetime) -> datetime:
    """In UTC; at the edges of the calendar an hour more or less does not matter."""
    if instant.tzinfo is None:
        return instant.replace(tzinfo=UTC)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        return instant.replace(tzinfo=UTC)


def record(
    connection: Connection,
    *,
    time: datetime,
    caller: str,
    action: str,
    resource: str,
    before: object = None,
    after: object = None,
) -> None:
    """Write one entry, in the transaction of the change itself.

    action: a verb and a thing, e.g. ``create job``, ``start job``, ``cancel execution``.
    resource: path of the thing below the agent, e.g. ``jobs/nightly/steps/rebuild``.
    before, after: frozen dataclasses of ``domain.model`` (or plain JSON values); see ``snapshot``.
    """
    connection.execute(
        insert(audit_entries).values(
            time=time,
            caller=caller[:_CALLER_LENGTH],
            action=action,
            resource=resource[:_RESOURCE_LENGTH],
            before=snapshot(before),
            after=snapshot(after),
        )
    )


def snapshot(value: object) -> Any:
    """A JSON value of a definition. A script is told by its hash: the versions of the job keep its text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _field(field.name, getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, dict):
        return {str(key): snapshot(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [snapshot(item) for item in value]
    return value


def _field(name: str, value: object) -> Any:
    if name == "command" and isinstance(value, str):
        return {"sha256": hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest(), "characters": len(value)}
    return snapshot(value)

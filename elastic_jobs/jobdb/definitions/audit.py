"""The audit trail: who changed what, who started or canceled which execution. It never holds a secret."""

from __future__ import annotations

import hashlib
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert

from elastic_jobs.jobdb.tables import audit_entries

_CALLER_LENGTH = 256
_RESOURCE_LENGTH = 512


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

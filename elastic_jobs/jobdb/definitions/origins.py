"""Who made a definition and who changed it last, read from the audit trail (Azure's ``systemData``)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, case, func, select

from elastic_jobs.jobdb.tables import audit_entries


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One change: when, and by whom (as the audit trail names the caller)."""

    time: datetime
    caller: str


@dataclass(frozen=True, kw_only=True)
class Origin:
    """created is None when the audit trail does not know it any more."""

    created: Trace | None
    modified: Trace


def find_origins(connection: Connection, resources: Collection[str]) -> Mapping[str, Origin]:
    """Origins of things by their path below the agent (``jobs/nightly``), in two statements for all of them.

    What the audit trail does not know is missing from the answer.
    """
    if not resources:
        return {}
    entry = audit_entries.c
    ids = connection.execute(
        select(
            entry.resource,
            # The newest creation: what was deleted and made again has several.
            func.max(case((entry.action.like("create %"), entry.id))).label("created"),
            func.max(entry.id).label("modified"),
        )
        .where(entry.resource.in_(resources))
        .group_by(entry.resource)
    ).all()
    wanted = {row.created for row in ids} | {row.modified for row in ids}
    rows = connection.execute(select(entry.id, entry.time, entry.caller).where(entry.id.in_(wanted - {None})))
    traces = {row.id: Trace(time=row.time, caller=row.caller) for row in rows}
    return {
        row.resource: Origin(created=traces.get(row.created), modified=traces[row.modified])
        for row in ids
        if row.modified in traces
    }

"""Long-running operations: what a client that was told "accepted" asks for afterwards.

The work itself is done in the transaction that writes the operation down, so an operation that can be found has
succeeded; one that failed was answered with its error at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select

from elastic_jobs.errors import NotFoundError
from elastic_jobs.jobdb.tables import operations

KEPT = timedelta(days=1)
"""How long an operation can be asked for: longer than any client polls."""


class OperationKind(StrEnum):
    """What was asked for, in the words that Azure answers."""

    UPSERT_AGENT = "UpsertJobAccount"
    DROP_AGENT = "DropJobAccount"
    UPSERT_PRIVATE_ENDPOINT = "UpsertJobPrivateEndpoint"
    DROP_PRIVATE_ENDPOINT = "DropJobPrivateEndpoint"


DROPS = frozenset({OperationKind.DROP_AGENT, OperationKind.DROP_PRIVATE_ENDPOINT})
OF_PRIVATE_ENDPOINT = frozenset({OperationKind.UPSERT_PRIVATE_ENDPOINT, OperationKind.DROP_PRIVATE_ENDPOINT})


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation. ``name``: of the agent or private endpoint it was about."""

    id: UUID
    kind: OperationKind
    name: str
    time: datetime


def record(connection: Connection, operation: Operation) -> None:
    """Write an operation down, in the transaction of its work; those that nobody asks for any more go."""
    connection.execute(delete(operations).where(operations.c.time < operation.time - KEPT))
    connection.execute(
        insert(operations).values(id=operation.id, kind=operation.kind.value, name=operation.name, time=operation.time)
    )


def get_operation(connection: Connection, operation_id: UUID) -> Operation:
    """An operation.

    Raises:
        NotFoundError: there is none of this id, or it was too long ago.
    """
    row = connection.execute(select(operations).where(operations.c.id == operation_id)).one_or_none()
    if row is None:
        raise NotFoundError("operation", str(operation_id))
    return Operation(id=row.id, kind=OperationKind(row.kind), name=row.name, time=row.time)

"""What the connections of one process share, and what the wire asks of an engine beyond the contract."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from local.sqlserver.contract import LogicalServer, SqlType
from local.sqlserver.faults import FaultBook
from local.sqlserver.journal import Journal
from local.sqlserver.tds.tls import TlsContexts


@runtime_checkable
class Resettable(Protocol):
    """A session that can do what ``sp_reset_connection`` does; others are closed and logged in again."""

    def reset(self) -> None: ...


@runtime_checkable
class DescribesParameters(Protocol):
    """A session that can tell the types of undeclared parameters; for others the wire suggests nvarchar(4000)."""

    def describe_parameters(self, statement: str, names: Sequence[str]) -> Sequence[SqlType]: ...


@dataclass(frozen=True)
class Shared:
    """One per process. workers must have room for every batch that may run at once: each holds a thread."""

    faults: FaultBook
    journal: Journal
    tls: TlsContexts
    workers: Executor
    require_encryption: bool = False


@dataclass(frozen=True)
class Endpoint:
    """One listening port: the port decides which logical server a client talks to."""

    logical: LogicalServer
    shared: Shared

    @property
    def name(self) -> str:
        return self.logical.name

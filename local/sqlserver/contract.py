"""What the two halves of the emulator say to each other: the wire (tds/) and the T-SQL engine (engine/).

The wire knows sockets, packets and types on the wire; the engine knows T-SQL and databases. Neither imports the other:
both import this file. A batch is executed as a stream of events, in the order in which a client gets them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class SqlType:
    """A T-SQL type as declared, e.g. ``SqlType("nvarchar", length=30)``.

    name: lower-case T-SQL name (int, bigint, bit, nvarchar, datetime2, uniqueidentifier ...).
    length: characters for nchar/nvarchar/char/varchar, bytes for binary/varbinary; -1 means max.
    """

    name: str
    length: int = 0
    precision: int = 0
    scale: int = 0


@dataclass(frozen=True)
class Column:
    name: str
    type: SqlType
    nullable: bool = True


@dataclass(frozen=True)
class Parameter:
    """A parameter of a parameterised batch; name with its ``@``. Values are Python values (None = NULL)."""

    name: str
    type: SqlType
    value: object
    output: bool = False


@dataclass(frozen=True)
class Columns:
    """A result set begins."""

    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Row:
    """One row. int, bool, float, Decimal, str, bytes, datetime, date, time, UUID or None, matching the column types."""

    values: tuple[object, ...]


@dataclass(frozen=True)
class Done:
    """A statement ended. count: rows affected or returned, None where the statement has no count (or NOCOUNT is on)."""

    count: int | None = None
    is_select: bool = False


@dataclass(frozen=True)
class Message:
    """PRINT, RAISERROR, THROW or an error of the server. severity <= 10 is an INFO token, above is an ERROR token.

    A batch may go on after an ERROR (statement-terminating errors) or end with it (batch-terminating ones).
    """

    number: int
    severity: int
    state: int
    line: int
    text: str


@dataclass(frozen=True)
class DatabaseChanged:
    """USE was executed."""

    name: str


Event = Columns | Row | Done | Message | DatabaseChanged


class SqlError(Exception):
    """An error with a SQL Server error number; raised where no event stream exists yet (login, catalog)."""

    def __init__(self, number: int, severity: int, text: str, state: int = 1, line: int = 1) -> None:
        super().__init__(text)
        self.number, self.severity, self.state, self.line, self.text = number, severity, state, line, text

    def message(self) -> Message:
        return Message(self.number, self.severity, self.state, self.line, self.text)


class Session(Protocol):
    """One connection's session on one database. Methods block; the wire calls them from worker threads."""

    spid: int
    database: str
    login: str

    def execute(self, batch: str, parameters: Sequence[Parameter] = ()) -> Iterator[Event]:
        """Run a batch and yield its events as they come (PRINT .. NOWAIT and rows are not held back).

        Ends early and quietly when cancel() was called meanwhile; the session stays usable.
        """
        ...

    def cancel(self) -> None:
        """Stop the running batch, from another thread; also wakes WAITFOR and lock waits. No-op when idle."""
        ...

    def begin(self) -> None: ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    @property
    def transaction_depth(self) -> int:
        """@@TRANCOUNT."""
        ...

    def close(self) -> None:
        """Roll back, drop #temp tables, release session application locks."""
        ...


class LogicalServer(Protocol):
    """One Azure SQL logical server: logins, ``master`` and user databases."""

    name: str

    def login(self, user: str, password: str, database: str) -> Session:
        """A session for a SQL login or contained user; SqlError 18456, 4060, 40613 ... when refused."""
        ...

    def login_with_token(self, token: str, database: str) -> Session:
        """A session for an Entra access token; SqlError 18456 when refused."""
        ...

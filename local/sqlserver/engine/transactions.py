"""A session's transaction: the writer lock, SQLite's transaction, and the catalogue that belongs to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..contract import SqlError
from . import errors, schema
from .locks import WRITER, Outcome, Owner
from .storage import Handle

if TYPE_CHECKING:
    from ..catalog import Database

_SAVEPOINT = "statement"


class Transactions:
    """``depth`` is @@TRANCOUNT. The writer lock is taken at the first write and kept until the transaction ends."""

    def __init__(self, home: Database, owner: Owner) -> None:
        self.home = home
        self.owner = owner
        self.depth = 0
        self.doomed = False
        self.lock_timeout: float | None = None
        self.temporary: Mapping[str, schema.Table] = {}
        self._private: schema.Catalog | None = None
        self._writing = False
        self._handle: Handle | None = None
        self._at_begin: Mapping[str, schema.Table] = {}
        self._applocks: list[tuple[str, str]] = []  # of this transaction: resource, mode

    @property
    def catalog(self) -> schema.Catalog:
        """What this session sees: its own uncommitted definitions, otherwise the committed ones."""
        return self._private if self._private is not None else self.home.catalog

    @catalog.setter
    def catalog(self, changed: schema.Catalog) -> None:
        self._private = changed

    @property
    def handle(self) -> Handle:
        if self._handle is None:
            if self.home.dropped:
                raise SqlError(40613, 20, f"Database '{self.home.name}' does not exist any more.")
            self._handle = self.home.file.open()
        return self._handle

    @property
    def connection(self) -> sqlite3.Connection:
        return self.handle.connection

    def interrupt(self) -> None:
        handle = self._handle
        if handle is not None:
            handle.connection.interrupt()

    # Transactions that the user opens

    def begin(self) -> None:
        if self.depth == 0:
            self._at_begin = self.temporary
        self.depth += 1

    def commit(self) -> None:
        """Errors: 3902 without a transaction, 3930 when it is doomed."""
        if self.depth == 0:
            raise SqlError(3902, 16, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        self.refuse_if_doomed()
        self.depth -= 1
        if self.depth == 0:
            self._end(commit=True)

    def rollback(self) -> None:
        """Errors: 3903 without a transaction."""
        if self.depth == 0:
            raise SqlError(3903, 16, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        self.abandon()

    def abandon(self) -> None:
        """Roll back whatever is open, if anything is."""
        had_transaction = self.depth > 0
        self.depth, self.doomed = 0, False
        if had_transaction:
            self.temporary = self._at_begin if self._writing else self.temporary
        self._end(commit=False)

    def refuse_if_doomed(self) -> None:
        """Errors: 3930."""
        if self.doomed:
            text = (
                "The current transaction cannot be committed and cannot support operations that write to the log file. "
                "Roll back the transaction."
            )
            raise SqlError(3930, 16, text)

    def _end(self, commit: bool) -> None:
        if self._writing:
            try:
                self.connection.execute("COMMIT" if commit else "ROLLBACK")
            except sqlite3.Error:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise
            finally:
                if commit and self._private is not None and not self.connection.in_transaction:
                    self.home.catalog = self._private
                self._private = None
                self._writing = False
                self.home.locks.release(self.owner, WRITER)
        self._private = None
        for resource, mode in self._applocks:
            self.home.locks.release(self.owner, resource, mode)
        self._applocks.clear()

    # Writing

    def _begin_write(self) -> None:
        """Errors: 1222 lock timeout, 1205 deadlock; CancelledError."""
        if self._writing:
            return
        outcome = self.home.locks.acquire(self.owner, WRITER, timeout=self.lock_timeout)
        if outcome is Outcome.CANCELLED:
            raise errors.CancelledError
        if outcome is Outcome.TIMEOUT:
            raise SqlError(1222, 16, "Lock request time out period exceeded.", 45)
        if outcome is Outcome.DEADLOCK:
            raise deadlock_victim()
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            self.home.locks.release(self.owner, WRITER)
            raise
        self._writing = True

    @contextmanager
    def writing(self, temporary_only: bool = False) -> Iterator[sqlite3.Connection]:
        """Run one writing statement: all of it or nothing of it.

        temporary_only: only #temp tables are touched; outside a transaction that needs no lock.
        """
        self.refuse_if_doomed()
        if not (temporary_only and self.depth == 0):
            self._begin_write()
        before = (self._private, self.temporary)
        connection = self.connection
        connection.execute(f"SAVEPOINT {_SAVEPOINT}")
        try:
            yield connection
        except BaseException:
            self._private, self.temporary = before
            if connection.in_transaction:  # SQLite itself rolls back after a few errors
                connection.execute(f"ROLLBACK TO {_SAVEPOINT}")
                connection.execute(f"RELEASE {_SAVEPOINT}")
            if self.depth == 0:
                self._end(commit=False)
            raise
        connection.execute(f"RELEASE {_SAVEPOINT}")
        if self.depth == 0:
            self._end(commit=True)

    def keep_lock(self, resource: str, mode: str) -> None:
        """An application lock that ends with the transaction."""
        self._applocks.append((resource, mode))

    def forget_lock(self, resource: str) -> str | None:
        """The mode of the last lock on the resource that belongs to the transaction; it does no longer."""
        for position in range(len(self._applocks) - 1, -1, -1):
            if self._applocks[position][0] == resource:
                return self._applocks.pop(position)[1]
        return None

    def close(self) -> None:
        try:
            self.abandon()
        finally:
            if self._handle is not None:
                self.home.file.give_back(self._handle)
                self._handle = None


def deadlock_victim() -> SqlError:
    text = (
        "Transaction was deadlocked on lock resources with another process and has been chosen as the deadlock victim. "
        "Rerun the transaction."
    )
    return SqlError(1205, 13, text, 51)

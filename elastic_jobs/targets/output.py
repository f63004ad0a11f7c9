"""Keeps the first result set of a script in the step's output table: exactly once per target execution.

The rows are spooled while the script runs and written when all of it has succeeded, in one transaction that begins by
deleting what an earlier attempt of the same target execution left. So nothing of a failed script is ever seen, a long
script holds no transaction open on the output database, and it may itself use the output table. The table is made in
a transaction of its own, so that targets that need it at the same time wait for each other only briefly.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from uuid import UUID

import pyodbc

from elastic_jobs.domain.model import Output
from elastic_jobs.domain.outcome import ErrorClass
from elastic_jobs.targets import odbc
from elastic_jobs.targets.authentication import Login
from elastic_jobs.targets.columns import EXECUTION_BINDING, EXECUTION_COLUMN, OutputColumn, output_columns
from elastic_jobs.targets.connect import Connector
from elastic_jobs.targets.errors import ServerError, TargetError, output_failure, read
from elastic_jobs.targets.identifiers import quote_identifier as quote_identifier
from elastic_jobs.targets.spool import Rows, RowSpool
from elastic_jobs.targets.stop import StopSignal

_ROWS_AT_ONCE = 1000
_ROWS_AT_ONCE_WITHOUT_BOUND = 50
"""When a column is of type (max): one value may be large."""
_BYTES_AT_ONCE = 4 * 1024 * 1024
_MAXIMUM_IDENTIFIER = 128
_TABLE_TRIES = 5

_NO_SUCH_OBJECT, _OBJECT_EXISTS, _DEADLOCK = 208, 2714, 1205
_INDEX_EXISTS = 1913

Guard = Callable[[pyodbc.Cursor], AbstractContextManager[pyodbc.Cursor]]
"""Makes a cursor cancellable while the block runs."""


@dataclass(frozen=True, kw_only=True)
class OutputTask:
    """Where the first result set goes, and as whom it is written there."""

    output: Output
    login: Login


class OutputWriter:
    """Takes one result set and writes it for one target execution. Errors name the table."""

    def __init__(
        self, connector: Connector, task: OutputTask, internal_execution_id: UUID, *, stop: StopSignal, guard: Guard
    ) -> None:
        self._connector, self._task, self._execution = connector, task, internal_execution_id
        self._stop, self._guard = stop, guard
        output = task.output
        self._table = f"{quote_identifier(output.schema_name)}.{quote_identifier(output.table_name)}"
        self._columns: tuple[OutputColumn, ...] | None = None
        self._spool = RowSpool()

    @property
    def captured(self) -> bool:
        """There was a result set."""
        return self._columns is not None

    def check(self) -> None:
        """Connect to the output database and let go of it: without a place for its output a script runs in vain.

        Raises what ``Connector.connect`` raises.
        """
        self._connect().close()

    def capture(self, source: pyodbc.Cursor) -> None:
        """Spool the current result set of ``source``.

        Raises:
            TargetError: it cannot be kept in a table.
            pyodbc.Error: reading from ``source`` failed.
        """
        columns = output_columns(odbc.describe(source))
        size = _rows_at_once(columns)
        self._columns = columns
        while True:
            self._stop.check()
            rows = source.fetchmany(size)
            if not rows:
                return
            self._spool.add(rows)

    def write(self) -> None:
        """Write what was captured, if anything.

        Raises:
            TargetError: the table does not fit, or cannot be written; nothing was changed but that it may exist now.
            Stopped: the signal was given before it was committed.
        """
        columns = self._columns
        if columns is None:
            return
        connection = self._connect()
        try:
            self._prepare_table(connection, columns)
            with self._guard(connection.cursor()) as cursor:
                self._delete_earlier_rows(cursor)
            for rows in self._spool.chunks():
                self._stop.check()
                with self._guard(connection.cursor()) as cursor:
                    self._insert(cursor, columns, rows)
            self._stop.check()
            connection.commit()
        except pyodbc.Error as error:
            raise self._failure(read(error)) from None
        finally:
            # Rolls back what was not committed.
            with suppress(pyodbc.Error):
                connection.close()

    def close(self) -> None:
        """Let go of the spooled rows."""
        self._spool.close()

    def note(self) -> str:
        """The remark for the people who look at the target."""
        if not self.captured:
            return "The script returned no result set, so nothing was written to the output table."
        output = self._task.output
        rows = "1 row was" if self._spool.rows == 1 else f"{self._spool.rows} rows were"
        return f"{rows} written to {self._table} in database '{output.database_name}' on server '{output.server_name}'."

    def _connect(self) -> pyodbc.Connection:
        output = self._task.output
        return self._connector.connect(
            output.server_name, output.database_name, self._task.login, stop=self._stop, autocommit=False
        )

    def _failure(self, error: ServerError) -> TargetError:
        output = self._task.output
        return output_failure(error, output.server_name, output.database_name, self._table)

    def _prepare_table(self, connection: pyodbc.Connection, columns: tuple[OutputColumn, ...]) -> None:
        """Make sure that the table is there with the columns that are needed."""
        for _ in range(_TABLE_TRIES):
            self._stop.check()
            present = self._columns_of_table(connection)
            if present is not None:
                self._require_columns(present, columns)
                return
            self._create_table(connection, columns)
        raise TargetError(
            f"Output table {self._table} can be neither found nor made.", error_class=ErrorClass.PERMISSION
        )

    def _columns_of_table(self, connection: pyodbc.Connection) -> set[str] | None:
        try:
            with self._guard(connection.cursor()) as cursor:
                # The columns as this login sees them; the catalog's view may be hidden from it.
                cursor.execute(f"SELECT TOP (0) * FROM {self._table}")  # noqa: S608  # quoted by us
                return {str(column[0]).casefold() for column in cursor.description}
        except pyodbc.Error as error:
            if read(error).number != _NO_SUCH_OBJECT:
                raise
            connection.rollback()
            return None

    def _require_columns(self, present: set[str], columns: tuple[OutputColumn, ...]) -> None:
        wanted = [*(column.name for column in columns), EXECUTION_COLUMN]
        missing = [name for name in wanted if name.casefold() not in present]
        if missing:
            names = ", ".join(f"'{name}'" for name in missing)
            raise TargetError(
                f"Output table {self._table} has no column {names}; add what is missing, or change the result set.",
                error_class=ErrorClass.SCRIPT,
            )

    def _create_table(self, connection: pyodbc.Connection, columns: tuple[OutputColumn, ...]) -> None:
        """Create table and index; quietly does nothing when another target was faster."""
        declared = [f"{quote_identifier(column.name)} {column.declaration} NULL" for column in columns]
        declared.append(f"{quote_identifier(EXECUTION_COLUMN)} uniqueidentifier NOT NULL")
        index = quote_identifier(_index_name(self._task.output.table_name))
        try:
            with self._guard(connection.cursor()) as cursor:
                cursor.execute(f"CREATE TABLE {self._table} ({', '.join(declared)})")
                cursor.execute(
                    f"CREATE NONCLUSTERED INDEX {index} ON {self._table} ({quote_identifier(EXECUTION_COLUMN)})"
                )
            connection.commit()
        except pyodbc.Error as error:
            if read(error).number not in {_OBJECT_EXISTS, _INDEX_EXISTS, _DEADLOCK}:
                raise
            connection.rollback()

    def _delete_earlier_rows(self, cursor: pyodbc.Cursor) -> None:
        column = quote_identifier(EXECUTION_COLUMN)
        cursor.execute(f"DELETE FROM {self._table} WHERE {column} = ?", self._execution)  # noqa: S608  # quoted by us

    def _insert(self, cursor: pyodbc.Cursor, columns: tuple[OutputColumn, ...], rows: Rows) -> None:
        for index, convert in [(i, column.convert) for i, column in enumerate(columns) if column.convert]:
            for row in rows:
                if row[index] is not None:
                    row[index] = convert(row[index])
        for row in rows:
            row.append(self._execution)
        names = ", ".join(quote_identifier(name) for name in [*(column.name for column in columns), EXECUTION_COLUMN])
        marks = ", ".join("?" * (len(columns) + 1))
        cursor.fast_executemany = True
        cursor.setinputsizes([*(column.binding for column in columns), EXECUTION_BINDING])
        cursor.executemany(f"INSERT INTO {self._table} ({names}) VALUES ({marks})", rows)  # noqa: S608  # quoted by us


def _index_name(table: str) -> str:
    """``IX_<Table>_Internal_Execution_ID``, the table's name cut where the whole would be too long."""
    head, tail = "IX_", "_Internal_Execution_ID"
    return head + table[: _MAXIMUM_IDENTIFIER - len(head) - len(tail)] + tail


def _rows_at_once(columns: tuple[OutputColumn, ...]) -> int:
    sizes = [column.bytes_per_value for column in columns]
    if not all(sizes):
        return _ROWS_AT_ONCE_WITHOUT_BOUND
    return max(1, min(_ROWS_AT_ONCE, _BYTES_AT_ONCE // max(1, sum(sizes))))

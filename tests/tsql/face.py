"""Speaks T-SQL as a person with a query window does: batches, results, and errors by number and sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pyodbc
import pytest

_SERVER_PREFIX = re.compile(r"^(?:\[[^\]]*\]\s?)+")
_LOST_NAMES = re.compile(r'relation "(\w+)_\1_jobs_internal')
_TAIL = re.compile(r"\s*\((\d+)\)\s*\(SQL\w+\)\s*(?:;.*)?$", re.DOTALL)


class TsqlError(AssertionError):
    """A batch failed."""

    def __init__(self, number: int, sentence: str) -> None:
        super().__init__(f"{number}: {sentence}")
        self.number, self.sentence = number, sentence


class Face:
    """One session.

    reopen: opens another when Babelfish has lost the names of this one's tables, as it does in sessions that live on
    while something is created anywhere on the server. The batch is then sent again: it failed before it did anything.
    """

    def __init__(self, connection: pyodbc.Connection, reopen: Callable[[], pyodbc.Connection] | None = None) -> None:
        self.connection, self._reopen = connection, reopen
        self.is_babelfish = "Babelfish" in str(connection.execute("SELECT @@VERSION").fetchval())

    def results(self, sql: str, *values: Any) -> list[list[dict[str, Any]]]:
        """All result sets of a batch.

        Raises:
            TsqlError: the server answered with an error.
        """
        try:
            return self._results(sql, *values)
        except TsqlError as error:
            if self._reopen is None or not self.is_babelfish or not _LOST_NAMES.search(error.sentence):
                raise
            self.connection = self._reopen()
            return self._results(sql, *values)

    def _results(self, sql: str, *values: Any) -> list[list[dict[str, Any]]]:
        cursor = self.connection.cursor()
        found: list[list[dict[str, Any]]] = []
        try:
            cursor.execute(sql, *values)
            while True:
                if cursor.description is not None:
                    names = [column[0] for column in cursor.description]
                    found.append([dict(zip(names, row, strict=True)) for row in cursor.fetchall()])
                if not cursor.nextset():
                    return found
        except pyodbc.Error as error:
            raise _read(error) from error
        finally:
            cursor.close()

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """The last result set of a batch; none when it has none."""
        found = self.results(sql, *values)
        return found[-1] if found else []

    def value(self, sql: str, *values: Any) -> Any:
        """The one value of a batch's last result set."""
        (row,) = self.rows(sql, *values)
        (value,) = row.values()
        return value

    def run(self, sql: str, *values: Any) -> None:
        """A batch whose results do not matter."""
        self.results(sql, *values)

    def refused(self, sql: str, *values: Any) -> str:
        """The sentence with which a batch is refused, by error 50000."""
        with pytest.raises(TsqlError) as caught:
            self.results(sql, *values)
        if caught.value.number != 50000:
            raise caught.value
        return caught.value.sentence


def _read(error: pyodbc.Error) -> TsqlError:
    text = str(error.args[-1])
    number = _TAIL.search(text)
    sentence = _SERVER_PREFIX.sub("", text[: number.start()] if number else text)
    return TsqlError(int(number.group(1)) if number else 0, sentence)

"""Holds the rows of a result set until they are written: in memory while they are few, else in a temporary file."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

MEMORY_BYTES = 1024 * 1024
"""Per attempt; an instance runs a hundred and more of them at once."""

Rows = list[list[Any]]


class RowSpool:
    """Rows go in chunk by chunk and come out the same way, any number of times.

    The file has no name, so nobody else can read it or leave it behind.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=memory_bytes)  # noqa: SIM115  # closed by close()
        self._chunks = 0
        self.rows = 0

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Append a chunk."""
        # Plain lists: pyodbc's rows drag their description along.
        pickle.dump([list(row) for row in rows], self._file, protocol=pickle.HIGHEST_PROTOCOL)
        self._chunks += 1
        self.rows += len(rows)

    def chunks(self) -> Iterator[Rows]:
        """The chunks in order."""
        self._file.seek(0)
        for _ in range(self._chunks):
            yield pickle.load(self._file)  # noqa: S301  # a nameless file that only this object writes

    def close(self) -> None:
        self._file.close()

"""Runs one batch to its very end, so that no error is left unread and no message unheard."""

from __future__ import annotations

import re
from collections.abc import Callable

import pyodbc

from elastic_jobs.targets import odbc
from elastic_jobs.targets.capture import MessageLog
from elastic_jobs.targets.errors import ServerError, clean, read, read_diagnostic
from elastic_jobs.targets.odbc import Diagnostic, Step
from elastic_jobs.targets.stop import StopSignal

Capture = Callable[[pyodbc.Cursor], None]
"""Takes over the first result set: reads it to its end; pyodbc's errors come through."""

_MESSAGE_NUMBER = re.compile(r"\((-?\d+)\)\s*$")
_CANCELED = frozenset({"HY008", "HY007", "HY010", "07005"})
"""What the driver and its manager say of a canceled statement; all but the first when the cancellation came between two
calls, so that the second found no result. Seen with ODBC Driver 18, in 6,000 cancellations that raced with a batch."""
_MAXIMUM_ERRORS = 100
"""Of one batch; a connection in a strange state must not be asked for ever."""


class BatchRun:
    """One execution of one batch on an open cursor.

    After an error the server goes on with the next statement of the batch (unless XACT_ABORT is on), and so does this:
    every result is read, and the batch has failed if any of them had an error.
    """

    def __init__(
        self, cursor: pyodbc.Cursor, log: MessageLog, stop: StopSignal, *, first_line: int, capture: Capture | None
    ) -> None:
        """first_line: the batch's first line within the script, from 1. capture: None when no result set is kept."""
        self._cursor, self._log, self._stop = cursor, log, stop
        self._first_line = first_line
        self._capture = capture
        self._errors: list[ServerError] = []
        # pyodbc knows the current result only until the driver is asked directly for the next one.
        self._pyodbc_in_step = True

    def run(self, text: str) -> ServerError | None:
        """Execute the batch and read all its results; its first error, or None.

        Raises:
            Stopped: the signal was given.
            Exception: whatever ``capture`` raised on its own account.
        """
        self._stop.check()
        try:
            self._cursor.execute(text)
        except pyodbc.Error as error:
            # The driver has read the batch to its end before it reports an error of the first result.
            self._note_error(error)
            self._stop.check()
            return self._worst()
        self._note_messages()
        more = True
        while more and self._usable():
            self._read_step()
            self._stop.check()
            more = self._advance()
            self._stop.check()
        return self._worst()

    def _worst(self) -> ServerError | None:
        lost = [error for error in self._errors if error.lost_connection]
        return next(iter(lost + self._errors), None)

    def _usable(self) -> bool:
        return len(self._errors) < _MAXIMUM_ERRORS and not any(error.lost_connection for error in self._errors)

    def _read_step(self) -> None:
        """Read the current result to its end."""
        if not odbc.has_columns(self._cursor):
            self._count_rows()
            return
        if self._capture is not None and self._pyodbc_in_step:
            capture, self._capture = self._capture, None
            try:
                capture(self._cursor)
            except pyodbc.Error as error:
                self._note_error(error)
                return
        else:
            step = odbc.drain(self._cursor)
            self._note(step)
            if step.failed:
                return
        self._count_rows()

    def _count_rows(self) -> None:
        count = odbc.row_count(self._cursor)
        if count >= 0:
            self._log.row_count(count)

    def _advance(self) -> bool:
        """Go on to the next result; False behind the last."""
        if self._capture is None:
            self._pyodbc_in_step = False
            step = odbc.next_result(self._cursor)
            while step is not None and step.failed and self._note(step) and self._usable():
                step = odbc.next_result(self._cursor)
            if step is None or step.failed:
                return False
            self._note(step)
            return True
        try:
            more = bool(self._cursor.nextset())
        except pyodbc.Error as error:
            self._note_error(error)
            return False
        self._note_messages()
        return more

    def _note(self, step: Step) -> bool:
        """Log what a call said; True so that it can stand in a condition."""
        before = len(self._errors)
        for record in step.diagnostics:
            if record.is_error:
                self._add_error(read_diagnostic(record), record)
            else:
                self._log.message(clean(record.text), record.number)
        if step.failed and len(self._errors) == before:
            self._add_error(ServerError(None, "HY000", "The driver reported an error without saying which."), None)
        return True

    def _note_error(self, error: pyodbc.Error) -> None:
        records = odbc.diagnostics(self._cursor)
        if any(record.is_error for record in records):
            self._note(Step(records, failed=True))
        else:
            self._add_error(read(error), None)

    def _note_messages(self) -> None:
        """What pyodbc gathered in this step."""
        for head, text in self._cursor.messages or ():
            number = _MESSAGE_NUMBER.search(head)
            shown = text if isinstance(text, str) else text.decode("utf-16-le", errors="replace")
            self._log.message(clean(shown), int(number[1]) if number else 0)

    def _add_error(self, error: ServerError, record: Diagnostic | None) -> None:
        if any(known.lost_connection for known in self._errors):
            return
        self._errors.append(error)
        if self._stop.reason is not None and error.number is None and error.sqlstate in _CANCELED:
            return
        text = error.text
        if record is not None and record.line and error.number:
            line = record.line + self._first_line - 1
            text = f"Msg {error.number}, Level {record.severity}, State {record.state}, Line {line}: {text}"
        self._log.error(text, error.number)

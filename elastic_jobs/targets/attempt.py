"""One attempt: one script on one target database, from connecting to its end, and stoppable at any moment.

The attempt keeps no time: a watchdog outside calls ``stop``. What may block is done in a thread of the attempt's own,
because a server that has gone silent answers not even a cancellation; ``run`` then comes back without it, and the
session application lock on the target keeps the next attempt away until the server has noticed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from uuid import UUID

import pyodbc

from elastic_jobs.domain.outcome import AttemptResult, ErrorClass, Outcome, StopReason
from elastic_jobs.domain.script import Batch
from elastic_jobs.errors import CredentialError, ServerNotAllowedError
from elastic_jobs.targets.applock import Busy, take_lock
from elastic_jobs.targets.authentication import Login
from elastic_jobs.targets.batches import BatchRun, Capture
from elastic_jobs.targets.capture import MessageLog
from elastic_jobs.targets.connect import Connector
from elastic_jobs.targets.errors import ServerError, TargetError, read, redact, script_failure
from elastic_jobs.targets.output import OutputTask, OutputWriter
from elastic_jobs.targets.stop import StopSignal

log = logging.getLogger(__name__)

STOP_GRACE_SECONDS = 5.0
"""How long ``run`` waits for the server to confirm that a script was stopped."""

LOCK_TIMEOUT_MILLISECONDS = 2000
"""How long the target waits for an earlier attempt's session to go, before it refuses this one."""

_FIRST_CANCEL_SECONDS, _LAST_CANCEL_SECONDS = 0.05, 1.0
_TRANSACTION_WORDS = ("tran", "ansi_defaults")
"""Without any of these in a script, no transaction can be left open: IMPLICIT_TRANSACTIONS holds the first."""


@dataclass(frozen=True, kw_only=True)
class TargetTask:
    """What is to be done on one target. ``lock_resource``: the job step's name for the target's application lock."""

    server_name: str
    database_name: str
    login: Login
    batches: tuple[Batch, ...] = field(repr=False)
    """Not shown by repr: a script may hold secrets."""
    lock_resource: str
    internal_execution_id: UUID
    timeout_seconds: int
    """Only for the sentence that says so; counting is the watchdog's."""
    output: OutputTask | None = None


class _Phase(Enum):
    CONNECTING = auto()
    LOCKING = auto()
    RUNNING = auto()
    WRITING = auto()


class Attempt:
    """Runs a task once. ``run`` is called by one thread, once; ``stop`` by any, any number of times."""

    def __init__(
        self,
        connector: Connector,
        task: TargetTask,
        *,
        stop_grace_seconds: float = STOP_GRACE_SECONDS,
        lock_timeout_milliseconds: int = LOCK_TIMEOUT_MILLISECONDS,
    ) -> None:
        self._connector, self._task = connector, task
        self._stop_grace, self._lock_timeout = stop_grace_seconds, lock_timeout_milliseconds
        self._secrets = task.login.secrets() + (task.output.login.secrets() if task.output else ())
        self._log = MessageLog(self._secrets)
        self._signal = StopSignal()
        self._phase = _Phase.CONNECTING
        self._lock = threading.Lock()
        self._cursor_lock = threading.Lock()
        self._cursors: set[pyodbc.Cursor] = set()
        self._result: AttemptResult | None = None
        self._finished = threading.Event()
        self._changed = threading.Event()
        self._signal.on_stop(self._changed.set)

    def stop(self, reason: StopReason) -> None:
        """Make ``run`` come back soon, with the outcome of this reason unless the script had already succeeded.

        Returns at once. The first reason stays.
        """
        self._signal.set(reason)

    def run(self) -> AttemptResult:
        """Do the task. Whatever happens on the target side is in the result; nothing of it is raised."""
        self._start(self._work)
        self._changed.wait()
        if not self._finished.is_set() and self._phase is not _Phase.CONNECTING:
            self._start(self._cancel_until_finished)
            self._finished.wait(self._stop_grace)
        with self._lock:
            if self._result is None:
                # While connecting nothing had been sent that must not happen, so there is nothing to wait for.
                self._result = self._stopped(confirmed=self._phase is _Phase.CONNECTING)
            return self._result

    def _start(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name=f"attempt on {self._task.database_name}", daemon=True).start()

    def _cancel_until_finished(self) -> None:
        """Cancel what runs, again and again: a cancellation that comes just before a statement begins has no effect.

        In a thread of its own: with a server that has gone silent even cancelling does not come back.
        """
        pause = 0.0
        while not self._finished.wait(pause):
            with self._cursor_lock:
                for cursor in self._cursors:
                    with suppress(pyodbc.Error):
                        cursor.cancel()
            pause = min(max(pause * 2, _FIRST_CANCEL_SECONDS), _LAST_CANCEL_SECONDS)

    def _work(self) -> None:
        try:
            result = self._outcome()
        except BaseException:
            # A thread of its own: nobody else would learn of it.
            log.exception("An attempt ended in an unexpected way.")
            result = self._failed("The attempt ended in an unexpected way; see the app's log.", ErrorClass.SCRIPT)
        with self._lock:
            if self._result is None:
                self._result = result
        self._finished.set()
        self._changed.set()

    def _outcome(self) -> AttemptResult:
        try:
            message = self._do()
        except Exception as error:
            # The driver reports a stop in many ways; the reason that was given counts.
            if self._signal.reason is not None:
                return self._stopped()
            return self._result_of(error)
        return AttemptResult(outcome=Outcome.SUCCEEDED, message=message, messages=self._log.messages())

    def _result_of(self, error: Exception) -> AttemptResult:
        if isinstance(error, Busy):
            return AttemptResult(outcome=Outcome.BUSY, message=str(error), messages=self._log.messages())
        if isinstance(error, TargetError):
            return self._failed(str(error), error.error_class, error.number)
        if isinstance(error, ServerNotAllowedError):
            return self._failed(str(error), ErrorClass.NOT_ALLOWED)
        if isinstance(error, CredentialError):
            return self._failed(str(error), ErrorClass.LOGIN)
        if isinstance(error, pyodbc.Error):
            known = self._script_failure(read(error))
            return self._failed(str(known), known.error_class, known.number)
        # Data of the target that Python cannot hold, for one: a year beyond 9999, a value that is too large.
        log.warning("An attempt failed with %s.", type(error).__name__)
        return self._failed(f"Command failed: {type(error).__name__}: {error}", ErrorClass.SCRIPT)

    def _script_failure(self, error: ServerError) -> TargetError:
        return script_failure(error, self._task.server_name, self._task.database_name, str(self._task.login))

    def _failed(self, message: str, error_class: ErrorClass, number: int | None = None) -> AttemptResult:
        return AttemptResult(
            outcome=Outcome.FAILED,
            message=redact(message, self._secrets),
            error_number=number,
            error_class=error_class,
            messages=self._log.messages(),
        )

    def _stopped(self, *, confirmed: bool = True) -> AttemptResult:
        reason = self._signal.reason or StopReason.CANCELED
        why = {
            StopReason.TIMED_OUT: f"The step's timeout of {self._task.timeout_seconds} seconds is over.",
            StopReason.CANCELED: "The execution was canceled.",
            StopReason.LEASE_LOST: "The worker could not renew its claim on this target in time.",
        }[reason]
        if self._phase in {_Phase.CONNECTING, _Phase.LOCKING}:
            what = "The script had not begun."
        elif self._phase is _Phase.WRITING:
            what = "The script had ended, but its output was not written."
        elif confirmed:
            what = "The script was stopped."
        else:
            what = f"The server did not confirm within {self._stop_grace:g} seconds that the script was stopped."
        return AttemptResult(outcome=Outcome(reason.value), message=f"{why} {what}", messages=self._log.messages())

    def _do(self) -> str:
        """The whole task; the sentence for its success."""
        task = self._task
        target = self._connector.connect(task.server_name, task.database_name, task.login, stop=self._signal)
        writer: OutputWriter | None = None
        try:
            self._signal.check()
            self._phase = _Phase.LOCKING
            with self._cancellable(target.cursor()) as cursor:
                take_lock(
                    cursor, task.lock_resource, self._lock_timeout, task.server_name, task.database_name, self._log
                )
            if task.output:
                # Before the script: with no place for its output it would run in vain.
                self._phase = _Phase.CONNECTING
                writer = self._output_writer(task.output)
            self._signal.check()
            self._phase = _Phase.RUNNING
            self._run_script(target, writer)
            if writer:
                self._phase = _Phase.WRITING
                writer.write()
                self._log.note(writer.note())
        finally:
            if writer:
                writer.close()
            # Ends the session: an open transaction is rolled back and the application lock released.
            with suppress(pyodbc.Error):
                target.close()
        return f"Command succeeded on database '{task.database_name}' on server '{task.server_name}'."

    def _output_writer(self, output: OutputTask) -> OutputWriter:
        writer = OutputWriter(
            self._connector,
            output,
            self._task.internal_execution_id,
            stop=self._signal,
            guard=self._cancellable,
        )
        writer.check()
        return writer

    def _run_script(self, target: pyodbc.Connection, writer: OutputWriter | None) -> None:
        """Every batch, as often as it says, each read to its end.

        Raises:
            TargetError: a batch failed; those after it were not run.
        """
        task = self._task
        capture: Capture | None = writer.capture if writer else None
        for number, batch in enumerate(task.batches, 1):
            self._log.begin_batch(number)
            for _ in range(batch.repeat):
                with self._cancellable(target.cursor()) as cursor:
                    run = BatchRun(cursor, self._log, self._signal, first_line=batch.line, capture=capture)
                    error = run.run(batch.text)
                if error is not None:
                    raise self._script_failure(error)
                if writer and writer.captured:
                    capture = None
        self._require_no_open_transaction(target)

    def _require_no_open_transaction(self, target: pyodbc.Connection) -> None:
        text = " ".join(batch.text.casefold() for batch in self._task.batches)
        if not any(word in text for word in _TRANSACTION_WORDS):
            return
        with self._cancellable(target.cursor()) as cursor:
            row = cursor.execute("SELECT @@TRANCOUNT").fetchone()
        if row is not None and row[0] > 0:
            raise TargetError(
                "Command failed: the script left a transaction open, so its changes were rolled back."
                " End it with COMMIT.",
                error_class=ErrorClass.SCRIPT,
            )

    @contextmanager
    def _cancellable(self, cursor: pyodbc.Cursor) -> Iterator[pyodbc.Cursor]:
        """While the block runs, ``stop`` cancels what this cursor does; afterwards it is closed."""
        # The driver would look for ODBC escapes in the script's braces.
        cursor.noscan = True
        with self._cursor_lock:
            self._cursors.add(cursor)
        try:
            yield cursor
        finally:
            # Not closed while it is being cancelled: the handle must outlive the call.
            with self._cursor_lock:
                self._cursors.discard(cursor)
            with suppress(pyodbc.Error):
                cursor.close()

"""Stopping an attempt, in every phase; what still runs on the server, and what the attempt says."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pyodbc
import pytest

from elastic_jobs.domain.outcome import Outcome, StopReason
from elastic_jobs.targets.attempt import Attempt
from elastic_jobs.targets.batches import BatchRun
from elastic_jobs.targets.capture import MessageLog
from elastic_jobs.targets.errors import ServerError
from elastic_jobs.targets.stop import Stopped, StopSignal
from tests.targets.lab import Lab, in_background, until


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


@pytest.mark.parametrize("reason", list(StopReason))
def test_a_running_statement_is_stopped_on_the_server(lab: Lab, reason: StopReason) -> None:
    lab.query("CREATE TABLE t (i int)")
    attempt = lab.attempt("WAITFOR DELAY '00:01:00' /*stop me*/; INSERT t VALUES (1)")
    with in_background(attempt) as result, at_most(10):
        until(lambda: lab.running("/*stop me*/"))
        attempt.stop(reason)
        ended = result()
    assert ended.outcome is Outcome(reason.value)
    assert ended.message.endswith("The script was stopped.")
    assert (ended.error_number, ended.error_class) == (None, None)
    until(lambda: not lab.running("/*stop me*/"))
    assert lab.query("SELECT COUNT(*) FROM t") == [(0,)]


def test_the_timeout_is_named(lab: Lab) -> None:
    attempt = lab.attempt("WAITFOR DELAY '00:01:00' /*stop me*/")
    with in_background(attempt) as result:
        until(lambda: lab.running("/*stop me*/"))
        attempt.stop(StopReason.TIMED_OUT)
        assert result().message == "The step's timeout of 30 seconds is over. The script was stopped."


def test_the_first_reason_stays(lab: Lab) -> None:
    attempt = lab.attempt("WAITFOR DELAY '00:01:00' /*stop me*/")
    with in_background(attempt) as result:
        until(lambda: lab.running("/*stop me*/"))
        for reason in (StopReason.TIMED_OUT, StopReason.CANCELED, StopReason.TIMED_OUT):
            attempt.stop(reason)
        assert result().outcome is Outcome.TIMED_OUT


def test_before_it_began(lab: Lab) -> None:
    sequence = lab.control.last_sequence()
    attempt = lab.attempt("SELECT 1")
    attempt.stop(StopReason.CANCELED)
    result = attempt.run()
    assert (result.outcome, result.message) == (
        Outcome.CANCELED,
        "The execution was canceled. The script had not begun.",
    )
    assert lab.control.journal(after=sequence, database=lab.database) == []


def test_after_it_succeeded_nothing_changes(lab: Lab) -> None:
    attempt = lab.attempt("SELECT 1")
    result = attempt.run()
    attempt.stop(StopReason.CANCELED)
    assert result.outcome is Outcome.SUCCEEDED
    assert attempt.run() == result


def test_while_connecting_to_a_server_that_says_nothing(lab: Lab) -> None:
    lab.control.add_fault("stall", "login", database=lab.database)
    attempt = Attempt(lab.connector(login_timeout_seconds=60), lab.task("SELECT 1"))
    with in_background(attempt) as result, at_most(20):
        until(lambda: lab.control.faults()[0]["hits"])
        attempt.stop(StopReason.CANCELED)
        assert result().message.endswith("The script had not begun.")


def test_while_waiting_to_connect_again(lab: Lab) -> None:
    lab.control.refuse_logins(40613, database=lab.database)
    attempt = Attempt(lab.connector(retry_seconds=(60.0,)), lab.task("SELECT 1"))
    with in_background(attempt) as result, at_most(20):
        until(lambda: lab.control.faults()[0]["hits"])
        attempt.stop(StopReason.TIMED_OUT)
        ended = result()
    assert ended.outcome is Outcome.TIMED_OUT
    assert ended.message.endswith("The script had not begun.")


def test_while_taking_the_lock(lab: Lab) -> None:
    lab.connect().execute(
        "EXEC sp_getapplock @Resource = N'held', @LockMode = 'Exclusive', @LockOwner = 'Session', @LockTimeout = 0"
    )
    attempt = Attempt(lab.connector(), lab.task("SELECT 1", lock_resource="held"), lock_timeout_milliseconds=60_000)
    with in_background(attempt) as result, at_most(20):
        until(lambda: lab.running("sp_getapplock"))
        attempt.stop(StopReason.CANCELED)
        ended = result()
    assert ended.outcome is Outcome.CANCELED
    assert ended.message.endswith("The script had not begun.")


def test_while_reading_a_large_result(lab: Lab) -> None:
    lab.query("CREATE TABLE n (i int); INSERT n VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)")
    cross = ", ".join(f"n AS n{index}" for index in range(7))
    attempt = lab.attempt(f"SELECT n0.i /*stop me*/ FROM {cross}")
    with in_background(attempt) as result, at_most(10):
        until(lambda: lab.running("/*stop me*/"))
        attempt.stop(StopReason.CANCELED)
        assert result().outcome is Outcome.CANCELED
    until(lambda: not lab.running("/*stop me*/"))


def test_between_batches(lab: Lab) -> None:
    lab.query("CREATE TABLE t (i int)")
    attempt = lab.attempt("INSERT t VALUES (1)\nGO 100000")
    with in_background(attempt) as result, at_most(10):
        until(lambda: lab.query("SELECT COUNT(*) FROM t") > [(3,)])
        attempt.stop(StopReason.CANCELED)
        assert result().outcome is Outcome.CANCELED
    (count,) = lab.query("SELECT COUNT(*) FROM t")
    assert 3 < int(str(count[0])) < 100000
    assert lab.query("SELECT COUNT(*) FROM t") == [count]


def test_while_later_results_are_awaited(lab: Lab) -> None:
    attempt = lab.attempt("SELECT 1 AS a; WAITFOR DELAY '00:01:00' /*stop me*/; SELECT 2 AS b")
    with in_background(attempt) as result, at_most(10):
        until(lambda: lab.running("/*stop me*/"))
        attempt.stop(StopReason.CANCELED)
        assert result().outcome is Outcome.CANCELED


def test_while_output_is_written(lab: Lab) -> None:
    lab.query("CREATE TABLE results (i int, internal_execution_id uniqueidentifier)")
    lab.control.add_fault("slow", "before", seconds=60, database=lab.database, text="INSERT INTO")
    attempt = lab.attempt("SELECT 1 AS i", output=lab.output())
    with in_background(attempt) as result, at_most(10):
        until(lambda: lab.control.faults()[0]["hits"])
        attempt.stop(StopReason.CANCELED)
        assert result().outcome is Outcome.CANCELED
    lab.control.clear_faults()
    assert lab.query("SELECT COUNT(*) FROM results") == [(0,)]


def test_a_stop_at_any_moment_ends_it(lab: Lab) -> None:
    """A stop that comes just before a statement begins must not be lost, so many moments are tried."""
    for milliseconds in range(0, 60, 4):
        attempt = lab.attempt("WAITFOR DELAY '00:00:30'")
        with in_background(attempt) as result, at_most(8):
            time.sleep(milliseconds / 1000)
            attempt.stop(StopReason.CANCELED)
            assert result().outcome is Outcome.CANCELED


class Counter:
    """Stands among the cursors that are cancelled, and tells when the first cancellation has come."""

    def __init__(self) -> None:
        self.first = threading.Event()

    def cancel(self) -> None:
        self.first.set()


def test_a_cancellation_that_comes_before_the_statement_is_repeated(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    counter, ready = Counter(), threading.Event()

    class LateRun(BatchRun):
        """Begins its statement only when it has been cancelled already, past the last look at the signal."""

        def run(self, text: str) -> ServerError | None:
            ready.set()
            assert counter.first.wait(10)
            self._cursor.execute(text)
            return None

    monkeypatch.setattr("elastic_jobs.targets.attempt.BatchRun", LateRun)
    attempt = lab.attempt("WAITFOR DELAY '00:00:30'", stop_grace_seconds=20)
    attempt._cursors.add(counter)
    with in_background(attempt) as result, at_most(8):
        assert ready.wait(10)
        attempt.stop(StopReason.CANCELED)
        ended = result()
    assert (ended.outcome, ended.message) == (Outcome.CANCELED, "The execution was canceled. The script was stopped.")


def test_a_cancellation_between_two_calls_is_no_error_of_the_script(lab: Lab) -> None:
    signal, log = StopSignal(), MessageLog(())

    def capture(cursor: pyodbc.Cursor) -> None:
        signal.set(StopReason.CANCELED)
        cursor.cancel()
        try:
            cursor.fetchall()
        except pyodbc.Error as error:
            states.append(error.args[0])
            raise

    states: list[str] = []
    run = BatchRun(lab.connect().cursor(), log, signal, first_line=1, capture=capture)
    with pytest.raises(Stopped):
        run.run("SELECT 1 AS a; SELECT 2 AS b")
    assert states == ["HY010"]
    assert log.messages() == ()


def test_a_server_that_went_silent_does_not_hold_the_worker(lab: Lab) -> None:
    lab.control.add_fault("stall", "before", database=lab.database, text="/*stop me*/")
    attempt = lab.attempt("SELECT 1 /*stop me*/", stop_grace_seconds=0.5)
    with in_background(attempt) as result, at_most(20):
        until(lambda: lab.control.faults()[0]["hits"])
        attempt.stop(StopReason.LEASE_LOST)
        ended = result()
    assert ended.outcome is Outcome.LEASE_LOST
    assert ended.message.endswith("The server did not confirm within 0.5 seconds that the script was stopped.")


def test_the_connection_that_is_lost_while_it_is_stopped(lab: Lab) -> None:
    lab.control.add_fault("drop", "during", seconds=0.3, database=lab.database, text="/*stop me*/")
    attempt = lab.attempt("WAITFOR DELAY '00:01:00' /*stop me*/")
    with in_background(attempt) as result:
        until(lambda: lab.control.faults()[0]["hits"])
        attempt.stop(StopReason.CANCELED)
        assert result().outcome is Outcome.CANCELED

"""What an attempt makes of scripts that succeed, fail, talk, or lose their connection."""

from __future__ import annotations

import pytest

from elastic_jobs.domain.outcome import ErrorClass, MessageKind, Outcome
from elastic_jobs.targets.authentication import PasswordLogin
from tests.targets.lab import Lab, notes, said


def test_a_script_of_several_batches(lab: Lab) -> None:
    result = lab.run("CREATE TABLE t (i int)\nGO\nINSERT t VALUES (1), (2)\nGO 3\nSELECT i FROM t\nGO\n")
    assert (result.outcome, result.error_number, result.error_class) == (Outcome.SUCCEEDED, None, None)
    assert lab.database in result.message
    assert [(m.batch, m.row_count) for m in result.messages] == [(2, 2), (2, 2), (2, 2), (3, 6)]
    assert lab.query("SELECT COUNT(*) FROM t") == [(6,)]


def test_messages_and_counts_in_order(lab: Lab) -> None:
    result = lab.run(
        "PRINT 'first'; CREATE TABLE t (i int); INSERT t VALUES (1); PRINT 'second'; SELECT i FROM t;"
        " RAISERROR('third', 5, 1); UPDATE t SET i = 2; PRINT 'last'"
    )
    assert result.outcome is Outcome.SUCCEEDED
    assert said(result) == [
        ("message", "first"),
        ("rowcount", 1),
        ("message", "second"),
        ("rowcount", 1),
        ("message", "third"),
        ("rowcount", 1),
        ("message", "last"),
    ]
    assert [m.number for m in result.messages if m.text == "third"] == [50000]


@pytest.mark.parametrize(
    ("script", "number", "text"),
    [
        ("SELECT 1/0", 8134, "Divide by zero error encountered."),
        ("SELECT 1 AS a; SELECT 1/0 AS b", 8134, "Divide by zero error encountered."),
        ("CREATE TABLE t (i int); INSERT t VALUES (1); SELECT 1/0", 8134, "Divide by zero error encountered."),
        ("INSERT nowhere VALUES (1)", 208, "Invalid object name 'nowhere'."),
        ("SELECT 1\nGO\nRAISERROR('broken', 16, 1)", 50000, "broken"),
        ("THROW 51000, 'thrown', 1", 51000, "thrown"),
    ],
)
def test_a_script_that_fails(lab: Lab, script: str, number: int, text: str) -> None:
    result = lab.run(script)
    assert result.outcome is Outcome.FAILED
    assert result.message == f"Command failed: {text} (Msg {number})"
    assert (result.error_number, result.error_class) == (number, ErrorClass.SCRIPT)
    errors = [m for m in result.messages if m.kind is MessageKind.ERROR]
    assert [m.number for m in errors] == [number]
    assert text in (errors[0].text or "")


def test_a_syntax_error(lab: Lab) -> None:
    result = lab.run("CREATE TABLE t (i int)\nGO\nSELEC 1")
    assert result.outcome is Outcome.FAILED
    assert result.message.startswith("Command failed: ")
    assert result.error_number in {102, 2812}


def test_an_error_among_the_rows_of_the_second_result_set(lab: Lab) -> None:
    lab.query("CREATE TABLE t (i int); INSERT t VALUES (2), (1), (0)")
    result = lab.run("SELECT i FROM t; SELECT 10 / i AS v FROM t")
    assert (result.outcome, result.error_number) == (Outcome.FAILED, 8134)


def test_what_came_before_the_error_stays_and_later_batches_do_not_run(lab: Lab) -> None:
    lab.query("CREATE TABLE t (i int)")
    result = lab.run("INSERT t VALUES (1); SELECT 1/0; INSERT t VALUES (2)\nGO\nINSERT t VALUES (3)")
    assert result.outcome is Outcome.FAILED
    assert lab.query("SELECT i FROM t ORDER BY i") == [(1,), (2,)]


def test_the_line_of_an_error_is_that_of_the_script(lab: Lab) -> None:
    result = lab.run("SELECT 1 AS a\nGO\n\nSELECT 2 AS b\nRAISERROR('here', 16, 3)")
    error = next(m for m in result.messages if m.kind is MessageKind.ERROR)
    assert error.text == "Msg 50000, Level 16, State 3, Line 5: here"
    assert error.batch == 2


def test_an_open_transaction_is_a_failure(lab: Lab) -> None:
    lab.query("CREATE TABLE t (i int)")
    result = lab.run("BEGIN TRANSACTION; INSERT t VALUES (1)")
    assert (result.outcome, result.error_class) == (Outcome.FAILED, ErrorClass.SCRIPT)
    assert "left a transaction open" in result.message
    assert lab.query("SELECT COUNT(*) FROM t") == [(0,)]
    assert lab.run("BEGIN TRANSACTION; INSERT t VALUES (1); COMMIT").outcome is Outcome.SUCCEEDED


def test_braces_question_marks_and_percent_signs_go_through(lab: Lab) -> None:
    result = lab.run("PRINT '{fn now()} {ts ?} %s 100%' -- {d ?}")
    assert said(result) == [("message", "{fn now()} {ts ?} %s 100%")]


def test_text_of_any_script(lab: Lab) -> None:
    assert said(lab.run("PRINT N'Zürich 東京 😀'")) == [("message", "Zürich 東京 😀")]


def test_an_empty_script_succeeds(lab: Lab) -> None:
    assert lab.run("\n-- nothing\nGO\n").outcome is Outcome.SUCCEEDED


def test_a_flood_of_messages_is_cut_with_a_note(lab: Lab) -> None:
    result = lab.run("DECLARE @i int = 0; WHILE @i < 1200 BEGIN PRINT 'line'; SET @i = @i + 1 END")
    assert result.outcome is Outcome.SUCCEEDED
    assert len(said(result)) == 1000
    assert [m.kind for m in result.messages[-1:]] == [MessageKind.NOTE]
    assert "more messages were not kept" in notes(result)[0]


@pytest.mark.parametrize(
    "expression",
    [
        "CAST('2024-02-29 13:14:15.1234567 +14:00' AS datetimeoffset)",
        "CAST(1 AS sql_variant)",
        "CAST('<a/>' AS xml)",
        "CAST('/1/' AS hierarchyid)",
    ],
)
def test_types_that_pyodbc_cannot_show_do_not_matter_when_nothing_is_kept(lab: Lab, expression: str) -> None:
    result = lab.run(f"SELECT {expression} AS v; SELECT {expression} AS w")
    if lab.client is not None and "emulator does not support" in result.message:
        pytest.skip(result.message)
    assert result.outcome is Outcome.SUCCEEDED, result.message


def test_a_wrong_password(lab: Lab) -> None:
    result = lab.run("SELECT 1", login=PasswordLogin("sqladmin", "wr0ng"))
    assert (result.outcome, result.error_number, result.error_class) == (Outcome.FAILED, 18456, ErrorClass.LOGIN)
    assert "wr0ng" not in repr(result)


def test_a_server_that_is_not_allowed(lab: Lab) -> None:
    result = lab.run("SELECT 1", server_name="evil.example.com")
    assert (result.outcome, result.error_class) == (Outcome.FAILED, ErrorClass.NOT_ALLOWED)


def test_the_password_is_blotted_out_of_what_the_script_says(lab: Lab) -> None:
    quoted = lab.login.password.replace("'", "''")
    result = lab.run(f"PRINT 'pw {quoted}'; RAISERROR('pw {quoted}', 16, 1)")
    assert lab.login.password not in repr(result)
    assert said(result)[-1] == ("error", "Msg 50000, Level 16, State 1, Line 1: pw ***") or "***" in result.message


@pytest.mark.parametrize("at", ["before", "during", "after"])
@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_that_is_lost_in_mid_script(lab: Lab, at: str, reset: bool) -> None:
    lab.query("CREATE TABLE t (i int)")
    lab.control.add_fault("drop", at, database=lab.database, text="/*here*/", reset=reset, count=1)
    result = lab.run("INSERT t VALUES (1)\nGO\nSELECT i /*here*/ FROM t; INSERT t VALUES (2)")
    assert (result.outcome, result.error_class) == (Outcome.FAILED, ErrorClass.OUTCOME_UNKNOWN)
    assert "outcome unknown" in result.message
    assert result.error_number is None


@pytest.mark.parametrize(("number", "expected"), [(40197, ErrorClass.TRANSIENT), (10928, ErrorClass.THROTTLED)])
def test_errors_of_the_service_in_mid_script(lab: Lab, number: int, expected: ErrorClass) -> None:
    lab.control.add_fault("error", "before", number=number, database=lab.database, text="/*here*/", count=1)
    result = lab.run("SELECT 1 /*here*/")
    assert (result.outcome, result.error_number, result.error_class) == (Outcome.FAILED, number, expected)


def test_a_database_that_wakes_up(lab: Lab) -> None:
    lab.control.pause(0.5, database=lab.database)
    assert lab.run("SELECT 1").outcome is Outcome.SUCCEEDED


def lock(lab: Lab, resource: str) -> None:
    lab.connect().execute(
        f"EXEC sp_getapplock @Resource = N'{resource}', @LockMode = 'Exclusive', @LockOwner = 'Session',"
        " @LockTimeout = 0"
    )


def test_another_attempt_of_the_step_is_refused_by_the_target(lab: Lab) -> None:
    lab.query("CREATE TABLE t (i int)")
    lock(lab, "it''s")
    result = lab.run("INSERT t VALUES (1)", lock_resource="it's")
    assert result.outcome is Outcome.BUSY
    assert f"still runs on database '{lab.database}'" in result.message
    assert lab.query("SELECT COUNT(*) FROM t") == [(0,)]
    assert lab.run("INSERT t VALUES (1)", lock_resource="another").outcome is Outcome.SUCCEEDED


def test_the_lock_goes_with_the_session(lab: Lab) -> None:
    assert lab.run("SELECT 1").outcome is Outcome.SUCCEEDED
    assert lab.run("SELECT 1/0").outcome is Outcome.FAILED
    assert lab.run("SELECT 1").outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("number", [229, 2812])
def test_without_application_locks_the_script_runs_with_a_note(lab: Lab, number: int) -> None:
    lab.control.add_fault("error", "before", number=number, database=lab.database, text="sp_getapplock")
    result = lab.run("SELECT 1")
    assert result.outcome is Outcome.SUCCEEDED
    assert "without the application lock" in notes(result)[0]


def test_a_lock_that_fails_otherwise_fails_the_attempt(lab: Lab) -> None:
    lab.control.add_fault("error", "before", number=1205, database=lab.database, text="sp_getapplock")
    result = lab.run("SELECT 1")
    assert (result.outcome, result.error_number, result.error_class) == (Outcome.FAILED, 1205, ErrorClass.TRANSIENT)


def test_a_connection_that_is_lost_before_the_script_leaves_no_doubt(lab: Lab) -> None:
    lab.control.add_fault("drop", "before", database=lab.database, text="sp_getapplock", count=1)
    result = lab.run("SELECT 1")
    assert (result.outcome, result.error_class) == (Outcome.FAILED, ErrorClass.TRANSIENT)
    assert result.message.startswith("The script had not begun")

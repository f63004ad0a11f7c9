"""Errors of target servers: numbers, classes, sentences."""

from __future__ import annotations

import pyodbc
import pytest

from elastic_jobs.domain.outcome import ErrorClass
from elastic_jobs.targets.errors import (
    ServerError,
    clean,
    connect_failure,
    output_failure,
    read,
    redact,
    retry_connect,
    script_failure,
)

PREFIX = "[Microsoft][ODBC Driver 18 for SQL Server]"
SQL = PREFIX + "[SQL Server]"


def error(state: str, text: str) -> pyodbc.Error:
    return pyodbc.Error(state, f"[{state}] {text}")


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (
            error("22012", f"{SQL}Divide by zero error encountered. (8134) (SQLExecDirectW)"),
            ServerError(8134, "22012", "Divide by zero error encountered."),
        ),
        (
            error("28000", f"{SQL}Login failed for user 'x'. (18456) (SQLDriverConnect)"),
            ServerError(18456, "28000", "Login failed for user 'x'."),
        ),
        (
            error("08S01", f"{PREFIX}TCP Provider: Error code 0x2746 (10054) (SQLGetData)"),
            ServerError(None, "08S01", "TCP Provider: Error code 0x2746"),
        ),
        (
            error("HYT00", f"{PREFIX}Login timeout expired (0) (SQLDriverConnect)"),
            ServerError(None, "HYT00", "Login timeout expired"),
        ),
        (
            error("HY000", f"{SQL}Database 'd' on server 's' is not currently available. (40613) (SQLDriverConnect)"),
            ServerError(40613, "HY000", "Database 'd' on server 's' is not currently available."),
        ),
        (
            pyodbc.ProgrammingError("ODBC SQL type -155 is not yet supported.  column-index=0  type=-155", "HY106"),
            ServerError(None, "HY106", "ODBC SQL type -155 is not yet supported.  column-index=0  type=-155"),
        ),
        (pyodbc.ProgrammingError("The cursor's connection has been closed."), None),
    ],
)
def test_reading(raised: pyodbc.Error, expected: ServerError | None) -> None:
    if expected is None:
        expected = ServerError(None, "", "The cursor's connection has been closed.")
    assert read(raised) == expected


def test_parentheses_and_brackets_of_the_text_stay() -> None:
    text = f"{SQL}[jobs] says (1) (2): [a] (50000) (SQLExecDirectW)"
    assert read(error("42000", text)) == ServerError(50000, "42000", "[jobs] says (1) (2): [a]")
    assert clean(f"{SQL}Value (12) is wrong in [dbo].[t].") == "Value (12) is wrong in [dbo].[t]."


def test_of_several_records_the_first_counts() -> None:
    text = (
        f'{SQL}Cannot open database "d" requested by the login. The login failed. (4060) (SQLDriverConnect);'
        f" [28000] {SQL}Login failed for user 'x'. (18456)"
    )
    assert read(error("42000", text)) == ServerError(
        4060, "42000", 'Cannot open database "d" requested by the login. The login failed.'
    )


def test_a_long_text_is_cut() -> None:
    assert len(clean("x" * 10_000)) < 2100


@pytest.mark.parametrize(
    ("number", "state", "expected"),
    [
        (40613, "HY000", ErrorClass.TRANSIENT),
        (1205, "40001", ErrorClass.TRANSIENT),
        (40501, "HY000", ErrorClass.THROTTLED),
        (10928, "HY000", ErrorClass.THROTTLED),
        (18456, "28000", ErrorClass.LOGIN),
        (40615, "42000", ErrorClass.LOGIN),
        (4060, "42000", ErrorClass.LOGIN),
        (229, "42000", ErrorClass.PERMISSION),
        (8134, "22012", ErrorClass.SCRIPT),
        (102, "42000", ErrorClass.SCRIPT),
        (40544, "42000", ErrorClass.SCRIPT),
        (None, "08S01", ErrorClass.OUTCOME_UNKNOWN),
        (None, "08001", ErrorClass.TRANSIENT),
        (None, "", ErrorClass.SCRIPT),
    ],
)
def test_classes(number: int | None, state: str, expected: ErrorClass) -> None:
    assert ServerError(number, state, "x").error_class is expected


@pytest.mark.parametrize(
    ("number", "state", "tries", "expected"),
    [
        (40613, "HY000", 5, True),
        (40501, "HY000", 3, True),
        (49918, "42000", 1, True),
        (10936, "HY000", 1, True),
        (4060, "42000", 1, True),
        (4060, "42000", 2, False),
        (18456, "28000", 1, False),
        (40615, "42000", 1, False),
        (None, "08S01", 1, True),
        (None, "HYT00", 1, False),
        (None, "08001", 1, False),
        (102, "42000", 1, False),
    ],
)
def test_which_connects_are_tried_again(number: int | None, state: str, tries: int, expected: bool) -> None:
    assert retry_connect(ServerError(number, state, "x"), tries) is expected


def test_a_server_that_closes_the_connection_at_once_is_tried_again() -> None:
    assert retry_connect(ServerError(None, "08001", "error was encountered during handshakes before login."), 1)
    assert not retry_connect(ServerError(None, "08001", "certificate verify failed"), 1)


def test_sentences_for_connecting() -> None:
    def sentence(number: int | None, state: str, text: str = "It said no.", tries: int = 1) -> str:
        return str(connect_failure(ServerError(number, state, text), "s1", "db1", "user 'jobuser'", tries))

    assert sentence(18456, "28000") == (
        "Login failed for user 'jobuser' to database 'db1' on server 's1': It said no. (Msg 18456) Check the user name"
        " and password of the credential, and that the user exists there."
    )
    assert sentence(4060, "42000").startswith("User 'jobuser' cannot open database 'db1' on server 's1': It said no.")
    assert sentence(None, "HYT00").startswith("Server 's1' cannot be reached: It said no. Check its name")
    assert sentence(None, "08001", "certificate verify failed").startswith("The certificate of server 's1' could not")
    assert sentence(40615, "42000").startswith("The firewall of server 's1' refuses this app")
    assert sentence(40613, "HY000", tries=6) == (
        "The database 'db1' on server 's1' is not available: It said no. (Msg 40613) Tried 6 times."
    )
    assert sentence(33444, "42000") == "Connecting to database 'db1' on server 's1' failed: It said no. (Msg 33444)"


def test_a_login_keeps_its_case_in_the_sentence() -> None:
    failure = connect_failure(ServerError(4060, "42000", "No."), "s1", "db1", "user 'JobUser'")
    assert "User 'JobUser' cannot open" in str(failure)


def test_sentences_for_the_script() -> None:
    failed = script_failure(ServerError(8134, "22012", "Divide by zero error encountered."), "s1", "db1")
    assert str(failed) == "Command failed: Divide by zero error encountered. (Msg 8134)"
    assert (failed.number, failed.error_class) == (8134, ErrorClass.SCRIPT)
    lost = script_failure(ServerError(None, "08S01", "TCP Provider: Error code 0x2746"), "s1", "db1")
    assert "outcome unknown" in str(lost)
    assert "'db1' on server 's1'" in str(lost)
    assert lost.error_class is ErrorClass.OUTCOME_UNKNOWN


def test_sentences_for_the_output() -> None:
    failed = output_failure(ServerError(8152, "22001", "String would be truncated."), "s1", "db1", "[dbo].[t]")
    assert str(failed) == (
        "Writing to output table [dbo].[t] in database 'db1' on server 's1' failed: String would be truncated."
        " (Msg 8152)"
    )
    lost = output_failure(ServerError(None, "08S01", "Gone"), "s1", "db1", "[dbo].[t]")
    assert "none of them are kept" in str(lost)


def test_secrets_are_blotted_out() -> None:
    assert redact("near 's3cret' and s3cret", ["s3cret", ""]) == "near '***' and ***"
    assert redact("Login timeout expired for 'p'", ["p"]) == "Login timeout expired for '***'"

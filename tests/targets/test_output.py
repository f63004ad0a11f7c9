"""The first result set in the output table: shape, types, exactly once, and what is refused."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from elastic_jobs.domain.outcome import AttemptResult, ErrorClass, Outcome
from elastic_jobs.targets.authentication import PasswordLogin
from tests.targets.lab import Lab, new_id, notes


def test_the_table_is_made_and_filled(lab: Lab) -> None:
    execution = new_id()
    result = lab.run(
        "SELECT 1 AS i, N'a' AS t UNION ALL SELECT 2, N'b'", output=lab.output(), internal_execution_id=execution
    )
    assert result.outcome is Outcome.SUCCEEDED, result.message
    rows = lab.query("SELECT i, t, internal_execution_id FROM results ORDER BY i")
    assert [(i, t, UUID(str(x))) for i, t, x in rows] == [(1, "a", execution), (2, "b", execution)]
    indexes = lab.query("SELECT name FROM sys.indexes WHERE object_id = OBJECT_ID('dbo.results') AND name IS NOT NULL")
    assert indexes == [("IX_results_Internal_Execution_ID",)]
    assert any("2 rows were written to [dbo].[results]" in note for note in notes(result))


TYPES: list[tuple[str, str, str, Any]] = [
    ("CAST(1 AS bit)", "bit", "", True),
    ("CAST(255 AS tinyint)", "tinyint", "", 255),
    ("CAST(-32768 AS smallint)", "smallint", "", -32768),
    ("CAST(-2147483648 AS int)", "int", "", -2147483648),
    ("CAST(9223372036854775807 AS bigint)", "bigint", "", 9223372036854775807),
    ("CAST(1.5 AS float)", "float", "", 1.5),
    ("CAST(12345678.9012 AS decimal(18, 4))", "decimal", "18,4", Decimal("12345678.9012")),
    ("CAST(-922337203685477.5808 AS money)", "decimal", "19,4", Decimal("-922337203685477.5808")),
    ("CAST(N'東京 😀' AS nvarchar(30))", "nvarchar", "30", "東京 😀"),
    ("CAST('' AS nvarchar(10))", "nvarchar", "10", ""),
    ("CAST('abc' AS varchar(20))", "nvarchar", "20", "abc"),
    ("CAST(REPLICATE(N'x', 4000) AS nvarchar(max))", "nvarchar", "-1", "x" * 4000),
    ("CAST(0x00FF10 AS varbinary(8))", "varbinary", "8", b"\x00\xff\x10"),
    ("CAST('2024-02-29' AS date)", "date", "", "2024-02-29"),
    ("CAST('2024-02-29 13:14:15.123456' AS datetime2(6))", "datetime2", "", "2024-02-29 13:14:15.123456"),
    ("CAST('2024-02-29 13:14:15.123' AS datetime)", "datetime2", "", "2024-02-29 13:14:15.123000"),
    ("CAST('13:14:15.123456' AS time(6))", "time", "", "13:14:15.123456"),
    (
        "CAST('2024-02-29 13:14:15.1234560 +02:00' AS datetimeoffset(7))",
        "datetimeoffset",
        "",
        "2024-02-29 13:14:15.1234560 +02:00",
    ),
    (
        "CAST('6F9619FF-8B86-D011-B42D-00C04FC964FF' AS uniqueidentifier)",
        "uniqueidentifier",
        "",
        UUID("6F9619FF-8B86-D011-B42D-00C04FC964FF"),
    ),
]


@pytest.mark.parametrize(("expression", "data_type", "measure", "value"), TYPES, ids=[t[0] for t in TYPES])
def test_types_and_values_are_kept(lab: Lab, expression: str, data_type: str, measure: str, value: Any) -> None:
    result = lab.run(
        f"SELECT CASE WHEN x.n = 1 THEN {expression} END AS v FROM (VALUES (1), (2)) AS x (n)", output=lab.output()
    )
    assert result.outcome is Outcome.SUCCEEDED, result.message
    ((declared, length, precision, scale),) = lab.query(
        "SELECT DATA_TYPE, CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE"
        " FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'results' AND COLUMN_NAME = 'v'"
    )
    assert declared == data_type
    if measure:
        assert measure in {str(length), f"{precision},{scale}"}
    kept = [row[0] for row in lab.query("SELECT v FROM results")]
    assert None in kept
    (found,) = [each for each in kept if each is not None]
    if isinstance(value, UUID):
        assert UUID(str(found)) == value
    elif isinstance(value, str) and data_type not in {"nvarchar"}:
        assert _time_text(found) == value
    else:
        assert found == value
        assert type(found) is type(value)


def _time_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return (
        str(value)
        if not hasattr(value, "microsecond")
        else value.isoformat(" ", "microseconds")
        if hasattr(value, "year")
        else value.isoformat("microseconds")
    )


def test_only_nulls_and_a_null_first(lab: Lab) -> None:
    result = lab.run(
        "SELECT CAST(NULL AS int) AS i, CAST(NULL AS nvarchar(10)) AS t, CAST(NULL AS decimal(9, 2)) AS d,"
        " CAST(NULL AS uniqueidentifier) AS u, CAST(NULL AS datetime2(3)) AS w UNION ALL"
        " SELECT 5, N'x', 1.25, '6F9619FF-8B86-D011-B42D-00C04FC964FF', '2024-01-01'",
        output=lab.output(),
    )
    assert result.outcome is Outcome.SUCCEEDED, result.message
    assert lab.query("SELECT COUNT(*), COUNT(i), COUNT(t), COUNT(d), COUNT(u), COUNT(w) FROM results") == [
        (2, 1, 1, 1, 1, 1)
    ]


def test_a_retry_replaces_what_the_same_execution_wrote_before(lab: Lab) -> None:
    first, second = new_id(), new_id()
    for execution in (first, second, first):
        result = lab.run("SELECT 1 AS i", output=lab.output(), internal_execution_id=execution)
        assert result.outcome is Outcome.SUCCEEDED, result.message
    rows = lab.query("SELECT internal_execution_id FROM results")
    assert sorted(UUID(str(row[0])) for row in rows) == sorted([first, second])


def test_nothing_is_kept_of_a_script_that_fails_later(lab: Lab) -> None:
    execution = new_id()
    script = "SELECT 1 AS i\nGO\nSELECT 1/0"
    failed = lab.run(script, output=lab.output(), internal_execution_id=execution)
    assert (failed.outcome, failed.error_number) == (Outcome.FAILED, 8134)
    assert lab.query("SELECT COUNT(*) FROM sys.tables WHERE name = 'results'") == [(0,)]
    again = lab.run("SELECT 1 AS i", output=lab.output(), internal_execution_id=execution)
    assert again.outcome is Outcome.SUCCEEDED
    assert lab.query("SELECT COUNT(*) FROM results") == [(1,)]


def test_an_output_connection_that_is_lost_leaves_nothing_and_a_retry_writes_once(lab: Lab) -> None:
    execution = new_id()
    lab.query("CREATE TABLE results (i int, internal_execution_id uniqueidentifier)")
    lab.control.add_fault("drop", "before", database=lab.database, text="INSERT INTO [dbo].[results]", count=1)
    failed = lab.run("SELECT 1 AS i", output=lab.output(), internal_execution_id=execution)
    assert (failed.outcome, failed.error_class) == (Outcome.FAILED, ErrorClass.TRANSIENT)
    assert "none of them are kept" in failed.message
    assert lab.query("SELECT COUNT(*) FROM results") == [(0,)]
    again = lab.run("SELECT 1 AS i", output=lab.output(), internal_execution_id=execution)
    assert again.outcome is Outcome.SUCCEEDED
    assert lab.query("SELECT COUNT(*) FROM results") == [(1,)]


def test_a_mixed_script(lab: Lab) -> None:
    lab.query("CREATE TABLE orders (id int, sent bit); INSERT orders VALUES (1, 0), (2, 0)")
    result = lab.run(
        "DECLARE @done bit = 0; SELECT id FROM orders WHERE sent = @done\nGO\nUPDATE orders SET sent = 1\nGO",
        output=lab.output(),
    )
    assert result.outcome is Outcome.SUCCEEDED, result.message
    assert lab.query("SELECT id FROM results ORDER BY id") == [(1,), (2,)]
    assert lab.query("SELECT COUNT(*) FROM orders WHERE sent = 1") == [(2,)]
    assert [m.row_count for m in result.messages if m.row_count is not None] == [2, 2]


def test_only_the_first_result_set_counts(lab: Lab) -> None:
    result = lab.run("PRINT 'x'; SELECT 1 AS i; SELECT 2 AS j\nGO\nSELECT 3 AS k", output=lab.output())
    assert result.outcome is Outcome.SUCCEEDED, result.message
    assert lab.query("SELECT i FROM results") == [(1,)]


def test_an_error_in_a_later_result_set(lab: Lab) -> None:
    result = lab.run("SELECT 1 AS i; SELECT 1/0 AS j", output=lab.output())
    assert (result.outcome, result.error_number) == (Outcome.FAILED, 8134)
    assert lab.query("SELECT COUNT(*) FROM sys.tables WHERE name = 'results'") == [(0,)]


def test_a_script_may_use_its_own_output_table(lab: Lab) -> None:
    script = "SELECT 1 AS i\nGO\nIF OBJECT_ID('dbo.results') IS NOT NULL UPDATE results SET i = i + 1"
    for _ in range(2):
        assert lab.run(script, output=lab.output()).outcome is Outcome.SUCCEEDED
    assert lab.query("SELECT i FROM results ORDER BY i") == [(1,), (2,)]


def test_an_error_before_the_first_result_set(lab: Lab) -> None:
    lab.query("CREATE TABLE t (i int)")
    result = lab.run("INSERT t VALUES (1); RAISERROR('no', 16, 1); SELECT 1 AS i", output=lab.output())
    assert (result.outcome, result.error_number) == (Outcome.FAILED, 50000)


def test_an_error_among_the_captured_rows(lab: Lab) -> None:
    lab.query("CREATE TABLE t (i int); INSERT t VALUES (2), (1), (0)")
    result = lab.run("SELECT 10 / i AS v FROM t", output=lab.output())
    assert (result.outcome, result.error_number) == (Outcome.FAILED, 8134)


def test_no_result_set_writes_nothing(lab: Lab) -> None:
    result = lab.run("CREATE TABLE t (i int)", output=lab.output())
    assert result.outcome is Outcome.SUCCEEDED
    assert notes(result) == ["The script returned no result set, so nothing was written to the output table."]
    assert lab.query("SELECT COUNT(*) FROM sys.tables WHERE name = 'results'") == [(0,)]


def test_an_empty_result_set_makes_the_table(lab: Lab) -> None:
    result = lab.run("SELECT CAST(1 AS int) AS i WHERE 1 = 0", output=lab.output())
    assert result.outcome is Outcome.SUCCEEDED, result.message
    assert lab.query("SELECT COUNT(*) FROM results") == [(0,)]


def test_unnamed_columns_are_called_by_their_place(lab: Lab) -> None:
    assert lab.run("SELECT 1, 2 AS b, 3", output=lab.output()).outcome is Outcome.SUCCEEDED
    assert lab.query("SELECT Column1, b, Column3 FROM results") == [(1, 2, 3)]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("SELECT 1 AS a, 2 AS A", ["'A', 'a'", "more than once"]),
        ("SELECT 1 AS Internal_Execution_Id", ["internal_execution_id"]),
        ("SELECT 1 AS i, 2 AS j, 3 AS k", ["no column 'j', 'k'"]),
    ],
)
def test_result_sets_that_do_not_fit(lab: Lab, script: str, words: list[str]) -> None:
    lab.query("CREATE TABLE results (i int, internal_execution_id uniqueidentifier)")
    result = lab.run(script, output=lab.output())
    assert (result.outcome, result.error_class) == (Outcome.FAILED, ErrorClass.SCRIPT)
    for word in words:
        assert word in result.message


def test_a_table_prepared_by_hand_in_another_order_and_case(lab: Lab) -> None:
    lab.query(
        "CREATE TABLE results (Internal_Execution_ID uniqueidentifier, more nvarchar(10), T nvarchar(10), I bigint)"
    )
    result = lab.run("SELECT 1 AS i, 'x' AS t", output=lab.output())
    assert result.outcome is Outcome.SUCCEEDED, result.message
    assert lab.query("SELECT I, T, more FROM results") == [(1, "x", None)]


def test_a_table_without_the_execution_column(lab: Lab) -> None:
    lab.query("CREATE TABLE results (i int)")
    result = lab.run("SELECT 1 AS i", output=lab.output())
    assert "no column 'internal_execution_id'" in result.message
    assert result.outcome is Outcome.FAILED


def test_names_with_brackets(lab: Lab) -> None:
    lab.query("CREATE SCHEMA [s]]x]")
    result = lab.run("SELECT 1 AS [a]]b], 2 AS [c d]", output=lab.output("t]1", schema_name="s]x"))
    assert result.outcome is Outcome.SUCCEEDED, result.message
    assert lab.query("SELECT [a]]b], [c d] FROM [s]]x].[t]]1]") == [(1, 2)]


def test_many_rows(lab: Lab) -> None:
    lab.query("CREATE TABLE n (i int); INSERT n VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)")
    result = lab.run(
        "SELECT a.i + 10 * b.i + 100 * c.i + 1000 * d.i AS v, N'some text' AS t FROM n a, n b, n c, n d",
        output=lab.output(),
    )
    assert result.outcome is Outcome.SUCCEEDED, result.message
    assert lab.query("SELECT COUNT(*), COUNT(DISTINCT v), MIN(v), MAX(v) FROM results") == [(10000, 10000, 0, 9999)]


def test_several_targets_make_the_table_at_once(lab: Lab) -> None:
    results: list[AttemptResult] = []
    start = threading.Barrier(6)

    def one(number: int) -> None:
        attempt = lab.attempt(f"SELECT {number} AS i", output=lab.output(), lock_resource=f"step {number}")
        start.wait(10)
        results.append(attempt.run())

    threads = [threading.Thread(target=one, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [result.outcome for result in results] == [Outcome.SUCCEEDED] * 6, [result.message for result in results]
    assert lab.query("SELECT i FROM results ORDER BY i") == [(number,) for number in range(6)]


def test_an_output_that_cannot_be_reached_stops_the_script_before_it_begins(lab: Lab) -> None:
    lab.query("CREATE TABLE t (i int)")
    for task in (
        lab.output(login=PasswordLogin("sqladmin", "wr0ng")),
        lab.output(database_name="nowhere"),
        lab.output(server_name="evil.example.com"),
    ):
        result = lab.run("INSERT t VALUES (1)", output=task)
        assert result.outcome is Outcome.FAILED
        assert "wr0ng" not in repr(result)
    assert lab.query("SELECT COUNT(*) FROM t") == [(0,)]


def test_a_table_that_may_not_be_made(lab: Lab) -> None:
    lab.control.add_fault("error", "before", number=262, database=lab.database, text="CREATE TABLE")
    result = lab.run("SELECT 1 AS i", output=lab.output())
    assert (result.outcome, result.error_number, result.error_class) == (Outcome.FAILED, 262, ErrorClass.PERMISSION)
    assert "Writing to output table [dbo].[results]" in result.message

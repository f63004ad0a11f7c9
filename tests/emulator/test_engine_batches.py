"""Control flow, messages, errors and what they do to the batch; procedures and executed text."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.sqlserver.contract import Done, Message, Parameter, SqlType
from local.sqlserver.engine.session import EngineSession

from .engine_support import Background, admin, ok, run, server, until


@pytest.fixture
def session() -> Iterator[EngineSession]:
    with server() as emulator:
        yield admin(emulator)


PRINTED: list[tuple[str, list[str]]] = [
    ("PRINT 'a' PRINT N'b'; PRINT 3", ["a", "b", "3"]),
    ("DECLARE @i int = 0; WHILE @i < 5 BEGIN SET @i += 1; IF @i = 2 CONTINUE; IF @i = 4 BREAK; PRINT @i END", ["1",
    "3"]),
    ("IF 1 = 2 PRINT 'x' ELSE IF 2 = 2 PRINT 'y' ELSE PRINT 'z'", ["y"]),
    ("IF 1 = 1 BEGIN PRINT 'a' PRINT 'b' END; ELSE PRINT 'c'", ["a", "b"]),
    ("DECLARE @a int, @b nvarchar(5) = 'abcdefg' SELECT @a = 2 SET @a *= 3 PRINT CONCAT(@a, @b)", ["6abcde"]),
    ("DECLARE @x int = 1 SELECT @x = x FROM (VALUES (5), (7)) AS v(x) WHERE x > 100 PRINT @x", ["1"]),
    ("DECLARE @x int SELECT @x = x FROM (VALUES (5), (7)) AS v(x) PRINT @x PRINT @@ROWCOUNT", ["7", "0"]),
    ("/* a /* nested */ comment */ PRINT 'a' -- and another\nPRINT 'b'", ["a", "b"]),
    ("RAISERROR('low %s %d %%', 10, 1, 'x', 5) WITH NOWAIT", ["low x 5 %"]),
    ("BEGIN TRY SELECT @@SPID / 0 AS x END TRY BEGIN CATCH PRINT ERROR_MESSAGE() END CATCH PRINT 'on'",
     ["Divide by zero error encountered.", "on"]),
    ("BEGIN TRY RAISERROR('boo', 16, 7) PRINT 'no' END TRY BEGIN CATCH PRINT CONCAT(ERROR_NUMBER(), ' ', "
     "ERROR_SEVERITY(), ' ', ERROR_STATE()) END CATCH", ["50000 16 7"]),
    ("BEGIN TRY\nPRINT 'a'\n\nSELECT 1/0\nEND TRY\nBEGIN CATCH\nPRINT ERROR_LINE() END CATCH", ["a", "4"]),
    ("BEGIN TRY BEGIN TRY THROW 50005, 'in', 1 END TRY BEGIN CATCH THROW END CATCH END TRY "
     "BEGIN CATCH PRINT ERROR_NUMBER() END CATCH", ["50005"]),
    ("BEGIN TRY RAISERROR('quiet', 5, 1) PRINT 'goes on' END TRY BEGIN CATCH PRINT 'no' END CATCH", ["quiet",
    "goes on"]),
    ("BEGIN TRY EXEC('SELECT * FROM missing') END TRY BEGIN CATCH PRINT ERROR_NUMBER() END CATCH", ["208"]),
    ("IF ERROR_NUMBER() IS NULL PRINT 'none'", ["none"]),
    ("EXEC('PRINT ''inner''')", ["inner"]),
    ("EXEC sp_executesql N'PRINT @a + @b', N'@a nvarchar(5), @b nvarchar(5)', N'x', @b = N'y'", ["xy"]),
    ("DECLARE @o int; EXEC sp_executesql N'SET @r = @n * 2', N'@n int, @r int OUTPUT', 21, @r = @o OUTPUT; PRINT @o",
    ["42"]),
    ("RETURN PRINT 'never'", []),
    ("PRINT 'a' RETURN; PRINT 'never'", ["a"]),
    ("DECLARE @d datetime = '2024-01-02' PRINT CONVERT(varchar(10), @d, 120)", ["2024-01-02"]),
    ("SET NOCOUNT ON SET XACT_ABORT ON; SET ANSI_NULLS, QUOTED_IDENTIFIER ON SET LOCK_TIMEOUT 100 PRINT @@LOCK_TIMEOUT",
     ["100"]),
    ("USE db1 PRINT DB_NAME()", ["db1"]),
    ("DECLARE @t TABLE (id int, name varchar(10)) INSERT @t VALUES (1, 'a'), (2, 'b') DELETE FROM @t WHERE id = 1 "
     "DECLARE @n varchar(10) SELECT @n = name FROM @t PRINT @n", ["b"]),
]  # fmt: skip


@pytest.mark.parametrize(("batch", "lines"), PRINTED, ids=[case[0][:60] for case in PRINTED])
def test_printed(session: EngineSession, batch: str, lines: list[str]) -> None:
    assert [line for line in ok(session, batch).prints if line != " "] == lines


FAILING: list[tuple[str, list[int], list[str]]] = [
    ("PRINT 'a' SELECT 1/0 PRINT 'b'", [8134], ["a", "b"]),
    ("PRINT 'a' RAISERROR('x', 16, 1) PRINT 'b'", [50000], ["a", "b"]),
    ("PRINT 'a'; THROW 50001, 'x', 1; PRINT 'b'", [50001], ["a"]),
    ("PRINT 'a' SELECT * FROM missing PRINT 'b'", [208], ["a"]),
    ("PRINT 'a' SELECT CAST('x' AS int) PRINT 'b'", [245], ["a"]),
    ("SET XACT_ABORT ON SELECT 1/0 PRINT 'b'", [8134], []),
    ("SET XACT_ABORT ON RAISERROR('x', 16, 1) PRINT 'b'", [50000], ["b"]),
    ("BEGIN TRY SELECT * FROM missing END TRY BEGIN CATCH PRINT 'caught' END CATCH PRINT 'b'", [208], []),
    ("PRINT 'a' SELEC 1", [102], []),
    ("PRINT 'a' SELECT FROM t", [156], []),
    ("SELECT 1 +", [102], []),
    ("PRINT 'unclosed", [105], []),
    ("/* open", [113], []),
    ("PRINT 'a' PRINT @x", [137], []),
    ("DECLARE @x int DECLARE @X int", [134], []),
    ("EXEC nosuch PRINT 'b'", [2812], ["b"]),
    ("USE master", [40508], []),
    ("COMMIT PRINT 'b'", [3902], ["b"]),
    ("ROLLBACK", [3903], []),
    ("THROW", [10704], []),
    ("RAISERROR('x', 20, 1)", [2754], []),
    ("WAITFOR DELAY '25:00'", [148], []),
    ("SELECT TOP 1 * FROM (SELECT 1 AS a ORDER BY a) AS t", [1033], []),
    ("SELECT @@SPID AS a UNION SELECT 1, 2", [205], []),
]  # fmt: skip


@pytest.mark.parametrize(("batch", "numbers", "lines"), FAILING, ids=[case[0][:60] for case in FAILING])
def test_failing(session: EngineSession, batch: str, numbers: list[int], lines: list[str]) -> None:
    result = run(session, batch)
    assert result.errors == numbers
    assert result.prints == lines
    assert ok(session, "SELECT 1").value == 1


REFUSED = [
    ("SELECT * FROM sys.tables AS t CROSS APPLY f(t.name)", "CROSS APPLY"),
    ("MERGE t USING s ON 1 = 1 WHEN MATCHED THEN DELETE;", "MERGE"),
    ("DECLARE c CURSOR FOR SELECT 1", "cursors"),
    ("BACKUP DATABASE db1 TO DISK = 'x'", "BACKUP"),
    ("SELECT * FROM t PIVOT (SUM(a) FOR b IN (c)) AS p", "PIVOT"),
    ("SELECT 1 FOR XML PATH", "FOR XML"),
    ("SAVE TRANSACTION s", "savepoints (SAVE TRANSACTION, ROLLBACK TRANSACTION name)"),
    ("CREATE TRIGGER t ON x AFTER INSERT AS SELECT 1", "CREATE TRIGGER"),
    ("EXECUTE AS USER = 'x'", "EXECUTE AS"),
    ("GOTO label", "GOTO"),
    ("SET IMPLICIT_TRANSACTIONS ON", "SET IMPLICIT_TRANSACTIONS ON"),
    ("SELECT * FROM OPENJSON('[]')", "OPENJSON as a table"),
    ("SELECT TOP 5 PERCENT name FROM sys.tables", "TOP .. PERCENT"),
    ("DBCC CHECKDB", "DBCC"),
]  # fmt: skip


@pytest.mark.parametrize(("batch", "what"), REFUSED, ids=[case[0][:50] for case in REFUSED])
def test_refused_by_name(session: EngineSession, batch: str, what: str) -> None:
    result = run(session, batch)
    assert [(m.severity, m.text) for m in result.messages] == [(16, f"The emulator does not support {what}.")]


def test_error_carries_line_state_and_severity(session: EngineSession) -> None:
    result = run(session, "\n\nTHROW 51000, 'third line', 9")
    assert result.messages == [Message(51000, 16, 9, 3, "third line")]
    result = run(session, "PRINT 1\nPRINT 2\nSELEC * FROM t")
    assert (result.errors, result.messages[0].line) == ([102], 3)


def test_columns_come_before_the_error(session: EngineSession) -> None:
    kinds = [type(event).__name__ for event in run(session, "SELECT 1/0").events]
    assert kinds == ["Columns", "Message", "Done"]


def test_counts_and_nocount(session: EngineSession) -> None:
    ok(session, "CREATE TABLE t (a int)")
    result = ok(session, "INSERT t VALUES (1), (2), (3) UPDATE t SET a = a + 1 WHERE a > 1 SELECT * FROM t DELETE t")
    assert [e for e in result.events if isinstance(e, Done)] == [Done(3), Done(2), Done(3, is_select=True), Done(3)]
    quiet = ok(session, "SET NOCOUNT ON INSERT t VALUES (1) SELECT * FROM t SELECT @@ROWCOUNT")
    assert quiet.counts == [None, None, None]
    assert quiet.sets[1] == [(1,)]


def test_rows_before_a_failure_are_kept(session: EngineSession) -> None:
    result = run(session, "SELECT 6 / x FROM (VALUES (3), (2), (0)) AS v(x)")
    assert result.errors == [8134]


def test_procedures(session: EngineSession) -> None:
    ok(session, "CREATE PROCEDURE dbo.twice @n int, @r int = 5 OUTPUT AS SET @r = @n * 2 PRINT 'in' RETURN 7")
    result = ok(session, "DECLARE @o int, @s int EXEC @s = twice 4, @o OUTPUT PRINT CONCAT(@o, '/', @s)")
    assert result.prints == ["in", "8/7"]
    assert ok(session, "twice @n = 1").prints == ["in"]
    assert run(session, "EXEC twice").errors == [201]
    assert run(session, "EXEC twice 1, 2, 3").errors == [8144]
    assert run(session, "EXEC twice @x = 1").errors == [8145]
    ok(session, "CREATE OR ALTER PROC twice AS SELECT 1")
    assert ok(session, "EXEC dbo.twice").value == 1
    assert run(session, "CREATE PROC twice AS SELECT 1").errors == [2714]
    ok(session, "DROP PROCEDURE IF EXISTS twice")
    assert run(session, "EXEC twice").errors == [2812]


def test_an_error_in_a_procedure_names_its_line(session: EngineSession) -> None:
    ok(session, "CREATE PROCEDURE p AS\nPRINT 'a'\nSELECT 1/0\nPRINT 'b'")
    result = run(session, "\n\n\n\n\nEXEC p")
    assert result.messages[1].line == 3
    assert result.prints == ["a", "b"]


def test_recursion_is_bounded(session: EngineSession) -> None:
    ok(session, "CREATE PROCEDURE p AS EXEC p")
    assert run(session, "EXEC p").errors == [217]


def test_output_parameters_come_back(session: EngineSession) -> None:
    parameters = [Parameter("@P1", SqlType("int"), 20), Parameter("@P2", SqlType("int"), None, output=True)]
    ok(session, "SET @P2 = @P1 + 1", parameters)
    assert session.outputs == {"@P2": 21}


def test_messages_are_not_held_back(session: EngineSession) -> None:
    events = session.execute("RAISERROR('now', 0, 1) WITH NOWAIT; WAITFOR DELAY '00:00:30'")
    assert next(events) == Message(50000, 0, 1, 1, "now")
    session.cancel()
    assert [e for e in events if isinstance(e, Message)] == []


@pytest.mark.parametrize(
    "batch",
    [
        "WAITFOR DELAY '00:10'",
        "WHILE 1 = 1 SELECT 1",
        "DECLARE @i int = 0 WHILE 1 = 1 SET @i = 1",
        "WITH n AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM n WHERE x < 2000000000) SELECT COUNT(*) FROM n",
    ],
)
def test_cancel_stops_the_batch(session: EngineSession, batch: str) -> None:
    running = Background(session, batch)
    until(lambda: session.running, "the batch to run")
    session.cancel()
    result = running.wait()
    assert result.errors == []
    assert ok(session, "SELECT 1").value == 1


def test_cancel_of_an_idle_session_does_nothing(session: EngineSession) -> None:
    session.cancel()
    assert ok(session, "SELECT 1").value == 1

# ruff: noqa: DTZ001 - the date and time types of T-SQL have no zone
"""Expressions: values, types and errors, each as one ``SELECT``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from local.sqlserver.engine.session import EngineSession

from .engine_support import NOW, admin, ok, run, server


@pytest.fixture(scope="module")
def session() -> Iterator[EngineSession]:
    with server() as emulator:
        yield admin(emulator)


NAIVE = NOW.replace(tzinfo=None)
VALUES: list[tuple[str, object, str]] = [
    ("1", 1, "int"),
    ("-7 / 2", -3, "int"),
    ("-7 % 3", -1, "int"),
    ("7 / 2.0", Decimal("3.500000"), "numeric(8,6)"),
    ("2.0 / 3", Decimal("0.666666"), "numeric(7,6)"),
    ("1.25", Decimal("1.25"), "numeric(3,2)"),
    ("1.10 + 2.205", Decimal("3.305"), "numeric(5,3)"),
    ("CAST(0.1 AS decimal(18,2)) * 3", Decimal("0.30"), "numeric(20,2)"),
    ("0.1e0 + 0.2e0", 0.1 + 0.2, "float"),
    ("2147483648", Decimal(2147483648), "numeric(10,0)"),
    ("CAST(9223372036854775807 AS bigint)", 2**63 - 1, "bigint"),
    ("5 & 3 | 8 ^ 1", 8, "int"),
    ("~5", -6, "int"),
    ("- 3 - -2", -1, "int"),
    ("'a' + 'b'", "ab", "varchar(2)"),
    ("N'ä' + 'b'", "äb", "nvarchar(2)"),
    ("'5' + 3", 8, "int"),
    ("'x' + CAST(5 AS varchar(10))", "x5", "varchar(11)"),
    ("NULL", None, "int"),
    ("1 + NULL", None, "int"),
    ("'it''s'", "it's", "varchar(4)"),
    ("0xCAFE", b"\xca\xfe", "varbinary(2)"),
    ("$12.5", Decimal("12.5000"), "money"),
    ("CASE WHEN 1 = 2 THEN 'a' ELSE NULL END", None, "varchar(1)"),
    ("CASE 2 WHEN 1 THEN 'one' WHEN 2 THEN 'two' END", "two", "varchar(3)"),
    ("CASE WHEN 1 = 1 THEN 1 ELSE 2.5 END", Decimal("1.0"), "numeric(11,1)"),
    ("IIF(2 > 1, 'yes', 'no')", "yes", "varchar(3)"),
    ("CHOOSE(2, 'a', 'b')", "b", "varchar(1)"),
    ("ISNULL(CAST(NULL AS varchar(3)), 'abcdef')", "abc", "varchar(3)"),
    ("COALESCE(NULL, 2)", 2, "int"),
    ("NULLIF(1, 1)", None, "int"),
    ("NULLIF('a', 'B')", "a", "varchar(1)"),
    ("LEN('ab  ')", 2, "int"),
    ("DATALENGTH(N'ab')", 4, "int"),
    ("LEFT('abc', 2) + RIGHT('abc', 1)", "abc", "varchar(6)"),
    ("SUBSTRING('abcdef', 2, 3)", "bcd", "varchar(6)"),
    ("SUBSTRING('abc', 0, 2)", "a", "varchar(3)"),
    ("CHARINDEX('B', 'abc')", 2, "int"),
    ("PATINDEX('%[0-9]%', 'ab3')", 3, "int"),
    ("REPLACE('aXbx', 'x', '-')", "a-b-", "varchar(8000)"),
    ("STUFF('abc', 2, 1, 'XY')", "aXYc", "varchar(8000)"),
    ("UPPER('aß') + LOWER('B')", "ASSb", "varchar(3)"),
    ("LTRIM(RTRIM('  a '))", "a", "varchar(4)"),
    ("TRIM('  a ')", "a", "varchar(4)"),
    ("CONCAT('a', NULL, 1)", "a1", "varchar(8000)"),
    ("REPLICATE('ab', 2) + SPACE(1) + '.'", "abab .", "varchar(8000)"),
    ("QUOTENAME('a]b')", "[a]]b]", "nvarchar(258)"),
    ("FORMATMESSAGE('%s is %d', 'x', 5)", "x is 5", "nvarchar(4000)"),
    ("ASCII('A') + UNICODE(N'ä')", 65 + 228, "int"),
    ("CHAR(65)", "A", "char(1)"),
    ("ABS(-3)", 3, "int"),
    ("ROUND(2.345, 2)", Decimal("2.350"), "numeric(4,3)"),
    ("ROUND(-2.5, 0)", Decimal("-3.0"), "numeric(2,1)"),
    ("CEILING(1.2) + FLOOR(-1.2)", Decimal(0), "numeric(3,0)"),
    ("POWER(2, 10)", 1024, "int"),
    ("SIGN(-4)", -1, "int"),
    ("SQRT(9)", 3.0, "float"),
    ("CAST('12' AS int) + 1", 13, "int"),
    ("CAST(' 12 ' AS int)", 12, "int"),
    ("CAST(2.9 AS int)", 2, "int"),
    ("CAST(-2.9e0 AS int)", -2, "int"),
    ("CAST(2.5 AS money)", Decimal("2.5000"), "money"),
    ("CAST('1,234.5' AS money)", Decimal("1234.5000"), "money"),
    ("CAST(12345.678 AS decimal(10,2))", Decimal("12345.68"), "decimal(10,2)"),
    ("CAST('abc' AS char(5)) + '.'", "abc  .", "varchar(6)"),
    ("CAST('abcdef' AS varchar(3))", "abc", "varchar(3)"),
    ("CAST(1 AS bit)", True, "bit"),
    ("CAST('true' AS bit)", True, "bit"),
    ("CAST(258 AS varbinary(4))", b"\x00\x00\x01\x02", "varbinary(4)"),
    ("CONVERT(varchar(10), 0xCAFE, 1)", "0xCAFE", "varchar(10)"),
    ("TRY_CAST('x' AS int)", None, "int"),
    ("TRY_CONVERT(date, '2024-02-30')", None, "date"),
    ("CAST('2024-02-29' AS date)", date(2024, 2, 29), "date"),
    ("CAST('20240229' AS datetime)", datetime(2024, 2, 29), "datetime"),
    ("CAST('2024-02-29T10:11:12.1234567' AS datetime2)", datetime(2024, 2, 29, 10, 11, 12, 123457), "datetime2(7)"),
    ("CAST('2024-02-29 10:11:12.127' AS datetime)", datetime(2024, 2, 29, 10, 11, 12, 127000), "datetime"),
    ("CAST('2024-02-29 10:11:12.126' AS datetime)", datetime(2024, 2, 29, 10, 11, 12, 127000), "datetime"),
    ("CAST('10:11:12' AS time(0))", time(10, 11, 12), "time(0)"),
    ("CAST('2024-01-01 00:00:00 +02:00' AS datetimeoffset)",
     datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2))), "datetimeoffset(7)"),
    ("CONVERT(varchar(30), CAST('2024-02-03 04:05:06.789' AS datetime2(3)), 126)", "2024-02-03T04:05:06.789",
    "varchar(30)"),
    ("CONVERT(varchar(19), CAST('2024-02-03 04:05:06' AS datetime), 120)", "2024-02-03 04:05:06", "varchar(19)"),
    ("CONVERT(char(8), CAST('2024-02-03' AS date), 112)", "20240203", "char(8)"),
    ("CAST(CAST('2024-02-03 16:05' AS datetime) AS varchar(30))", "Feb  3 2024  4:05PM", "varchar(30)"),
    ("DATEADD(month, 1, CAST('2024-01-31' AS date))", date(2024, 2, 29), "date"),
    ("DATEADD(day, -1, '2024-03-01')", datetime(2024, 2, 29), "datetime"),
    ("CAST('2024-03-01' AS datetime) - 1", datetime(2024, 2, 29), "datetime"),
    ("DATEDIFF(day, '2024-01-01', '2024-03-01')", 60, "int"),
    ("DATEDIFF(year, '2023-12-31', '2024-01-01')", 1, "int"),
    ("DATEPART(weekday, '2024-03-03')", 1, "int"),
    ("DATENAME(month, '2024-03-03')", "March", "nvarchar(30)"),
    ("YEAR('2024-03-03') * 100 + MONTH('2024-03-03')", 202403, "int"),
    ("EOMONTH('2024-02-03')", date(2024, 2, 29), "date"),
    ("GETDATE()", NAIVE.replace(microsecond=537000), "datetime"),
    ("SYSUTCDATETIME()", NAIVE, "datetime2(7)"),
    ("CAST('6F9619FF-8B86-D011-B42D-00C04FC964FF' AS uniqueidentifier)",
     UUID("6F9619FF-8B86-D011-B42D-00C04FC964FF"), "uniqueidentifier"),
    ("HASHBYTES('SHA2_256', 'abc')",
     bytes.fromhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), "varbinary(64)"),
    ("DB_NAME()", "db1", "nvarchar(128)"),
    ("SUSER_SNAME()", "sqladmin", "nvarchar(128)"),
    ("SYSTEM_USER", "sqladmin", "nvarchar(128)"),
    ("USER_NAME()", "dbo", "nvarchar(128)"),
    ("CURRENT_USER", "dbo", "nvarchar(128)"),
    ("ORIGINAL_LOGIN()", "sqladmin", "nvarchar(128)"),
    ("SCHEMA_NAME()", "dbo", "nvarchar(128)"),
    ("SCHEMA_ID('dbo')", 1, "int"),
    ("DB_ID('master')", 1, "int"),
    ("@@SERVERNAME", "server1", "nvarchar(128)"),
    ("@@TRANCOUNT", 0, "int"),
    ("SERVERPROPERTY('EngineEdition')", "5", "nvarchar(128)"),
    ("DATABASEPROPERTYEX('db1', 'Status')", "ONLINE", "nvarchar(128)"),
    ("XACT_STATE()", 0, "smallint"),
    ("OBJECT_ID('nothing')", None, "int"),
    ("(SELECT MAX(x) FROM (VALUES (1), (3), (2)) AS v(x))", 3, "int"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "value", "declared"), VALUES, ids=[case[0][:50] for case in VALUES])
def test_value_and_type(session: EngineSession, expression: str, value: object, declared: str) -> None:
    result = ok(session, f"SELECT {expression} AS x")
    assert result.value == value
    assert type(result.value) is type(value)
    assert result.declared() == [declared]


CONDITIONS = [
    ("'abc' = 'ABC'", True), ("'abc' = 'abc  '", True), ("N'É' = N'é'", True), ("'a' < 'B'", True),
    ("'abc' LIKE 'A_c'", True), ("'abc' LIKE '%[x-z]%'", False), ("'a%' LIKE 'a!%' ESCAPE '!'", True),
    ("'abc' NOT LIKE 'b%'", True), ("'10' = 10", True), ("10 = 10.00", True), ("1.5 > 1", True), ("'9' > 10", False),
    ("CAST(10.5 AS decimal(5,1)) > CAST(9.25 AS decimal(5,2))", True), ("NULL = NULL", False), ("NULL IS NULL", True),
    ("NOT (1 = 1 AND 2 = 3)", True), ("1 IN (3, 2, 1)", True), ("'B' IN ('a', 'b')", True), ("1 NOT IN (2, NULL)",
    False),
    ("2 BETWEEN 1 AND 3", True), ("2 NOT BETWEEN 1 AND 3", False), ("EXISTS (SELECT 1)", True),
    ("1 IN (SELECT 1 UNION SELECT 2)", True), ("CAST('2024-01-01' AS date) = '20240101'", True),
    ("CAST('2024-01-01' AS datetime2(3)) < CAST('2024-01-01 00:00:01' AS datetime)", True),
    ("'6f9619ff-8b86-d011-b42d-00c04fc964ff' = CAST('6F9619FF-8B86-D011-B42D-00C04FC964FF' AS uniqueidentifier)", True),
    ("'A' = 'a' COLLATE Latin1_General_BIN", False), ("1 !< 2", False), ("1 <> 2 OR 1/0 = 1", True),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "holds"), CONDITIONS, ids=[case[0][:50] for case in CONDITIONS])
def test_condition(session: EngineSession, condition: str, holds: bool) -> None:
    assert ok(session, f"IF {condition} SELECT 1 ELSE SELECT 0").value == int(holds)


ERRORS = [
    ("1/0", 8134, "Divide by zero error encountered."),
    ("1.0/0", 8134, "Divide by zero error encountered."),
    ("1e0/0", 8134, "Divide by zero error encountered."),
    ("5 % 0", 8134, "Divide by zero error encountered."),
    ("2147483647 + 1", 8115, "Arithmetic overflow error converting expression to data type int."),
    ("CAST(9223372036854775807 AS bigint) + 1", 8115,
     "Arithmetic overflow error converting expression to data type bigint."),
    ("CAST(300 AS tinyint)", 220, "Arithmetic overflow error for data type tinyint, value = 300."),
    ("CAST(1000 AS decimal(3,1))", 8115, "Arithmetic overflow error converting int to data type numeric."),
    ("CAST('abc' AS int)", 245, "Conversion failed when converting the varchar value 'abc' to data type int."),
    ("'abc' + 1", 245, "Conversion failed when converting the varchar value 'abc' to data type int."),
    ("CAST('99999999999' AS int)", 248, "The conversion of the varchar value '99999999999' overflowed an int column."),
    ("CAST('x' AS decimal(5,2))", 8114, "Error converting data type varchar to numeric."),
    ("CAST('x' AS uniqueidentifier)", 8169,
     "Conversion failed when converting from a character string to uniqueidentifier."),
    ("CAST('soon' AS datetime)", 241, "Conversion failed when converting date and/or time from character string."),
    ("CAST('2024-02-30' AS datetime)", 242,
     "The conversion of a varchar data type to a datetime data type resulted in an out-of-range value."),
    ("LEFT('a', -1)", 536, "Invalid length parameter passed to the LEFT function."),
    ("CAST(CAST('2024-01-01' AS date) AS int)", 529, "Explicit conversion from data type date to int is not allowed."),
    ("(SELECT x FROM (VALUES (1), (2)) AS v(x))", 512,
     "Subquery returned more than 1 value. This is not permitted when the subquery follows =, !=, <, <= , >, >= or "
     "when the subquery is used as an expression."),
    ("nosuch(1)", 195, "'nosuch' is not a recognized built-in function name."),
    ("missing", 207, "Invalid column name 'missing'."),
    ("t.missing", 4104, 'The multi-part identifier "t.missing" could not be bound.'),
    ("DATEADD(fortnight, 1, GETDATE())", 155, "'fortnight' is not a recognized datepart option."),
    ("FORMAT(1, 'N')", 40510, "The emulator does not support the function FORMAT."),
    ("CAST(1 AS xml)", 40510, "The emulator does not support the data type xml."),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "number", "text"), ERRORS, ids=[case[0][:50] for case in ERRORS])
def test_error(session: EngineSession, expression: str, number: int, text: str) -> None:
    result = run(session, f"SELECT {expression}")
    assert [(m.number, m.text) for m in result.messages] == [(number, text)]
    assert ok(session, "SELECT 1").value == 1


def test_newid_is_new_for_every_row(session: EngineSession) -> None:
    rows = ok(session, "SELECT NEWID() FROM (VALUES (1), (2), (3)) AS v(x)").rows
    assert len({row[0] for row in rows}) == 3


def test_version_says_that_it_is_no_sql_server(session: EngineSession) -> None:
    assert "emulator" in str(ok(session, "SELECT @@VERSION").value)

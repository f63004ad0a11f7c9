# ruff: noqa: DTZ001 - the date and time types of T-SQL have no zone
"""Tables: definitions, changes of rows, constraints, the catalogue views, and the scripts that elastic jobs run."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal

import pytest

from local.sqlserver.contract import Parameter, SqlType
from local.sqlserver.engine.session import EngineSession

from .engine_support import admin, ok, run, server

STEP1 = (
    "IF NOT EXISTS (SELECT * FROM sys.tables WHERE object_id = object_id('Step1Table')) "
    "CREATE TABLE [dbo].[Step1Table]([TestId] [int] NOT NULL);"
)


@pytest.fixture
def session() -> Iterator[EngineSession]:
    with server() as emulator:
        yield admin(emulator)


@pytest.fixture
def people(session: EngineSession) -> EngineSession:
    ok(session, """
        CREATE TABLE people (id int IDENTITY(10, 5) PRIMARY KEY, name nvarchar(20) NOT NULL, age int NULL,
                             pay decimal(10, 2) NOT NULL DEFAULT 1.5, CONSTRAINT UQ_name UNIQUE (name))
        INSERT INTO people (name, age) VALUES (N'Ann', 30), (N'Bob', NULL), (N'Cid', 20)
        INSERT people (name, age, pay) VALUES ('Dee', 30, 1000.10)""")  # fmt: skip
    return session


def test_the_tutorials_statement_twice(session: EngineSession) -> None:
    ok(session, STEP1)
    ok(session, STEP1)
    assert ok(session, "SELECT name FROM sys.tables").rows == [("Step1Table",)]
    assert ok(session, "SELECT TestId FROM dbo.Step1Table").rows == []


QUERIES: list[tuple[str, list[tuple[object, ...]]]] = [
    ("SELECT id, name FROM people WHERE name = 'ANN'", [(10, "Ann")]),
    ("SELECT TOP 2 name FROM people ORDER BY id DESC", [("Dee",), ("Cid",)]),
    ("SELECT TOP (1) p.name AS n FROM dbo.people p ORDER BY n DESC", [("Dee",)]),
    ("SELECT name FROM people ORDER BY age, name DESC", [("Bob",), ("Cid",), ("Dee",), ("Ann",)]),
    ("SELECT age, COUNT(*) AS n, SUM(pay) FROM people GROUP BY age HAVING COUNT(*) > 1", [(30, 2, Decimal("1001.60"))]),
    ("SELECT COUNT(age), COUNT(DISTINCT age), AVG(age), MIN(name), MAX(pay) FROM people",
     [(3, 2, 26, "Ann", Decimal("1000.10"))]),
    ("SELECT AVG(pay) FROM people WHERE age = 30", [(Decimal("500.800000"),)]),
    ("SELECT DISTINCT age FROM people ORDER BY age", [(None,), (20,), (30,)]),
    ("SELECT a.name, b.name FROM people a JOIN people b ON a.age = b.age AND a.id < b.id", [("Ann", "Dee")]),
    ("SELECT a.name FROM people a LEFT JOIN people b ON a.age = b.age WHERE b.id IS NULL", [("Bob",)]),
    ("SELECT name FROM people WHERE EXISTS (SELECT 1 FROM people q WHERE q.age > people.age) ORDER BY 1", [("Cid",)]),
    ("SELECT name FROM people WHERE age = (SELECT MIN(age) FROM people)", [("Cid",)]),
    ("WITH old (n) AS (SELECT name FROM people WHERE age > 25) SELECT n FROM old ORDER BY n", [("Ann",), ("Dee",)]),
    ("WITH n AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM n WHERE x < 3) SELECT x FROM n", [(1,), (2,), (3,)]),
    ("SELECT name FROM people ORDER BY id OFFSET 1 ROWS FETCH NEXT 2 ROWS ONLY", [("Bob",), ("Cid",)]),
    ("SELECT COUNT(*) FROM (SELECT 'a' AS x UNION SELECT 'A' UNION ALL SELECT 'b') AS u", [(2,)]),
    ("SELECT 1 AS x UNION ALL SELECT 2.5 ORDER BY 1 DESC", [(Decimal("2.5"),), (Decimal("1.0"),)]),
    ("SELECT x FROM (VALUES (1), (2)) AS a(x) EXCEPT SELECT 1", [(2,)]),
    ("SELECT x FROM (VALUES (1), (2)) AS a(x) INTERSECT SELECT 2", [(2,)]),
    ("SELECT STRING_AGG(name, ', ') WITHIN GROUP (ORDER BY name DESC) FROM people", [("Dee, Cid, Bob, Ann",)]),
    ("SELECT name, ROW_NUMBER() OVER (PARTITION BY age ORDER BY id) AS r FROM people WHERE age = 30 ORDER BY id",
     [("Ann", 1), ("Dee", 2)]),
    ("SELECT SUM(age) OVER () FROM people WHERE age = 30", [(60,), (60,)]),
    ("SELECT d.n FROM (SELECT COUNT(*) FROM people) AS d(n)", [(4,)]),
    ("SELECT p.* FROM people AS p WITH (NOLOCK) WHERE id = 10", [(10, "Ann", 30, Decimal("1.50"))]),
    ("SELECT total = pay * 2 FROM people WHERE [name] = 'ann'", [(Decimal("3.00"),)]),
    ("SELECT name FROM people WHERE pay > 1.49 AND pay < 2 AND age IN (30)", [("Ann",)]),
    ("SELECT name FROM people WHERE id = '25'", [("Dee",)]),
    ("SELECT CASE WHEN age IS NULL THEN 'none' ELSE CAST(age AS varchar(3)) END FROM people WHERE id < 20",
     [("30",), ("none",)]),
    ("SELECT age % 7, name FROM people WHERE age > 20 GROUP BY age % 7, name ORDER BY name", [(2, "Ann"), (2, "Dee")]),
]  # fmt: skip


@pytest.mark.parametrize(("query", "rows"), QUERIES, ids=[case[0][:60] for case in QUERIES])
def test_query(people: EngineSession, query: str, rows: list[tuple[object, ...]]) -> None:
    assert ok(people, query).rows == rows


ERRORS: list[tuple[str, list[int], str]] = [
    ("INSERT people (name) VALUES ('ann')", [2627],
     "Violation of UNIQUE KEY constraint 'UQ_name'. Cannot insert duplicate key in object 'dbo.people'."),
    ("INSERT people (name) VALUES (NULL)", [515],
     "Cannot insert the value NULL into column 'name', table 'db1.dbo.people'; column does not allow nulls. INSERT "
     "fails."),
    ("UPDATE people SET name = NULL", [515],
     "Cannot insert the value NULL into column 'name', table 'db1.dbo.people'; column does not allow nulls. UPDATE "
     "fails."),
    ("INSERT people (name) VALUES ('a name that is much too long')", [2628],
     "String or binary data would be truncated in table 'dbo.people', column 'name'. Truncated value: 'a name that is "
     "much '."),
    ("INSERT people (id, name) VALUES (1, 'x')", [544],
     "Cannot insert explicit value for identity column in table 'people' when IDENTITY_INSERT is set to OFF."),
    ("UPDATE people SET id = 1", [8102], "Cannot update identity column 'id'."),
    ("INSERT people VALUES (1)", [213], "Column name or number of supplied values does not match table definition."),
    ("INSERT people (nope) VALUES (1)", [207], "Invalid column name 'nope'."),
    ("SELECT nope FROM people", [207], "Invalid column name 'nope'."),
    ("SELECT name FROM people a, people b", [209], "Ambiguous column name 'name'."),
    ("SELECT * FROM people, people", [1013],
     'The objects "people" and "people" in the FROM clause have the same exposed names. Use correlation names to '
     "distinguish them."),
    ("SELECT name, COUNT(*) FROM people", [8120],
     "Column 'name' is invalid in the select list because it is not contained in either an aggregate function or the "
     "GROUP BY clause."),
    ("CREATE TABLE people (a int)", [2714], "There is already an object named 'people' in the database."),
    ("DROP TABLE nothing", [3701],
     "Cannot drop the table 'nothing', because it does not exist or you do not have permission."),
    ("CREATE INDEX UQ_name ON people (age)", [1913],
     "The operation failed because an index or statistics with name 'UQ_name' already exists on table 'dbo.people'."),
    ("CREATE TABLE t (a int, A int)", [2705],
     "Column names in each table must be unique. Column name 'A' in table 't' is specified more than once."),
    ("CREATE TABLE nowhere.t (a int)", [2760],
     'The specified schema name "nowhere" either does not exist or you do not have permission to use it.'),
    ("SELECT * FROM other.dbo.t", [40515],
     "Reference to database and/or server name in 'other.dbo.t' is not supported in this version of SQL Server."),
]  # fmt: skip


@pytest.mark.parametrize(("batch", "numbers", "text"), ERRORS, ids=[case[0][:60] for case in ERRORS])
def test_error(people: EngineSession, batch: str, numbers: list[int], text: str) -> None:
    result = run(people, batch)
    assert result.errors == numbers
    assert result.messages[0].text == text
    assert ok(people, "SELECT COUNT(*) FROM people").value == 4


def test_a_failed_change_says_that_it_ended(people: EngineSession) -> None:
    result = run(people, "INSERT people (name) VALUES ('new'), ('ann') SELECT COUNT(*) FROM people")
    assert [m.number for m in result.messages] == [2627, 3621]
    assert result.sets == [[(4,)]]


def test_identity(people: EngineSession) -> None:
    assert ok(people, "INSERT people (name) VALUES ('Eve') SELECT SCOPE_IDENTITY(), @@IDENTITY").sets[-1] == [
        (Decimal(30), Decimal(30))
    ]
    ok(
        people,
        "SET IDENTITY_INSERT people ON INSERT people (id, name) VALUES (100, 'Fay') SET IDENTITY_INSERT people OFF",
    )
    ok(people, "INSERT people (name) VALUES ('Gus')")
    assert ok(people, "SELECT MAX(id) FROM people").value == 105
    ok(people, "TRUNCATE TABLE people INSERT people (name) VALUES ('Hal')")
    assert ok(people, "SELECT id FROM people").value == 10


def test_changes_with_joins_top_and_output(people: EngineSession) -> None:
    ok(people, "CREATE TABLE raise (name nvarchar(20), factor int) INSERT raise VALUES ('ann', 3), ('bob', 4)")
    result = ok(people, "UPDATE p SET p.pay = p.pay * r.factor FROM people p JOIN raise r ON r.name = p.name")
    assert result.counts == [2]
    assert ok(people, "SELECT pay FROM people WHERE id <= 15").rows == [(Decimal("4.50"),), (Decimal("6.00"),)]
    assert ok(people, "DELETE TOP (1) FROM people OUTPUT deleted.id, deleted.name WHERE age = 30").rows == [(10, "Ann")]
    assert ok(people, "DELETE p FROM people AS p INNER JOIN raise AS r ON p.name = r.name").counts == [1]
    assert ok(people, "INSERT people (name) OUTPUT inserted.id VALUES ('x')").rows == [(30,)]
    assert ok(people, "UPDATE people SET age = 1 OUTPUT inserted.name AS who WHERE name = 'x'").rows == [("x",)]
    assert run(people, "UPDATE people SET age = 1 OUTPUT deleted.age").errors == [40510]


def test_insert_from_query_and_select_into(people: EngineSession) -> None:
    assert ok(people, "INSERT INTO people (name, age) SELECT name + '2', age FROM people").counts == [4]
    assert ok(people, "SELECT id, name, pay * 2 AS twice INTO copy FROM people WHERE age = 30").counts == [4]
    assert ok(people, "SELECT TOP 1 * FROM copy").declared() == ["int", "nvarchar(20)", "numeric(12,2)"]
    assert run(people, "SELECT 1 INTO bad").errors == [1038]
    assert ok(people, "SELECT COUNT(*) FROM copy").value == 4


def test_temporary_tables_belong_to_the_session(session: EngineSession) -> None:
    ok(session, "CREATE TABLE #t (id int IDENTITY, a nvarchar(5)) INSERT #t VALUES ('x') SELECT * INTO #u FROM #t")
    assert ok(session, "SELECT id, a FROM #u").rows == [(1, "x")]
    other = admin(session.server)
    assert run(other, "SELECT * FROM #t").errors == [208]
    assert ok(session, "SELECT CASE WHEN OBJECT_ID('tempdb..#t') IS NULL THEN 0 ELSE 1 END").value == 1
    ok(session, "DROP TABLE IF EXISTS #t, #nothing")
    assert run(session, "SELECT * FROM #t").errors == [208]


def test_alter_table(people: EngineSession) -> None:
    ok(people, "ALTER TABLE people ADD city varchar(10) NULL, level int NOT NULL DEFAULT 7")
    assert ok(people, "SELECT TOP 1 city, level FROM people").rows == [(None, 7)]
    assert run(people, "ALTER TABLE people ADD bad int NOT NULL").errors == [4901]
    ok(people, "UPDATE people SET city = '12' ALTER TABLE people ALTER COLUMN city int NOT NULL")
    assert ok(people, "SELECT TOP 1 city FROM people").rows == [(12,)]
    assert run(people, "INSERT people (name) VALUES ('z')").errors == [515]
    ok(people, "ALTER TABLE people DROP COLUMN city")
    assert run(people, "SELECT city FROM people").errors == [207]
    ok(people, "ALTER TABLE people DROP CONSTRAINT UQ_name INSERT people (name) VALUES ('Ann')")
    ok(people, "ALTER TABLE people ADD CONSTRAINT DF_age DEFAULT 99 FOR age INSERT people (name) VALUES ('q')")
    assert ok(people, "SELECT age FROM people WHERE name = 'q'").value == 99
    assert run(people, "ALTER TABLE people ADD CONSTRAINT UQ2 UNIQUE (name)").errors == [2627]


def test_constraints(session: EngineSession) -> None:
    ok(session, """CREATE TABLE parent (id int PRIMARY KEY)
        CREATE TABLE child (id int NOT NULL CONSTRAINT CK_id CHECK (id > 0 AND id % 2 = 0), p int NULL
                            REFERENCES parent (id), code varchar(5) UNIQUE)
        INSERT parent VALUES (1)""")  # fmt: skip
    ok(session, "INSERT child VALUES (2, 1, NULL), (4, NULL, 'a')")
    assert run(session, "INSERT child VALUES (3, 1, 'b')").errors == [547]
    assert run(session, "INSERT child VALUES (6, 9, 'b')").errors == [547]
    assert run(session, "INSERT child VALUES (6, 1, NULL)").errors == [2627]
    assert run(session, "DELETE parent").errors == [547]
    assert run(session, "DROP TABLE parent").errors == [3726]
    ok(session, "CREATE UNIQUE INDEX ux ON child (p) WHERE p IS NOT NULL")
    ok(session, "INSERT child VALUES (8, NULL, 'c')")
    assert run(session, "INSERT child VALUES (10, 1, 'd')").errors == [2601]


def test_views_and_schemas(people: EngineSession) -> None:
    ok(people, "CREATE SCHEMA app")
    ok(people, "CREATE VIEW app.adults AS SELECT name, age FROM dbo.people WHERE age >= 30")
    assert ok(people, "SELECT name FROM app.adults ORDER BY name").rows == [("Ann",), ("Dee",)]
    assert ok(people, "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM INFORMATION_SCHEMA.TABLES ORDER BY 2").rows == [
        ("app", "adults", "VIEW"), ("dbo", "people", "BASE TABLE"),
    ]  # fmt: skip
    assert run(people, "DROP SCHEMA app").errors == [3729]
    assert run(people, "CREATE VIEW bad AS SELECT 1").errors == [8155]
    ok(people, "DROP VIEW app.adults DROP SCHEMA app")


def test_definitions_roll_back(session: EngineSession) -> None:
    ok(session, "BEGIN TRAN CREATE TABLE t (a int) INSERT t VALUES (1) SELECT * FROM t")
    other = admin(session.server)
    assert run(other, "SELECT * FROM t").errors == [208]
    ok(session, "ROLLBACK")
    assert run(session, "SELECT * FROM t").errors == [208]
    ok(session, "BEGIN TRAN CREATE TABLE t (a int, b int) COMMIT")
    assert ok(other, "SELECT * FROM t").rows == []


ALL_TYPES: list[tuple[str, SqlType, object]] = [
    ("bit", SqlType("bit"), True), ("tinyint", SqlType("tinyint"), 200), ("smallint", SqlType("smallint"), -5),
    ("int", SqlType("int"), 2**31 - 1), ("bigint", SqlType("bigint"), -(2**63)),
    ("decimal(38,10)", SqlType("decimal", precision=38, scale=10), Decimal("1234567890123456789012345678.0123456789")),
    ("numeric(5,0)", SqlType("numeric", precision=5), Decimal(-12345)),
    ("money", SqlType("money", precision=19, scale=4), Decimal("922337203685477.5807")),
    ("smallmoney", SqlType("smallmoney", precision=10, scale=4), Decimal("-1.0001")), ("float", SqlType("float"), 0.1),
    ("real", SqlType("real"), 0.5), ("char(5)", SqlType("char", length=5), "ab   "),
    ("varchar(10)", SqlType("varchar", length=10), "it's"), ("varchar(max)", SqlType("varchar", length=-1), "x" * 9000),
    ("nchar(3)", SqlType("nchar", length=3), "äöü"), ("nvarchar(10)", SqlType("nvarchar", length=10), "日本"),
    ("nvarchar(max)", SqlType("nvarchar", length=-1), "é" * 5000), ("binary(4)", SqlType("binary", length=4),
    b"\0\1\2\3"),
    ("varbinary(4)", SqlType("varbinary", length=4), b"\xff"), ("varbinary(max)", SqlType("varbinary", length=-1),
    b"\0" * 9000),
    ("uniqueidentifier", SqlType("uniqueidentifier"), uuid.UUID(int=5)), ("date", SqlType("date"), date(1, 1, 1)),
    ("time(3)", SqlType("time", scale=3), time(23, 59, 59, 999000)),
    ("datetime", SqlType("datetime", scale=3), datetime(1999, 12, 31, 23, 59, 59, 997000)),
    ("smalldatetime", SqlType("smalldatetime"), datetime(2024, 1, 1, 10, 20)),
    ("datetime2(7)", SqlType("datetime2", scale=7), datetime(9999, 12, 31, 23, 59, 59, 999999)),
]  # fmt: skip


def test_output_table_with_every_type(session: EngineSession) -> None:
    """What the job worker does with a result set: create, delete its own rows, insert, read the catalogue."""
    columns = ", ".join(f"[c{n}] {name} NULL" for n, (name, _, _) in enumerate(ALL_TYPES))
    ok(session, f"CREATE TABLE [dbo].[out]({columns}, [internal_execution_id] uniqueidentifier NOT NULL)")
    ok(session, "CREATE NONCLUSTERED INDEX [IX_out_Internal_Execution_ID] ON [dbo].[out] ([internal_execution_id])")
    execution = Parameter("@P1", SqlType("uniqueidentifier"), uuid.UUID(int=77))
    assert ok(session, "DELETE FROM [dbo].[out] WHERE internal_execution_id = @P1", [execution]).counts == [0]
    given = [Parameter(f"@P{n}", kind, value) for n, (_, kind, value) in enumerate(ALL_TYPES, 2)]
    marks = ", ".join(parameter.name for parameter in [*given, execution])
    ok(session, f"INSERT INTO [dbo].[out] VALUES ({marks})", [execution, *given])
    nulls = [Parameter(p.name, p.type, None) for p in given]
    ok(session, f"INSERT INTO [dbo].[out] VALUES ({marks})", [execution, *nulls])
    result = ok(session, "SELECT * FROM [dbo].[out] WHERE internal_execution_id = @P1", [execution])
    assert result.rows[0][:-1] == tuple(value for _, _, value in ALL_TYPES)
    assert result.rows[1][:-1] == (None,) * len(ALL_TYPES)
    assert result.declared()[:-1] == [name for name, _, _ in ALL_TYPES]
    assert ok(session, "DELETE FROM [dbo].[out] WHERE internal_execution_id = @P1", [execution]).counts == [2]
    found = ok(
        session,
        "SELECT c.name, t.name AS type_name, c.max_length, c.precision, c.scale, c.is_nullable FROM sys.columns c "
        "JOIN sys.types t ON t.user_type_id = c.user_type_id WHERE c.object_id = OBJECT_ID(@P1) ORDER BY c.column_id",
        [Parameter("@P1", SqlType("nvarchar", length=20), "[dbo].[out]")],
    ).rows
    assert [row[1] for row in found[:-1]] == [name.partition("(")[0] for name, _, _ in ALL_TYPES]
    assert found[5][2:] == (17, 38, 10, True)
    assert found[15][2:] == (20, 0, 0, True)
    assert found[-1] == ("internal_execution_id", "uniqueidentifier", 16, 0, 0, False)
    assert ok(session, "SELECT COUNT(*) FROM sys.indexes WHERE name = 'IX_out_Internal_Execution_ID' AND object_id = "
                       "OBJECT_ID('dbo.out')").value == 1  # fmt: skip


def test_indexes_in_the_catalogue(people: EngineSession) -> None:
    ok(people, "CREATE INDEX ix ON people (age DESC, name) INCLUDE (pay)")
    rows = ok(people, """SELECT i.name, i.type_desc, i.is_unique, i.is_primary_key, c.name, ic.is_included_column
        FROM sys.indexes i JOIN sys.index_columns ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id
        JOIN sys.columns c ON c.object_id = i.object_id AND c.column_id = ic.column_id
        WHERE i.object_id = OBJECT_ID('people') AND i.name = 'ix' ORDER BY ic.index_column_id""").rows  # fmt: skip
    assert [(row[4], row[5]) for row in rows] == [("age", False), ("name", False), ("pay", True)]
    ok(people, "ALTER INDEX ALL ON people REBUILD UPDATE STATISTICS people DROP INDEX ix ON people")
    assert run(people, "DROP INDEX people.ix").errors == [3701]


def test_statements_that_sqlite_would_read_differently(session: EngineSession) -> None:
    ok(session, "CREATE TABLE [order] ([group] int, [a b] int, [c]]d] int, ünï int) INSERT [order] VALUES (1, 2, 3, 4)")
    assert ok(session, "SELECT [group], [a b], [c]]d], ünï FROM [order]").rows == [(1, 2, 3, 4)]
    assert ok(session, 'SELECT "group" FROM "order" WHERE "a b" = 2').rows == [(1,)]
    assert ok(session, "SELECT ':v_x' AS a, '?' AS b, '--' AS c").rows == [(":v_x", "?", "--")]


def test_the_resource_statistics_of_the_t_sql_tutorial(session: EngineSession) -> None:
    batch = (
        "SELECT DB_NAME() DatabaseName, N'6F9619FF-8B86-D011-B42D-00C04FC964FF' AS job_execution_id, * "
        "FROM sys.dm_db_resource_stats WHERE end_time > DATEADD(mi, -20, GETDATE());"
    )
    rows = ok(session, batch).rows
    assert rows
    assert {row[0] for row in rows} == {"db1"}

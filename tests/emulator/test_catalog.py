"""Logical servers: databases, pools, logins, users, tokens, permissions; and that thousands of databases are cheap."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.sqlserver.catalog import Estate, LogicalServer
from local.sqlserver.contract import SqlError
from local.sqlserver.engine.session import EngineSession

from .engine_support import ADMIN, PASSWORD, admin, ok, run, server
from .test_engine_tables import STEP1

USER_PASSWORD = "password!123"


@pytest.fixture
def emulator() -> Iterator[LogicalServer]:
    with server() as made:
        yield made


@pytest.fixture
def jobuser(emulator: LogicalServer) -> EngineSession:
    """The tutorial's statements, one by one, and then its job user on a target."""
    master = admin(emulator, "master")
    ok(master, f"CREATE LOGIN masteruser WITH PASSWORD='{USER_PASSWORD}'")
    ok(master, "CREATE USER masteruser FROM LOGIN masteruser")
    ok(master, f"CREATE LOGIN jobuser WITH PASSWORD='{USER_PASSWORD}'")
    target = admin(emulator)
    ok(target, "CREATE USER jobuser FROM LOGIN jobuser")
    ok(target, "GRANT ALTER ON SCHEMA::dbo TO jobuser")
    ok(target, "GRANT CREATE TABLE TO jobuser")
    return emulator.login("jobuser", USER_PASSWORD, "db1")


def refusal(emulator: LogicalServer, user: str, password: str, database: str) -> tuple[int, int, str]:
    with pytest.raises(SqlError) as caught:
        emulator.login(user, password, database)
    return caught.value.number, caught.value.severity, caught.value.text


def test_the_tutorials_users_and_script(emulator: LogicalServer, jobuser: EngineSession) -> None:
    ok(jobuser, STEP1)
    ok(jobuser, STEP1)
    assert ok(jobuser, "SELECT USER_NAME(), SUSER_SNAME(), name FROM sys.tables").rows == [
        ("jobuser", "jobuser", "Step1Table")
    ]
    master = emulator.login("masteruser", USER_PASSWORD, "master")
    rows = ok(master, "SELECT d.name, o.elastic_pool_name FROM sys.databases d "
                      "LEFT JOIN sys.database_service_objectives o "
                      "ON o.database_id = d.database_id WHERE d.name <> 'master'").rows  # fmt: skip
    assert rows == [("db1", None)]


def test_refused_logins(emulator: LogicalServer, jobuser: EngineSession) -> None:
    assert refusal(emulator, "jobuser", "wrong", "db1") == (18456, 14, "Login failed for user 'jobuser'.")
    assert refusal(emulator, "nobody", "x", "db1") == (18456, 14, "Login failed for user 'nobody'.")
    text = 'Cannot open database "{}" requested by the login. The login failed.'
    assert refusal(emulator, ADMIN, PASSWORD, "nowhere") == (4060, 11, text.format("nowhere"))
    assert refusal(emulator, "jobuser", USER_PASSWORD, "master") == (4060, 11, text.format("master"))
    assert refusal(emulator, "masteruser", USER_PASSWORD, "DB1") == (4060, 11, text.format("DB1"))
    emulator.set_state("db1", "PAUSED")
    number, severity, message = refusal(emulator, "jobuser", USER_PASSWORD, "db1")
    assert (number, severity) == (40613, 17)
    assert "'db1' on server 'server1' is not currently available" in message
    emulator.set_state("db1", "ONLINE")
    emulator.login("JOBUSER", USER_PASSWORD, "DB1").close()


def test_contained_users(emulator: LogicalServer) -> None:
    ok(admin(emulator), "CREATE USER inside WITH PASSWORD = 'pw-1'")
    assert ok(emulator.login("inside", "pw-1", "db1"), "SELECT USER_NAME()").value == "inside"
    assert refusal(emulator, "inside", "pw-2", "db1")[0] == 18456
    assert refusal(emulator, "inside", "pw-1", "master")[0] == 18456
    ok(admin(emulator), "DROP USER inside")
    assert refusal(emulator, "inside", "pw-1", "db1")[0] == 18456


def test_tokens(emulator: LogicalServer) -> None:
    emulator.add_token("token-1", "job-agent-UMI")
    with pytest.raises(SqlError) as caught:
        emulator.login_with_token("token-1", "db1")
    assert caught.value.number == 18456
    ok(
        admin(emulator),
        "CREATE USER [job-agent-UMI] FROM EXTERNAL PROVIDER ALTER ROLE db_owner ADD MEMBER [job-agent-UMI]",
    )
    session = emulator.login_with_token("token-1", "db1")
    ok(session, STEP1)
    assert ok(session, "SELECT SUSER_SNAME()").value == "job-agent-UMI"
    for token, database, number in (
        ("other", "db1", 18456),
        ("token-1", "nowhere", 4060),
        ("token-1", "master", 18456),
    ):
        with pytest.raises(SqlError) as caught:
            emulator.login_with_token(token, database)
        assert caught.value.number == number
    emulator.remove_token("token-1")
    with pytest.raises(SqlError):
        emulator.login_with_token("token-1", "db1")


def test_entra_admin() -> None:
    emulator = LogicalServer("s", ADMIN, PASSWORD, entra_admin="boss")
    emulator.add_token("t", "boss")
    assert ok(emulator.login_with_token("t", "master"), "SELECT USER_NAME()").value == "dbo"
    emulator.close()


DENIED = [
    ("SELECT * FROM t", [229]), ("INSERT t VALUES (1)", [229]), ("UPDATE t SET a = 1", [229]), ("DELETE t", [229]),
    ("EXEC p", [229]), ("CREATE VIEW v AS SELECT 1 AS a", [262]), ("CREATE PROCEDURE q AS SELECT 1", [262]),
    ("CREATE SCHEMA s", [262]), ("CREATE USER x WITHOUT LOGIN", [15247]), ("GRANT SELECT TO jobuser", [4613]),
    ("ALTER ROLE db_owner ADD MEMBER jobuser", [15247]), ("CREATE TABLE app.x (a int)", [2760]),
]  # fmt: skip


@pytest.mark.parametrize(("batch", "numbers"), DENIED, ids=[case[0] for case in DENIED])
def test_denied(emulator: LogicalServer, jobuser: EngineSession, batch: str, numbers: list[int]) -> None:
    owner = admin(emulator)
    ok(owner, "CREATE TABLE t (a int) CREATE SCHEMA app")
    ok(owner, "CREATE PROCEDURE p AS SELECT 1")
    assert run(jobuser, batch).errors == numbers


def test_message_of_a_denial(emulator: LogicalServer, jobuser: EngineSession) -> None:
    ok(admin(emulator), "CREATE TABLE t (a int)")
    message = run(jobuser, "SELECT * FROM t").messages[0]
    assert (message.severity, message.state, message.text) == (
        14, 5, "The SELECT permission was denied on the object 't', database 'db1', schema 'dbo'.",
    )  # fmt: skip
    ok(admin(emulator), "REVOKE CREATE TABLE FROM jobuser")
    assert run(jobuser, STEP1).messages[0].text == "CREATE TABLE permission denied in database 'db1'."


GRANTS = [
    ("GRANT SELECT ON t TO jobuser", True), ("GRANT SELECT ON OBJECT::dbo.t TO jobuser", True),
    ("GRANT SELECT ON SCHEMA::dbo TO jobuser", True), ("GRANT SELECT TO jobuser", True),
    ("GRANT SELECT TO public", True), ("ALTER ROLE db_datareader ADD MEMBER jobuser", True),
    ("CREATE ROLE r GRANT SELECT ON t TO r ALTER ROLE r ADD MEMBER jobuser", True),
    ("GRANT SELECT TO jobuser DENY SELECT ON t TO jobuser", False),
    ("GRANT SELECT TO jobuser REVOKE SELECT FROM jobuser", False),
    ("ALTER ROLE db_owner ADD MEMBER jobuser", True), ("GRANT CONTROL TO jobuser", True), ("GRANT INSERT TO jobuser",
    False),
    ("ALTER ROLE db_datareader ADD MEMBER jobuser ALTER ROLE db_datareader DROP MEMBER jobuser", False),
]  # fmt: skip


@pytest.mark.parametrize(("grants", "readable"), GRANTS, ids=[case[0][:60] for case in GRANTS])
def test_granted(emulator: LogicalServer, jobuser: EngineSession, grants: str, readable: bool) -> None:
    ok(admin(emulator), f"CREATE TABLE t (a int) {grants}")
    assert run(jobuser, "SELECT * FROM t").errors == ([] if readable else [229])


def test_a_view_lends_its_owners_rights(emulator: LogicalServer, jobuser: EngineSession) -> None:
    owner = admin(emulator)
    ok(owner, "CREATE TABLE t (a int) INSERT t VALUES (1)")
    ok(owner, "CREATE VIEW v AS SELECT a FROM t")
    ok(owner, "GRANT SELECT ON v TO jobuser")
    assert ok(jobuser, "SELECT a FROM v").rows == [(1,)]
    assert run(jobuser, "SELECT a FROM t").errors == [229]


def test_databases_by_statement(emulator: LogicalServer) -> None:
    emulator.create_elastic_pool("Pool-1")
    master = admin(emulator, "master")
    ok(master, "CREATE DATABASE one (EDITION = 'Premium', SERVICE_OBJECTIVE = 'P1') CREATE DATABASE [two]")
    ok(master, "CREATE DATABASE three (SERVICE_OBJECTIVE = ELASTIC_POOL (name = [pool-1]))")
    rows = ok(master, "SELECT d.name, o.edition, o.service_objective, o.elastic_pool_name, d.state_desc "
                      "FROM sys.databases d "
                      "JOIN sys.database_service_objectives o ON o.database_id = d.database_id WHERE d.database_id > 5 "
                      "ORDER BY d.database_id").rows  # fmt: skip
    assert rows == [
        ("one", "Premium", "P1", None, "ONLINE"), ("two", "Standard", "S0", None, "ONLINE"),
        ("three", "Standard", "ElasticPool", "Pool-1", "ONLINE"),
    ]  # fmt: skip
    assert run(master, "CREATE DATABASE one").errors == [1801]
    ok(master, "DROP DATABASE one")
    assert run(master, "DROP DATABASE one").errors == [3701]
    assert run(admin(emulator), "CREATE DATABASE four").errors == [5001]
    assert ok(admin(emulator), "SELECT name FROM sys.databases ORDER BY name").rows == [("db1",), ("master",)]


def test_states_of_databases(emulator: LogicalServer) -> None:
    emulator.create_database("copying", state="COPYING")
    emulator.create_database("paused", state="PAUSED")
    rows = ok(admin(emulator, "master"), "SELECT name, state, state_desc FROM sys.databases WHERE database_id > 5").rows
    assert rows == [("copying", 7, "COPYING"), ("paused", 6, "OFFLINE")]
    with pytest.raises(ValueError, match="state 'ASLEEP'"):
        emulator.create_database("x", state="ASLEEP")
    with pytest.raises(ValueError, match="no elastic pool 'none'"):
        emulator.create_database("x", elastic_pool="none")


def test_dropping_a_database_ends_its_sessions(emulator: LogicalServer) -> None:
    session = admin(emulator)
    ok(session, "CREATE TABLE t (a int)")
    emulator.drop_database("db1")
    result = run(session, "SELECT * FROM t")
    assert [(m.number, m.severity) for m in result.messages] == [(40613, 20)]
    emulator.create_database("db1")
    assert ok(admin(emulator), "SELECT COUNT(*) FROM sys.tables").value == 0


def test_logins(emulator: LogicalServer, jobuser: EngineSession) -> None:
    master = admin(emulator, "master")
    assert run(master, "CREATE LOGIN jobuser WITH PASSWORD = 'x'").errors == [15025]
    assert run(admin(emulator), "CREATE LOGIN other WITH PASSWORD = 'x'").errors == [5001]
    assert run(admin(emulator), "CREATE USER ghost FROM LOGIN ghost").errors == [15007]
    assert run(admin(emulator), "CREATE USER jobuser FROM LOGIN jobuser").errors == [15063]
    ok(master, "ALTER LOGIN jobuser WITH PASSWORD = 'new'")
    assert refusal(emulator, "jobuser", USER_PASSWORD, "db1")[0] == 18456
    emulator.login("jobuser", "new", "db1").close()
    ok(master, "DROP LOGIN jobuser")
    assert refusal(emulator, "jobuser", "new", "db1")[0] == 18456
    assert ok(master, "SELECT name FROM sys.sql_logins ORDER BY name").rows == [("masteruser",), (ADMIN,)]


def test_sessions_are_listed(emulator: LogicalServer) -> None:
    one, two = admin(emulator), admin(emulator)
    one.application = "elastic-jobs"
    rows = ok(two, "SELECT session_id, status, program_name, login_name FROM sys.dm_exec_sessions ORDER BY 1").rows
    assert rows == [(one.spid, "sleeping", "elastic-jobs", ADMIN), (two.spid, "running", "", ADMIN)]
    one.close()
    assert ok(two, "SELECT session_id FROM sys.dm_exec_sessions").value == two.spid


def test_nothing_of_a_session_reaches_the_next(emulator: LogicalServer) -> None:
    one = admin(emulator)
    ok(one, "CREATE TABLE #t (a int) SET NOCOUNT ON BEGIN TRAN CREATE TABLE t (a int)")
    one.close()
    two = admin(emulator)
    assert run(two, "SELECT * FROM #t").errors == [208]
    assert run(two, "SELECT * FROM t").errors == [208]
    assert ok(two, "SELECT @@TRANCOUNT").counts == [1]


def test_estate() -> None:
    estate = Estate([LogicalServer("server1"), LogicalServer("Server2")])
    assert estate.server("SERVER1.database.windows.net") is estate.servers()[0]
    assert estate.server("tcp:server2.database.windows.net,1433") is estate.servers()[1]
    assert estate.server("server3") is None
    estate.close()


def _resident_megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def test_two_thousand_databases_are_cheap() -> None:
    emulator = LogicalServer("big", ADMIN, PASSWORD)
    before = _resident_megabytes()
    for number in range(2000):
        emulator.create_database(f"db{number:04}")
    for number in range(0, 2000, 5):
        session = emulator.login(ADMIN, PASSWORD, f"db{number:04}")
        ok(session, STEP1)
        session.close()
    grown = _resident_megabytes() - before
    assert grown < 60, f"{grown:.0f} MB"
    assert ok(admin(emulator, "master"), "SELECT COUNT(*) FROM sys.databases").value == 2001
    directory = emulator._storage.directory
    emulator.close()
    assert not directory.exists()

"""The T-SQL that lets the agent in: run on the emulator, it lets in what it should and no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

import pyodbc
import pytest

from elastic_jobs.domain.model import Output
from elastic_jobs.domain.outcome import ErrorClass, Outcome
from elastic_jobs.domain.script import split
from elastic_jobs.domain.targets import Member, ServerNames, TargetDatabase, TargetType
from elastic_jobs.targets.authentication import Login, PasswordLogin, TokenLogin
from elastic_jobs.targets.errors import TargetError
from elastic_jobs.targets.group import GroupResolver
from elastic_jobs.targets.user_setup import Access, AgentUsers, CredentialUsers, IdentityUser, SetupScript, group_setup
from tests.targets.estate import TABLES
from tests.targets.lab import SERVER, Lab

NAMES = ServerNames(".database.windows.net")
PASSWORD = "Str0ng;'pass]word"


class Tokens:
    def __init__(self, token: str) -> None:
        self._token = token

    def token(self, client_id: str) -> str:
        del client_id
        return self._token


@pytest.fixture
def name() -> str:
    """A user that nobody has made, with everything in its name that needs quoting."""
    return f"job]'{uuid4().hex[:8]}"


@pytest.fixture
def group(lab: Lab) -> tuple[Member, ...]:
    """A pool, the lab's database by its name, and a shard map in it that names it."""
    assert lab.client is not None or pytest.skip("The emulator is needed.")
    connection = lab.connect()
    for statement in TABLES:
        connection.execute(statement)
    map_id = str(uuid4())
    connection.execute("INSERT INTO [__ShardManagement].[ShardMapsGlobal] VALUES (?, N'Map', 1, 1)", map_id)
    connection.execute(
        "INSERT INTO [__ShardManagement].[ShardsGlobal] VALUES (?, 1, ?, ?, NULL, 0, ?, 0, ?, 1)",
        *(str(uuid4()), str(uuid4()), map_id, SERVER, lab.database),
    )
    single = Member(target_type=TargetType.SQL_DATABASE, server_name=SERVER, database_name=lab.database)
    return (
        Member(
            target_type=TargetType.SQL_ELASTIC_POOL,
            server_name=SERVER,
            elastic_pool_name="pool1",
            refresh_credential_name="refresh",
        ),
        single,
        replace(single, target_type=TargetType.SQL_SHARD_MAP, shard_map_name="Map", refresh_credential_name="refresh"),
    )


def set_up(lab: Lab, scripts: Sequence[SetupScript], password: str = PASSWORD) -> None:
    """Run the scripts as the administrator, after filling in the password as the comment asks for."""
    literal, declared = password.replace("'", "''"), "@password nvarchar(128) = N"
    for script in scripts:
        connection = lab.connector().connect(script.server_name, script.database_name, lab.login)
        try:
            for batch in split(script.sql.replace(f"{declared}''", f"{declared}'{literal}'")):
                cursor = connection.execute(batch.text)
                while cursor.nextset():
                    pass
        finally:
            connection.close()


def scripts_for(
    lab: Lab, group: Sequence[Member], users: AgentUsers, access: Sequence[Access], output: Output | None = None
) -> list[SetupScript]:
    targets = GroupResolver(lab.connector()).resolve(group, lambda _: lab.login).targets
    assert {target.database_name for target in targets} == {"pooled1", lab.database}
    return group_setup(group, targets, NAMES, users, access, output)


def lets_in(lab: Lab, group: Sequence[Member], refresh: Login, job: Login) -> None:
    """The group resolves as the refresh login, scripts run as the job login, and only what was granted is allowed."""
    resolution = GroupResolver(lab.connector()).resolve(group, lambda _: refresh)
    assert {target.database_name for target in resolution.targets} == {"pooled1", lab.database}
    lab.query("CREATE TABLE setup_rows (a int)")
    assert lab.run("SELECT * FROM setup_rows", login=job).outcome is Outcome.SUCCEEDED
    for forbidden in ("INSERT INTO setup_rows VALUES (1)", "DROP TABLE setup_rows", "CREATE TABLE other (a int)"):
        result = lab.run(forbidden, login=job)
        assert (result.outcome, result.error_class) == (Outcome.FAILED, ErrorClass.PERMISSION), forbidden


def test_an_identity(lab: Lab, group: tuple[Member, ...], name: str) -> None:
    token = f"token-{uuid4()}"
    lab.control.add_token(token, name)
    scripts = scripts_for(lab, group, IdentityUser(name), [Access.READ])
    assert scripts[0].database_name == "master"
    assert all("PASSWORD" not in script.sql for script in scripts)
    login = TokenLogin("id1", Tokens(token))
    with pytest.raises(TargetError):
        lab.connector().connect(SERVER, lab.database, login)
    for _ in range(2):  # a second run changes nothing
        set_up(lab, scripts)
    lets_in(lab, group, login, login)


def test_credentials_with_logins(lab: Lab, group: tuple[Member, ...], name: str) -> None:
    refresh = f"refresh{name}"
    scripts = scripts_for(lab, group, CredentialUsers(name, {"refresh": refresh}), [Access.READ])
    for password in (PASSWORD, ""):  # a second run wants no password
        set_up(lab, scripts, password)
    lets_in(lab, group, PasswordLogin(refresh, PASSWORD), PasswordLogin(name, PASSWORD))
    # Neither is let into a database that the group does not have.
    with pytest.raises(TargetError, match="cannot open database 'listed1'"):
        lab.connector().connect(SERVER, "listed1", PasswordLogin(name, PASSWORD))
    result = lab.run("SELECT * FROM setup_rows", login=PasswordLogin(refresh, PASSWORD))
    assert result.error_class is ErrorClass.PERMISSION


def test_credentials_with_contained_users(lab: Lab, group: tuple[Member, ...], name: str) -> None:
    refresh = f"refresh{name}"
    scripts = scripts_for(lab, group, CredentialUsers(name, {"refresh": refresh}, contained=True), [Access.READ])
    for password in (PASSWORD, ""):
        set_up(lab, scripts, password)
    lets_in(lab, group, PasswordLogin(refresh, PASSWORD), PasswordLogin(name, PASSWORD))
    with pytest.raises(TargetError):
        lab.connector().connect(SERVER, "listed1", PasswordLogin(name, PASSWORD))


def test_an_unfilled_password_makes_nothing(lab: Lab, group: tuple[Member, ...], name: str) -> None:
    scripts = scripts_for(lab, group, CredentialUsers(name, {"refresh": f"r{name}"}), [Access.READ])
    master = lab.connector().connect(SERVER, "master", lab.login)
    first, *_ = split(scripts[0].sql)
    with pytest.raises(pyodbc.Error, match="Fill in the password of user"):
        master.execute(first.text)
    found = master.execute("SELECT COUNT(*) FROM sys.sql_logins WHERE name IN (?, ?)", name, f"r{name}").fetchone()
    assert found is not None
    assert found[0] == 0
    master.close()


@pytest.mark.parametrize(
    ("access", "script"),
    [
        (Access.WRITE, "INSERT INTO rights VALUES (1); UPDATE rights SET a = 2; DELETE rights; SELECT * FROM rights"),
        (Access.EXECUTE, "EXEC say"),
        (Access.CHANGE_SCHEMA, "CREATE TABLE made (a int)"),
        (Access.OWN, "CREATE TABLE made (a int); INSERT INTO made VALUES (1); DROP TABLE made"),
    ],
)
def test_each_access_does_what_it_says(
    lab: Lab, group: tuple[Member, ...], name: str, access: Access, script: str
) -> None:
    lab.query("CREATE TABLE rights (a int)")
    lab.query("CREATE PROCEDURE say AS SELECT 1 AS a")
    users = CredentialUsers(name, {"refresh": f"r{name}"})
    login = PasswordLogin(name, PASSWORD)
    set_up(
        lab, group_setup(group[1:2], [TargetDatabase(server_name=SERVER, database_name=lab.database)], NAMES, users, [])
    )
    assert lab.run(script, login=login).error_class is ErrorClass.PERMISSION
    set_up(lab, scripts_for(lab, group, users, [access]))
    result = lab.run(script, login=login)
    assert result.outcome is Outcome.SUCCEEDED, result.message


def test_the_output_table_can_be_made_and_written(lab: Lab, group: tuple[Member, ...], name: str) -> None:
    output = Output(server_name=SERVER, database_name="listed2", table_name=f"out{uuid4().hex[:8]}")
    users = CredentialUsers(name, {"refresh": f"r{name}"})
    scripts = scripts_for(lab, group, users, [Access.READ], output)
    assert [script.database_name for script in scripts].count("listed2") == 1
    set_up(lab, scripts)
    login = PasswordLogin(name, PASSWORD)
    for _ in range(2):
        result = lab.run("SELECT 1 AS a", login=login, output=replace(lab.output(login=login), output=output))
        assert result.outcome is Outcome.SUCCEEDED, result.message


def test_a_refresh_credential_that_nobody_named(lab: Lab, group: tuple[Member, ...]) -> None:
    with pytest.raises(ValueError, match="user name of refresh credential 'refresh' is not known"):
        group_setup(group, [], NAMES, CredentialUsers("job"), [Access.READ])

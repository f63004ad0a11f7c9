"""Connecting to targets: as whom, to which servers, how often, and what people are told when it fails."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import Any

import pyodbc
import pytest

from elastic_jobs.domain.outcome import ErrorClass, StopReason
from elastic_jobs.domain.server_scope import ServerScope
from elastic_jobs.domain.targets import ServerNames
from elastic_jobs.errors import CredentialError, ServerNotAllowedError
from elastic_jobs.targets.authentication import PasswordLogin, TokenLogin
from elastic_jobs.targets.connect import (
    CONNECT_PATIENCE_SECONDS,
    connect_waits,
    find_driver,
    quote,
    require_database,
)
from elastic_jobs.targets.errors import TargetError
from elastic_jobs.targets.servers import TargetServers
from elastic_jobs.targets.stop import Stopped, StopSignal
from tests.targets.conftest import TOKEN
from tests.targets.lab import SERVER, Lab
from tests.targets.listener import Listener

SUFFIX = ServerNames(".database.windows.net")


class Tokens:
    def __init__(self, token: str | None) -> None:
        self._token = token

    def token(self, client_id: str) -> str:
        if self._token is None:
            raise CredentialError(f"No access token for managed identity '{client_id}' could be had.")
        return self._token


def test_a_password_login_over_verified_tls(lab: Lab) -> None:
    connection = lab.connect()
    row = connection.execute("SELECT DB_NAME()").fetchone()
    assert row is not None
    assert row[0] == lab.database
    assert {record["app_name"] for record in lab.control.journal(database=lab.database)} == {"elastic-jobs"}
    assert connection.autocommit


@pytest.mark.parametrize("database", ["b;C'd}{=e", "bücher漢😀", "x" * 128])
def test_the_database_that_was_asked_for_is_opened(lab: Lab, database: str) -> None:
    lab.control.create_database(SERVER, database)
    connection = lab.connector().connect(SERVER, database, lab.login)
    row = connection.execute("SELECT DB_NAME()").fetchone()
    assert row is not None
    assert row[0] == database
    with pytest.raises(TargetError, match="Cannot open database"):
        lab.connector().connect(SERVER, f"{database[:100]} of others", lab.login)


def test_another_database_than_was_asked_for_is_refused(lab: Lab) -> None:
    connection = lab.connect()
    require_database(connection, lab.database.upper() + " ")  # names are compared as servers do
    with pytest.raises(TargetError, match="instead of 'other'; nothing was run"):
        require_database(connection, "other")
    with pytest.raises(pyodbc.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_all_databases_of_a_server_share_one_connection_string(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyodbc asks the server about its types once for each text that it has not seen."""
    texts: set[str] = set()
    connect = pyodbc.connect

    def listening(text: str, **options: Any) -> pyodbc.Connection:
        texts.add(text)
        return connect(text, **options)

    monkeypatch.setattr(pyodbc, "connect", listening)
    for name in ("shared1", "shared2"):
        lab.control.create_database(SERVER, name)
        lab.connector().connect(SERVER, name, lab.login).close()
    assert len(texts) == 1


def test_a_token_login(lab: Lab) -> None:
    sequence = lab.control.last_sequence()
    login = TokenLogin(client_id="id1", tokens=Tokens(TOKEN))
    lab.connector().connect(SERVER, lab.database, login).close()
    records = lab.control.journal(after=sequence, kind="login", database=lab.database)
    assert [(record["user"], record["outcome"]) for record in records] == [("agent", "ok")]


def test_a_refused_token(lab: Lab) -> None:
    with pytest.raises(TargetError, match="Login failed for managed identity 'id1'") as failure:
        lab.connector().connect(SERVER, lab.database, TokenLogin(client_id="id1", tokens=Tokens("eyJ-wrong")))
    assert "eyJ-wrong" not in str(failure.value)
    assert failure.value.error_class is ErrorClass.LOGIN


def test_a_wrong_password_names_user_server_and_database_but_no_password(lab: Lab) -> None:
    started = time.monotonic()
    with pytest.raises(TargetError) as failure:
        lab.connector().connect(SERVER, lab.database, PasswordLogin("sqladmin", "wr;ong}'"))
    sentence = str(failure.value)
    for part in ("user 'sqladmin'", f"database '{lab.database}'", f"server '{SERVER}'", "(Msg 18456)", "Check"):
        assert part in sentence
    assert "wr;ong" not in sentence
    assert "[Microsoft]" not in sentence
    assert (failure.value.number, failure.value.error_class) == (18456, ErrorClass.LOGIN)
    assert time.monotonic() - started < 3
    assert failure.value.__cause__ is None


def test_an_unknown_database_is_tried_twice(lab: Lab) -> None:
    sequence = lab.control.last_sequence()
    with pytest.raises(TargetError, match=r"User 'sqladmin' cannot open database 'nowhere'.*\(Msg 4060\)"):
        lab.connector().connect(SERVER, "nowhere", lab.login)
    assert len(lab.control.journal(after=sequence, kind="login")) == 2


def test_an_unreachable_server_says_what_to_check(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    servers = TargetServers(SUFFIX, ["gone"], {"gone": f"127.0.0.1,{port}"})
    connector = lab.connector(servers=servers, login_timeout_seconds=1)
    with pytest.raises(
        TargetError, match=r"Server 'gone\.database\.windows\.net' cannot be reached: .* Check its name"
    ):
        connector.connect("gone", lab.database, lab.login)


def test_a_server_that_is_not_allowed_gets_no_packet(lab: Lab) -> None:
    listener = Listener()
    try:
        servers = TargetServers(SUFFIX, [SERVER], {"evil": f"127.0.0.1,{listener.port}"})
        for login in (lab.login, TokenLogin(client_id="id1", tokens=Tokens(TOKEN))):
            with pytest.raises(ServerNotAllowedError, match="ALLOWED_TARGET_SERVERS"):
                lab.connector(servers=servers).connect("evil", lab.database, login)
        # Proof that the listener would have seen it.
        allowed = TargetServers(SUFFIX, ["evil"], {"evil": f"127.0.0.1,{listener.port}"})
        assert listener.accepted == []
        with pytest.raises(TargetError, match="cannot be reached"):
            lab.connector(servers=allowed, login_timeout_seconds=1).connect("evil", lab.database, lab.login)
        assert listener.received
    finally:
        listener.close()


def test_a_certificate_of_another_name_is_refused(lab: Lab) -> None:
    address = lab.options.servers.endpoint(SERVER).address.removeprefix("tcp:")
    assert lab.control.healthy()
    servers = TargetServers(SUFFIX, ["impostor"], {"impostor": address})
    with pytest.raises(TargetError, match="certificate of server 'impostor"):
        lab.connector(servers=servers).connect("impostor", lab.database, lab.login)


def test_an_unknown_authority_is_refused_unless_told_otherwise(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lab.control.healthy()
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    with pytest.raises(TargetError, match="certificate"):
        lab.connector().connect(SERVER, lab.database, lab.login)
    lab.connector(trust_certificates=True).connect(SERVER, lab.database, lab.login).close()


def test_a_paused_database_is_reached(lab: Lab) -> None:
    lab.control.pause(0.5, database=lab.database)
    assert lab.query("SELECT 1") == [(1,)]


@pytest.mark.parametrize("number", [40613, 40197, 40501, 49918, 10928, 10929])
def test_the_server_asks_for_patience(lab: Lab, number: int) -> None:
    lab.control.refuse_logins(number, database=lab.database, count=2)
    assert lab.query("SELECT 1") == [(1,)]


def test_patience_ends(lab: Lab) -> None:
    rule = lab.control.refuse_logins(40613, database=lab.database)
    with pytest.raises(TargetError, match=r"is not available: .*\(Msg 40613\) Tried 3 times\.") as failure:
        lab.connector(retry_seconds=(0.01, 0.01)).connect(SERVER, lab.database, lab.login)
    assert failure.value.error_class is ErrorClass.TRANSIENT
    assert [fault["hits"] for fault in lab.control.faults() if fault["id"] == rule] == [3]


def test_the_waiting_can_be_stopped(lab: Lab) -> None:
    lab.control.refuse_logins(40613, database=lab.database)
    signal = StopSignal()
    threading.Timer(0.2, signal.set, [StopReason.CANCELED]).start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        lab.connector(retry_seconds=(30,)).connect(SERVER, lab.database, lab.login, stop=signal)
    assert time.monotonic() - started < 20


def test_a_failure_to_get_a_token_reaches_no_server(lab: Lab) -> None:
    sequence = lab.control.last_sequence()
    with pytest.raises(CredentialError, match="managed identity 'id1'"):
        lab.connector().connect(SERVER, lab.database, TokenLogin(client_id="id1", tokens=Tokens(None)))
    assert lab.control.journal(after=sequence, kind="login") == []


def test_a_value_cannot_begin_another_field() -> None:
    assert quote("a;UID=b}c") == "{a;UID=b}}c}"
    assert find_driver().startswith("{")
    assert "18" in find_driver()


def test_the_waits_come_to_the_patience() -> None:
    assert connect_waits(90) == (1, 5, 10, 20, 40, 14)
    assert connect_waits(300) == (1, 5, 10, 20, 40, 60, 60, 60, 44)
    assert connect_waits(0) == ()
    assert sum(connect_waits(CONNECT_PATIENCE_SECONDS)) == CONNECT_PATIENCE_SECONDS
    # Spread to the shorter side it is still more than the minute that a paused database needs.
    assert CONNECT_PATIENCE_SECONDS * 0.8 > 60


class Waits(StopSignal):
    """Notes the waits and has none of them."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return False


@pytest.mark.parametrize(("randomness", "expected"), [(0.0, 8.0), (0.5, 10.0), (1.0, 12.0)])
def test_the_waits_are_spread(lab: Lab, randomness: float, expected: float) -> None:
    lab.control.refuse_logins(40613, database=lab.database, count=1)
    waits = Waits()
    connector = lab.connector(retry_seconds=(10,), randomness=lambda: randomness)
    connector.connect(SERVER, lab.database, lab.login, stop=waits).close()
    assert waits.seconds == [pytest.approx(expected)]


def test_without_patience_one_try_must_do(lab: Lab) -> None:
    rule = lab.control.refuse_logins(40613, database=lab.database)
    with pytest.raises(TargetError, match="is not available"):
        lab.connector().connect(SERVER, lab.database, lab.login, patient=False)
    assert [fault["hits"] for fault in lab.control.faults() if fault["id"] == rule] == [1]


def test_a_login_failure_says_what_would_let_it_in(lab: Lab) -> None:
    with pytest.raises(TargetError) as failure:
        lab.connector().connect(SERVER, lab.database, PasswordLogin("job]user", "wrong-secret"))
    assert "CREATE LOGIN [job]]user] WITH PASSWORD = '<the credential's password>'" in str(failure.value)
    assert f"in database '{lab.database}' CREATE USER [job]]user] FROM LOGIN [job]]user];" in str(failure.value)
    assert "wrong-secret" not in str(failure.value)
    with pytest.raises(TargetError, match=r"CREATE USER \[<name of the managed identity>\] FROM EXTERNAL PROVIDER;"):
        lab.connector().connect(SERVER, lab.database, TokenLogin(client_id="id1", tokens=Tokens("eyJ-wrong")))


def test_a_missing_permission_is_told_with_whom_and_where(lab: Lab) -> None:
    password = "An0ther;pass"
    lab.control.create_login(SERVER, f"poor{lab.database}", password)
    lab.query(f"CREATE USER [poor{lab.database}] FROM LOGIN [poor{lab.database}]")
    lab.query("CREATE TABLE t (a int)")
    result = lab.run("SELECT * FROM t", login=PasswordLogin(f"poor{lab.database}", password))
    assert result.error_class is ErrorClass.PERMISSION
    assert f"Grant what is missing to user 'poor{lab.database}' in database '{lab.database}'" in result.message


def test_a_login_for_other_servers_is_not_sent(lab: Lab) -> None:
    sequence = lab.control.last_sequence()
    login = PasswordLogin(
        lab.login.username, lab.login.password, "cred", ServerScope(("server9.database.windows.net",))
    )
    with pytest.raises(ServerNotAllowedError, match="credential 'cred'"):
        lab.connector().connect(SERVER, lab.database, login)
    assert lab.control.journal(after=sequence, kind="login") == []


def test_a_password_that_changed_meanwhile_is_tried_at_once(lab: Lab) -> None:
    asked: list[str] = []

    def newer(refused: str) -> PasswordLogin | None:
        asked.append(refused)
        return lab.login

    stale = PasswordLogin(lab.login.username, "old", newer=newer)
    lab.connector(retry_seconds=()).connect(SERVER, lab.database, stale).close()
    assert asked == ["old"]


def test_a_store_that_does_not_answer_leaves_the_login_failure_as_it_is(lab: Lab) -> None:
    def newer(refused: str) -> PasswordLogin | None:
        raise CredentialError(f"The store does not answer for {refused}.")

    stale = PasswordLogin(lab.login.username, "old", newer=newer)
    with pytest.raises(TargetError, match="Login failed for user 'sqladmin'"):
        lab.connector(retry_seconds=()).connect(SERVER, lab.database, stale)

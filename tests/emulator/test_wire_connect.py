"""Connecting: passwords, tokens, TLS, who may and who may not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pyodbc
import pytest

from tests.emulator.wire_fake import PRINCIPAL, TOKEN, Wire, number_of, select_one, until

LOCALHOST = "HostNameInCertificate=localhost;"


@pytest.fixture
def strict_wire(driver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """A server that forces TLS on clients that did not ask for it, as Azure does."""
    server = Wire(driver, tmp_path, require_encryption=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(server.files.ca))
    yield server
    server.close()


@pytest.mark.parametrize("encrypt", ["no", "yes", "strict"])
def test_a_password_logs_in_with_and_without_tls(trusted_wire: Wire, encrypt: str) -> None:
    more = "" if encrypt == "no" else f"HostNameInCertificate={trusted_wire.second.name};"
    connection = trusted_wire.connect(encrypt=encrypt, more=more)
    assert select_one(connection) == 1
    connection.close()
    until(lambda: len(trusted_wire.journal.query()) == 3)
    login, batch, logout = trusted_wire.journal.query()
    assert (login.kind, login.outcome, login.user, login.database) == ("login", "ok", "sqladmin", "db1")
    assert (login.app_name, login.server) == ("wire tests", trusted_wire.first.name)
    assert (batch.kind, batch.text, batch.outcome) == ("batch", "select 1", "ok")
    assert (logout.kind, logout.spid) == ("logout", login.spid)
    assert trusted_wire.first.sessions[0].closed


def test_the_server_reports_its_name_and_the_version_of_azure(wire: Wire) -> None:
    with wire.connect() as connection:
        assert connection.getinfo(pyodbc.SQL_SERVER_NAME) == wire.first.name
        assert connection.getinfo(pyodbc.SQL_DBMS_VER) == "12.00.2000"
        assert connection.getinfo(pyodbc.SQL_DATABASE_NAME) == "db1"


def test_the_port_decides_which_logical_server_answers(wire: Wire) -> None:
    with wire.connect(port=wire.ports[1]) as connection:
        select_one(connection)
    assert not wire.first.sessions
    assert len(wire.second.sessions) == 1


def test_an_unknown_authority_is_not_trusted(wire: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty = tmp_path / "no-authorities.pem"
    empty.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(empty))
    with pytest.raises(pyodbc.OperationalError, match="certificate verify failed"):
        wire.connect(encrypt="yes", more=LOCALHOST)


def test_a_wrong_host_name_is_not_trusted(trusted_wire: Wire) -> None:
    with pytest.raises(pyodbc.OperationalError, match="certificate verify failed"):
        trusted_wire.connect(encrypt="yes", more="HostNameInCertificate=elsewhere.database.windows.net;")


def test_a_server_may_force_tls(strict_wire: Wire) -> None:
    with pytest.raises(pyodbc.OperationalError, match="certificate verify failed"):
        strict_wire.connect(encrypt="no", more="HostNameInCertificate=elsewhere;")
    with strict_wire.connect(encrypt="no", more=LOCALHOST) as connection:
        assert select_one(connection) == 1


def test_a_wrong_password_is_18456(wire: Wire) -> None:
    with pytest.raises(pyodbc.InterfaceError) as caught:
        wire.connect(password="wrong")
    assert number_of(caught.value) == 18456
    (record,) = wire.journal.query()
    assert (record.kind, record.outcome, record.error_number) == ("login", "error", 18456)
    assert "wrong" not in str(record.as_json())


def test_an_unknown_database_is_4060(wire: Wire) -> None:
    with pytest.raises(pyodbc.ProgrammingError) as caught:
        wire.connect("missing")
    assert number_of(caught.value) == 4060


def test_a_crash_of_the_engine_at_login_is_told(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(user: str, password: str, database: str) -> None:
        raise ZeroDivisionError("engine bug")

    monkeypatch.setattr(wire.first, "login", crash)
    with pytest.raises(pyodbc.ProgrammingError, match="the engine failed"):
        wire.connect()


@pytest.mark.parametrize("encrypt", ["yes", "strict"])
def test_a_token_logs_in_over_tls(trusted_wire: Wire, encrypt: str) -> None:
    connection = trusted_wire.connect_with_token(encrypt=encrypt, more=LOCALHOST)
    assert select_one(connection) == 1
    connection.close()
    assert trusted_wire.journal.query()[0].user == PRINCIPAL


def test_a_wrong_token_is_18456_and_stays_secret(trusted_wire: Wire) -> None:
    with pytest.raises(pyodbc.InterfaceError) as caught:
        trusted_wire.connect_with_token("eyJ0.another.one", encrypt="yes", more=LOCALHOST)
    assert number_of(caught.value) == 18456
    (record,) = trusted_wire.journal.query()
    assert record.user == "<access token>"


def test_a_token_in_clear_text_is_refused_before_the_engine_sees_it(wire: Wire) -> None:
    with pytest.raises(pyodbc.InterfaceError, match="encrypted connection") as caught:
        wire.connect_with_token(TOKEN, encrypt="no")
    assert number_of(caught.value) == 18456
    assert not wire.first.sessions


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello" + bytes(50),
        b"\x10\x01\x00\x09\0\0\1\0\0",
        b"\x12\x01\x00\x04\0\0\1\0",
    ],
    ids=["http", "broken TLS", "LOGIN7 first", "impossible length"],
)  # fmt: skip
def test_nonsense_is_disconnected_and_harms_nobody(wire: Wire, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", wire.ports[0]), timeout=5) as sock:
        sock.sendall(sent)
        while sock.recv(4096):
            pass
    assert select_one(wire.connect()) == 1


@pytest.mark.parametrize("packet_bytes", [512, 4096, 16384, 32767])
def test_packet_sizes_the_client_asks_for(wire: Wire, packet_bytes: int) -> None:
    text = wire.string() + "UID=sqladmin;PWD={Pässword;}}1}"
    connection = pyodbc.connect(text, autocommit=True, timeout=10, attrs_before={112: packet_bytes})
    assert select_one(connection) == 1
    long = "select 1 -- " + "x" * 20_000
    wire.first.on(long, wire.first.scripts["select 1"])
    assert connection.execute(long).fetchval() == 1

"""How a job database on SQL Server is connected to, through the real driver: over the wire to the emulator."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import Connection, event, make_url, text

from elastic_jobs.errors import CredentialError, JobDatabaseUnavailableError, SettingsError
from elastic_jobs.jobdb import sql_server
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.sql_server import Place, SqlServer
from local.sqlserver.client import Emulator, running_emulator

SERVER = "jobs.database.windows.net"
PASSWORD = "T3st;}pass'word"
TOKEN = "eyJ0eXAi.token-of-the-app.c2ln"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    server = {
        "name": SERVER,
        "admin_user": "sqladmin",
        "admin_password": PASSWORD,
        "databases": ["jobdb"],
        "tokens": [{"token": TOKEN, "principal": "app"}],
        "entra_admin": "app",
    }
    with (
        running_emulator({"servers": [server], "encryption": "required"}) as running,
        pytest.MonkeyPatch.context() as p,
    ):
        p.setenv("SSL_CERT_FILE", str(running.ca))
        yield running


@pytest.fixture(autouse=True)
def _no_faults_are_left(emulator: Emulator) -> Iterator[None]:
    yield
    emulator.control.clear_faults()


class Seconds:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Tokens:
    """Gives out the tokens it was made with, one after the other; the last one for ever."""

    def __init__(self, *tokens: str) -> None:
        self.left = list(tokens)

    def token(self, client_id: str) -> str:
        del client_id
        if not self.left:
            raise CredentialError("There is no identity.")
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


class Wire:
    """Job databases at the emulator, and what the emulator saw of them."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator, self.control = emulator, emulator.control
        self.pauses: list[float] = []
        self.seconds = Seconds()
        self.opened: list[JobDatabase] = []

    def url(self, login: str = f"sqladmin:{quote(PASSWORD)}@", options: str = "") -> str:
        port = self.emulator.ports[SERVER]
        return f"mssql+pyodbc://{login}{self.emulator.host}:{port}/jobdb?HostNameInCertificate={SERVER}{options}"

    def open(self, url: str | None = None, **options: Any) -> JobDatabase:
        server = partial(SqlServer, pause=self.pauses.append, monotonic=self.seconds, **options)
        database = JobDatabase(
            url or self.url(), pool_size=2, pause=self.pauses.append, fraction=lambda: 0.5, sql_server=server
        )
        self.opened.append(database)
        return database

    def seen(self, work: Callable[[], object]) -> list[str]:
        """The requests that the server got during ``work``."""
        before = self.control.last_sequence()
        work()
        return [record.get("text") or record["kind"] for record in self.control.journal(after=before)]


@pytest.fixture
def wire(emulator: Emulator) -> Iterator[Wire]:
    wire = Wire(emulator)
    yield wire
    for database in wire.opened:
        database.dispose()


class Wiretap:
    """Passes bytes on between a client and a server, until it is told to keep an answer for itself."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._cut = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._ends: list[socket.socket] = [self._listener]

    def __enter__(self) -> Wiretap:
        self._threads[0].start()
        return self

    def __exit__(self, *error: object) -> None:
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join(10)

    def cut_after_the_next_request(self) -> None:
        self._cut.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._ends += [client, server]
                for source, to, answers in ((client, server, False), (server, client, True)):
                    thread = threading.Thread(target=self._pass_on, args=(source, to, answers))
                    self._threads.append(thread)
                    thread.start()

    def _pass_on(self, source: socket.socket, to: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if answers and self._cut.is_set():
                    break
                to.sendall(data)
        for end in (source, to):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _ask(database: JobDatabase) -> object:
    with database.read() as connection:
        return connection.execute(text("SELECT 1")).scalar_one()


def _create(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE made (n int)"))


def _tables(database: JobDatabase) -> int:
    with database.read() as connection:
        found = connection.execute(text("SELECT COUNT(*) FROM sys.tables WHERE name = 'made'")).scalar_one()
    return int(found)


def _drop(database: JobDatabase) -> None:
    with database.write() as connection:
        connection.execute(text("DROP TABLE made"))


def test_a_query_is_one_round_trip_and_a_transaction_one_more_than_its_statements(wire: Wire) -> None:
    database = wire.open()

    def write() -> None:
        with database.write() as connection:
            connection.execute(text("SELECT 2"))
            connection.execute(text("SELECT 3"))

    _ask(database)
    write()
    assert wire.seen(lambda: _ask(database)) == ["SELECT 1"]
    assert wire.seen(write) == ["SELECT 2", "SELECT 3", "COMMIT TRANSACTION"]


def test_a_connection_that_lay_unused_is_asked_first_and_replaced_when_it_is_dead(wire: Wire) -> None:
    database = wire.open()
    _ask(database)
    wire.seconds.now += sql_server.UNUSED_SECONDS
    assert wire.seen(lambda: _ask(database)) == ["SELECT 1", "SELECT 1"]
    wire.seconds.now += sql_server.UNUSED_SECONDS
    wire.control.add_fault("drop", "before", text="SELECT 1", count=1)
    assert _ask(database) == 1


def test_a_connection_that_dies_in_use_is_told_and_all_of_its_age_are_replaced(wire: Wire) -> None:
    database = wire.open()
    _ask(database)
    wire.control.add_fault("drop", "before", text="SELECT 1", count=1)
    with pytest.raises(JobDatabaseUnavailableError) as caught:
        _ask(database)
    assert caught.value.nothing_changed
    seen = wire.seen(lambda: _ask(database))
    assert "login" in seen
    assert seen[-1] == "SELECT 1"


@pytest.mark.parametrize("number", [1205, 40197, 40501, 40613])
def test_a_transaction_that_was_rolled_back_is_done_again(wire: Wire, number: int) -> None:
    database = wire.open()
    wire.control.add_fault("error", "before", number=number, text="CREATE TABLE made", count=2)
    assert database.transact(_create) is None
    assert wire.pauses == [0.1, 0.5]
    assert _tables(database) == 1
    _drop(database)


def test_a_transaction_whose_connection_died_before_commit_is_done_again(wire: Wire) -> None:
    database = wire.open()
    wire.control.add_fault("drop", "after", text="CREATE TABLE made", count=1)
    database.transact(_create)
    assert _tables(database) == 1
    _drop(database)


def test_a_lost_answer_to_commit_is_not_tried_again_and_says_so(wire: Wire) -> None:
    with Wiretap(wire.emulator.host, wire.emulator.ports[SERVER]) as tap:
        database = wire.open(wire.url().replace(f":{wire.emulator.ports[SERVER]}/", f":{tap.port}/"))
        _ask(database)
        event.listen(database.engine, "commit", lambda _: tap.cut_after_the_next_request())
        with pytest.raises(JobDatabaseUnavailableError, match="Whether the change was saved is unknown") as caught:
            database.transact(_create)
    assert not caught.value.nothing_changed
    assert wire.pauses == []
    assert _tables(wire.open()) == 1  # the server did it; nobody could have known
    _drop(wire.open())


def test_a_deadlock_that_comes_back_each_time_is_told_in_the_end(wire: Wire) -> None:
    database = wire.open()
    wire.control.add_fault("error", "before", number=1205, text="CREATE TABLE made")
    with pytest.raises(JobDatabaseUnavailableError, match="deadlock"):
        database.transact(_create)
    assert len(wire.pauses) == 4
    assert _tables(database) == 0


def test_an_error_that_does_not_pass_is_not_tried_again(wire: Wire) -> None:
    database = wire.open()
    tried: list[int] = []

    def wrong(connection: Connection) -> None:
        tried.append(1)
        connection.execute(text("SELECT * FROM there_is_no_such_table"))

    with pytest.raises(Exception, match="there_is_no_such_table"):
        database.transact(wrong)
    assert tried == [1]


def test_a_paused_database_is_waited_for(wire: Wire) -> None:
    wire.control.refuse_logins(40613, database="jobdb", count=3)
    assert _ask(wire.open()) == 1
    assert wire.pauses == [1.0, 2.0, 4.0]


def test_a_paused_database_is_waited_for_longer_than_a_minute(wire: Wire) -> None:
    rule = wire.control.refuse_logins(40613, database="jobdb")
    with pytest.raises(JobDatabaseUnavailableError, match="40613"):
        _ask(wire.open())
    assert sum(wire.pauses) > 60
    wire.control.remove_fault(rule)


def test_a_wrong_password_is_told_at_once_and_without_it(wire: Wire) -> None:
    with pytest.raises(JobDatabaseUnavailableError, match=r"as user 'sqladmin'.*18456.*JOB_DATABASE_URL") as caught:
        _ask(wire.open(wire.url("sqladmin:not-the-password@")))
    assert "not-the-password" not in str(caught.value)
    assert wire.pauses == []


def test_without_a_user_the_token_of_the_app_opens_it_and_each_connection_asks_for_it(wire: Wire) -> None:
    tokens = Tokens("expired", TOKEN)
    database = wire.open(wire.url(""), tokens=tokens)
    with pytest.raises(JobDatabaseUnavailableError, match="as the app's identity"):
        _ask(database)
    assert _ask(database) == 1
    assert "eyJ0" not in repr(vars(database))


def test_an_app_without_identity_is_told_what_to_do(wire: Wire) -> None:
    with pytest.raises(JobDatabaseUnavailableError, match="Assign a managed identity"):
        _ask(wire.open(wire.url(""), tokens=Tokens()))


def test_a_certificate_of_another_name_is_refused(wire: Wire) -> None:
    with pytest.raises(JobDatabaseUnavailableError, match="certificate"):
        _ask(wire.open(wire.url().replace(f"={SERVER}", "=other.database.windows.net")))


def test_a_certificate_of_an_unknown_authority_is_refused_unless_the_url_trusts_it(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    with pytest.raises(JobDatabaseUnavailableError, match="certificate"):
        _ask(wire.open())
    assert _ask(wire.open(wire.url(options="&TrustServerCertificate=yes"))) == 1


def test_a_statement_is_given_up_after_a_while_but_not_while_the_schema_is_upgraded(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_server, "STATEMENT_TIMEOUT_SECONDS", 1)
    database = wire.open()

    def slow(connection: Connection) -> None:
        connection.execute(text("WAITFOR DELAY '00:00:02'"))

    with database.write() as connection:
        sql_server.wait_for_ever(connection)
        slow(connection)
    with pytest.raises(JobDatabaseUnavailableError, match="timeout expired"), database.write() as connection:
        slow(connection)


def test_threads_share_the_connections_of_the_pool(wire: Wire) -> None:
    database = wire.open()
    answers: list[object] = []
    threads = [threading.Thread(target=lambda: answers.append(_ask(database))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [1] * 12
    assert wire.seen(lambda: _ask(database)) == ["SELECT 1"]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mssql+pyodbc:///jobdb", "server and database"),
        ("mssql+pyodbc://server", "server and database"),
        ("mssql+pyodbc://user@server/jobdb", "user and password, or neither"),
        ("mssql+pyodbc://u:p@server/jobdb?Encrypt=no", "encryption off"),
        ("mssql+pyodbc://u:p@server/jobdb?TrustServerCertificate=maybe", "write yes or no"),
        ("mssql+pyodbc://server/jobdb?TrustServerCertificate=yes", "access token is only sent"),
        ("mssql+pyodbc://u:p@server/jobdb?authentication=ActiveDirectoryMsi", "'authentication', which is not known"),
    ],
)
def test_a_url_that_cannot_be_used_says_why(url: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        JobDatabase(url)


def test_what_a_url_says_can_not_become_another_field_of_the_connection_string() -> None:
    url = (
        f"mssql+pyodbc://u;UID=sa:{quote('p};Encrypt=no', safe='')}@server:1500/jobdb%7D;x?encrypt=strict&driver=other"
    )
    place = Place.from_url(make_url(url))
    assert "UID={u;UID=sa};PWD={p}};Encrypt=no};" in place.connection_string()
    assert "Database={jobdb}};x};" in place.connection_string()
    assert "Server={tcp:server,1500};" in place.connection_string()
    assert ";Encrypt=strict;" in place.connection_string()
    assert "p}" not in repr(place)

"""Transactions of the driver (autocommit off) and of T-SQL, and the reset of a connection."""

from __future__ import annotations

import pyodbc
import pytest

from local.sqlserver.contract import Done, Event, SqlError
from tests.emulator.wire_fake import FakeSession, ResettingSession, Wire, message, select_one, until


def kinds(wire: Wire) -> list[str]:
    return [record.text for record in wire.journal.query() if record.kind == "transaction"]


def test_commit_and_rollback(wire: Wire) -> None:
    connection = wire.connect(autocommit=False)
    (session,) = wire.first.sessions
    assert session.depth == 1
    select_one(connection)
    connection.commit()
    assert session.depth == 1
    select_one(connection)
    connection.rollback()
    select_one(connection)
    connection.close()
    until(lambda: session.closed)
    assert kinds(wire) == ["BEGIN TRANSACTION", "COMMIT TRANSACTION", "ROLLBACK TRANSACTION", "ROLLBACK TRANSACTION"]


def test_autocommit_may_change_later(wire: Wire) -> None:
    connection = wire.connect(autocommit=False)
    (session,) = wire.first.sessions
    connection.autocommit = True
    select_one(connection)
    assert session.depth == 0
    connection.autocommit = False
    select_one(connection)
    assert session.depth == 1
    connection.commit()


def begin(session: FakeSession, *_: object) -> list[Event]:
    session.begin()
    return [Done()]


def end(session: FakeSession, *_: object) -> list[Event]:
    session.rollback()
    return [Done()]


def test_transactions_of_t_sql_itself(wire: Wire) -> None:
    wire.first.on("begin tran", begin)
    wire.first.on("commit", end)
    connection = wire.connect()
    for _ in range(2):
        connection.execute("begin tran")
        assert select_one(connection) == 1
        connection.execute("commit")
        assert select_one(connection) == 1


@pytest.mark.parametrize("parameters", [(), (1,)], ids=["batch", "rpc"])
def test_a_deadlock_victim_may_begin_again(wire: Wire, parameters: tuple[int, ...]) -> None:
    """1205 rolls back on the server; the driver learns it from ENVCHANGE and stays usable."""

    def victim(session: FakeSession, *_: object) -> list[Event]:
        session.rollback()
        return [message(1205, 13, "deadlock"), Done()]

    wire.first.on("q" + " @P1" * len(parameters), victim)
    connection = wire.connect(autocommit=False)
    (session,) = wire.first.sessions
    with pytest.raises(pyodbc.Error) as caught:
        connection.execute("q" + " ?" * len(parameters), *parameters)
    assert caught.value.args[0] == "40001"
    connection.rollback()
    assert select_one(connection) == 1
    assert session.depth == 1
    connection.commit()


def test_an_error_of_commit_is_told(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = wire.connect(autocommit=False)
    select_one(connection)
    monkeypatch.setattr(FakeSession, "commit", refuse)
    with pytest.raises(pyodbc.ProgrammingError, match="3930"):
        connection.commit()


def refuse(*_: object) -> None:
    raise SqlError(3930, 16, "The current transaction cannot be committed.")


def test_reset_gives_a_session_as_new(wire: Wire) -> None:
    """SQL_COPT_SS_RESET_CONNECTION (116): the next request carries the flag."""
    connection = wire.connect()
    connection.set_attr(116, 1)
    assert select_one(connection) == 1
    first, second = wire.first.sessions
    assert first.closed
    assert not second.closed
    assert select_one(connection) == 1
    assert len(wire.first.sessions) == 2


def test_reset_uses_the_session_s_own_when_it_has_one(wire: Wire) -> None:
    wire.first.session_type = ResettingSession
    connection = wire.connect()
    connection.set_attr(116, 1)
    assert select_one(connection) == 1
    assert wire.first.resets == [wire.first.sessions[0].spid]
    assert len(wire.first.sessions) == 1


def test_a_reset_that_is_refused_is_told(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = wire.connect()
    connection.set_attr(116, 1)
    monkeypatch.setattr(wire.first, "_open", refuse)
    with pytest.raises(pyodbc.ProgrammingError, match="3930"):
        select_one(connection)

"""Many sessions at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyodbc

from local.sqlserver.contract import Event, SqlType
from local.sqlserver.journal import Filter
from tests.emulator.wire_fake import FakeSession, Wire, one, until

SESSIONS = 200


def test_two_hundred_statements_wait_at_once(wire: Wire) -> None:
    """Every session holds a running statement at the same instant; each one then gets its own answer."""
    release = threading.Event()

    def waitfor(session: FakeSession, *_: object) -> Iterator[Event]:
        release.wait(60)
        yield from one(session.spid, SqlType("int"))

    wire.first.on("waitfor", waitfor)
    wire.second.on("waitfor", waitfor)

    def client(number: int) -> int:
        connection = wire.connect(f"db{number}", port=wire.ports[number % 2], timeout=60)
        try:
            return int(connection.execute("waitfor").fetchval())
        finally:
            connection.close()

    with ThreadPoolExecutor(SESSIONS) as pool:
        futures = [pool.submit(client, number) for number in range(SESSIONS)]
        until(lambda: len(wire.journal.running(Filter(text="waitfor"))) == SESSIONS, 60)
        release.set()
        spids = [future.result() for future in futures]
    assert len(set(zip(spids, (n % 2 for n in range(SESSIONS)), strict=True))) == SESSIONS
    until(lambda: wire.journal.gauges()["total"] == _totals(0, SESSIONS))
    servers = wire.journal.gauges()["servers"]
    assert servers == {name: _totals(0, SESSIONS // 2) for name in (wire.first.name, wire.second.name)}
    assert wire.journal.matching(Filter(text="waitfor")) == {
        "executing": 0, "executing_high_water": SESSIONS, "batches": SESSIONS
    }  # fmt: skip


def _totals(now: int, most: int) -> dict[str, int]:
    return {"executing": now, "executing_high_water": most, "sessions": now, "sessions_high_water": most}


def test_all_waiting_statements_can_be_cancelled_together(wire: Wire) -> None:
    def waitfor(session: FakeSession, *_: object) -> Iterator[Event]:
        session.sleep(60)
        yield from ()

    wire.first.on("waitfor", waitfor)
    connections = [wire.connect() for _ in range(50)]
    cursors = [connection.cursor() for connection in connections]
    failures: list[str] = []

    def run(cursor: pyodbc.Cursor) -> None:
        try:
            cursor.execute("waitfor")
        except pyodbc.Error as error:
            failures.append(error.args[0])

    threads = [threading.Thread(target=run, args=(cursor,)) for cursor in cursors]
    for thread in threads:
        thread.start()
    until(lambda: len(wire.journal.running()) == 50)
    for cursor in cursors:
        cursor.cancel()
    for thread in threads:
        thread.join(20)
    assert failures == ["HY008"] * 50


def test_stopping_the_server_ends_what_runs(driver: str, tmp_path: object) -> None:
    """Covered by the fixture's close(): statements that wait are cancelled and every session is closed."""
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    wire = Wire(driver, tmp_path)

    def waitfor(session: FakeSession, *_: object) -> Iterator[Event]:
        session.sleep(60)
        yield from ()

    wire.first.on("waitfor", waitfor)
    connection = wire.connect()
    seen: list[str] = []

    def run() -> None:
        try:
            connection.execute("waitfor")
        except pyodbc.Error as error:
            seen.append(error.args[0])

    thread = threading.Thread(target=run)
    thread.start()
    until(wire.journal.running)
    wire.close()
    thread.join(10)
    assert seen == ["08S01"]
    assert wire.first.sessions[0].closed

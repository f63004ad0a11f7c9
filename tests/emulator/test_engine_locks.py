"""Transactions, locks between sessions, application locks; with real threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from local.sqlserver.catalog import LogicalServer
from local.sqlserver.engine.locks import EXCLUSIVE, SHARED, LockManager, Outcome, Owner

from .engine_support import Background, admin, ok, run, server, until


@pytest.fixture
def emulator() -> Iterator[LogicalServer]:
    with server() as made:
        ok(admin(made), "CREATE TABLE t (a int PRIMARY KEY, b int) INSERT t VALUES (1, 10), (2, 20)")
        yield made


def test_commit_and_rollback(emulator: LogicalServer) -> None:
    one, two = admin(emulator), admin(emulator)
    ok(one, "BEGIN TRAN UPDATE t SET b = 0 WHERE a = 1")
    assert (one.transaction_depth, ok(one, "SELECT @@TRANCOUNT").value) == (1, 1)
    assert ok(two, "SELECT b FROM t WHERE a = 1").value == 10, "readers see what is committed, and do not wait"
    ok(one, "ROLLBACK")
    assert ok(one, "SELECT b FROM t WHERE a = 1").value == 10
    ok(one, "BEGIN TRANSACTION BEGIN TRAN UPDATE t SET b = 5 WHERE a = 1 COMMIT")
    assert ok(two, "SELECT b FROM t WHERE a = 1").value == 10, "only the outer COMMIT counts"
    one.commit()
    assert ok(two, "SELECT b FROM t WHERE a = 1").value == 5


def test_begin_by_the_wire(emulator: LogicalServer) -> None:
    one, two = admin(emulator), admin(emulator)
    one.begin()
    ok(one, "DELETE t")
    one.rollback()
    one.begin()
    ok(one, "DELETE t WHERE a = 1")
    one.close()
    assert ok(two, "SELECT COUNT(*) FROM t").value == 2, "closing rolls back"


def test_a_writer_waits_for_the_other(emulator: LogicalServer) -> None:
    one, two = admin(emulator), admin(emulator)
    ok(one, "BEGIN TRAN UPDATE t SET b = b + 1")
    waiting = Background(two, "UPDATE t SET b = b + 100")
    until(lambda: two.owner.waiting is not None, "the second writer to wait")
    ok(one, "COMMIT")
    assert waiting.wait().counts == [2]
    assert ok(one, "SELECT b FROM t ORDER BY a").rows == [(111,), (121,)]


def test_lock_timeout(emulator: LogicalServer) -> None:
    one, two = admin(emulator), admin(emulator)
    ok(one, "BEGIN TRAN DELETE t")
    result = run(two, "SET LOCK_TIMEOUT 10 DELETE t PRINT 'goes on'")
    assert (result.errors, result.prints) == ([1222], ["goes on"])


def test_cancel_ends_a_lock_wait(emulator: LogicalServer) -> None:
    one, two = admin(emulator), admin(emulator)
    ok(one, "BEGIN TRAN DELETE t")
    waiting = Background(two, "DELETE t")
    until(lambda: two.owner.waiting is not None, "the second writer to wait")
    two.cancel()
    assert waiting.wait().events == []
    ok(one, "ROLLBACK")
    assert ok(two, "SELECT COUNT(*) FROM t").value == 2
    assert ok(two, "DELETE t").counts == [2]


def test_xact_abort_and_doomed_transactions(emulator: LogicalServer) -> None:
    one = admin(emulator)
    result = run(one, "SET XACT_ABORT ON BEGIN TRAN DELETE t SELECT 1/0 COMMIT")
    assert (result.errors, one.transaction_depth) == ([8134], 0)
    result = run(one, """SET XACT_ABORT ON BEGIN TRAN DELETE t
        BEGIN TRY SELECT 1/0 END TRY BEGIN CATCH PRINT XACT_STATE() BEGIN TRY COMMIT END TRY
        BEGIN CATCH PRINT ERROR_NUMBER() END CATCH END CATCH""")  # fmt: skip
    assert (result.prints, result.errors, one.transaction_depth) == (["-1", "3930"], [3998], 0)
    assert ok(one, "SET XACT_ABORT OFF SELECT COUNT(*) FROM t").value == 2
    result = run(one, "BEGIN TRAN DELETE t WHERE a = 1 INSERT t VALUES (2, 2) COMMIT")
    assert result.errors == [2627], "without XACT_ABORT only the statement is undone"
    assert ok(one, "SELECT COUNT(*) FROM t").value == 1


def test_conversion_errors_roll_back(emulator: LogicalServer) -> None:
    one = admin(emulator)
    assert run(one, "BEGIN TRAN DELETE t SELECT CAST('x' AS int)").errors == [245]
    assert ok(one, "SELECT @@TRANCOUNT, COUNT(*) FROM t").rows == [(0, 2)]


def test_many_writers_lose_nothing(emulator: LogicalServer) -> None:
    """Twelve sessions count up in transactions: no update is lost, and no error comes from nowhere."""
    rounds, sessions = 15, [admin(emulator) for _ in range(12)]
    batch = f"DECLARE @i int = 0 WHILE @i < {rounds} BEGIN BEGIN TRAN UPDATE t SET b = b + 1 COMMIT SET @i += 1 END"
    results = [background.wait() for background in [Background(session, batch) for session in sessions]]
    assert [result.errors for result in results] == [[]] * len(sessions)
    assert ok(sessions[0], "SELECT b FROM t WHERE a = 1").value == 10 + rounds * len(sessions)


def test_create_race(emulator: LogicalServer) -> None:
    """Sessions that look and then create: one creates, the others find it or get 2714; nothing else may happen."""
    batch = "IF OBJECT_ID('race') IS NULL CREATE TABLE race (a int) INSERT race VALUES (1)"
    sessions = [admin(emulator) for _ in range(8)]
    results = [background.wait() for background in [Background(session, batch) for session in sessions]]
    assert all(result.errors in ([], [2714]) for result in results)
    assert ok(sessions[0], "SELECT COUNT(*) FROM race").value == len(sessions)


GET = (
    "DECLARE @r int EXEC @r = sp_getapplock @Resource = 'job', @LockMode = '{mode}', @LockOwner = 'Session', "
    "@LockTimeout = {ms} SELECT @r"
)
RELEASE = "EXEC sp_releaseapplock @Resource = 'job', @LockOwner = 'Session'"


def test_application_lock_of_a_session(emulator: LogicalServer) -> None:
    one, two = admin(emulator), admin(emulator)
    assert ok(one, GET.format(mode="Exclusive", ms=0)).value == 0
    assert ok(two, GET.format(mode="Exclusive", ms=0)).value == -1
    assert ok(two, GET.format(mode="Shared", ms=10)).value == -1
    assert ok(one, "SELECT APPLOCK_MODE('public', 'job', 'Session')").value == "Exclusive"
    assert ok(two, "SELECT APPLOCK_TEST('public', 'job', 'Shared', 'Session')").value == 0
    ok(one, RELEASE)
    assert run(one, RELEASE).errors == [1223]
    assert ok(two, GET.format(mode="Shared", ms=0)).value == 0
    assert ok(one, GET.format(mode="Shared", ms=0)).value == 0
    one.close()
    two.close()
    assert ok(admin(emulator), GET.format(mode="Exclusive", ms=0)).value == 0


def test_application_lock_is_reentrant_and_of_its_database(emulator: LogicalServer) -> None:
    emulator.create_database("db2")
    one, two = admin(emulator), admin(emulator)
    for _ in range(2):
        ok(one, GET.format(mode="Exclusive", ms=0))
    assert ok(admin(emulator, "db2"), GET.format(mode="Exclusive", ms=0)).value == 0
    ok(one, RELEASE)
    assert ok(two, GET.format(mode="Exclusive", ms=0)).value == -1
    ok(one, RELEASE)
    assert ok(two, GET.format(mode="Exclusive", ms=0)).value == 0


def test_application_lock_is_handed_over_when_its_owner_goes(emulator: LogicalServer) -> None:
    one, two = admin(emulator), admin(emulator)
    ok(one, GET.format(mode="Exclusive", ms=0))
    waiting = Background(two, GET.format(mode="Exclusive", ms=-1))
    until(lambda: two.owner.waiting is not None, "the second session to wait")
    one.close()
    assert waiting.wait().value == 1


def test_application_lock_of_a_transaction(emulator: LogicalServer) -> None:
    one, two = admin(emulator), admin(emulator)
    get = "DECLARE @r int EXEC @r = sp_getapplock 'job', 'Exclusive', 'Transaction', 0 SELECT @r"
    assert len(run(one, get).errors) == 1
    assert ok(one, f"BEGIN TRAN {get}").value == 0
    assert ok(two, f"BEGIN TRAN {get}").value == -1
    ok(one, "COMMIT")
    assert ok(two, get).value == 0


def test_application_lock_parameters(emulator: LogicalServer) -> None:
    one = admin(emulator)
    assert run(one, "EXEC sp_getapplock 'job', 'Greedy', 'Session'").errors == [1225]
    assert run(one, "EXEC sp_getapplock 'job', 'Shared', 'Nobody'").errors == [1229]
    assert run(one, "EXEC sp_getapplock @Nonsense = 1").errors == [8145]


def test_application_lock_race(emulator: LogicalServer) -> None:
    """Only one of many threads is ever inside."""
    sessions = [admin(emulator) for _ in range(10)]
    inside, most, mutex = [0], [0], threading.Lock()

    def work(number: int) -> None:
        for _ in range(10):
            assert ok(sessions[number], GET.format(mode="Exclusive", ms=-1)).value in (0, 1)
            with mutex:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            with mutex:
                inside[0] -= 1
            ok(sessions[number], RELEASE)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(sessions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (most, inside) == ([1], [0])


def test_deadlock_is_found(emulator: LogicalServer) -> None:
    one, two = admin(emulator), admin(emulator)
    ok(one, "BEGIN TRAN DELETE t WHERE a = 1")
    ok(two, GET.format(mode="Exclusive", ms=0))
    waiting = Background(one, GET.format(mode="Exclusive", ms=-1))
    until(lambda: one.owner.waiting is not None, "the first session to wait")
    assert run(two, "DELETE t WHERE a = 2").errors == [1205]
    ok(two, RELEASE)
    assert waiting.wait().value == 1


# The lock manager by itself


def test_shared_and_exclusive() -> None:
    manager, one, two, three = LockManager(), Owner(), Owner(), Owner()
    assert manager.acquire(one, "r", SHARED) is Outcome.GRANTED
    assert manager.acquire(two, "r", SHARED) is Outcome.GRANTED
    assert manager.acquire(three, "r", EXCLUSIVE, timeout=0) is Outcome.TIMEOUT
    assert manager.acquire(three, "r", EXCLUSIVE, timeout=0.01) is Outcome.TIMEOUT
    assert manager.release(one, "r")
    assert manager.release(two, "r")
    assert not manager.release(two, "r")
    assert manager.acquire(three, "r", EXCLUSIVE) is Outcome.GRANTED


def test_a_waiting_writer_is_not_overtaken() -> None:
    manager, one, two, three = LockManager(), Owner(), Owner(), Owner()
    manager.acquire(one, "r", SHARED)
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(manager.acquire(two, "r", EXCLUSIVE)))
    thread.start()
    until(lambda: two.waiting is not None, "the writer to wait")
    assert manager.acquire(three, "r", SHARED, timeout=0) is Outcome.TIMEOUT
    manager.release(one, "r")
    thread.join(20)
    assert outcomes == [Outcome.GRANTED_AFTER_WAIT]


def test_a_reader_behind_a_writer_that_gives_up_is_let_in() -> None:
    manager, one, two, three = LockManager(), Owner(), Owner(), Owner()
    manager.acquire(one, "r", SHARED)
    outcomes: dict[str, Outcome] = {}

    def ask(name: str, owner: Owner, mode: str) -> threading.Thread:
        thread = threading.Thread(target=lambda: outcomes.update({name: manager.acquire(owner, "r", mode)}))
        thread.start()
        until(lambda: owner.waiting is not None, name)
        return thread

    writer, reader = ask("writer", two, EXCLUSIVE), ask("reader", three, SHARED)
    two.cancel()
    writer.join(20)
    reader.join(20)
    assert outcomes == {"writer": Outcome.CANCELLED, "reader": Outcome.GRANTED_AFTER_WAIT}

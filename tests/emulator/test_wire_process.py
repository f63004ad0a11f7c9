"""The emulator as a process of its own: start, ready file, control API, signals, the kill fault."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyodbc
import pytest

from local.sqlserver.client import ROOT, ControlError, Emulator, running_emulator, start_emulator, stop_emulator
from local.sqlserver.config import ConfigError, parse_config
from tests.emulator.wire_fake import number_of, select_one, until

SERVER, PASSWORD = "server1.database.windows.net", "Pässword;}1"
CONFIG: dict[str, object] = {
    "servers": [
        {
            "name": SERVER,
            "admin_password": PASSWORD,
            "databases": ["database1", {"prefix": "db", "count": 20}],
            "elastic_pools": [{"name": "pool1", "databases": ["database1", {"prefix": "p", "count": 2}]}],
            "tokens": [{"token": "t0ken", "principal": "agent"}],
            "entra_admin": "agent",
        },
        {"name": "server2.database.windows.net", "admin_password": PASSWORD},
    ]
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    folder = tmp_path_factory.mktemp("emulator")
    with running_emulator({**CONFIG, "journal_file": str(folder / "journal.jsonl")}, folder) as emulator:
        yield emulator


@pytest.fixture
def emulator(shared: Emulator, driver: str) -> Iterator[Emulator]:
    yield shared
    shared.control.clear_faults()


def connect(
    driver: str, emulator: Emulator, database: str = "database1", server: str = SERVER, **login: str
) -> pyodbc.Connection:
    user, password = login.get("user", "sqladmin"), login.get("password", PASSWORD).replace("}", "}}")
    return pyodbc.connect(
        f"Driver={driver};Server=127.0.0.1,{emulator.ports[server]};Database={database};Encrypt=no;"
        f"ConnectRetryCount=0;UID={user};PWD={{{password}}}",
        autocommit=True,
        timeout=10,
    )


def test_configured_servers_databases_and_pools(emulator: Emulator, driver: str) -> None:
    assert [(s["name"], s["port"], s["databases"]) for s in emulator.control.servers()] == [
        (SERVER, emulator.ports[SERVER], 24),
        ("server2.database.windows.net", emulator.ports["server2.database.windows.net"], 1),
    ]
    assert select_one(connect(driver, emulator, "db20")) == 1
    assert select_one(connect(driver, emulator, "p2")) == 1


def test_the_certificate_is_trusted_by_its_ca(emulator: Emulator, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(emulator.ca))
    connection = pyodbc.connect(
        f"Driver={driver};Server=localhost,{emulator.ports[SERVER]};Database=db1;Encrypt=yes;UID=sqladmin;"
        f"HostNameInCertificate={SERVER};PWD={{{PASSWORD.replace('}', '}}')}}}",
        timeout=10,
    )
    assert select_one(connection) == 1


def test_the_journal_and_the_gauges_through_the_client(emulator: Emulator, driver: str) -> None:
    before = emulator.control.last_sequence()
    emulator.control.reset_gauges()
    connection = connect(driver, emulator, "db3")
    assert connection.execute("select 1 /* mark */").fetchval() == 1
    assert emulator.control.gauges()["servers"][SERVER]["sessions"] >= 1
    connection.close()
    until(lambda: emulator.control.journal(before, kind="logout", database="db3"))
    (batch,) = emulator.control.journal(before, text="mark")
    assert (batch["server"], batch["database"], batch["user"]) == (SERVER, "db3", "sqladmin")
    assert (batch["outcome"], batch["parameters"], batch["error_number"]) == ("ok", 0, None)
    assert emulator.control.gauges(text="mark")["matching"] == {
        "executing": 0, "executing_high_water": 1, "batches": 1
    }  # fmt: skip
    assert emulator.control.running() == []


def test_faults_through_the_client(emulator: Emulator, driver: str) -> None:
    control = emulator.control
    rule = control.refuse_logins(40613, database="db1")
    with pytest.raises(pyodbc.Error, match="40613"):
        connect(driver, emulator, "db1")
    assert [(fault["id"], fault["hits"]) for fault in control.faults()] == [(rule, 1)]
    control.remove_fault(rule)
    connect(driver, emulator, "db1").close()
    control.throttle(10928, at="before", text="select 1", count=1)
    control.pause(30, database="db2")
    with pytest.raises(pyodbc.Error, match="10928"):
        select_one(connect(driver, emulator, "db1"))
    with pytest.raises(pyodbc.Error, match="40613"):
        connect(driver, emulator, "db2")
    control.clear_faults()
    assert control.faults() == []
    connect(driver, emulator, "db2").close()


def test_databases_logins_and_tokens_through_the_client(emulator: Emulator, driver: str) -> None:
    control = emulator.control
    control.create_database(SERVER, "fresh")
    assert select_one(connect(driver, emulator, "fresh")) == 1
    control.set_database_state(SERVER, "fresh", "PAUSED")
    with pytest.raises(pyodbc.Error) as caught:
        connect(driver, emulator, "fresh")
    assert number_of(caught.value) == 40613
    control.set_database_state(SERVER, "fresh", "ONLINE")
    control.drop_database(SERVER, "fresh")
    with pytest.raises(pyodbc.Error) as caught:
        connect(driver, emulator, "fresh")
    assert number_of(caught.value) == 4060
    control.create_elastic_pool(SERVER, "pool2")
    control.create_database(SERVER, "pooled", "pool2")
    control.create_login(SERVER, "job", "S3cret!")
    with pytest.raises(pyodbc.Error) as caught:
        connect(driver, emulator, "db1", user="job", password="S3cret!")
    assert number_of(caught.value) == 4060  # a login without a user in the database
    control.add_token("another", "agent", SERVER)
    control.add_token("everywhere", "agent")


@pytest.mark.parametrize(
    ("call", "status", "sentence"),
    [
        (lambda c: c.create_database("nowhere", "x"), 404, "no logical server 'nowhere'"),
        (lambda c: c.create_database(SERVER, "db1"), 409, "already exists"),
        (lambda c: c.create_database(SERVER, "x", "no pool"), 400, "no elastic pool"),
        (lambda c: c.create_database(SERVER, ""), 400, "lacks the text field 'name'"),
        (lambda c: c.drop_database(SERVER, "missing"), 404, "no database 'missing'"),
        (lambda c: c.set_database_state(SERVER, "db1", "HAPPY"), 400, "HAPPY"),
        (lambda c: c.create_login(SERVER, "sqladmin", "x"), 409, "already exists"),
        (lambda c: c.add_fault("drop", "sometimes"), 400, "strikes at"),
        (lambda c: c.remove_fault(99_999), 404, "no fault rule"),
        (lambda c: c.journal(after="x"), 400, "invalid literal"),
        (lambda c: c._call("GET", "/nothing"), 404, "There is no GET /nothing"),
        (lambda c: c._call("POST", "/gauges/other"), 404, "Only POST /gauges/reset"),
        (lambda c: c._call("POST", "/faults", []), 400, "must be an object"),
    ],
)  # fmt: skip
def test_what_the_control_api_refuses(emulator: Emulator, call: object, status: int, sentence: str) -> None:
    with pytest.raises(ControlError, match=sentence) as caught:
        call(emulator.control)  # type: ignore[operator]  # a lambda above
    assert caught.value.status == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, driver: str, number: signal.Signals) -> None:
    """Also with a session open and a statement running."""
    emulator = start_emulator({**CONFIG, "journal_file": str(tmp_path / "journal.jsonl")}, tmp_path)
    connection = connect(driver, emulator)
    select_one(connection)
    os.kill(emulator.process.pid, number)
    assert emulator.process.wait(10) == 0
    records = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert [record["kind"] for record in records] == ["login", "batch", "logout"]
    with pytest.raises(pyodbc.OperationalError):
        select_one(connection)


@pytest.mark.parametrize(("at", "journalled"), [("login", 1), ("before", 2), ("after", 2)])
def test_the_kill_fault(tmp_path: Path, driver: str, at: str, journalled: int) -> None:
    emulator = start_emulator({**CONFIG, "journal_file": str(tmp_path / "journal.jsonl")}, tmp_path)
    try:
        emulator.control.add_fault("kill", at)
        with pytest.raises(pyodbc.OperationalError):
            select_one(connect(driver, emulator))
        assert emulator.process.wait(10) == -signal.SIGKILL
        records = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
        assert len(records) == journalled
        assert records[-1]["outcome"] == "killed"
        assert not emulator.control.healthy()
    finally:
        stop_emulator(emulator)


def test_a_port_in_use_is_a_sentence_and_exit_code_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for config in (
            {"servers": [{"name": "s", "admin_password": "x", "port": port}]},
            {"servers": [{"name": "s", "admin_password": "x"}], "control_port": port},
        ):
            path = tmp_path / "emulator.json"
            path.write_text(json.dumps({**config, "certificates": str(tmp_path / "tls")}))
            ended = subprocess.run(
                [sys.executable, "-m", "local.sqlserver", "--config", str(path)],
                cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
            )  # fmt: skip
            assert ended.returncode == 2
            assert ended.stderr.startswith("The SQL emulator cannot start: Cannot listen on 127.0.0.1:")
            assert ended.stderr.count("\n") == 1


def test_an_emulator_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="names no server"):
        start_emulator({"servers": []}, tmp_path)


TWO_POOLS = [{"name": pool, "databases": ["d"]} for pool in "ab"]
ONE = {"name": "s", "admin_password": "x"}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ([], "must be an object"),
        ({"certificates": "x"}, "names no server"),
        ({"servers": [ONE]}, "lacks 'certificates'"),
        ({"certificates": "x", "servers": [{"name": "s"}]}, r"servers\[0\] lacks 'admin_password'"),
        ({"certificates": "x", "servers": [ONE, ONE]}, "same name"),
        ({"certificates": "x", "servers": [ONE], "colour": 1}, "unknown field 'colour'"),
        ({"certificates": "x", "servers": [{**ONE, "port": "1"}]}, "'port' must be a whole number"),
        ({"certificates": "x", "servers": [ONE], "encryption": "maybe"}, "'optional' or 'required'"),
        ({"certificates": "x", "servers": [{**ONE, "databases": [{"prefix": "d"}]}]}, "lacks 'count'"),
        (
            {
                "certificates": "x",
                "servers": [{**ONE, "elastic_pools": [{"name": p, "databases": ["d"]} for p in "ab"]}],
            },
            "two elastic pools",
        ),
    ],
)
def test_a_wrong_configuration_is_refused_with_a_sentence(config: object, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_config(config)

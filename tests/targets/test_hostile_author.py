"""A hostile job author's tricks to make a credential or a token reach a listener of his own: none arrives.

He writes names of servers, databases, pools, shard maps and outputs, and the rows of shard maps. He does not write the
deployment's settings. His listener is real, and the last test shows that it would have seen him.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pyodbc
import pytest

from elastic_jobs.domain.model import Output
from elastic_jobs.domain.outcome import ErrorClass, Outcome
from elastic_jobs.domain.targets import Member, ServerNames, TargetType
from elastic_jobs.errors import ElasticJobsError, ServerNotAllowedError
from elastic_jobs.targets.authentication import Login, PasswordLogin, TokenLogin
from elastic_jobs.targets.connect import find_driver
from elastic_jobs.targets.errors import TargetError
from elastic_jobs.targets.group import GroupResolver
from elastic_jobs.targets.output import OutputTask
from elastic_jobs.targets.preflight import Preflight
from elastic_jobs.targets.servers import TargetServers
from tests.targets.estate import TABLES
from tests.targets.lab import SERVER, Lab
from tests.targets.listener import Listener

NAMES = ServerNames(".database.windows.net")
PASSWORD = "canary-password-0815"
TOKEN = "canary-token-0815"


class Tokens:
    def token(self, client_id: str) -> str:
        del client_id
        return TOKEN


LOGINS: tuple[Login, ...] = (PasswordLogin("jobuser", PASSWORD), TokenLogin(client_id="id1", tokens=Tokens()))


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.close()


@pytest.fixture
def hostile(lab: Lab, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A deployment as it should be, but every name that is not its own server's leads to the listener."""
    assert lab.client is not None or pytest.skip("The emulator is needed.")
    resolve = socket.getaddrinfo

    def poisoned(host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        return resolve("127.0.0.1", port if name == "127.0.0.1" else listener.port, *rest, **options)

    # What Python resolves (preflight); the driver's own look-ups cannot be poisoned from here.
    monkeypatch.setattr(socket, "getaddrinfo", poisoned)
    yield lab
    monkeypatch.undo()
    assert listener.accepted == [], f"something arrived: {listener.received!r}"
    assert listener.received == b""


def server_names(port: int) -> dict[str, str]:
    """The trick's name, and what he writes as the name of a server."""
    own = SERVER.removesuffix(NAMES.suffix)
    return {
        "an address with a port": f"127.0.0.1,{port}",
        "a name with a port": f"localhost,{port}",
        "a protocol before it": f"tcp:127.0.0.1,{port}",
        "two protocols": f"tcp:tcp:127.0.0.1,{port}",
        "named pipes": r"np:\\127.0.0.1\pipe\sql\query",
        "shared memory": "lpc:127.0.0.1",
        "the admin connection": f"admin:127.0.0.1,{port}",
        "a second field": f"{SERVER};Server=tcp:127.0.0.1,{port}",
        "a brace and a second field": f"{SERVER}}};Server={{tcp:127.0.0.1,{port}",
        "a failover partner": f"{SERVER};Failover_Partner=127.0.0.1,{port}",
        "a data source file": f"{SERVER};FILEDSN=/tmp/evil.dsn",
        "an instance": rf"127.0.0.1\evil,{port}",
        "an instance behind the own name": rf"{own}\127.0.0.1,{port}",
        "two ports": f"{SERVER},1433,{port}",
        "a port after a colon": f"127.0.0.1:{port}",
        "a suffix that looks alike": f"{SERVER}.localhost",
        "a suffix that ends alike": "evildatabase.windows.net",
        "a label more": f"evil.{SERVER}",
        "a trailing dot": "localhost.",
        "two trailing dots and a port": f"localhost..,{port}",
        "the own name with the port": f"{SERVER},{port}",
        "letters of another alphabet": SERVER.replace("e", "\u0435", 1),
        "a wide full stop": f"{own}\u3002localhost,{port}",
        "a name for the wire": "xn--srver1-8ua.database.windows.net",
        "white space that ends a name": f"{SERVER}\u00a0localhost,{port}",
        "a line break": f"localhost,{port}\n,1433",
        "a NUL": f"127.0.0.1,{port}\0.{SERVER}",
        "a whole number": "2130706433",
        "a short address": f"127.1,{port}",
        "an address with a letter": f"127.0x1,{port}",
        "an address of version 6": f"::1,{port}",
        "user and host": f"{SERVER}@127.0.0.1,{port}",
        "a web address": f"http://127.0.0.1:{port}/",
        "nothing": "",
        "the local default": "(local)",
        "a dot": ".",
        "a per cent sign": "127.0.0.1%00." + SERVER,
    }


TRICKS = sorted(server_names(0))


@pytest.mark.parametrize("trick", TRICKS)
def test_a_name_of_a_server(hostile: Lab, listener: Listener, trick: str) -> None:
    name = server_names(listener.port)[trick]
    # The whole suffix is allowed, as in a large estate: the widest list that is of any use.
    for allowed in ([SERVER], [SERVER, "*.database.windows.net"]):
        servers = TargetServers(NAMES, allowed, {SERVER: hostile.options.servers.endpoint(SERVER).address})
        connector = hostile.connector(servers=servers, login_timeout_seconds=1, retry_seconds=())
        if len(allowed) == 2 and connects_to_the_suffix(servers, name):
            continue
        for login in LOGINS:
            with pytest.raises(ServerNotAllowedError):
                connector.connect(name, "master", login)


def connects_to_the_suffix(servers: TargetServers, name: str) -> bool:
    """A plain name under the allowed suffix is a server of Azure's, whoever it belongs to: not his machine."""
    try:
        endpoint = servers.endpoint(name)
    except ServerNotAllowedError:
        return False
    assert endpoint.address.endswith(".database.windows.net,1433")
    assert set(endpoint.address.removeprefix("tcp:")) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.,")
    return True


@pytest.mark.parametrize("trick", TRICKS)
def test_a_server_in_a_target_group(hostile: Lab, listener: Listener, trick: str) -> None:
    name = server_names(listener.port)[trick]
    member = Member(target_type=TargetType.SQL_SERVER, server_name=name)
    resolver = GroupResolver(hostile.connector(retry_seconds=()), retry_seconds=())
    with pytest.raises(ElasticJobsError):
        resolver.resolve([member], lambda _: LOGINS[0])
    with pytest.raises(ElasticJobsError):
        resolver.resolve([member], lambda _: LOGINS[1])


@pytest.mark.parametrize("trick", TRICKS)
def test_an_output_elsewhere(hostile: Lab, listener: Listener, trick: str) -> None:
    name = server_names(listener.port)[trick]
    output = OutputTask(output=Output(server_name=name, database_name="x", table_name="t"), login=LOGINS[0])
    result = hostile.run("SELECT 1 AS a", output=output)
    assert (result.outcome, result.error_class) == (Outcome.FAILED, ErrorClass.NOT_ALLOWED)
    assert hostile.control.journal(text="SELECT 1 AS a", database=hostile.database) == [], "the script ran in vain"


def test_rows_of_a_shard_map_and_their_preflight(hostile: Lab, listener: Listener) -> None:
    connection = hostile.connect()
    for statement in TABLES:
        connection.execute(statement)
    map_id = str(uuid4())
    connection.execute("INSERT INTO [__ShardManagement].[ShardMapsGlobal] VALUES (?, N'Map', 1, 1)", map_id)
    tricks = [name for trick, name in server_names(listener.port).items() if "\0" not in name]
    for number, name in enumerate(tricks):
        connection.execute(
            "INSERT INTO [__ShardManagement].[ShardsGlobal] VALUES (?, 1, ?, ?, NULL, 0, ?, ?, ?, 1)",
            str(uuid4()),
            str(uuid4()),
            map_id,
            name[:128],
            0 if "," in name else listener.port,
            f"d{number}",
        )
    member = Member(
        target_type=TargetType.SQL_SHARD_MAP,
        server_name=SERVER,
        database_name=hostile.database,
        shard_map_name="Map",
    )
    connector = hostile.connector(login_timeout_seconds=1, retry_seconds=())
    found = GroupResolver(connector).resolve([member], lambda _: hostile.login)
    assert found.targets == []
    assert len(found.refused) == len(tricks)
    for refused in found.refused:
        with pytest.raises(ServerNotAllowedError):
            connector.connect(refused.target.server_name, refused.target.database_name, LOGINS[0])
    report = Preflight(connector).check_group([member], lambda _: hostile.login, lambda: LOGINS[0])
    assert len(report.targets) == len(tricks)
    assert not any(target.is_ready for target in report.targets)


@pytest.mark.parametrize(
    "database",
    [
        "x;Server=tcp:127.0.0.1,{port}",
        "x}};Server={{tcp:127.0.0.1,{port}",
        "}};Server=tcp:127.0.0.1,{port};Database={{x",
        "x}};FILEDSN=/tmp/x;TrustServerCertificate=yes;ADDR=127.0.0.1,{port};y={{",
        "x\0;Server=tcp:127.0.0.1,{port}",
        "x}}}};Server=tcp:127.0.0.1,{port}",
    ],
)
def test_a_name_of_a_database(hostile: Lab, listener: Listener, database: str) -> None:
    for login in LOGINS:
        with pytest.raises(TargetError):
            hostile.connector(retry_seconds=()).connect(SERVER, database.format(port=listener.port), login)


def test_a_user_name_of_a_credential(hostile: Lab, listener: Listener) -> None:
    for user in ("x;Server=tcp:127.0.0.1,{0}", "x}};Server={{tcp:127.0.0.1,{0}", "x\0"):
        login = PasswordLogin(user.format(listener.port), PASSWORD)
        with pytest.raises(TargetError):
            hostile.connector(retry_seconds=()).connect(SERVER, hostile.database, login)


def test_an_address_for_a_server_makes_it_no_allowed_server(hostile: Lab, listener: Listener) -> None:
    address = f"127.0.0.1,{listener.port}"
    servers = TargetServers(NAMES, [SERVER], {"evil": address, "127.0.0.1": address, "localhost": address})
    for name in ("evil", "EVIL.database.windows.net", "127.0.0.1", "localhost", address):
        with pytest.raises(ServerNotAllowedError):
            hostile.connector(servers=servers).connect(name, "master", LOGINS[0])


def test_the_right_name_with_another_machine_behind_it_gets_no_secret(lab: Lab, listener: Listener) -> None:
    """DNS that lies: he is connected to, but has no certificate for the name."""
    assert lab.client is not None or pytest.skip("The emulator is needed.")
    servers = TargetServers(NAMES, [SERVER], {SERVER: f"127.0.0.1,{listener.port}"})
    for login in LOGINS:
        with pytest.raises(TargetError):
            lab.connector(servers=servers, login_timeout_seconds=1, retry_seconds=()).connect(SERVER, "x", login)
    # The positive control of this whole file: the listener sees what is sent.
    assert listener.received
    for secret in (PASSWORD, TOKEN, "jobuser"):
        for encoded in (secret.encode(), secret.encode("utf-16-le"), scrambled(secret)):
            assert encoded not in listener.received


def scrambled(password: str) -> bytes:
    """As a password stands in LOGIN7: nibbles swapped, each byte XOR 0xA5."""
    return bytes((((byte << 4) | (byte >> 4)) & 255) ^ 0xA5 for byte in password.encode("utf-16-le"))


def test_what_the_driver_would_do_with_such_a_string(listener: Listener) -> None:
    """Unquoted, the tricks work: it is the quoting that keeps them out."""
    text = f"Driver={find_driver()};Encrypt=yes;Database=x;Server=tcp:127.0.0.1,{listener.port};UID=u;PWD=p;"
    with pytest.raises(pyodbc.Error):
        pyodbc.connect(text, timeout=1)
    assert listener.received

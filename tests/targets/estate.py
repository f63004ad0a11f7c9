"""An estate of 12 servers with 40 databases each: pools, databases that are offline, shard maps of two managers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from elastic_jobs.domain.targets import ServerNames
from elastic_jobs.targets.authentication import PasswordLogin
from elastic_jobs.targets.connect import ConnectOptions, Connector
from elastic_jobs.targets.servers import TargetServers
from local.sqlserver.client import Emulator, EmulatorClient, running_emulator

SUFFIX = ".database.windows.net"
SERVERS = tuple(f"estate{number:02}" for number in range(1, 13))
DATABASES = tuple(f"Db{number:02}" for number in range(1, 41))
OFFLINE = {("estate03", "Db05"), ("estate03", "Db25"), ("estate07", "Db01")}
LOGIN = PasswordLogin("sqladmin", "Estate;}pass'word1")
MANAGERS = (("estate01", "Db40"), ("estate02", "Db39"))

TABLES = (
    "CREATE SCHEMA [__ShardManagement]",
    "CREATE TABLE [__ShardManagement].[ShardMapsGlobal] (ShardMapId uniqueidentifier NOT NULL PRIMARY KEY,"
    " Name nvarchar(50) NOT NULL UNIQUE, ShardMapType int NOT NULL, KeyType int NOT NULL)",
    "CREATE TABLE [__ShardManagement].[ShardsGlobal] (ShardId uniqueidentifier NOT NULL PRIMARY KEY,"
    " Readable bit NOT NULL, Version uniqueidentifier NOT NULL, ShardMapId uniqueidentifier NOT NULL,"
    " OperationId uniqueidentifier, Protocol int NOT NULL, ServerName nvarchar(128) NOT NULL, Port int NOT NULL,"
    " DatabaseName nvarchar(128) NOT NULL, Status int NOT NULL)",
)


@dataclass(frozen=True)
class Shard:
    """A row of a shard map; server and database as somebody once wrote them."""

    server: str
    database: str
    port: int = 0
    readable: bool = True


SHARD_MAPS: dict[tuple[str, str], dict[str, tuple[Shard, ...]]] = {
    MANAGERS[0]: {
        "Tenants": tuple(
            Shard(("{0}", "{0}" + SUFFIX, "TCP:{0}", "{0}.Database.Windows.Net,1433")[number % 4].format(server), name)
            for server in SERVERS[1:6]
            for number, name in enumerate(DATABASES[8:14])
        ),
        "Empty": (),
    },
    MANAGERS[1]: {
        "Regions": (
            Shard("ESTATE04", "db02", 1433),
            Shard("estate04", "Db15"),
            Shard("estate04", "Db16", readable=False),
            Shard("estate09", "db21"),
            Shard("estate03", "Db05"),
            Shard("foreign.example.com", "Db01"),
            Shard("estate05", "Db22", 4444),
        ),
    },
}


def pool_of(database: str) -> str | None:
    """The elastic pool of a database of any server."""
    number = int(database[2:])
    return "PoolA" if number <= 10 else "PoolB" if number <= 20 else None


@dataclass(frozen=True)
class Estate:
    emulator: Emulator
    options: ConnectOptions

    @property
    def control(self) -> EmulatorClient:
        return self.emulator.control

    @property
    def connector(self) -> Connector:
        return Connector(self.options)


@contextmanager
def running_estate() -> Iterator[Estate]:
    """The estate on an emulator of its own, whose authority this process trusts meanwhile."""
    by_pool = {pool: [name for name in DATABASES if pool_of(name) == pool] for pool in ("PoolA", "PoolB")}
    servers = [
        {
            "name": server + SUFFIX,
            "admin_user": LOGIN.username,
            "admin_password": LOGIN.password,
            "databases": [name for name in DATABASES if pool_of(name) is None],
            "elastic_pools": [{"name": pool, "databases": names} for pool, names in by_pool.items()],
        }
        for server in SERVERS
    ]
    with running_emulator({"servers": servers, "encryption": "required"}) as emulator:
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(emulator.ca)
        try:
            addresses = {name: f"{emulator.host},{port}" for name, port in emulator.ports.items()}
            allowed = TargetServers(ServerNames(SUFFIX), addresses, addresses)
            estate = Estate(emulator, ConnectOptions(servers=allowed, login_timeout_seconds=5, retry_seconds=(0.05,)))
            for place, maps in SHARD_MAPS.items():
                _write_shard_maps(estate, place, maps)
            for server, database in OFFLINE:
                emulator.control.set_database_state(server + SUFFIX, database, "OFFLINE")
            yield estate
        finally:
            if before is None:
                del os.environ["SSL_CERT_FILE"]
            else:
                os.environ["SSL_CERT_FILE"] = before


def _write_shard_maps(estate: Estate, place: tuple[str, str], maps: dict[str, tuple[Shard, ...]]) -> None:
    connection = estate.connector.connect(*place, LOGIN)
    try:
        for statement in TABLES:
            connection.execute(statement)
        for name, shards in maps.items():
            map_id = str(uuid4())
            connection.execute("INSERT INTO [__ShardManagement].[ShardMapsGlobal] VALUES (?, ?, 1, 1)", map_id, name)
            for shard in shards:
                connection.execute(
                    "INSERT INTO [__ShardManagement].[ShardsGlobal] VALUES (?, ?, ?, ?, NULL, 0, ?, ?, ?, 1)",
                    str(uuid4()),
                    shard.readable,
                    str(uuid4()),
                    map_id,
                    shard.server,
                    shard.port,
                    shard.database,
                )
    finally:
        connection.close()

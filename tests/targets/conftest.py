"""The emulator for the target tests; a real SQL Server when ELASTIC_JOBS_TEST_SQLSERVER names one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

import pyodbc
import pytest

from elastic_jobs.domain.targets import ServerNames
from elastic_jobs.targets.authentication import PasswordLogin
from elastic_jobs.targets.connect import ConnectOptions, Connector
from elastic_jobs.targets.servers import TargetServers
from local.sqlserver.client import Emulator, running_emulator
from tests.targets.lab import OTHER_SERVER, QUICK_RETRIES, SERVER, Lab

REAL_SERVER = "ELASTIC_JOBS_TEST_SQLSERVER"
"""``host,port;user;password`` of a SQL Server whose certificate need not be verified."""

PASSWORD = "T3st;}pass'word"
TOKEN = "eyJ0eXAi.token-of-the-agent.c2ln"


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator | None]:
    if os.environ.get(REAL_SERVER):
        yield None
        return
    servers = [
        {
            "name": name,
            "admin_user": "sqladmin",
            "admin_password": PASSWORD,
            "databases": ["listed1", "listed2"],
            "elastic_pools": [{"name": "pool1", "databases": ["pooled1"]}],
            "tokens": [{"token": TOKEN, "principal": "agent"}],
            "entra_admin": "agent",
        }
        for name in (SERVER, OTHER_SERVER)
    ]
    with running_emulator({"servers": servers, "encryption": "required"}) as running:
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(running.ca)
        yield running
        if before is None:
            del os.environ["SSL_CERT_FILE"]
        else:
            os.environ["SSL_CERT_FILE"] = before


@pytest.fixture
def lab(emulator: Emulator | None) -> Iterator[Lab]:
    """A new, empty database; what was told to misbehave is forgotten afterwards."""
    database = f"t{uuid4().hex[:12]}"
    if emulator is None:
        made = _on_real_server(database)
    else:
        emulator.control.create_database(SERVER, database)
        made = Lab(_options(emulator), PasswordLogin("sqladmin", PASSWORD), database, emulator.control)
    yield made
    for connection in made.opened:
        with suppress(pyodbc.Error):
            connection.close()
    if made.client is not None:
        made.client.clear_faults()
    else:
        _in_master(
            made, f"ALTER DATABASE [{database}] SET SINGLE_USER WITH ROLLBACK IMMEDIATE; DROP DATABASE [{database}]"
        )


def _options(emulator: Emulator) -> ConnectOptions:
    addresses = {name: f"{emulator.host},{port}" for name, port in emulator.ports.items()}
    servers = TargetServers(ServerNames(".database.windows.net"), addresses, addresses)
    return ConnectOptions(servers=servers, login_timeout_seconds=5, retry_seconds=QUICK_RETRIES)


def _on_real_server(database: str) -> Lab:
    address, user, password = os.environ[REAL_SERVER].split(";", 2)
    servers = TargetServers(ServerNames(".database.windows.net"), [SERVER], {SERVER: address})
    options = ConnectOptions(servers=servers, trust_certificates=True, retry_seconds=QUICK_RETRIES)
    lab = Lab(options, PasswordLogin(user, password), database, None)
    _in_master(lab, f"CREATE DATABASE [{database}]")
    return lab


def _in_master(lab: Lab, sql: str) -> None:
    master = Connector(replace(lab.options)).connect(SERVER, "master", lab.login)
    master.execute(sql)
    master.close()

"""The whole product on one machine: Azurite, the SQL Server emulator, the job database and the Functions host.

Everything talks over real sockets, as in Azure: HTTP to the app, queues in Azurite, TDS with verified TLS to targets.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from elastic_jobs.errors import ElasticJobsError
from elastic_jobs.jobdb import schema
from elastic_jobs.jobdb.database import JobDatabase
from local.azurite import Azurite
from local.processes import ChildProcess, ProcessError
from local.real_server import RealServer
from local.sqlserver.client import Emulator, start_emulator, stop_emulator
from local.tokens import ALL_ROLES, sign

ROOT = Path(__file__).resolve().parent.parent
SUFFIX = ".database.windows.net"
TARGET_SERVER = "targetserver" + SUFFIX
ADMIN_USER = "sqladmin"
START_SECONDS = 60.0


class StackError(Exception):
    """The stack cannot run; a sentence that says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class StackOptions:
    """What to run.

    folder: where logs, certificates, keys and the embedded job database live.
    port: of the HTTP API; 0 takes a free one.
    databases: names of the target databases; elastic_pools: pool -> names of further databases in it.
    servers: further logical servers, each with its database names.
    job_database_url: SQLAlchemy URL; None for SQLite in the folder.
    real_server: a real SQL Server to use as the target instead of the emulator.
    settings: app settings to add or override. host_options: further options of the Functions host stand-in.
    app: the Functions app, for tests that wrap the product's own.
    """

    folder: Path
    port: int = 0
    databases: tuple[str, ...] = ("database1", "database2")
    elastic_pools: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    servers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    workers: int = 2
    job_database_url: str | None = None
    real_server: RealServer | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    host_options: tuple[str, ...] = ()
    app: Path = ROOT / "function_app.py"


def no_progress(line: str) -> None:
    """For those who do not want to be told what is being started."""
    del line


class Stack:
    """A running stack; a context manager, or ``start`` and ``stop``."""

    def __init__(self, options: StackOptions, say: Callable[[str], None] = no_progress) -> None:
        self.options = options
        self._say = say
        self.azurite = Azurite(options.folder / "azurite")
        self.emulator: Emulator | None = None
        self.host: ChildProcess | None = None
        self.keys = _keys(options.folder)
        self._ready_file = options.folder / "host.json"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and wait until the API answers.

        Raises:
            StackError: a part does not start; what was started before is stopped again.
        """
        try:
            self._migrate()
            self._part("Azurite (storage queues)", self.azurite.start)
            if self.options.real_server is None:
                self._part("SQL Server emulator", self._start_emulator)
            else:
                self._part("target databases", lambda: self._real.create_databases(self.options.databases))
            self._part(f"Functions host with {self.options.workers} worker processes", self._start_host)
        except (ProcessError, RuntimeError, ElasticJobsError) as error:
            self.stop()
            raise StackError(str(error)) from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything that was started, the host first."""
        if self.host is not None:
            self.host.stop()
        if self.emulator is not None:
            stop_emulator(self.emulator)
        self.azurite.stop()

    @property
    def api(self) -> str:
        """Root URL of the HTTP API."""
        return str(self._ready()["url"])

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the worker processes, as they are now."""
        return [int(pid) for pid in self._ready()["workers"]]

    @property
    def job_database_url(self) -> str:
        return self.options.job_database_url or f"sqlite:///{self.options.folder.resolve()}/jobs.db"

    @property
    def token(self) -> str:
        """A bearer token with every role."""
        return sign(self.keys["LOCAL_AUTH_KEY"], "local-admin", ALL_ROLES)

    @property
    def _real(self) -> RealServer:
        if self.options.real_server is None:
            raise StackError("The stack runs on the emulator.")
        return self.options.real_server

    def dead_part(self) -> str | None:
        """A sentence about a part that has died, or None while all live. The host mends dead workers itself."""
        if self.host is not None and not self.host.running:
            return f"The Functions host ended with code {self.host.returncode}; its log is {self.host.log_path}."
        if self.emulator is not None and not self.emulator.process.running:
            return f"The SQL Server emulator ended; its log is {self.emulator.process.log_path}."
        if not self.azurite.running:
            return f"Azurite ended; its log is in {self.options.folder / 'azurite'}."
        return None

    def endpoint(self) -> dict[str, Any]:
        """What others need to use the stack: the content of ``.local/endpoint.json``."""
        if self.emulator is not None:
            sql: dict[str, Any] = {
                "host": self.emulator.host,
                "port": self.emulator.ports[TARGET_SERVER],
                "server": TARGET_SERVER,
                "user": ADMIN_USER,
                "password": self.keys["ADMIN_PASSWORD"],
            }
        else:
            sql = {
                "host": self._real.host,
                "port": self._real.port,
                "server": TARGET_SERVER,
                "user": self._real.user,
                "password": self._real.password,
            }
        settings = self._settings()
        return {
            "api": self.api,
            "token": self.token,
            "reader_token": sign(self.keys["LOCAL_AUTH_KEY"], "local-reader", ("Reader",)),
            "subscription": settings["AGENT_SUBSCRIPTION_ID"],
            "resource_group": settings["AGENT_RESOURCE_GROUP"],
            "server": settings["AGENT_SERVER_NAME"],
            "job_database_name": settings["AGENT_DATABASE_NAME"],
            "sql": {**sql, "databases": list(self.options.databases)},
            "storage": self.azurite.connection_string,
            "job_database": self.job_database_url,
        }

    def _part(self, name: str, start: Callable[[], object]) -> None:
        began = time.monotonic()
        start()
        self._say(f"{name}: up after {time.monotonic() - began:.1f} s")

    def _migrate(self) -> None:
        database = JobDatabase(self.job_database_url)
        try:
            schema.upgrade(database)
        finally:
            database.dispose()

    def _start_emulator(self) -> None:
        servers = [
            {
                "name": name,
                "admin_user": ADMIN_USER,
                "admin_password": self.keys["ADMIN_PASSWORD"],
                "databases": list(databases),
                "elastic_pools": pools,
            }
            for name, databases, pools in (
                (
                    TARGET_SERVER,
                    self.options.databases,
                    [{"name": pool, "databases": list(names)} for pool, names in self.options.elastic_pools.items()],
                ),
                *((name, databases, []) for name, databases in self.options.servers.items()),
            )
        ]
        self.emulator = start_emulator({"servers": servers}, self.options.folder / "sqlserver")

    def _start_host(self) -> None:
        settings_file = self.options.folder / "settings.json"
        write_private(settings_file, json.dumps(self._settings(), indent=2))
        self._ready_file.unlink(missing_ok=True)
        self.host = ChildProcess.start(
            "The Functions host",
            [
                *(sys.executable, "-m", "local.functions_host"),
                *("--app", str(self.options.app), "--host-json", str(ROOT / "host.json")),
                *("--settings", str(settings_file), "--port", str(self.options.port)),
                *("--workers", str(self.options.workers), "--ready-file", str(self._ready_file)),
                *self.options.host_options,
            ],
            self.options.folder / "host.log",
            cwd=ROOT,
        )
        self.host.wait_until(self._ready_file.exists, START_SECONDS)

    def _ready(self) -> dict[str, Any]:
        ready: dict[str, Any] = json.loads(self._ready_file.read_text(encoding="utf-8"))
        return ready

    def _settings(self) -> dict[str, str]:
        settings = {
            "AzureWebJobsStorage": self.azurite.connection_string,
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "TICK_SCHEDULE": "*/10 * * * * *",
            "JOB_DATABASE_URL": self.job_database_url,
            "AGENT_SUBSCRIPTION_ID": "11111111-1111-1111-1111-111111111111",
            "AGENT_RESOURCE_GROUP": "local",
            "AGENT_SERVER_NAME": "jobserver",
            "AGENT_DATABASE_NAME": "JobDatabase",
            "AGENT_LOCATION": "westeurope",
            "AUTH_MODE": "local",
            "LOCAL_AUTH_KEY": self.keys["LOCAL_AUTH_KEY"],
            "CREDENTIAL_KEY": self.keys["CREDENTIAL_KEY"],
            "SQL_SERVER_SUFFIX": SUFFIX,
        }
        if self.emulator is not None:
            addresses = {name: f"{self.emulator.host},{port}" for name, port in self.emulator.ports.items()}
            # The driver verifies the targets' certificates against the emulator's own authority.
            settings["SSL_CERT_FILE"] = str(self.emulator.ca)
        else:
            addresses = {TARGET_SERVER: f"{self._real.host},{self._real.port}"}
            settings["TRUST_TARGET_CERTIFICATES"] = "true"
        settings["ALLOWED_TARGET_SERVERS"] = ",".join(addresses)
        settings["TARGET_SERVER_ADDRESSES"] = json.dumps(addresses)
        return {**settings, **self.options.settings}


def write_private(path: Path, text: str) -> None:
    """Write a file that holds secrets: readable by its owner only, and never half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)


def _keys(folder: Path) -> dict[str, str]:
    """The keys of this stack; kept, because the job database holds passwords that are sealed with one of them."""
    path = folder / "keys.json"
    names = {"LOCAL_AUTH_KEY", "CREDENTIAL_KEY", "ADMIN_PASSWORD"}
    if path.exists():
        try:
            keys = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            keys = None
        if not isinstance(keys, dict) or set(keys) != names:
            raise StackError(f"{path} is damaged; remove the folder {folder} to begin anew.")
        return keys
    keys = {
        "LOCAL_AUTH_KEY": secrets.token_urlsafe(48),
        "CREDENTIAL_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "ADMIN_PASSWORD": secrets.token_urlsafe(18) + "!1aA",
    }
    write_private(path, json.dumps(keys))
    return keys

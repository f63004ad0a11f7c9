"""The product on one machine, ready to be measured: stack, agent, credential, jobs over groups of databases.

What competes with it uses the same emulator and the same databases.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from elastic_jobs.domain.lifecycle import TERMINAL
from elastic_jobs.targets.authorities import AZURE_ROOTS
from local.api_client import ApiClient
from local.functions_host.host_json import read_host_settings
from local.sqlserver.client import Emulator, running_emulator
from local.stack import ADMIN_USER, ROOT, SUFFIX, TARGET_SERVER, Stack, StackOptions

CAPACITIES = (100, 200, 400, 800)
TICK_SECONDS = {False: 10.0, True: 1.0}
TICK_SCHEDULE = {False: "*/10 * * * * *", True: "*/1 * * * * *"}
"""By whether it is the tiny form."""
WARM_UP = 100
"""Databases of the job before those that are measured, at most."""
TARGETS = "targets (emulator)"
"""The processes of the targets, in reports."""
_ROOTS = "roots.pem"
_THRESHOLD = "AzureFunctionsJobHost__extensions__queues__newBatchThreshold"
T = TypeVar("T")


class BenchError(Exception):
    """A measurement cannot be made or its result is wrong; a sentence."""


@dataclass(frozen=True, kw_only=True)
class ArenaOptions:
    """databases: how many targets. concurrency: of all workers together. job_database: URL; None: SQLite.

    servers: logical servers that share the databases out, each in an emulator process of its own.
    app: the Functions app, for measurements that count within it."""

    databases: int
    concurrency: int
    workers: int = 2
    servers: int = 1
    job_database: str | None = None
    settings: Mapping[str, str] | None = None
    app: Path = ROOT / "function_app.py"


@dataclass(frozen=True)
class Estate:
    """The databases that everybody works on, and how they are reached."""

    addresses: Mapping[str, str]
    """``host,port`` of each logical server."""
    server_of: Mapping[str, str]
    """The logical server of each database; names are unique over all servers."""
    user: str
    password: str
    roots: Path
    """For SSL_CERT_FILE: the targets' own, as the product has it. It is read for each connection."""
    all_roots: Path
    """The same behind the system's whole bundle, which is what the driver reads where nobody changes it."""
    databases: tuple[str, ...]

    def as_it_comes(self) -> Estate:
        """For somebody who leaves the driver's list of roots as the system has it."""
        return replace(self, roots=self.all_roots)

    def trust(self) -> dict[str, str]:
        """The environment of a process that connects."""
        return trusting(self.roots)


class Arena:
    """A running stack with an agent, and what is asked of it. Made by ``running_arena``."""

    def __init__(self, stack: _Stack, options: ArenaOptions, folder: Path, layout: Mapping[str, Sequence[str]]) -> None:
        self.stack, self.options = stack, options
        if stack.emulator is None:
            raise BenchError("The benchmarks run on the emulator.")
        self.emulators = [stack.emulator, *stack.further]
        self.endpoint = stack.endpoint()
        self.estate = Estate(
            addresses=stack.addresses(),
            server_of={database: server for server, names in layout.items() for database in names},
            user=ADMIN_USER,
            password=stack.keys["ADMIN_PASSWORD"],
            roots=folder / _ROOTS,
            all_roots=folder / "all-roots.pem",
            databases=tuple(database for names in layout.values() for database in names),
        )
        self.api = ApiClient(self.endpoint, "agent1")

    @property
    def emulator(self) -> Emulator:
        """The first one, for measurements on a single server."""
        return self.emulators[0]

    def prepare(self) -> None:
        """Make the agent, with the smallest tier that covers the concurrency, and its credential."""
        capacity = next((tier for tier in CAPACITIES if tier >= self.options.concurrency), CAPACITIES[-1])
        sku = {"name": f"JA{capacity}", "capacity": capacity}
        self.api.put_agent("westeurope", self.endpoint["job_database_name"], sku=sku)
        self.api.put("/credentials/admin", {"username": ADMIN_USER, "password": self.estate.password})

    def job(self, name: str, script: str, databases: Sequence[str] | None = None, **properties: object) -> None:
        """A job of one step without retries over these databases; None: over all servers, which are then listed."""
        credential = f"{self.api.agent}/credentials/admin"
        if databases is None:
            members: list[Mapping[str, object]] = [
                {"type": "SqlServer", "serverName": server, "refreshCredential": credential}
                for server in self.estate.addresses
            ]
        else:
            members = [
                {"type": "SqlDatabase", "serverName": self.estate.server_of[each], "databaseName": each}
                for each in databases
            ]
        group = f"group-{name}"
        self.api.put(f"/targetGroups/{group}", {"members": members})
        self.api.put(f"/jobs/{name}", {})
        self.api.put(
            f"/jobs/{name}/steps/step1",
            {
                "targetGroup": f"{self.api.agent}/targetGroups/{group}",
                "credential": credential,
                "action": {"value": script},
                "executionOptions": {"retryAttempts": 0},
            },
        )
        if properties:
            self.api.put(f"/jobs/{name}", properties)

    def start(self, job: str) -> str:
        return str(self.api.call("POST", f"/jobs/{job}/start")["name"])

    def execution(self, job: str, execution: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.call("GET", f"/jobs/{job}/executions/{execution}")["properties"]
        return found

    def ended(self, job: str, execution: str, seconds: float) -> dict[str, Any]:
        """Wait for the end of a run, asking seldom, because asking costs what is being measured."""

        def done() -> dict[str, Any] | None:
            found = self.execution(job, execution)
            return found if found["lifecycle"] in TERMINAL else None

        return wait_for(done, seconds, f"the end of a run of job '{job}'", every=0.5)

    def run(self, job: str, seconds: float = 600) -> float:
        """Start a job and wait for its end; seconds from asking to the recorded end.

        Raises:
            BenchError: it did not succeed.
        """
        asked = time.time()
        found = self.ended(job, self.start(job), seconds)
        if found["lifecycle"] != "Succeeded":
            raise BenchError(f"A run of job '{job}' ended as {found['lifecycle']}: {found.get('lastMessage')}")
        return parse_time(found["endTime"]) - asked

    def pids(self) -> dict[str, list[int]]:
        """The processes of the product, of its storage and of the targets."""
        return {
            "workers": self.stack.worker_pids,
            "storage (Azurite)": [self.stack.azurite.pid],
            TARGETS: [emulator.process.pid for emulator in self.emulators],
        }


class _Stack(Stack):
    """A stack whose targets are on several logical servers, each in an emulator process of its own."""

    def __init__(
        self, options: StackOptions, layout: Mapping[str, Sequence[str]], cleanup: contextlib.ExitStack
    ) -> None:
        super().__init__(options)
        self.further = [
            cleanup.enter_context(running_emulator({"servers": [self._server(name, databases)]}))
            for name, databases in layout.items()
            if name != TARGET_SERVER
        ]

    def addresses(self) -> dict[str, str]:
        """``host,port`` of each logical server."""
        emulators = [*([self.emulator] if self.emulator else []), *self.further]
        return {name: f"{each.host},{port}" for each in emulators for name, port in each.ports.items()}

    def _server(self, name: str, databases: Sequence[str]) -> dict[str, object]:
        password = self.keys["ADMIN_PASSWORD"]
        return {"name": name, "admin_user": ADMIN_USER, "admin_password": password, "databases": list(databases)}

    def _settings(self) -> dict[str, str]:
        addresses = self.addresses()
        reached = {
            "ALLOWED_TARGET_SERVERS": ",".join(addresses),
            "TARGET_SERVER_ADDRESSES": json.dumps(addresses),
        }
        return {**super()._settings(), **reached}


def share_out(databases: int, servers: int) -> dict[str, list[str]]:
    """Names of so many databases, by logical server, as evenly as it goes."""
    names = [f"database{number}" for number in range(1, databases + 1)]
    hosts = [TARGET_SERVER, *(f"further{number}{SUFFIX}" for number in range(2, servers + 1))]
    return {host: names[place::servers] for place, host in enumerate(hosts)}


@contextlib.contextmanager
def running_arena(options: ArenaOptions) -> Iterator[Arena]:
    """Start the stack for a measurement; stop it and remove its files afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, contextlib.ExitStack() as cleanup:
        folder = Path(name)
        workers = max(1, min(options.workers, options.concurrency))
        per_worker = -(-options.concurrency // workers)
        layout = share_out(options.databases, options.servers)
        stack_options = StackOptions(
            folder=folder / "stack",
            databases=tuple(layout[TARGET_SERVER]),
            workers=workers,
            job_database_url=options.job_database,
            settings={
                "INSTANCE_CONCURRENCY": str(per_worker),
                _THRESHOLD: str(_new_batch_threshold(per_worker)),
                **trusting(folder / _ROOTS),
                **(options.settings or {}),
            },
            app=options.app,
        )
        stack = _Stack(stack_options, layout, cleanup)
        cleanup.enter_context(stack)
        arena = Arena(stack, options, folder, layout)
        # The emulator's authority stands for the one root of Azure SQL that the product's file has.
        own = "".join(emulator.ca.read_text("ascii") for emulator in arena.emulators)
        arena.estate.roots.write_text(own, encoding="ascii")
        arena.estate.all_roots.write_text(system_bundle() + own, encoding="utf-8")
        cleanup.callback(arena.api.close)
        arena.prepare()
        yield arena


def trusting(roots: Path) -> dict[str, str]:
    """The environment of a process whose driver reads this file of roots, with Azure's directory behind it."""
    return {"SSL_CERT_FILE": str(roots), "SSL_CERT_DIR": str(AZURE_ROOTS)}


def system_bundle() -> str:
    """The roots of this system, as one text; none where it has no such file."""
    file = ssl.get_default_verify_paths().cafile
    return "" if file is None else Path(file).read_text(encoding="utf-8")


def _new_batch_threshold(per_worker: int) -> int:
    """The product's own, or more when there must be room for more targets on one worker."""
    # The host fetches again only below the threshold: with batches that are not full it would stop right above it.
    return max(read_host_settings(ROOT / "host.json").queues.new_batch_threshold, per_worker)


def parse_time(text: str) -> float:
    """A time of the API as POSIX seconds."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC).timestamp()


def wait_for(answer: Callable[[], T | None], seconds: float, what: str, *, every: float = 0.05) -> T:
    """The first answer that is true.

    Raises:
        BenchError: none came within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = answer()
        if found:
            return found
        if time.monotonic() > deadline:
            raise BenchError(f"Waited {seconds:g} s in vain for {what}.")
        time.sleep(every)

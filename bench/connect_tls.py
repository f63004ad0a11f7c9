"""CPU per connection of the driver, by how many roots it reads: the system's bundle, Azure's four, or one.

Runs the SQL Server emulator with its own authority, adds that authority to each file, and connects from a process of
its own per case, because the driver reads ``SSL_CERT_FILE`` from the environment::

    python -m bench.connect_tls [--connections 40]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.arena import system_bundle, trusting
from elastic_jobs.domain.targets import ServerNames
from elastic_jobs.targets.authentication import PasswordLogin
from elastic_jobs.targets.authorities import AZURE_ROOTS, AZURE_SQL_ROOT
from elastic_jobs.targets.connect import ConnectOptions, Connector
from elastic_jobs.targets.servers import TargetServers
from local.sqlserver.client import Emulator, running_emulator

ROOT = Path(__file__).resolve().parents[1]
SERVER, DATABASE = "server1.database.windows.net", "database1"
LOGIN = PasswordLogin("sqladmin", "Bench;pass'word1")
WARM_UP = 3


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU per connection, by which roots the driver reads.")
    parser.add_argument("--connections", type=int, default=40)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.connections)))
        return 0
    server = {
        "name": SERVER,
        "admin_user": LOGIN.username,
        "admin_password": LOGIN.password,
        "databases": ["database1"],
    }
    with (
        tempfile.TemporaryDirectory(prefix="connect-tls-") as folder,
        running_emulator({"servers": [server], "encryption": "required"}) as emulator,
    ):
        print(f"{'roots':40} {'roots read':>10} {'CPU ms':>8} {'wall ms':>8}   ({arguments.connections} connections)")
        for name, count, environment in cases(emulator, Path(folder)):
            cpu, wall = in_a_process(emulator, arguments.connections, environment)
            print(f"{name:40} {count:10} {cpu:8.2f} {wall:8.2f}")
    return 0


def cases(emulator: Emulator, folder: Path) -> Iterator[tuple[str, int, dict[str, str]]]:
    """Name, number of roots in the file, and environment of each case."""
    own = emulator.ca.read_text(encoding="ascii")
    azure = "".join(root.read_text(encoding="ascii") for root in sorted(AZURE_ROOTS.glob("*.0")))
    bundle = system_bundle()
    # The emulator's authority stands for the one of Azure SQL. The first case is how the product does it.
    files = {"the server's own": own, "Azure's four and the server's": azure + own}
    if bundle:
        files["the system's bundle and the server's"] = bundle + own
    for number, (name, text) in enumerate(files.items()):
        file = folder / f"{number}.pem"
        file.write_text(text, encoding="utf-8")
        yield name, text.count("BEGIN CERTIFICATE"), trusting(file)
    # Another root of the system's, found by its hash.
    hashed = folder / "hashed"
    hashed.mkdir()
    name = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", str(emulator.ca)], capture_output=True, text=True, check=True
    ).stdout.strip()
    (hashed / f"{name}.0").write_text(own, encoding="ascii")
    directories = os.pathsep.join((str(AZURE_ROOTS), str(hashed)))
    yield (
        "another one, the server's in directory",
        1,
        {"SSL_CERT_FILE": str(AZURE_SQL_ROOT), "SSL_CERT_DIR": directories},
    )


def in_a_process(emulator: Emulator, connections: int, environment: dict[str, str]) -> tuple[float, float]:
    address = f"{emulator.host},{emulator.ports[SERVER]}"
    answer = subprocess.run(
        [sys.executable, "-m", "bench.connect_tls", "--measure", address, "--connections", str(connections)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    cpu, wall = json.loads(answer.stdout)
    return float(cpu), float(wall)


def measure(address: str, connections: int) -> tuple[float, float]:
    """Milliseconds of CPU of this process, and of time, per connection opened and closed."""
    servers = TargetServers(ServerNames(".database.windows.net"), [SERVER], {SERVER: address})
    connector = Connector(ConnectOptions(servers=servers, retry_seconds=()))
    for _ in range(WARM_UP):
        connector.connect(SERVER, DATABASE, LOGIN).close()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(connections):
        connector.connect(SERVER, DATABASE, LOGIN).close()
    return (
        (time.process_time() - cpu) / connections * 1000,
        (time.perf_counter() - wall) / connections * 1000,
    )


if __name__ == "__main__":
    sys.exit(main())

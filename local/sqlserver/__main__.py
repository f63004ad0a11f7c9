"""``python -m local.sqlserver --config file.json``: run the emulator until SIGTERM or SIGINT.

Exit codes: 0 ended when asked, 2 a wrong configuration or a port in use (one sentence on stderr).
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import logging
import os
import resource
import signal
import sys
from pathlib import Path

from local.sqlserver.catalog import Estate, LogicalServer
from local.sqlserver.certificates import CertificateFiles, write_certificates
from local.sqlserver.config import ConfigError, EmulatorConfig, ServerConfig, read_config
from local.sqlserver.control import Controls, ControlServer
from local.sqlserver.faults import FaultBook
from local.sqlserver.journal import Journal
from local.sqlserver.server import PortInUseError, WireServer
from local.sqlserver.tds.tls import TlsContexts


def build_server(config: ServerConfig) -> LogicalServer:
    """A logical server with its pools, databases, logins and tokens."""
    server = LogicalServer(
        config.name, config.admin_user, config.admin_password, entra_admin=config.entra_admin
    )  # fmt: skip
    for pool in config.elastic_pools:
        server.create_elastic_pool(pool)
    for database in config.databases:
        server.create_database(
            database.name, database.elastic_pool, service_objective=database.service_objective
        )  # fmt: skip
    for name, password in config.logins:
        server.create_login(name, password)
    for token, principal in config.tokens:
        server.add_token(token, principal)
    return server


async def serve(config: EmulatorConfig, estate: Estate) -> None:
    """Open the ports, write the ready file, wait for a signal, end cleanly; PortInUseError."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    names = [server.name for server in config.servers]
    files = write_certificates(config.certificates, names, dt.datetime.now(dt.UTC))
    faults, journal = FaultBook(), Journal(config.journal_file)
    wire = WireServer(
        TlsContexts(files.certificate, files.key), faults, journal, require_encryption=config.require_encryption
    )
    control = None
    try:
        wanted = {server.name: server.port for server in config.servers}
        ports = {s.name: await wire.listen(s, config.host, wanted[s.name]) for s in estate.servers()}
        control = ControlServer(Controls(estate, ports, faults, journal), config.host, config.control_port)
        if config.ready_file is not None:
            write_ready_file(config.ready_file, ready_facts(config, ports, control.port, files))
        await stop.wait()
    finally:
        if control is not None:
            control.close()
        await wire.stop()
        journal.close()


def ready_facts(
    config: EmulatorConfig, ports: dict[str, int], control_port: int, files: CertificateFiles
) -> dict[str, object]:
    """What a client needs to know; no secrets."""
    return {
        "pid": os.getpid(),
        "host": config.host,
        "control_port": control_port,
        "control": f"http://{config.host}:{control_port}",
        "ca": str(files.ca.resolve()),
        "ports": ports,
    }


def write_ready_file(path: Path, facts: dict[str, object]) -> None:
    """All at once, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def allow_many_files() -> None:
    """A session has about 3 files open, and many machines allow a process 1,024 unless it asks for more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m local.sqlserver", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="JSON file, see local/sqlserver/config.py")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    allow_many_files()
    # Statements run on threads; the default of 5 ms before a busy one yields would be the latency of every packet.
    sys.setswitchinterval(0.001)
    try:
        config = read_config(options.config)
        if config.ready_file is not None:
            config.ready_file.unlink(missing_ok=True)
        estate = Estate(build_server(server) for server in config.servers)
        asyncio.run(serve(config, estate))
        estate.close()
    except (ConfigError, PortInUseError, ValueError) as error:
        print(f"The SQL emulator cannot start: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Worker threads of statements that ignore their cancel must not keep the process alive.
    os._exit(code)

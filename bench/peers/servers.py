"""Redis and PostgreSQL for the peers: on free loopback ports, in a temporary folder, gone afterwards.

Durability is made equal: what is recorded survives the crash of any process at once, and a power failure except for its
last moment. That is the job database on SQLite (WAL, synchronous = NORMAL), Redis with an append-only file flushed
every second, and PostgreSQL with synchronous_commit = off.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from local.processes import ChildProcess, ProcessError

INSTALL = "bench/servers.sh installs it on Debian and Ubuntu"
_START_SECONDS = 30.0
_POSTGRES_PLACES = "/usr/lib/postgresql"
_UNPRIVILEGED = ("postgres", "nobody")


class MissingServerError(Exception):
    """A server is not installed; a sentence that says how to get it."""


def free_port() -> int:
    """A loopback port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Redis:
    """A Redis server. Broker and result store in one, as most who use Celery have it."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise MissingServerError(f"redis-server is not installed; {INSTALL}.")
        folder.mkdir(parents=True)
        self.port = free_port()
        self.process = ChildProcess.start(
            "Redis",
            [
                *(program, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(folder)),
                *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            ],
            folder / "redis.log",
        )
        self.process.wait_until(lambda: _listens(self.port), _START_SECONDS)

    def url(self, number: int) -> str:
        """Of one of its numbered databases."""
        return f"redis://127.0.0.1:{self.port}/{number}"

    def stop(self) -> None:
        self.process.stop()


class Postgres:
    """A PostgreSQL cluster made for this run. It refuses to run as root, so it then runs as an unprivileged user."""

    def __init__(self, folder: Path) -> None:
        programs = _postgres_programs()
        folder.mkdir(parents=True)
        # Not under the given folder: another user may not enter that.
        self._place = Path(tempfile.mkdtemp(prefix="bench-postgres-"))
        data, self.port = self._place / "data", free_port()
        as_user = _leave_root(self._place)
        made = subprocess.run(
            [
                *as_user,
                *(str(programs / "initdb"), "-D", str(data), "-U", "bench", "--auth=trust", "--no-sync"),
                *("--encoding=UTF8", "--locale=C"),
            ],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
        )
        if made.returncode:
            raise ProcessError(f"initdb failed: {made.stderr.strip()}")
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "synchronous_commit": "off",
            "shared_buffers": "256MB",
            "max_connections": "300",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self.process = ChildProcess.start(
            "PostgreSQL",
            [*as_user, str(programs / "postgres"), "-D", str(data), "-p", str(self.port), *settings],
            folder / "postgres.log",
            cwd=Path("/"),
        )
        ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        try:
            # It listens before it answers.
            self.process.wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, _START_SECONDS)
        except ProcessError:
            self.stop()
            raise

    @property
    def url(self) -> str:
        return f"postgresql://bench@127.0.0.1:{self.port}/postgres"

    def stop(self) -> None:
        self.process.stop()
        shutil.rmtree(self._place, ignore_errors=True)


def _postgres_programs() -> Path:
    """The folder of initdb and postgres; Debian keeps them off the PATH."""
    found = sorted(Path(_POSTGRES_PLACES).glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    if found:
        return found[-1].parent
    program = shutil.which("initdb")
    if program is None:
        raise MissingServerError(f"PostgreSQL is not installed; {INSTALL}.")
    return Path(program).resolve().parent


def _leave_root(folder: Path) -> Sequence[str]:
    """What to put before a command so that it does not run as root; the folder then belongs to that user."""
    if os.geteuid() != 0:
        return ()
    for name in _UNPRIVILEGED:
        program = shutil.which("setpriv")
        found = subprocess.run(["id", "-u", name], capture_output=True, text=True, check=False)
        if program and found.returncode == 0:
            shutil.chown(folder, name)
            return (program, f"--reuid={name}", f"--regid={_group(name)}", "--clear-groups")
    raise MissingServerError("PostgreSQL does not run as root, and there is no setpriv or no user 'postgres'.")


def _group(user: str) -> str:
    return subprocess.run(["id", "-g", user], capture_output=True, text=True, check=True).stdout.strip()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True

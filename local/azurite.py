"""Azurite, Microsoft's stand-in for Azure Storage, as a child process: blob, queue and table service on free ports.

The version is pinned in package.json; `npm ci` in the project's root installs it. Starting takes less than
a second (measured on two cores), because the library of its telemetry, which is off, is not loaded.
"""

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import weakref
from pathlib import Path
from types import TracebackType
from typing import Self

from local.processes import ChildProcess, ProcessError

ROOT = Path(__file__).resolve().parent.parent
ACCOUNT_NAME = "devstoreaccount1"
# The published development key that every Azurite accepts; it opens nothing else.
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
SERVICES = ("blob", "queue", "table")
MINIMUM_NODE = 20
_LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at http://[^:]+:(\d+)")
_START_DEADLINE = 30.0
_PRELOADED = Path(__file__).with_name("azurite_start.cjs")


class AzuriteError(ProcessError):
    """Azurite cannot be started here; the message says what to do."""


class Azurite:
    """A running Azurite. Use it as a context manager, or call `start` and `stop`.

    `directory` holds the log; with `persistent` also the data, which then outlives a restart. Ports of 0 are chosen by
    the system at the first start and kept for later starts: while this object lives, nobody else is given them.
    """

    def __init__(
        self,
        directory: Path,
        *,
        persistent: bool = True,
        blob_port: int = 0,
        queue_port: int = 0,
        table_port: int = 0,
        root: Path = ROOT,
    ) -> None:
        self._directory = directory
        self._persistent = persistent
        self._ports = {"blob": blob_port, "queue": queue_port, "table": table_port}
        self._root = root
        self._process: ChildProcess | None = None
        self._reserved = False

    def start(self) -> "Azurite":
        """Start it and wait until all services answer. Raises AzuriteError."""
        if self._process is not None and self._process.running:
            return self
        node, entry = find_node(), self._entry()
        self._reserve_ports()
        self._directory.mkdir(parents=True, exist_ok=True)
        log_path = self._directory / "azurite.log"
        log_path.unlink(missing_ok=True)  # the lines of an earlier run would be taken for this one's
        self._process = ChildProcess.start(
            "Azurite", [node, "--require", str(_PRELOADED), str(entry), *self._options()], log_path
        )
        try:
            self._process.wait_until(self._listening, _START_DEADLINE, "listening")
            self._process.wait_until(self._healthy, _START_DEADLINE, "answering")
        except ProcessError as error:
            self._process.kill()
            raise AzuriteError(str(error)) from error
        return self

    def stop(self) -> None:
        """Stop it in an orderly way (data is written out); does nothing when it does not run."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """SIGKILL, as a crash of the storage service."""
        if self._process is not None:
            self._process.kill()

    @property
    def pid(self) -> int:
        """Process id; raises AzuriteError when it was never started."""
        if self._process is None:
            raise AzuriteError("Azurite has not been started: call start() first.")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    def url(self, service: str) -> str:
        """Base address of "blob", "queue" or "table" with the account name, without a slash at the end."""
        return f"http://127.0.0.1:{self._ports[service]}/{ACCOUNT_NAME}"

    @property
    def connection_string(self) -> str:
        """What AzureWebJobsStorage takes."""
        endpoints = ";".join(f"{service.title()}Endpoint={self.url(service)}" for service in SERVICES)
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT_NAME};AccountKey={ACCOUNT_KEY};{endpoints};"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _reserve_ports(self) -> None:
        if self._reserved:
            return
        with contextlib.ExitStack() as reservations:
            for service, port in self._ports.items():
                self._ports[service] = reservations.enter_context(_reserve(service, port)).getsockname()[1]
            if sys.platform != "linux":  # BSD's bind would refuse Azurite a port that is reserved like this
                return
            weakref.finalize(self, reservations.pop_all().close)
        self._reserved = True

    def _entry(self) -> Path:
        entry = self._root / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
        if not entry.is_file():
            raise AzuriteError(f"Azurite is not installed under {self._root}: run `npm ci` there, then start again.")
        return entry

    def _options(self) -> list[str]:
        # The SDK of tomorrow may speak a newer API version than this Azurite knows: it need not be refused for that.
        options = ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
        for service, port in self._ports.items():
            options += [f"--{service}Host", "127.0.0.1", f"--{service}Port", str(port)]
        data = ["--location", str(self._directory)] if self._persistent else ["--inMemoryPersistence"]
        return options + data

    def _listening(self) -> bool:
        text = self._process.log_text() if self._process is not None else ""
        return {kind.lower(): int(port) for kind, port in _LISTENING.findall(text)} == self._ports

    def _healthy(self) -> bool:
        return all(_answers(self.url(service)) for service in SERVICES)


def find_node() -> str:
    """Path of a Node that is new enough; raises AzuriteError when there is none."""
    node = shutil.which("node")
    advice = f"install Node.js {MINIMUM_NODE} or newer (on Debian: `apt-get install nodejs npm`), then start again."
    if node is None:
        raise AzuriteError(f"Azurite needs Node.js and `node` is not on the PATH: {advice}")
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=False)
    version = re.match(r"v(\d+)\.", answer.stdout)
    if version is None or int(version.group(1)) < MINIMUM_NODE:
        found = answer.stdout.strip() or "of unknown version"
        raise AzuriteError(f"Azurite needs Node.js {MINIMUM_NODE} or newer and {node} is {found}: {advice}")
    return node


def _reserve(service: str, port: int) -> socket.socket:
    """A socket that is bound to `port` (0: one that is free) and never listens. Raises AzuriteError when it is taken.

    While it is open the system gives the port to nobody who asks for any, neither to listen nor as the near end of a
    connection; Azurite, which asks for this one, gets it. Without it a restarted Azurite may find its port gone.
    """
    reservation = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # As servers do: connections of an earlier run that linger in TIME_WAIT do not hold the port.
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        reservation.bind(("127.0.0.1", port))
    except OSError as error:
        reservation.close()
        raise AzuriteError(
            f"Port {port} for Azurite's {service} service cannot be used ({error.strerror}): end the process that "
            f"holds it, or choose another port (0 takes a free one)."
        ) from error
    return reservation


def _answers(url: str) -> bool:
    """Any HTTP answer will do: without a signature Azurite says 403, and is up."""
    try:
        urllib.request.urlopen(url + "?comp=list", timeout=2).close()  # noqa: S310  our own http address on loopback
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True

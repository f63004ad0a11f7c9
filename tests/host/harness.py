"""Runs a small function app under the real host process, against a real Azurite."""

import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
from azure.storage.queue import QueueClient, QueueMessage, TextBase64DecodePolicy, TextBase64EncodePolicy

from local.processes import ChildProcess

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE = 20.0

PREAMBLE = """
import asyncio, json, os, threading, time
import azure.functions as func

app = func.FunctionApp()
JOURNAL = os.environ["JOURNAL"]

def note(**fields):
    # One write per line: lines of several processes do not mix.
    line = json.dumps({"pid": os.getpid(), "at": time.time(), **fields}) + "\\n"
    descriptor = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)

def is_open(gate):
    return os.path.exists(JOURNAL + "." + gate)
"""


def wait_for(condition: Callable[[], T | None], what: str | Callable[[], str], deadline: float = DEADLINE) -> T:
    """The first answer that is true; fails the test when there is none in time, and says `what` as it is then."""
    end = time.monotonic() + deadline
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < end, f"waited {deadline} s in vain for {what if isinstance(what, str) else what()}"
        time.sleep(0.05)


@dataclass
class RunningHost:
    """A host that serves, and the files around it."""

    process: ChildProcess
    url: str
    ready_file: Path
    journal_file: Path

    def workers(self) -> list[int]:
        """Process ids of the workers, as the ready file says now."""
        return [int(pid) for pid in json.loads(self.ready_file.read_text())["workers"]]

    def journal(self, event: str | None = None) -> list[dict[str, Any]]:
        """What the app noted so far."""
        if not self.journal_file.exists():
            return []
        entries = [json.loads(line) for line in self.journal_file.read_text().splitlines()]
        return [entry for entry in entries if event is None or entry.get("event") == event]

    def wait_for_notes(self, event: str, count: int, deadline: float = DEADLINE) -> list[dict[str, Any]]:
        """The notes of `event`, as soon as there are `count` of them."""
        return wait_for(
            lambda: found if len(found := self.journal(event)) >= count else None,
            lambda: f"{count} x {event}; journal {self.journal()}; log {self.log()}",
            deadline,
        )

    def open_gate(self, gate: str) -> None:
        """Let functions that wait for `is_open(gate)` go on."""
        self.journal_file.with_name(f"{self.journal_file.name}.{gate}").touch()

    def log(self) -> str:
        return self.process.log_text()

    def wait_for_log(self, text: str, deadline: float = DEADLINE) -> None:
        wait_for(lambda: text in self.log(), lambda: f"{text!r} in the log:\n{self.log()}", deadline)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=DEADLINE, **options)


class HostFolder:
    """A folder with an app, host.json and settings; `running` starts the host on it."""

    def __init__(self, folder: Path, connection: str) -> None:
        self.folder = folder
        self.connection = connection
        self.queue = f"q-{uuid.uuid4().hex[:12]}"
        self.journal_file = folder / "journal.jsonl"
        self.settings: dict[str, str] = {}
        self.host_json: dict[str, Any] = {
            "version": "2.0",
            "extensions": {"queues": {"maxPollingInterval": "00:00:00.200"}, "http": {"routePrefix": ""}},
        }

    def queues(self, **settings: Any) -> None:
        self.host_json["extensions"]["queues"].update(settings)

    def write_app(self, body: str, preamble: str = PREAMBLE) -> Path:
        path = self.folder / "sample_app.py"
        path.write_text(preamble + body, encoding="utf-8")
        return path

    def command(self, *extra: str) -> list[str]:
        return [
            sys.executable,
            "-m",
            "local.functions_host",
            "--app",
            str(self.folder / "sample_app.py"),
            "--host-json",
            str(self.folder / "host.json"),
            "--settings",
            str(self.folder / "settings.json"),
            "--ready-file",
            str(self.folder / "ready.json"),
            "--port",
            "0",
            *extra,
        ]

    def write_settings(self, **settings: str) -> None:
        (self.folder / "host.json").write_text(json.dumps(self.host_json), encoding="utf-8")
        own = {"AzureWebJobsStorage": self.connection, "QUEUE": self.queue, "JOURNAL": str(self.journal_file)}
        values = {**own, **self.settings, **settings}
        (self.folder / "settings.json").write_text(json.dumps(values), encoding="utf-8")

    def launch(self, *extra: str, **settings: str) -> ChildProcess:
        """Start the host without waiting for it."""
        self.write_settings(**settings)
        # The suite's own setting would go before what a test writes into host.json.
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("AzureFunctionsJobHost__")
        }
        environment = {**inherited, "PYTHONPATH": str(ROOT)}
        return ChildProcess.start("The host", self.command(*extra), self.folder / "host.log", env=environment)

    @contextmanager
    def running(self, *extra: str, workers: int = 1, **settings: str) -> Iterator[RunningHost]:
        """The host, from the moment all workers serve until the end of the block."""
        process = self.launch("--workers", str(workers), *extra, **settings)
        ready_file = self.folder / "ready.json"
        try:
            process.wait_until(ready_file.exists, DEADLINE)
            url = json.loads(ready_file.read_text())["url"]
            yield RunningHost(process, url, ready_file, self.journal_file)
        finally:
            process.stop()

    def client(self, suffix: str = "") -> QueueClient:
        """The queue as a sender sees it, messages in base64; made when it is missing."""
        client = QueueClient.from_connection_string(
            self.connection,
            self.queue + suffix,
            message_encode_policy=TextBase64EncodePolicy(),
            message_decode_policy=TextBase64DecodePolicy(),
        )
        create_if_missing(client)
        return client


def create_if_missing(client: QueueClient) -> None:
    from azure.core.exceptions import ResourceExistsError

    try:
        client.create_queue()
    except ResourceExistsError:
        return


def wait_for_messages(client: QueueClient, count: int) -> list[QueueMessage]:
    """Receive (and delete) until there are `count` messages."""
    received: list[QueueMessage] = []

    def look() -> bool:
        for message in client.receive_messages(max_messages=32):
            client.delete_message(message)
            received.append(message)
        return len(received) >= count

    wait_for(look, f"{count} messages in {client.queue_name}")
    return received


def peak_overlap(entries: list[dict[str, Any]]) -> int:
    """The most invocations that ran at once, from notes with the fields `start` and `end`."""
    moments = sorted([(entry["start"], 1) for entry in entries] + [(entry["end"], -1) for entry in entries])
    running = peak = 0
    for _, change in moments:
        running += change
        peak = max(peak, running)
    return peak


def is_gone(pid: int) -> bool:
    """True when no process has this id, or only a zombie that its new parent has not collected yet."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] == "Z"

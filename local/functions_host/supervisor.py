"""The supervisor: binds the HTTP port once, starts the workers, replaces those that die, and stops them all."""

import contextlib
import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from local.functions_host.errors import StartError
from local.functions_host.host_json import read_host_settings
from local.functions_host.options import EXIT_TIMED_OUT, HostOptions, WorkerOptions, read_settings

PACKAGE_ROOT = Path(__file__).resolve().parent.parent.parent
KILL_AFTER_GRACE = 1.5  # seconds beyond the grace before a worker that does not end is killed
_log = logging.getLogger("functions_host.supervisor")


@dataclass
class _Slot:
    """One worker's place: the process in it and what it has said."""

    number: int
    process: "subprocess.Popen[bytes] | None" = None
    control: int = -1
    ready: bool = False
    said: bytes = b""
    failures: int = 0
    start_at: float = field(default=0.0)


class Supervisor:
    """Runs until SIGTERM or SIGINT. Raises StartError when the app cannot be started at all."""

    def __init__(self, options: HostOptions) -> None:
        self._options = options
        self._settings = read_settings(options.settings)
        read_host_settings(options.host_json)  # wrong ones stop the start before the port is taken
        if not options.app.is_file():
            raise StartError(f"The app {options.app} does not exist.")
        self._selector = selectors.DefaultSelector()
        self._slots = [_Slot(number) for number in range(1, options.workers + 1)]
        self._stop_requests = 0
        self._started = False

    def run(self) -> int:
        """Serve; returns the exit code."""
        with contextlib.ExitStack() as cleanup:
            self._socket = cleanup.enter_context(self._listen())
            self._state_directory = self._choose_state_directory(cleanup)
            cleanup.callback(self._remove_ready_file)
            cleanup.callback(self._kill_all)
            self._watch_signals(cleanup)
            while not self._stop_requests:
                self._start_due()
                self._wait_for_events()
            return self._stop()

    def _listen(self) -> socket.socket:
        options = self._options
        # The protocol is named because asyncio sets TCP_NODELAY on no other; without it each answer waits 40 ms.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((options.host, options.port))
            listening.listen(1024)
        except OSError as error:
            listening.close()
            raise StartError(
                f"Port {options.port} on {options.host} cannot be used ({error.strerror}): end the process that "
                f"holds it, or choose another port (0 takes a free one)."
            ) from error
        return listening

    def _choose_state_directory(self, cleanup: contextlib.ExitStack) -> Path:
        """Where timers keep locks and status: beside the ready file, so that they outlive this run."""
        if self._options.ready_file is None:
            return Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="functions-host-")))
        directory = self._options.ready_file.parent
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def _watch_signals(self, cleanup: contextlib.ExitStack) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        cleanup.callback(os.close, reader)
        cleanup.callback(os.close, writer)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        cleanup.callback(signal.set_wakeup_fd, -1)
        self._selector.register(reader, selectors.EVENT_READ, None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._request_stop)

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stop_requests += 1

    # Workers

    def _start_due(self) -> None:
        for slot in self._slots:
            if slot.process is None and slot.start_at <= time.monotonic():
                self._start(slot)

    def _start(self, slot: _Slot) -> None:
        reader, writer = os.pipe()
        options = self._options
        worker = WorkerOptions(
            slot.number,
            os.getpid(),
            str(options.app.resolve()),
            str(options.host_json.resolve()),
            str(self._state_directory.resolve()),
            self._socket.fileno(),
            writer,
            options.grace,
            options.message_lease,
            options.verbose,
        )
        command = [sys.executable, "-m", "local.functions_host.worker", worker.to_json()]
        # From the main thread, which lives as long as this process: the parent-death signal hangs on the thread.
        slot.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, env=self._environment(), pass_fds=(self._socket.fileno(), writer)
        )
        os.close(writer)
        slot.control, slot.ready, slot.said = reader, False, b""
        self._selector.register(reader, selectors.EVENT_READ, slot)

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, **self._settings}
        paths = [str(PACKAGE_ROOT), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        environment.setdefault("FUNCTIONS_WORKER_RUNTIME", "python")
        environment.setdefault("AZURE_FUNCTIONS_ENVIRONMENT", "Development")
        environment.setdefault("WEBSITE_HOSTNAME", f"{self._options.host}:{self._socket.getsockname()[1]}")
        return environment

    def _wait_for_events(self) -> None:
        starts = [slot.start_at - time.monotonic() for slot in self._slots if slot.process is None]
        for key, _ in self._selector.select(max(0.0, min(starts)) if starts else None):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    os.read(key.fd, 1024)
            else:
                self._hear(key.data)

    def _hear(self, slot: _Slot) -> None:
        """Read what a worker says through its pipe; the pipe's end is the worker's end."""
        said = os.read(slot.control, 4096)
        slot.said += said
        if said:
            if b"ready\n" in slot.said and not slot.ready:
                slot.ready, slot.failures = True, 0
                self._publish()
            return
        self._selector.unregister(slot.control)
        os.close(slot.control)
        process, slot.process = slot.process, None
        if process is not None and not self._stop_requests:
            self._ended(slot, process.wait())

    def _ended(self, slot: _Slot, code: int) -> None:
        reason = slot.said.decode("utf-8", "replace").partition("failed ")[2].strip()
        if not self._started and code >= 0:
            raise StartError(reason or f"Worker {slot.number} ended with code {code} while it started.")
        if slot.ready:
            slot.start_at = time.monotonic()
        else:
            slot.failures += 1
            slot.start_at = time.monotonic() + min(10.0, 0.25 * 2**slot.failures)
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        if code == EXIT_TIMED_OUT:
            how = "ended because a function timed out"
        _log.warning("Worker %d %s and is replaced. %s", slot.number, how, reason)

    def _publish(self) -> None:
        """Write the ready file when every place has a worker that serves."""
        if not all(slot.ready and slot.process is not None for slot in self._slots):
            return
        pids = [slot.process.pid for slot in self._slots if slot.process is not None]
        url = f"http://{self._options.host}:{self._socket.getsockname()[1]}"
        _log.info("Serving %s with %d worker(s): %s.", url, len(pids), ", ".join(map(str, pids)))
        self._started = True
        path = self._options.ready_file
        if path is not None:
            part = path.with_name(path.name + ".part")
            part.write_text(json.dumps({"url": url, "pid": os.getpid(), "workers": pids}), encoding="utf-8")
            part.replace(path)

    # Stopping

    def _stop(self) -> int:
        _log.info("Stopping; running invocations have %g seconds.", self._options.grace)
        self._remove_ready_file()
        self._socket.close()
        running = [slot.process for slot in self._slots if slot.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + self._options.grace + KILL_AFTER_GRACE
        while any(process.poll() is None for process in running):
            if time.monotonic() > deadline or self._stop_requests > 1:
                _log.warning("Workers that did not end in time are killed.")
                break
            time.sleep(0.02)
        self._kill_all()
        _log.info("Stopped.")
        return 0

    def _kill_all(self) -> None:
        for slot in self._slots:
            if slot.process is not None:
                slot.process.kill()
                slot.process.wait()
                slot.process = None

    def _remove_ready_file(self) -> None:
        if self._options.ready_file is not None:
            self._options.ready_file.unlink(missing_ok=True)

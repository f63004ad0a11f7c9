"""One worker process: imports the app and serves all its triggers on one event loop.

Started by the supervisor only: python -m local.functions_host.worker <options as JSON>.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from local.functions_host.app_loader import load_functions
from local.functions_host.bindings import BoundFunction, QueueTrigger, TimerTrigger
from local.functions_host.errors import StartError
from local.functions_host.host_json import HostSettings, read_host_settings
from local.functions_host.http_front import HttpFront
from local.functions_host.invocation import Invoker, Watchdog
from local.functions_host.log import configure_logging
from local.functions_host.options import EXIT_START_FAILED, EXIT_TIMED_OUT, WorkerOptions
from local.functions_host.queue_listener import QueueListener
from local.functions_host.queue_output import OutputSender
from local.functions_host.queue_store import Stores
from local.functions_host.timer_listener import TimerListener
from local.processes import die_with_parent

STORAGE_THREADS = 8  # deletes, releases and outputs; each REST call takes a few milliseconds
SETTLE_AFTER_TIMEOUT = 3.0  # seconds to give the messages in progress back before the worker ends
_log = logging.getLogger("functions_host.worker")


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the worker has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Worker:
    """The parts of one worker process, wired together."""

    def __init__(self, options: WorkerOptions, settings: HostSettings, functions: list[BoundFunction]) -> None:
        self._options, self._settings, self._functions = options, settings, functions
        threads = ThreadPoolExecutor((os.cpu_count() or 1) + 4, "function")
        self._storage = ThreadPoolExecutor(STORAGE_THREADS, "storage")
        self._stores = Stores()
        self._watchdog = Watchdog(settings.function_timeout, self._timed_out)
        outputs = OutputSender(self._stores, settings.queues.base64, self._wake_listeners)
        self._invoker = Invoker(threads, self._storage, outputs, self._watchdog)
        self._listeners: list[QueueListener] = []
        self._timers: list[TimerListener] = []

    async def run(self) -> None:
        """Serve until SIGTERM, then give what runs the grace time."""
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stopping.set)
        self._make_listeners(loop)
        server, serving = await self._start_http()
        triggers: list[QueueListener | TimerListener] = [*self._listeners, *self._timers]
        for trigger in triggers:
            trigger.start()
        _tell(self._options, b"ready\n")
        await stopping.wait()
        for trigger in triggers:
            trigger.stop()
        server.should_exit = True
        deadline = time.monotonic() + self._options.grace
        while self._busy() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        if self._busy():
            _log.warning("Stopped while %d invocations were running.", self._watchdog.count())
        else:
            await asyncio.wait([serving], timeout=max(0.2, deadline - time.monotonic()))

    def _make_listeners(self, loop: asyncio.AbstractEventLoop) -> None:
        for function in self._functions:
            if isinstance(function.trigger, QueueTrigger):
                self._listeners.append(
                    QueueListener(
                        function,
                        function.trigger,
                        self._settings.queues,
                        self._options.message_lease,
                        stores=self._stores,
                        invoker=self._invoker,
                        loop=loop,
                        storage=self._storage,
                    )
                )
            elif isinstance(function.trigger, TimerTrigger):
                state = Path(self._options.state_directory)
                timer = TimerListener(function, function.trigger, state, invoker=self._invoker, loop=loop)
                self._timers.append(timer)

    async def _start_http(self) -> "tuple[_Server, asyncio.Task[None]]":
        config = uvicorn.Config(
            HttpFront(self._functions, self._settings.route_prefix, self._invoker),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(self._options.grace)),
        )
        server = _Server(config)
        shared = socket.socket(fileno=self._options.socket_fd)
        serving = asyncio.create_task(server.serve(sockets=[shared]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        if serving.done():
            await serving  # raises what went wrong
        return server, serving

    def _busy(self) -> bool:
        return self._watchdog.count() > 0 or any(listener.busy() for listener in self._listeners)

    def _wake_listeners(self, connection: str, queue: str) -> None:
        for listener in self._listeners:
            if (listener.connection, listener.queue) == (connection, queue):
                listener.wake()

    def _timed_out(self, name: str, invocation_id: str) -> None:
        """functionTimeout: the real host restarts the whole worker, and everything else in it fails as well."""
        for listener in self._listeners:
            listener.stop(giving_back=True)
        _log.error(
            "Function %s (invocation %s) ran longer than functionTimeout (%g seconds): this worker is restarted, and "
            "its other invocations fail with it.",
            name,
            invocation_id,
            self._settings.function_timeout,
        )
        giving_back = [threading.Thread(target=listener.give_back, daemon=True) for listener in self._listeners]
        for thread in giving_back:
            thread.start()
        deadline = time.monotonic() + SETTLE_AFTER_TIMEOUT
        for thread in giving_back:
            thread.join(max(0.0, deadline - time.monotonic()))
        _leave(EXIT_TIMED_OUT)


def main() -> None:
    # Ctrl-C reaches the whole foreground group; the supervisor alone decides about stopping.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    options = WorkerOptions.from_json(sys.argv[1])
    die_with_parent(options.parent)
    threading.Thread(target=_watch_parent, args=(options.parent,), name="parent-watch", daemon=True).start()
    for descriptor in (options.socket_fd, options.control_fd):
        os.set_inheritable(descriptor, False)  # what the app starts must not hold the port or the pipe
    configure_logging(f"worker {options.number}", verbose=options.verbose)
    try:
        settings = read_host_settings(Path(options.host_json))
        app = Path(options.app)
        os.chdir(app.parent)
        worker = Worker(options, settings, load_functions(app, os.environ))
        # Not asyncio.run: what still runs after the grace ends with the process, as a crash would end it, and is not
        # cancelled in an orderly way that no app gets in Azure.
        asyncio.Runner().run(worker.run())
    except StartError as error:
        _tell(options, b"failed " + " ".join(str(error).split()).encode("utf-8") + b"\n")
        _leave(EXIT_START_FAILED)
    _leave(0)


def _watch_parent(parent: int) -> None:
    """For systems without a parent-death signal: end when the supervisor is gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _tell(options: WorkerOptions, line: bytes) -> None:
    os.write(options.control_fd, line)


def _leave(code: int) -> None:
    """End now: threads of the app that still work would hold a normal exit back."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()

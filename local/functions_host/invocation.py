"""Calling one function of the app: context, outputs, and the watch over functionTimeout."""

import asyncio
import heapq
import logging
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any

import azure.functions as func

from local.functions_host.bindings import RETURN, BoundFunction, HttpTrigger
from local.functions_host.queue_output import OutputSender

_log = logging.getLogger("functions_host.invocation")


class InvocationFailedError(Exception):
    """The function raised, or its outputs could not be sent. Already logged."""


class OutValue(func.Out[Any]):
    """An output parameter: keeps what the function sets."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        self._value = val

    def get(self) -> Any:
        return self._value


class _NoTrace(func._abc.TraceContext):
    """No distributed tracing here: all empty, and never None, because apps read the fields."""

    @property
    def trace_parent(self) -> str:
        return ""

    @property
    def trace_state(self) -> str:
        return ""

    @property
    def attributes(self) -> dict[str, str]:
        return {}


class InvocationContext(func.Context):
    """What a function sees as `context`."""

    def __init__(self, function: BoundFunction, invocation_id: str, local_storage: threading.local) -> None:
        self._function = function
        self._invocation_id = invocation_id
        self._local_storage = local_storage

    @property
    def invocation_id(self) -> str:
        return self._invocation_id

    @property
    def thread_local_storage(self) -> Any:
        return self._local_storage

    @property
    def function_name(self) -> str:
        return self._function.name

    @property
    def function_directory(self) -> str:
        return self._function.directory

    @property
    def trace_context(self) -> Any:
        return _NO_TRACE

    @property
    def retry_context(self) -> Any:
        return None


class Watchdog:
    """Calls `on_timeout` when an invocation runs longer than the limit. Has its own thread: the loop may be blocked."""

    def __init__(self, limit: float | None, on_timeout: Callable[[str, str], None]) -> None:
        self._limit = limit
        self._on_timeout = on_timeout
        self._changed = threading.Condition()
        self._running: dict[str, str] = {}
        self._deadlines: list[tuple[float, str]] = []
        if limit is not None:
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def started(self, invocation_id: str, name: str) -> None:
        with self._changed:
            self._running[invocation_id] = name
            if self._limit is not None:
                heapq.heappush(self._deadlines, (time.monotonic() + self._limit, invocation_id))
                self._changed.notify()

    def ended(self, invocation_id: str) -> None:
        with self._changed:
            self._running.pop(invocation_id, None)

    def count(self) -> int:
        """How many invocations run now."""
        with self._changed:
            return len(self._running)

    def _watch(self) -> None:
        while True:
            with self._changed:
                while not self._deadlines or self._deadlines[0][0] > time.monotonic():
                    wait = self._deadlines[0][0] - time.monotonic() if self._deadlines else None
                    self._changed.wait(wait)
                _, invocation_id = heapq.heappop(self._deadlines)
                name = self._running.get(invocation_id)
            if name is not None:
                self._on_timeout(name, invocation_id)


class Invoker:
    """Runs functions the way the Python worker does: async ones on the loop, sync ones on the thread pool."""

    def __init__(
        self, threads: ThreadPoolExecutor, storage: Executor, outputs: OutputSender, watchdog: Watchdog
    ) -> None:
        self._threads = threads
        self._storage = storage
        self._outputs = outputs
        self._watchdog = watchdog
        self._local_storage = threading.local()

    async def invoke(self, function: BoundFunction, make_argument: Callable[[], Any]) -> Any:
        """Call the function with its trigger's value, send its outputs, and return what it returned.

        Raises InvocationFailedError after logging. Must run on the worker's event loop.
        """
        invocation_id = str(uuid.uuid4())
        started = time.monotonic()
        self._watchdog.started(invocation_id, function.name)
        try:
            returned = await self._run(function, make_argument, invocation_id)
        except asyncio.CancelledError:
            _log.error("Function %s failed (invocation %s): it was cancelled.", function.name, invocation_id)
            raise InvocationFailedError(function.name) from None
        except Exception as error:
            _log.error("Function %s failed (invocation %s): %s", function.name, invocation_id, describe(error))
            _log.debug("Traceback of invocation %s", invocation_id, exc_info=error)
            raise InvocationFailedError(function.name) from error
        finally:
            self._watchdog.ended(invocation_id)
        milliseconds = (time.monotonic() - started) * 1000
        _log.debug("Function %s succeeded (invocation %s, %.0f ms).", function.name, invocation_id, milliseconds)
        return returned

    async def _run(self, function: BoundFunction, make_argument: Callable[[], Any], invocation_id: str) -> Any:
        outs = {output.argument: OutValue() for output in function.outputs if output.argument != RETURN}
        arguments: dict[str, Any] = {function.trigger.argument: make_argument(), **outs}
        if function.wants_context:
            arguments["context"] = InvocationContext(function, invocation_id, self._local_storage)
        loop = asyncio.get_running_loop()
        if function.is_async:
            self._local_storage.invocation_id = invocation_id
            returned = await function.call(**arguments)
        else:
            call = partial(self._call_on_thread, function, arguments, invocation_id)
            returned = await loop.run_in_executor(self._threads, call)
        _check_return(function, returned)
        set_values = {argument: out.get() for argument, out in outs.items()}
        prepared = self._outputs.prepare(function, returned, set_values)
        if prepared:
            await loop.run_in_executor(self._storage, self._outputs.send, prepared)
        return returned

    def _call_on_thread(self, function: BoundFunction, arguments: dict[str, Any], invocation_id: str) -> Any:
        self._local_storage.invocation_id = invocation_id
        return function.call(**arguments)


def describe(error: BaseException) -> str:
    """Type, text and the place of an exception on one line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}{place}" if text else f"{type(error).__name__}{place}"


def _check_return(function: BoundFunction, returned: object) -> None:
    """The worker refuses a value that no $return binding takes."""
    bound = isinstance(function.trigger, HttpTrigger) or any(output.argument == RETURN for output in function.outputs)
    if returned is not None and not bound:
        raise RuntimeError(f"function {function.name!r} without a $return binding returned a non-None value")


_NO_TRACE = _NoTrace()

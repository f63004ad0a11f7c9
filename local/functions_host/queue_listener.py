"""The queue trigger: fetches messages, runs the function, and settles each message by the host's rules.

Rules and figures follow the storage queue extension (QueueListener, QueueProcessor): a message is hidden for ten
minutes and renewed at half of that; it is deleted on success, shown again after `visibilityTimeout` on failure, and
moved to the poison queue when it has failed `maxDequeueCount` times.
"""

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.functions.meta import Datum

from local.functions_host.bindings import BoundFunction, QueueTrigger
from local.functions_host.converters import decode
from local.functions_host.host_json import QueueSettings
from local.functions_host.invocation import Invoker
from local.functions_host.queue_messages import ReceivedMessage, decode_text, trigger_metadata
from local.functions_host.queue_store import MessageGoneError, StorageUnavailableError, Stores

MINIMUM_POLLING_INTERVAL = 0.1  # seconds
LAST_FETCH_DEADLINE = 1.0  # seconds to wait for a fetch under way, which takes milliseconds, before giving back
SETTLE_DEADLINE = 60.0  # seconds of trying to delete or release a message before leaving it to its lease
_log = logging.getLogger("functions_host.queue")


@dataclass
class HeldMessage:
    """A message in progress. The lock orders renewals and the settling: each needs the newest pop receipt."""

    received: ReceivedMessage
    pop_receipt: str
    renew_at: float
    settled: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class PollingDelay:
    """How long to wait after a poll that found nothing: doubling from 100 ms to the maximum, 20 % either way."""

    def __init__(self, maximum: float, jitter: Callable[[], float] = random.random) -> None:
        self._maximum = maximum
        self._jitter = jitter
        self._next = MINIMUM_POLLING_INTERVAL

    def reset(self) -> None:
        self._next = MINIMUM_POLLING_INTERVAL

    def next(self) -> float:
        delay = min(self._maximum, self._next * (0.8 + 0.4 * self._jitter()))
        self._next = min(self._maximum, self._next * 2)
        return delay


class QueueListener:
    """Serves one queue-triggered function in one worker process."""

    def __init__(
        self,
        function: BoundFunction,
        trigger: QueueTrigger,
        settings: QueueSettings,
        lease: float,
        *,
        stores: Stores,
        invoker: Invoker,
        loop: asyncio.AbstractEventLoop,
        storage: Executor,
    ) -> None:
        self.connection, self.queue = trigger.connection, trigger.queue
        self._function, self._settings, self._lease = function, settings, lease
        self._store = stores.get(trigger.connection, trigger.queue)
        self._poison = stores.get(trigger.connection, f"{trigger.queue}-poison")
        self._invoker, self._loop, self._storage = invoker, loop, storage
        self._changed = threading.Condition()
        self._messages: dict[int, HeldMessage] = {}
        self._stopping = threading.Event()
        self._giving_back = threading.Event()
        self._wake = threading.Event()
        self._fetching = threading.Thread(target=self._fetch_forever, name=f"fetch-{self.queue}", daemon=True)

    def start(self) -> None:
        """Start the threads that fetch messages and renew their leases."""
        self._fetching.start()
        threading.Thread(target=self._renew_forever, name=f"renew-{self.queue}", daemon=True).start()

    def stop(self, *, giving_back: bool = False) -> None:
        """Fetch no more; messages in progress go on. With `giving_back`, none that a fetch still brings begins."""
        if giving_back:
            self._giving_back.set()
        self._stopping.set()
        self._wake.set()
        with self._changed:
            self._changed.notify_all()

    def wake(self) -> None:
        """Look at the queue now."""
        self._wake.set()

    def busy(self) -> bool:
        """Whether messages are in progress, or a fetch that was under way when the listener was stopped."""
        with self._changed:
            return bool(self._messages) or self._fetching.is_alive()

    def give_back(self) -> None:
        """After `stop`: settle every message in progress as failed, what the host does when it restarts a worker.

        A fetch that is under way is waited for: it may bring a message, or take one again that was given back too soon,
        and a message that the ending worker keeps is hidden for the whole lease.
        """
        self._fetching.join(LAST_FETCH_DEADLINE)
        with self._changed:
            held = list(self._messages.values())
        for message in held:
            self._settle(message, succeeded=False)

    # Fetching

    def _fetch_forever(self) -> None:
        delay = PollingDelay(self._settings.max_polling_interval)
        created = False
        while not self._stopping.is_set():
            try:
                if not created:
                    self._store.create_if_missing()
                    created = True
                self._wake.clear()
                messages = self._store.receive(self._settings.batch_size, self._lease)
            except StorageUnavailableError:  # said once by the store
                messages = []
            except HttpResponseError as error:
                _log.error("Queue %s cannot be read: %s.", self.queue, str(error).splitlines()[0])
                messages = []
            if messages:
                delay.reset()
                for message in messages:
                    self._begin(message)
                self._wait_for_room()
            elif self._wake.wait(delay.next()):
                delay.reset()

    def _wait_for_room(self) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._messages) <= self._settings.new_batch_threshold or self._stopping.is_set()
            )

    def _begin(self, received: ReceivedMessage) -> None:
        held = HeldMessage(received, received.pop_receipt, time.monotonic() + self._lease / 2)
        with self._changed:
            self._messages[id(held)] = held
            self._changed.notify_all()
        if self._giving_back.is_set():
            self._finish(held, False, False)
            return
        try:
            body = decode_text(received.text, self._settings.base64)
        except ValueError as error:
            _log.error("Message %s of queue %s goes to the poison queue: %s.", received.id, self.queue, error)
            self._storage.submit(self._finish, held, False, True)
            return
        if received.dequeue_count > self._settings.max_dequeue_count:
            self._storage.submit(self._finish, held, False, True)
            return
        work = self._invoker.invoke(self._function, lambda: self._argument(received, body))
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.add_done_callback(lambda done: self._ended(held, done))

    def _argument(self, received: ReceivedMessage, body: str | bytes) -> Any:
        datum = Datum(body, "string" if isinstance(body, str) else "bytes")
        return decode("queueTrigger", datum, trigger_metadata(received, body))

    # Settling

    def _ended(self, held: HeldMessage, done: "Future[Any]") -> None:
        succeeded = not done.cancelled() and done.exception() is None
        try:
            self._storage.submit(self._finish, held, succeeded, False)
        except RuntimeError:  # the worker is ending and its threads are closed: the lease brings the message back
            self._forget(held)

    def _finish(self, held: HeldMessage, succeeded: bool, poison: bool) -> None:
        try:
            self._settle(held, succeeded=succeeded, poison=poison)
        finally:
            self._forget(held)

    def _forget(self, held: HeldMessage) -> None:
        with self._changed:
            self._messages.pop(id(held), None)
            self._changed.notify_all()

    def _settle(self, held: HeldMessage, *, succeeded: bool, poison: bool = False) -> None:
        received = held.received
        with held.lock:
            if held.settled:
                return
            held.settled = True
            try:
                if succeeded:
                    self._patiently(lambda: self._store.delete(received.id, held.pop_receipt))
                elif poison or received.dequeue_count >= self._settings.max_dequeue_count:
                    self._move_to_poison(held)
                else:
                    seconds = self._settings.visibility_timeout
                    self._patiently(lambda: self._store.hide(received.id, held.pop_receipt, seconds))
            except MessageGoneError:
                _log.warning("Message %s of queue %s was taken over meanwhile.", received.id, self.queue)
            except StorageUnavailableError:
                _log.error("Message %s of queue %s could not be settled and will show again.", received.id, self.queue)
            except HttpResponseError as error:
                _log.error("Message %s of queue %s: %s.", received.id, self.queue, str(error).splitlines()[0])

    def _move_to_poison(self, held: HeldMessage) -> None:
        received = held.received
        self._patiently(lambda: self._poison.send(received.text))
        self._patiently(lambda: self._store.delete(received.id, held.pop_receipt))
        _log.error(
            "Message %s of queue %s was moved to %s after %d attempts.",
            received.id,
            self.queue,
            self._poison.queue,
            received.dequeue_count,
        )

    def _patiently(self, operation: Callable[[], Any]) -> None:
        """Try again while the service is away: a lost delete means a second run."""
        deadline = time.monotonic() + SETTLE_DEADLINE
        pause = 0.2
        while True:
            try:
                operation()
                return
            except StorageUnavailableError:
                if time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)
                pause = min(pause * 2, 5.0)

    # Renewing

    def _renew_forever(self) -> None:
        while True:
            with self._changed:
                due_at = min((held.renew_at for held in self._messages.values()), default=None)
                wait = None if due_at is None else due_at - time.monotonic()
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                due = [held for held in self._messages.values() if held.renew_at <= time.monotonic()]
            for held in due:
                self._renew(held)

    def _renew(self, held: HeldMessage) -> None:
        with held.lock:
            if held.settled:
                held.renew_at = float("inf")
                return
            try:
                held.pop_receipt = self._store.hide(held.received.id, held.pop_receipt, self._lease)
                held.renew_at = time.monotonic() + self._lease / 2
            except StorageUnavailableError:
                held.renew_at = time.monotonic() + 1.0
            except (MessageGoneError, HttpResponseError) as error:
                held.renew_at = float("inf")
                _log.error("The lease of message %s of queue %s is lost: %s.", held.received.id, self.queue, error)

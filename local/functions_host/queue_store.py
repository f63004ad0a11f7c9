"""The queue service as the listeners and outputs see it: single REST calls, no retries.

All calls block and belong on threads of their own, never on a worker's event loop.
"""

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueClient

from local.functions_host.errors import StartError
from local.functions_host.queue_messages import ReceivedMessage
from local.functions_host.queue_requests import QueueRequests

T = TypeVar("T")
_log = logging.getLogger("functions_host.storage")


class StorageUnavailableError(Exception):
    """The storage service cannot be reached or failed inside (5xx): worth another try."""


class MessageGoneError(Exception):
    """The message is not ours any more: it was deleted, or its pop receipt was replaced."""


class Reachability:
    """Says once that a storage account went away and once that it is back, however many queues notice."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._lock = threading.Lock()
        self._reachable = True

    def report(self, reachable: bool, detail: str = "") -> None:
        with self._lock:
            changed, self._reachable = reachable != self._reachable, reachable
        if changed and reachable:
            _log.warning("The storage account %s answers again.", self._account)
        elif changed:
            _log.error("The storage account %s does not answer; trying until it does (%s).", self._account, detail)


class QueueStore:
    """One queue.

    Methods raise StorageUnavailableError, MessageGoneError, or HttpResponseError for what a retry cannot mend.
    """

    def __init__(self, connection: str, queue: str, reachability: Reachability) -> None:
        self.queue = queue
        self._reachability = reachability
        try:
            # Retries are the caller's: the SDK's own would hide an outage for minutes.
            self._client = QueueClient.from_connection_string(
                connection, queue, retry_total=0, connection_timeout=5, read_timeout=30
            )
        except (ValueError, KeyError) as error:
            raise StartError(f"The storage connection string of queue {queue} is not valid: {error}.") from error
        if not hasattr(self._client.credential, "account_key"):
            raise StartError(f"The storage connection string of queue {queue} has no AccountKey; give it one.")
        self._often = QueueRequests(self._client)

    def create_if_missing(self) -> None:
        def create() -> None:
            with contextlib.suppress(ResourceExistsError):
                self._client.create_queue()

        self._call(create)

    def receive(self, count: int, lease: float) -> list[ReceivedMessage]:
        """Up to `count` (at most 32) messages, hidden for `lease` seconds. A missing queue is made and has none."""
        try:
            return self._call(lambda: self._often.receive(count, lease))
        except ResourceNotFoundError:
            self.create_if_missing()
            return []

    def hide(self, message_id: str, pop_receipt: str, seconds: float) -> str:
        """Hide a message for `seconds` from now; returns its new pop receipt."""

        def update() -> str:
            answer = self._client.update_message(message_id, pop_receipt=pop_receipt, visibility_timeout=int(seconds))
            return str(answer.pop_receipt)

        return self._on_message(update)

    def delete(self, message_id: str, pop_receipt: str) -> None:
        self._on_message(lambda: self._often.delete(message_id, pop_receipt))

    def send(self, text: str) -> None:
        """Put an encoded message into the queue, which is made when it is missing."""
        try:
            self._call(lambda: self._client.send_message(text))
        except ResourceNotFoundError:
            self.create_if_missing()
            self._call(lambda: self._client.send_message(text))

    def _on_message(self, operation: Callable[[], T]) -> T:
        try:
            return self._call(operation)
        except ResourceNotFoundError as error:
            raise MessageGoneError("not found") from error
        except HttpResponseError as error:
            if getattr(error, "error_code", None) == "PopReceiptMismatch":
                raise MessageGoneError("PopReceiptMismatch") from error
            raise

    def _call(self, operation: Callable[[], T]) -> T:
        try:
            answer = operation()
        except HttpResponseError as error:
            if error.status_code is not None and error.status_code < 500:
                self._reachability.report(True)
                raise
            self._fail(error)
        except AzureError as error:
            self._fail(error)
        self._reachability.report(True)
        return answer

    def _fail(self, error: AzureError) -> None:
        detail = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}" if str(error) else type(error).__name__
        self._reachability.report(False, detail)
        raise StorageUnavailableError(detail) from error


class Stores:
    """The queue stores of one worker, made once per connection and queue."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stores: dict[tuple[str, str], QueueStore] = {}
        self._reachability: dict[str, Reachability] = {}

    def get(self, connection: str, queue: str) -> QueueStore:
        with self._lock:
            key = (connection, queue)
            if key not in self._stores:
                if connection not in self._reachability:
                    self._reachability[connection] = Reachability(_account(connection))
                self._stores[key] = QueueStore(connection, queue, self._reachability[connection])
            return self._stores[key]


def _account(connection: str) -> str:
    """The account's name, fit for a log: a connection string holds the key."""
    parts = dict(part.split("=", 1) for part in connection.split(";") if "=" in part)
    return parts.get("AccountName", "without a name")

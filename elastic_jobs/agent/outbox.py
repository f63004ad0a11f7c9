"""Sends wake-up messages over Azure Storage queues, always after the commit of what they are about."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueClient, QueueServiceClient, TextBase64EncodePolicy

from elastic_jobs.agent.messages import STEPS_QUEUE, TARGETS_QUEUE, Alarm, Message, WakeStep, WakeTarget, encode

_log = logging.getLogger(__name__)

_SENDERS = 4  # more threads only wait for each other: a send is mostly CPU of this process


class Outbox(Protocol):
    """Where wake-up messages go. Sending never raises: the tick sends again what was lost."""

    def wake_steps(self, ids: Iterable[UUID], delay: timedelta = timedelta()) -> None: ...

    def wake_targets(self, ids: Iterable[UUID], delay: timedelta = timedelta()) -> None: ...

    def alarm(self, due: datetime, delay: timedelta) -> None: ...


class StorageOutbox:
    """The outbox over a storage account: a connection string, or its queue service's URI with the app's identity."""

    def __init__(self, *, connection_string: str, queue_uri: str, credential: TokenCredential | None) -> None:
        # Short: what is not sent now is sent again by the tick, and nobody should wait for a storage that is away.
        patience: dict[str, Any] = {
            "retry_total": 1,
            "initial_backoff": 1,
            "increment_base": 1,
            "random_jitter_range": 0,
            "connection_timeout": 3,
            "read_timeout": 10,
        }
        if connection_string:
            self._service = QueueServiceClient.from_connection_string(connection_string, **patience)
        else:
            self._service = QueueServiceClient(queue_uri, credential=credential, **patience)
        self._pool = ThreadPoolExecutor(_SENDERS, thread_name_prefix="outbox")
        self._lock = threading.Lock()
        self._clients: dict[str, QueueClient] = {}

    def wake_steps(self, ids: Iterable[UUID], delay: timedelta = timedelta()) -> None:
        self._send(STEPS_QUEUE, [WakeStep(row_id) for row_id in ids], delay)

    def wake_targets(self, ids: Iterable[UUID], delay: timedelta = timedelta()) -> None:
        self._send(TARGETS_QUEUE, [WakeTarget(row_id) for row_id in ids], delay)

    def alarm(self, due: datetime, delay: timedelta) -> None:
        self._send(STEPS_QUEUE, [Alarm(due)], delay)

    def close(self) -> None:
        """Wait for messages that are being sent."""
        self._pool.shutdown()

    def _send(self, queue: str, messages: list[Message], delay: timedelta) -> None:
        failures: list[Exception] = []

        def send(message: Message) -> None:
            if not failures:  # one that failed waited long enough for all
                error = self._send_one(queue, message, delay)
                if error is not None:
                    failures.append(error)

        if len(messages) == 1:
            send(messages[0])
        else:
            list(self._pool.map(send, messages))
        if failures:
            _log.warning(
                "Not all of %d messages could be sent to queue %s; the tick sends them again. Reason: %s",
                len(messages),
                queue,
                failures[0],
                extra={"action": "send_failed", "queue": queue},
            )

    def _send_one(self, queue: str, message: Message, delay: timedelta) -> Exception | None:
        # Whole seconds: an alarm may come a little early, because it waits for its instant; a retry would be dropped.
        seconds = delay.total_seconds()
        visible_in = math.floor(seconds) if isinstance(message, Alarm) else math.ceil(seconds)
        try:
            client = self._client(queue)
            try:
                client.send_message(encode(message), visibility_timeout=visible_in)
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):  # another instance was faster
                    client.create_queue()
                client.send_message(encode(message), visibility_timeout=visible_in)
        except (AzureError, RuntimeError) as error:  # RuntimeError: the process is ending and starts no more threads
            return error
        return None

    def _client(self, queue: str) -> QueueClient:
        with self._lock:
            if queue not in self._clients:
                # The host decodes base64 unless told otherwise, so the client encodes it.
                self._clients[queue] = self._service.get_queue_client(
                    queue, message_encode_policy=TextBase64EncodePolicy()
                )
            return self._clients[queue]

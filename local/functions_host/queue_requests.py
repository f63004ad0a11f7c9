"""The requests that the host makes all the time, in a way that costs as little as they cost the real host.

It asks each queue for messages five times a second, and deletes each message that was worked on. The real host is a
process of its own, not in Python; here it shares the worker's interpreter, and the storage library needs three
milliseconds of it for each request. A signature made in advance and a connection that is kept need a fifth of that.
What happens seldom goes through the storage library; see `queue_store`.
"""

import threading
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import NoReturn
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree

import urllib3
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError, ServiceRequestError
from azure.storage.queue import QueueClient, QueueSasPermissions, generate_queue_sas

from local.functions_host.queue_messages import ReceivedMessage

_SIGNED_FOR = timedelta(days=7)
_SIGNED_ANEW_AFTER = timedelta(days=1)
_TIMEOUT = urllib3.Timeout(connect=5, read=30)
_CONNECTIONS = 4


class QueueRequests:
    """Fetches and deletes the messages of one queue. Safe to use from many threads.

    Raises the storage library's errors: ResourceNotFoundError when there is no such queue or message,
    HttpResponseError for any other refusal (with the `error_code` of the service), ServiceRequestError when there is no
    answer.
    """

    def __init__(self, client: QueueClient) -> None:
        """client: of the queue, with an account key."""
        self._client = client
        self._path = f"{urlsplit(client.url).path}/messages"
        self._pool = urllib3.connection_from_url(client.url, maxsize=_CONNECTIONS, timeout=_TIMEOUT)
        self._lock = threading.Lock()
        self._signature = ""
        self._signed_at = datetime.min.replace(tzinfo=UTC)

    def receive(self, count: int, lease: float) -> list[ReceivedMessage]:
        """Up to `count` (at most 32) messages, hidden for `lease` seconds."""
        content = self._request("GET", self._path, numofmessages=count, visibilitytimeout=int(lease))
        return [_message(item) for item in ElementTree.fromstring(content)]  # noqa: S314  our own storage

    def delete(self, message_id: str, pop_receipt: str) -> None:
        """Delete a message that was received with this pop receipt."""
        self._request("DELETE", f"{self._path}/{quote(message_id, safe='')}", popreceipt=pop_receipt)

    def _request(self, method: str, path: str, **query: str | int) -> bytes:
        try:
            answer = self._pool.urlopen(method, f"{path}?{urlencode(query)}&{self._signed()}", retries=False)
        except urllib3.exceptions.HTTPError as error:
            raise ServiceRequestError(f"{type(error).__name__}: {error}") from error
        if answer.status >= HTTPStatus.BAD_REQUEST:
            _refuse(answer)
        return answer.data

    def _signed(self) -> str:
        now = datetime.now(UTC)
        with self._lock:
            if now - self._signed_at > _SIGNED_ANEW_AFTER:
                self._signature = generate_queue_sas(
                    str(self._client.account_name),
                    self._client.queue_name,
                    self._client.credential.account_key,
                    permission=QueueSasPermissions(process=True),
                    expiry=now + _SIGNED_FOR,
                )
                self._signed_at = now
            return self._signature


def _refuse(answer: urllib3.BaseHTTPResponse) -> NoReturn:
    code = answer.headers.get("x-ms-error-code", "")
    kind = ResourceNotFoundError if answer.status == HTTPStatus.NOT_FOUND else HttpResponseError
    error = kind(f"The storage service answered {answer.status} {code or answer.reason}.")
    # As the library sets them on its own errors.
    error.status_code = answer.status
    error.error_code = code  # type: ignore[attr-defined]
    raise error


def _message(item: ElementTree.Element) -> ReceivedMessage:
    values = {child.tag: child.text or "" for child in item}
    return ReceivedMessage(
        id=values["MessageId"],
        text=values["MessageText"],
        pop_receipt=values["PopReceipt"],
        dequeue_count=int(values["DequeueCount"]),
        inserted_on=parsedate_to_datetime(values["InsertionTime"]),
        expires_on=parsedate_to_datetime(values["ExpirationTime"]),
        next_visible_on=parsedate_to_datetime(values["TimeNextVisible"]),
    )

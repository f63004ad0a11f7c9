"""The stand-in's queue requests against Azurite: the frequent ones are its own, the others the storage library's."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.queue import QueueClient

from local.azurite import Azurite
from local.functions_host.errors import StartError
from local.functions_host.queue_store import MessageGoneError, QueueStore, Reachability, StorageUnavailableError


@pytest.fixture
def store(azurite: Azurite, request: pytest.FixtureRequest) -> QueueStore:
    name = f"store-{abs(hash(request.node.name))}"
    return QueueStore(azurite.connection_string, name, Reachability("test"))


def test_what_is_received_is_what_the_library_says(azurite: Azurite, store: QueueStore) -> None:
    store.create_if_missing()
    client = QueueClient.from_connection_string(azurite.connection_string, store.queue)
    text = "<a> & \"b\" 'ü' 数"
    sent = client.send_message(text)
    (received,) = store.receive(32, 30)
    assert (received.id, received.text, received.dequeue_count) == (sent.id, text, 1)
    assert (received.inserted_on, received.expires_on) == (sent.inserted_on, sent.expires_on)
    assert 25 <= (received.next_visible_on - received.inserted_on).total_seconds() <= 40
    assert store.receive(32, 30) == []
    store.delete(received.id, received.pop_receipt)
    assert client.get_queue_properties().approximate_message_count == 0


def test_a_missing_queue_is_made_and_has_no_messages(store: QueueStore) -> None:
    assert store.receive(1, 30) == []
    store.send("one")
    assert [message.text for message in store.receive(2, 30)] == ["one"]


def test_a_message_that_was_taken_over_is_gone(store: QueueStore) -> None:
    store.create_if_missing()
    store.send("one")
    (first,) = store.receive(1, 30)
    newer = store.hide(first.id, first.pop_receipt, 30)
    with pytest.raises(MessageGoneError):
        store.delete(first.id, first.pop_receipt)
    store.delete(first.id, newer)
    with pytest.raises(MessageGoneError):
        store.delete(first.id, newer)


def test_a_refusal_that_a_retry_cannot_mend_says_which(store: QueueStore) -> None:
    store.create_if_missing()
    with pytest.raises(HttpResponseError, match="400 OutOfRangeQueryParameterValue"):
        store.receive(33, 30)


def test_a_storage_that_is_away_is_told_from_a_refusal(store: QueueStore, azurite: Azurite) -> None:
    away = azurite.connection_string.replace(azurite.url("queue"), "http://127.0.0.1:9/devstoreaccount1")
    with pytest.raises(StorageUnavailableError, match=r"NewConnectionError|MaxRetryError"):
        QueueStore(away, store.queue, Reachability("test")).receive(1, 30)


def test_a_connection_string_without_a_key_is_refused(azurite: Azurite) -> None:
    text = f"QueueEndpoint={azurite.url('queue')};SharedAccessSignature=sv=2020&sig=x"
    with pytest.raises(StartError, match="has no AccountKey"):
        QueueStore(text, "queue1", Reachability("test"))

"""The outbox against a real Azurite."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from azure.storage.queue import QueueServiceClient

from elastic_jobs.agent.messages import STEPS_QUEUE, TARGETS_QUEUE, Alarm, WakeStep, WakeTarget, decode
from elastic_jobs.agent.outbox import StorageOutbox
from local.azurite import ACCOUNT_KEY, ACCOUNT_NAME, Azurite
from tests.agent.conftest import wait_for


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with Azurite(tmp_path_factory.mktemp("azurite"), persistent=False) as running:
        yield running


@pytest.fixture
def service(azurite: Azurite) -> Iterator[QueueServiceClient]:
    service = QueueServiceClient.from_connection_string(azurite.connection_string)
    for queue in list(service.list_queues()):
        service.delete_queue(queue)
    yield service
    service.close()


@pytest.fixture
def storage(azurite: Azurite, service: QueueServiceClient) -> Iterator[StorageOutbox]:
    outbox = StorageOutbox(connection_string=azurite.connection_string, queue_uri="", credential=None)
    yield outbox
    outbox.close()


def received(service: QueueServiceClient, queue: str) -> list[str]:
    """All messages that are visible now, decoded as the host does it."""
    found = service.get_queue_client(queue).receive_messages(messages_per_page=32)
    return [base64.b64decode(message.content).decode() for message in found]


def test_messages_arrive_as_the_host_decodes_them_and_make_their_queue(
    storage: StorageOutbox, service: QueueServiceClient
) -> None:
    step, targets = uuid4(), [uuid4() for _ in range(40)]
    due = datetime(2026, 11, 23, 12, tzinfo=UTC)
    storage.wake_steps([step])
    storage.wake_targets(targets[:1])
    storage.wake_targets(targets[1:])
    storage.alarm(due, timedelta())
    assert {decode(body) for body in received(service, STEPS_QUEUE)} == {WakeStep(step), Alarm(due)}
    assert {decode(body) for body in received(service, TARGETS_QUEUE)} == {WakeTarget(target) for target in targets}


def test_many_first_messages_at_once_all_arrive(storage: StorageOutbox, service: QueueServiceClient) -> None:
    """Each sender finds the queue missing and makes it; all but one come too late for that."""
    for _ in range(10):
        targets = [uuid4() for _ in range(8)]
        storage.wake_targets(targets)
        assert len(received(service, TARGETS_QUEUE)) == len(targets)
        service.delete_queue(TARGETS_QUEUE)


def test_nothing_to_send_sends_nothing(storage: StorageOutbox, service: QueueServiceClient) -> None:
    storage.wake_targets([])
    assert list(service.list_queues()) == []


def test_a_delayed_message_does_not_come_early(storage: StorageOutbox, service: QueueServiceClient) -> None:
    delay = timedelta(seconds=1.9)
    sent = time.monotonic()
    storage.wake_targets([uuid4()], delay)
    wait_for(lambda: bool(received(service, TARGETS_QUEUE)))
    assert time.monotonic() - sent >= delay.total_seconds()


def test_what_storage_refuses_is_no_error(storage: StorageOutbox, caplog: pytest.LogCaptureFixture) -> None:
    storage.wake_targets([uuid4()], timedelta(days=30))
    assert "could be sent to queue elastic-jobs-targets; the tick sends them again" in caplog.text
    assert ACCOUNT_KEY not in caplog.text


def test_a_storage_that_is_down_does_not_hold_up_the_sender() -> None:
    """The tick and the workers send; a sender that waits keeps them from everything else that they do."""
    outbox = StorageOutbox(
        connection_string=f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT_NAME};AccountKey={ACCOUNT_KEY};"
        f"QueueEndpoint=http://127.0.0.1:9/{ACCOUNT_NAME};",
        queue_uri="",
        credential=None,
    )
    sender = threading.Thread(target=outbox.wake_targets, args=([uuid4()],), daemon=True)
    sender.start()
    sender.join(3)
    assert not sender.is_alive()


def test_messages_go_again_after_storage_came_back(
    azurite: Azurite, storage: StorageOutbox, service: QueueServiceClient
) -> None:
    storage.wake_steps([uuid4()])
    azurite.kill()
    azurite.start()
    step = uuid4()
    storage.wake_steps([step])
    assert [decode(body) for body in received(service, STEPS_QUEUE)] == [WakeStep(step)]

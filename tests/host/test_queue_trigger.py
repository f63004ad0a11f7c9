"""Queue triggers, end to end: a message in Azurite, the host's processes, the function's answer."""

import json
import os
import signal
import time
from pathlib import Path

from azure.storage.queue import QueueClient

from local.azurite import Azurite
from tests.host.harness import HostFolder, peak_overlap, wait_for, wait_for_messages

ECHO = """
@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
@app.queue_output(arg_name="$return", queue_name="%QUEUE%-out", connection="AzureWebJobsStorage")
async def echo(msg: func.QueueMessage) -> str:
    note(event="got", id=msg.id, body=msg.get_body().decode(), count=msg.dequeue_count,
         inserted=msg.insertion_time.isoformat(), receipt=bool(msg.pop_receipt),
         hidden=(msg.time_next_visible - msg.insertion_time).total_seconds())
    return "echo " + msg.get_body().decode()
"""


def test_a_message_reaches_the_function_and_its_answer_the_output_queue(host: HostFolder) -> None:
    host.write_app(ECHO)
    with host.running() as running:
        sent = host.client().send_message("hello, wörld")
        answer = wait_for_messages(host.client("-out"), 1)
        assert [message.content for message in answer] == ["echo hello, wörld"]
        (got,) = running.journal("got")
        assert got["id"] == sent.id
        assert got["body"] == "hello, wörld"
        assert got["count"] == 1
        assert got["receipt"] is True
        assert 595 < got["hidden"] < 620, "hidden for ten minutes while the function works"
        wait_for(lambda: host.client().get_queue_properties().approximate_message_count == 0, "deletion")
        assert json.loads((host.folder / "ready.json").read_text())["pid"] == running.process.pid


FAILING = """
@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
def failing(msg: func.QueueMessage) -> None:
    note(event="called", body=msg.get_body().decode(), count=msg.dequeue_count)
    raise ValueError("no use")
"""


def test_a_failing_message_waits_and_ends_in_the_poison_queue(host: HostFolder) -> None:
    host.write_app(FAILING)
    host.queues(maxDequeueCount=3, visibilityTimeout="00:00:01")
    with host.running() as running:
        host.client().send_message("bad")
        poison = wait_for_messages(host.client("-poison"), 1)
        assert poison[0].content == "bad"
        calls = running.journal("called")
        assert [call["count"] for call in calls] == [1, 2, 3]
        assert calls[1]["at"] - calls[0]["at"] >= 0.9, "visibilityTimeout delays the next attempt"
        assert host.client().get_queue_properties().approximate_message_count == 0
        assert "Function failing failed (invocation " in running.log()
        assert "ValueError: no use" in running.log()
        running.wait_for_log(f"was moved to {host.queue}-poison after 3 attempts")


def test_a_message_that_is_not_base64_goes_to_the_poison_queue_unread(host: HostFolder) -> None:
    host.write_app(FAILING)
    with host.running() as running:
        QueueClient.from_connection_string(host.connection, host.client().queue_name).send_message("{not base64}")
        raw = QueueClient.from_connection_string(host.connection, host.client("-poison").queue_name)
        assert [message.content for message in wait_for_messages(raw, 1)] == ["{not base64}"]
        assert running.journal() == []
        assert "is not base64" in running.log()


def test_properties_of_a_json_body_overwrite_what_the_host_knows(host: HostFolder) -> None:
    host.write_app(ECHO)
    host.queues(messageEncoding="none", maxDequeueCount=1)
    plain = QueueClient.from_connection_string(host.connection, host.client().queue_name)
    with host.running() as running:
        plain.send_message('{"ID": 7, "other": 1}')
        (got,) = running.wait_for_notes("got", 1)
        assert got["id"] == "7"
        plain.send_message('{"dequeueCount": "many"}')
        raw = QueueClient.from_connection_string(host.connection, host.client("-poison").queue_name)
        assert wait_for_messages(raw, 1)[0].content == '{"dequeueCount": "many"}'
        assert len(running.journal("got")) == 1, "the worker cannot make a QueueMessage of it"


CONCURRENT = """
async def spend(msg, sleep):
    start = time.time()
    await sleep(0.3)
    note(event=msg.get_body().decode(), start=start, end=time.time())

async def block(seconds):
    time.sleep(seconds)

@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%-async", connection="AzureWebJobsStorage")
async def waits(msg: func.QueueMessage) -> None:
    await spend(msg, asyncio.sleep)

@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%-block", connection="AzureWebJobsStorage")
async def blocks(msg: func.QueueMessage) -> None:
    await spend(msg, block)

@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%-sync", connection="AzureWebJobsStorage")
def threads(msg: func.QueueMessage) -> None:
    start = time.time()
    time.sleep(0.3)
    note(event="sync", start=start, end=time.time())

@app.route(route="ping")
async def ping(req: func.HttpRequest) -> str:
    return "pong"
"""


def test_how_many_messages_are_worked_on_at_once(host: HostFolder) -> None:
    host.write_app(CONCURRENT)
    host.queues(batchSize=8, newBatchThreshold=4)
    threads = (os.cpu_count() or 1) + 4
    counts = {"async": 24, "sync": 2 * threads, "block": 4}
    with host.running() as running:
        for kind in ("async", "sync"):  # one kind after the other: blocking code would hold the others back
            client = host.client(f"-{kind}")
            for _ in range(counts[kind]):
                client.send_message(kind)
            peak = peak_overlap(running.wait_for_notes(kind, counts[kind]))
            assert peak <= min(12, threads if kind == "sync" else 12), "batchSize + newBatchThreshold, or the threads"
            assert peak >= 4
        for _ in range(counts["block"]):
            host.client("-block").send_message("block")
        running.wait_for_notes("block", 1)
        assert running.get("/ping").text == "pong"
        blocked = running.wait_for_notes("block", counts["block"])
        assert peak_overlap(blocked) == 1, "blocking code on the event loop runs one after the other"


OUTPUTS = """
from typing import List

@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
@app.queue_output(arg_name="one", queue_name="%QUEUE%-one", connection="AzureWebJobsStorage")
@app.queue_output(arg_name="many", queue_name="%QUEUE%-many", connection="AzureWebJobsStorage")
def outputs(msg: func.QueueMessage, one: func.Out[str], many: func.Out[List[str]], context: func.Context) -> None:
    kind = msg.get_body().decode()
    note(event=kind, name=context.function_name, invocation=context.invocation_id)
    if kind == "plain":
        one.set("text")
        many.set(["a", "[b]", '{"c": 1}'])
    elif kind == "array":
        one.set('["x", {"y": 1}, 2]')
    elif kind == "object":
        one.set('{"a":1,"b":[true]}')
    elif kind == "broken":
        one.set('{"a":}')
    elif kind == "long":
        one.set("x" * 50_000)

@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%-returns", connection="AzureWebJobsStorage")
async def returns(msg: func.QueueMessage):
    return "nobody takes this"
"""


def test_outputs_are_sent_as_the_host_sends_them(host: HostFolder) -> None:
    host.write_app(OUTPUTS)
    host.queues(maxDequeueCount=1)
    with host.running() as running:
        one, many, poison = host.client("-one"), host.client("-many"), host.client("-poison")
        host.client().send_message("plain")
        assert [message.content for message in wait_for_messages(one, 1)] == ["text"]
        assert sorted(message.content for message in wait_for_messages(many, 3)) == ["[b]", "a", '{"c": 1}']
        host.client().send_message("array")
        assert {message.content for message in wait_for_messages(one, 3)} == {"x", '{\n  "y": 1\n}', "2"}
        host.client().send_message("object")
        assert wait_for_messages(one, 1)[0].content == '{\n  "a": 1,\n  "b": [\n    true\n  ]\n}'
        for kind in ("broken", "long"):
            host.client().send_message(kind)
            assert wait_for_messages(poison, 1)[0].content == kind, "the output fails the invocation"
        assert running.journal("plain")[0]["name"] == "outputs"
        host.client("-returns").send_message("x")
        running.wait_for_log("without a $return binding returned a non-None value")


SLOW = """
@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
async def slow(msg: func.QueueMessage) -> None:
    note(event="begun", count=msg.dequeue_count)
    while not is_open("finish"):
        await asyncio.sleep(0.02)
    note(event="ended", count=msg.dequeue_count)
"""


def test_the_lease_is_renewed_while_a_function_works(host: HostFolder) -> None:
    host.write_app(SLOW)
    with host.running("--message-lease-seconds", "2", workers=2) as running:
        host.client().send_message("x")
        (begun,) = running.wait_for_notes("begun", 1)
        wait_for(lambda: time.time() > begun["at"] + 3.2, "more than one lease")
        running.open_gate("finish")
        running.wait_for_notes("ended", 1)
        wait_for(lambda: host.client().get_queue_properties().approximate_message_count == 0, "deletion")
        assert [entry["count"] for entry in running.journal("begun")] == [1], "nobody else got the message"


def test_the_message_of_a_killed_worker_comes_back_after_its_lease(host: HostFolder) -> None:
    host.write_app(SLOW)
    with host.running("--message-lease-seconds", "2", workers=2) as running:
        before = running.workers()
        host.client().send_message("x")
        (begun,) = running.wait_for_notes("begun", 1)
        os.kill(begun["pid"], signal.SIGKILL)
        second = running.wait_for_notes("begun", 2)[1]
        assert second["count"] == 2
        assert second["at"] - begun["at"] >= 1.0, "not before the lease ended"
        after = wait_for(lambda: pids if begun["pid"] not in (pids := running.workers()) else None, "a new worker")
        assert len(after) == 2
        assert set(before) - {begun["pid"]} < set(after)
        assert "was killed by signal 9 and is replaced" in running.log()
        running.open_gate("finish")
        running.wait_for_notes("ended", 1)


def test_a_storage_outage_is_waited_out(host: HostFolder, tmp_path: Path) -> None:
    host.write_app(SLOW)
    with Azurite(tmp_path / "azurite") as azurite:
        host.connection = azurite.connection_string
        with host.running() as running:
            host.client().send_message("first")
            running.wait_for_notes("begun", 1)
            azurite.stop()
            running.wait_for_log("does not answer; trying until it does")
            running.open_gate("finish")
            running.wait_for_notes("ended", 1)  # what is in progress ends, and is deleted when storage is back
            azurite.start()
            running.wait_for_log("answers again")
            host.client().send_message("second")
            assert [entry["count"] for entry in running.wait_for_notes("ended", 2)] == [1, 1]
            wait_for(lambda: host.client().get_queue_properties().approximate_message_count == 0, "deletion")
            assert running.log().count("does not answer") == 1

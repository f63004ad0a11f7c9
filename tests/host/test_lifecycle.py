"""Starting, stopping and crashing of the host's processes."""

import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from local.azurite import Azurite
from local.processes import ChildProcess
from tests.host.harness import DEADLINE, HostFolder, is_gone, wait_for
from tests.host.slow_storage import SlowStorage

WEB = """
@app.route(route="pid")
async def pid(req: func.HttpRequest) -> str:
    return str(os.getpid())

@app.route(route="slow")
async def slow(req: func.HttpRequest) -> str:
    note(event="begun")
    while not is_open("finish"):
        await asyncio.sleep(0.02)
    note(event="ended")
    return "done"
"""


def test_a_supervisor_killed_leaves_no_process_and_frees_the_port(host: HostFolder) -> None:
    host.write_app(WEB)
    with host.running(workers=2) as running:
        pids = running.workers()
        assert len(set(pids)) == 2
        os.kill(running.process.pid, signal.SIGKILL)
        wait_for(lambda: all(is_gone(pid) for pid in pids), "the end of the workers", deadline=3)
        port = int(running.url.rpartition(":")[2])
        # A test of another process may hold this number for a moment, for a connection of its own.
        wait_for(lambda: _can_be_bound(port), f"port {port}", deadline=30)


def _can_be_bound(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def test_a_killed_worker_is_replaced_and_the_port_stays_open(host: HostFolder) -> None:
    host.write_app(WEB)
    with host.running(workers=1) as running:
        (first,) = running.workers()
        assert running.get("/pid").text == str(first)
        os.kill(first, signal.SIGKILL)
        answer = wait_for(lambda: _pid(running.url, not_from=first), "an answer of the new worker")
        (second,) = wait_for(lambda: pids if (pids := running.workers()) != [first] else None, "a new ready file")
        assert answer == second


def _refuses(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0


def _pid(url: str, not_from: int) -> int | None:
    try:
        pid = int(httpx.get(url + "/pid", timeout=DEADLINE).text)
    except httpx.TransportError:  # the connection was accepted by the worker that died
        return None
    return pid if pid != not_from else None


def test_sigterm_lets_running_invocations_finish(host: HostFolder) -> None:
    host.write_app(WEB)
    with host.running(workers=2) as running, ThreadPoolExecutor() as pool:
        pids = running.workers()
        answer = pool.submit(running.get, "/slow")
        running.wait_for_notes("begun", 1)
        os.kill(running.process.pid, signal.SIGTERM)
        running.wait_for_log("Stopping")
        wait_for(lambda: _refuses(running.url), "closed doors while the invocation runs")
        running.open_gate("finish")
        assert answer.result().text == "done"
        assert running.process.wait(DEADLINE) == 0
        assert all(is_gone(pid) for pid in pids)
        assert not running.ready_file.exists()


def test_sigint_ends_an_invocation_that_outlasts_the_grace(host: HostFolder) -> None:
    host.write_app(WEB)
    with host.running("--grace", "0.5") as running, ThreadPoolExecutor() as pool:
        pids = running.workers()
        answer = pool.submit(running.get, "/slow")
        running.wait_for_notes("begun", 1)
        started = time.monotonic()
        os.kill(running.process.pid, signal.SIGINT)
        assert running.process.wait(DEADLINE) == 0
        assert 0.4 < time.monotonic() - started < 15
        with pytest.raises(httpx.TransportError):
            answer.result()
        assert all(is_gone(pid) for pid in pids)
        assert running.journal("ended") == []


TIMING_OUT = """
@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
async def sometimes(msg: func.QueueMessage) -> None:
    name = msg.get_body().decode()
    note(event=name, count=msg.dequeue_count)
    if name == "stuck" and msg.dequeue_count == 1:
        time.sleep(60)
    if name == "sibling" and msg.dequeue_count == 1:
        await asyncio.sleep(60)
    note(event=name + " done", count=msg.dequeue_count)
"""


def test_a_function_that_times_out_takes_its_worker_and_siblings_along(host: HostFolder) -> None:
    host.write_app(TIMING_OUT)
    host.host_json["functionTimeout"] = "00:00:01"
    with host.running() as running:
        (before,) = running.workers()
        host.client().send_message("sibling")
        running.wait_for_notes("sibling", 1)
        host.client().send_message("stuck")
        # Both are given back at once and run again in the new worker, although the loop was blocked.
        running.wait_for_notes("stuck done", 1)
        running.wait_for_notes("sibling done", 1)
        assert "ran longer than functionTimeout (1 seconds)" in running.log()
        assert "ended because a function timed out and is replaced" in running.log()
        wait_for(lambda: running.workers() != [before], "a new ready file")


def test_a_message_that_a_timed_out_worker_was_still_fetching_is_given_back(host: HostFolder, azurite: Azurite) -> None:
    storage = SlowStorage(azurite.url("queue"), azurite.connection_string)
    host.write_app(TIMING_OUT)
    host.host_json["functionTimeout"] = "00:00:02"
    with storage.serving(), host.running(AzureWebJobsStorage=storage.connection) as running:
        host.client().send_message("sibling")
        (sibling,) = running.wait_for_notes("sibling", 1)
        storage.hold_fetched()
        host.client().send_message("late")
        wait_for(storage.holding.is_set, "a fetch that has the message")
        running.wait_for_log("ran longer than functionTimeout (2 seconds)")
        storage.release()
        (late,) = running.wait_for_notes("late done", 1)
        # The worker that was ending did not begin it.
        assert (late["count"], late["pid"] != sibling["pid"]) == (2, True)
        assert len(running.journal("late")) == 1


def test_a_port_that_is_taken_is_named(host: HostFolder) -> None:
    host.write_app(WEB)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = host.launch("--port", str(port))
        assert process.wait(DEADLINE) == 1
        assert f"Port {port} on 127.0.0.1 cannot be used" in process.log_text()
        assert "choose another port" in process.log_text()


@pytest.mark.parametrize(
    ("app", "preamble", "sentence"),
    [
        ("import no_such_module\n", "", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("x = 1\n", "", "has no FunctionApp at its top level"),
        ("def f(:\n", "", "cannot be imported: SyntaxError"),
        (
            """
import azure.functions as func
app = func.FunctionApp()

@app.blob_trigger(arg_name="blob", path="a/b", connection="AzureWebJobsStorage")
def on_blob(blob: func.InputStream) -> None:
    pass
""",
            "",
            "Function on_blob uses a blobTrigger binding, which the local host does not support",
        ),
        (
            """
import azure.functions as func
app = func.FunctionApp()

@app.queue_trigger(arg_name="msg", queue_name="%NO_SUCH_SETTING%", connection="AzureWebJobsStorage")
def on_message(msg: func.QueueMessage) -> None:
    pass
""",
            "",
            "The queue name of function on_message: %NO_SUCH_SETTING% does not resolve to a value",
        ),
    ],
)
def test_an_app_that_cannot_start_is_explained_in_a_sentence(
    host: HostFolder, app: str, preamble: str, sentence: str
) -> None:
    host.write_app(app, preamble)
    process = host.launch("--workers", "2")
    assert process.wait(DEADLINE) == 1
    assert sentence in process.log_text()
    assert "Traceback" not in process.log_text()
    assert not (host.folder / "ready.json").exists()


def test_wrong_files_are_explained_in_a_sentence(host: HostFolder) -> None:
    host.write_app(WEB)
    host.host_json["extensions"]["queues"]["batchSize"] = 64
    process = host.launch()
    assert process.wait(DEADLINE) == 1
    assert "extensions.queues.batchSize must be a whole number from 1 to 32, not 64." in process.log_text()
    host.host_json["extensions"]["queues"]["batchSize"] = 16
    host.write_settings()
    (host.folder / "settings.json").write_text(json.dumps({"A": 1}))
    process = ChildProcess.start("The host", host.command(), host.folder / "second.log", cwd=None)
    assert process.wait(DEADLINE) == 1
    assert "the value of A must be a string" in process.log_text()


HANGING = """
@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
async def quick(msg: func.QueueMessage) -> None:
    note(event="begun")
    await asyncio.sleep(0.3)
    note(event="ended")
"""


def test_a_stop_in_mid_traffic_loses_no_message_to_its_lease(host: HostFolder) -> None:
    host.write_app(HANGING)
    client = host.client()
    with host.running(workers=2) as running:
        for number in range(40):
            client.send_message(str(number))
        running.wait_for_notes("begun", 5)
        os.kill(running.process.pid, signal.SIGTERM)
        assert running.process.wait(DEADLINE) == 0
        assert len(running.journal("begun")) == len(running.journal("ended")) > 0
        left = [message for page in client.receive_messages(messages_per_page=32).by_page() for message in page]
        assert len(left) == 40 - len(running.journal("ended")), "what was not done is visible at once"


def test_an_app_that_raises_only_in_a_new_worker_does_not_end_the_host(host: HostFolder) -> None:
    host.write_app(WEB)
    with host.running() as running:
        good = (host.folder / "sample_app.py").read_text()
        host.write_app("raise RuntimeError('half saved')\n")
        os.kill(running.workers()[0], signal.SIGKILL)
        running.wait_for_log("RuntimeError: half saved")
        (host.folder / "sample_app.py").write_text(good)
        wait_for(lambda: "is replaced" in running.log() and running.get("/pid").status_code == 200, "an answer")

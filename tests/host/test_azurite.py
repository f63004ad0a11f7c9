"""The Azurite starter."""

import os
import re
import signal
import socket
import struct
import sys
import urllib.parse
from pathlib import Path

import pytest
from azure.storage.queue import QueueClient

from local.azurite import ROOT, Azurite, AzuriteError
from tests.host.harness import is_gone

IP_LOCAL_PORT_RANGE = 51  # include/uapi/linux/in.h; Python has no name for it


def test_it_restarts_on_the_same_ports_with_its_data(tmp_path: Path) -> None:
    azurite = Azurite(tmp_path / "data")
    with azurite:
        connection = azurite.connection_string
        client = QueueClient.from_connection_string(connection, "kept")
        client.create_queue()
        client.send_message("still here")
        first = azurite.pid
        azurite.stop()
        assert not azurite.running
        azurite.start()
        assert azurite.pid != first
        assert azurite.connection_string == connection
        assert [message.content for message in client.receive_messages()] == ["still here"]
        os.kill(azurite.pid, signal.SIGKILL)
    assert is_gone(azurite.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere ports are not reserved")
def test_its_ports_are_given_to_nobody_while_it_is_down(tmp_path: Path) -> None:
    """A connection of somebody else that took one as its near end let a crashed Azurite not start again.

    It never listens here: the system keeps a port of which connections ended within the last minute by itself.
    """
    azurite = crashing(tmp_path)
    with pytest.raises(AzuriteError, match="ended with code 3"):
        azurite.start()
    port = urllib.parse.urlsplit(azurite.url("table")).port
    assert port
    with socket.create_server(("127.0.0.1", 0)) as other, socket.socket() as client:
        only_this_port = struct.pack("I", port << 16 | port)
        try:
            client.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, only_this_port)
        except OSError:
            pytest.skip("this Linux is older than 6.3 and cannot be told which port to choose")
        with pytest.raises(OSError, match="Cannot assign requested address"):
            client.connect(other.getsockname())


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AzuriteError, match=f"not installed under {re.escape(str(tmp_path))}: run `npm ci` there"):
        Azurite(tmp_path / "a", root=tmp_path).start()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AzuriteError, match=f"Port {port} for Azurite's queue service cannot be used"):
            Azurite(tmp_path / "b", queue_port=port).start()
    old = tmp_path / "bin" / "node"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho v16.20.0\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{old.parent}:/bin")
    with pytest.raises(AzuriteError, match=r"needs Node\.js 20 or newer and .* is v16\.20\.0: install"):
        Azurite(tmp_path / "c").start()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AzuriteError, match="`node` is not on the PATH: install"):
        Azurite(tmp_path / "d").start()


def crashing(folder: Path) -> Azurite:
    entry = folder / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
    entry.parent.mkdir(parents=True)
    entry.write_text('console.log("the disk is full"); process.exit(3);\n')
    return Azurite(folder / "data", root=folder)


def test_a_crash_at_the_start_shows_the_end_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(AzuriteError, match=r"(?s)ended with code 3 before it was listening.*the disk is full"):
        crashing(tmp_path).start()


def test_the_version_is_pinned_and_no_registry_is_recorded() -> None:
    assert '"azurite": "3.37.0"' in (ROOT / "package.json").read_text()
    assert '"resolved"' not in (ROOT / "package-lock.json").read_text()

"""``make serve`` as its user meets it: it starts, says how it is reached, stops without a trace, complains in words."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from local import serve
from local.api_client import ApiClient, ApiError
from local.sqlserver.client import running_emulator
from tests.e2e.support import wait_for

ROOT = Path(__file__).resolve().parents[2]


def _command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "local.serve", str(folder)]


@contextmanager
def serving(folder: Path, **env: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        _command(folder),
        cwd=ROOT,
        env={**os.environ, "PORT": "0", "WORKERS": "1", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(lambda: (folder / "endpoint.json").exists() or process.poll() is not None, 60)
        yield process
    finally:
        process.kill()
        process.communicate()


def refused(folder: Path, **env: str) -> str:
    """What ``make serve`` says when it cannot start; it must end with exit code 1."""
    answer = subprocess.run(
        _command(folder),
        cwd=ROOT,
        env={**os.environ, "PORT": "0", "WORKERS": "1", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 1, answer
    assert "Traceback" not in answer.stderr
    return answer.stderr


@pytest.fixture
def refused_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., str]]:
    """As ``refused``, in this process, which has everything imported already."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(**env: str) -> str:
        for name, value in {"PORT": "0", "WORKERS": "1", **env}.items():
            monkeypatch.setenv(name, value)
        assert serve.main([str(tmp_path)]) == 1
        return capsys.readouterr().err

    yield ask
    for number, handler in before.items():
        signal.signal(number, handler)


def _below(pid: int) -> set[int]:
    """All processes whose ancestor is ``pid``."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(entry.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, ValueError):
                continue
    found: set[int] = set()
    level = {pid}
    while level:
        level = {child for child, parent in parents.items() if parent in level}
        found |= level
    return found


def _alive(pids: Mapping[int, str] | set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])  # SIGINT: see the others
def test_serve_answers_and_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path) as process:
        endpoint = json.loads((tmp_path / "endpoint.json").read_text(encoding="utf-8"))
        keys = "api token reader_token subscription resource_group server job_database_name sql storage job_database"
        assert list(endpoint) == keys.split()
        assert list(endpoint["sql"]) == ["host", "port", "server", "user", "password", "databases"]
        assert endpoint["sql"]["databases"] == ["database1", "database2"]
        assert httpx.get(f"{endpoint['api']}/health", timeout=30).json() == {"status": "ok"}
        reader = ApiClient(endpoint, "agent1", token=endpoint["reader_token"])
        with pytest.raises(ApiError) as missing:
            reader.call("GET")
        assert missing.value.status == 404
        with pytest.raises(ApiError) as forbidden:
            reader.put("/jobs/x", {})
        assert forbidden.value.status == 403
        children = _below(process.pid)
        assert len(children) >= 4
        process.send_signal(number)
        code = process.wait(30)
        assert code == (0 if number != signal.SIGKILL else -signal.SIGKILL)
        wait_for(lambda: not _alive(children), 15, lambda: _alive(children))
        if number != signal.SIGKILL:
            assert not (tmp_path / "endpoint.json").exists()


def test_an_interrupt_of_make_alone_stops_everything(tmp_path: Path) -> None:
    makefile = tmp_path / "Makefile"
    makefile.write_text(f"serve:\n\t@exec {' '.join(_command(tmp_path / 'local'))}\n", encoding="utf-8")
    env = {**os.environ, "PORT": "0", "WORKERS": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(["make", "-f", str(makefile), "serve"], cwd=ROOT, env=env, start_new_session=True) as make:
        wait_for(lambda: (tmp_path / "local" / "endpoint.json").exists(), 60)
        children = _below(make.pid)
        make.send_signal(signal.SIGINT)
        make.wait(30)
    wait_for(lambda: not _alive(children), 10, lambda: _alive(children))


def test_a_restart_keeps_the_agent_and_a_second_serve_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        endpoint = json.loads((tmp_path / "endpoint.json").read_text(encoding="utf-8"))
        ApiClient(endpoint, "kept").put_agent("westeurope", endpoint["job_database_name"])
        assert "Another `make serve` runs" in refused(tmp_path)
        children = _below(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        wait_for(lambda: not _alive(children), 15, lambda: _alive(children))
        assert not (tmp_path / "endpoint.json").exists()
    with serving(tmp_path) as process:
        endpoint = json.loads((tmp_path / "endpoint.json").read_text(encoding="utf-8"))
        assert ApiClient(endpoint, "kept").call("GET")["name"] == "kept"


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = refused(tmp_path, PORT=port)
    assert port in said
    assert not (tmp_path / "endpoint.json").exists()


def test_a_missing_node_is_named(tmp_path: Path, refused_here: Callable[..., str]) -> None:
    assert "Node" in refused_here(PATH=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "value"), [("WORKERS", "0"), ("DATABASES", "two"), ("PORT", "-1"), ("TARGET_SQL", "x")]
)
def test_a_wrong_option_is_named(refused_here: Callable[..., str], name: str, value: str) -> None:
    assert name in refused_here(**{name: value})


@pytest.mark.parametrize(("file", "content"), [("keys.json", "{"), ("keys.json", "{}"), ("jobs.db", "no database")])
def test_damaged_state_is_named_with_the_way_out(
    tmp_path: Path, refused_here: Callable[..., str], file: str, content: str
) -> None:
    folder = tmp_path / "serve"
    folder.mkdir()
    (folder / file).write_text(content * 100, encoding="utf-8")
    said = refused_here()
    assert file in said or "job database" in said
    assert "remove" in said or "move it away" in said
    assert (folder / file).read_text(encoding="utf-8") == content * 100, "nothing was overwritten"


def test_a_killed_host_is_told(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        hosts = [pid for pid in _below(process.pid) if _is(pid, "local.functions_host")]
        os.kill(min(hosts), signal.SIGKILL)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 1
        assert "Functions host ended" in said


def _is(pid: int, module: str) -> bool:
    try:
        return module in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    except OSError:
        return False


def test_a_real_server_can_take_the_place_of_the_emulator(tmp_path: Path) -> None:
    # A second emulator is that server here: what counts is that the stack knows nothing of it but address and password.
    password = "p;w}1aA"
    server = {"name": "whatever", "admin_user": "sa", "admin_password": password}
    with running_emulator({"servers": [server]}, tmp_path / "server") as real:
        address = f"127.0.0.1,{real.ports['whatever']};sa;{password}"
        with serving(tmp_path, TARGET_SQL=address, DATABASES="3") as process:
            endpoint = json.loads((tmp_path / "endpoint.json").read_text(encoding="utf-8"))
            assert endpoint["sql"]["password"] == password
            api = ApiClient(endpoint, "agent1")
            api.put_agent("westeurope", endpoint["job_database_name"])
            api.put("/credentials/admin", {"username": "sa", "password": password})
            member = {"type": "SqlServer", "serverName": endpoint["sql"]["server"]}
            credential = f"{api.agent}/credentials/admin"
            api.put("/targetGroups/all", {"members": [{**member, "refreshCredential": credential}]})
            api.put("/jobs/j", {})
            group = f"{api.agent}/targetGroups/all"
            step = {"targetGroup": group, "credential": credential, "action": {"value": "PRINT 'real-marker'"}}
            api.put("/jobs/j/steps/s", step)
            run = api.call("POST", "/jobs/j/start")["name"]
            state = "/jobs/j/executions/" + run
            wait_for(lambda: api.call("GET", state)["properties"]["lifecycle"] == "Succeeded", 30)
            assert len(real.control.journal(kind="batch", text="real-marker")) == 3
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0

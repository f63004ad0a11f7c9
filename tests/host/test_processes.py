"""Child processes: readiness, early death, and leaving nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local.processes import ChildProcess, ProcessError
from tests.host.harness import ROOT, is_gone, wait_for


def start(tmp_path: Path, code: str) -> ChildProcess:
    return ChildProcess.start("The child", [sys.executable, "-uc", code], tmp_path / "log" / "child.log")


def test_it_is_waited_for_and_stopped(tmp_path: Path) -> None:
    child = start(tmp_path, "import time; print('up'); time.sleep(60)")
    assert child.wait_until(lambda: child.log_text().strip() or None, 10) == "up"
    assert os.getsid(child.pid) == child.pid
    assert child.stop() == -signal.SIGTERM
    assert child.stop() == -signal.SIGTERM
    assert not child.running


def test_an_early_death_is_told_with_the_end_of_the_log(tmp_path: Path) -> None:
    child = start(tmp_path, "print('bad luck'); raise SystemExit(7)")
    with pytest.raises(ProcessError, match=r"(?s)The child ended with code 7 before it was ready\..*bad luck"):
        child.wait_until(lambda: False, 10)


def test_a_deadline_that_passes_is_told(tmp_path: Path) -> None:
    child = start(tmp_path, "import time; time.sleep(60)")
    with pytest.raises(ProcessError, match=r"was not listening within 0\.2 seconds\. Its log .* is empty"):
        child.wait_until(lambda: None, 0.2, "listening")
    with pytest.raises(ProcessError, match=r"did not end within 0\.1 seconds"):
        child.wait(0.1)
    assert child.kill() == -signal.SIGKILL


def test_one_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(subprocess.Popen(['sleep', '60']).pid)\n"
        "time.sleep(60)\n"
    )
    child = start(tmp_path, code)
    grandchild = int(child.wait_until(lambda: child.log_text().strip() or None, 10))
    assert child.stop(grace_seconds=0.3) == -signal.SIGKILL
    wait_for(lambda: is_gone(grandchild), "the end of the grandchild")


def test_a_program_that_does_not_exist_is_told(tmp_path: Path) -> None:
    child = ChildProcess.start("The child", ["/no/such/program"], tmp_path / "child.log")
    with pytest.raises(ProcessError, match="could not be started: No such file or directory"):
        child.wait_until(lambda: False, 10)


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from local.processes import ChildProcess\n"
        f"print(ChildProcess.start('x', ['sleep', '60'], Path({str(tmp_path / 'x.log')!r})).pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        # Only once it is the program itself: before that, its launcher would notice the missing parent.
        wait_for(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", "the program")
        parent.kill()
    wait_for(lambda: is_gone(pid), "the end of the child")

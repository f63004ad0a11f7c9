"""Child processes of the local stack: started in a group of their own, watched, and never left behind.

Every part of the stack that is a process (Azurite, the Functions host, the SQL Server emulator) is started through
`ChildProcess`, so that all of them log to a file, say why they died, stop in an orderly way, and end with their parent
even when the parent is killed with SIGKILL.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LAUNCHER = Path(__file__).resolve()
_TAIL_LINES = 15
_KILL_DEADLINE = 10.0


class ProcessError(RuntimeError):
    """A child process could not be started, died early or was not ready in time. The message is a whole sentence."""


def die_with_parent(parent_pid: int, death_signal: int = signal.SIGKILL) -> None:
    """Ask the kernel to end this process when its parent ends, and end it now when the parent is gone already.

    Linux only; elsewhere only the check is made. The kernel ties the request to the *thread* that started this process,
    so a parent must start its children from a thread that lives as long as they do.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)


class ChildProcess:
    """One running child: its process, its log file and the ways to end it."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self._process = process

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str],
        log_path: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> "ChildProcess":
        """Start `command` in its own session; standard output and standard error are appended to `log_path`.

        Call it from a thread that lives as long as the child (see `die_with_parent`).
        Raises ProcessError when the program cannot be started.
        """
        log_path.parent.mkdir(parents=True, exist_ok=True)
        # The launcher (this file, run as a script) sets the parent-death signal and then becomes the program: a
        # preexec_fn would run Python between fork and exec, which can deadlock in a process that has threads.
        launch = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *command]
        try:
            with log_path.open("ab") as log:
                process = subprocess.Popen(
                    launch,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=cwd,
                    env=None if env is None else dict(env),
                    pass_fds=tuple(pass_fds),
                    start_new_session=True,
                )
        except OSError as error:
            raise ProcessError(f"{name} could not be started ({command[0]}): {error.strerror or error}.") from error
        return cls(name, process, log_path)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while the child runs."""
        if self._process.returncode is None and self._process.poll() is not None:
            self._kill_group()
        return self._process.returncode

    @property
    def running(self) -> bool:
        return self.returncode is None

    def log_text(self) -> str:
        """Everything the child has written so far."""
        try:
            return self.log_path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def log_tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines that the child has written."""
        return "\n".join(self.log_text().splitlines()[-lines:])

    def wait_until(self, ready: Callable[[], T | None], deadline_seconds: float, what: str = "ready") -> T:
        """Return the first answer of `ready` that is neither None nor False.

        Raises ProcessError with the end of the log when the child ends first, or when `deadline_seconds` pass.
        """
        deadline = time.monotonic() + deadline_seconds
        while True:
            died = not self.running  # looked at before asking: what it wrote last still counts
            answer = ready()
            if answer is not None and answer is not False:
                return answer
            if died:
                how = f"{self.name} ended with code {self.returncode} before it was {what}."
                raise ProcessError(f"{how} {self._said()}")
            if time.monotonic() > deadline:
                raise ProcessError(f"{self.name} was not {what} within {deadline_seconds:g} seconds. {self._said()}")
            time.sleep(0.02)

    def wait(self, deadline_seconds: float) -> int:
        """Wait for the end and return the exit code; raises ProcessError when it does not end in time."""
        deadline = time.monotonic() + deadline_seconds
        while (code := self.returncode) is None:
            if time.monotonic() > deadline:
                raise ProcessError(f"{self.name} did not end within {deadline_seconds:g} seconds. {self._said()}")
            time.sleep(0.02)
        return code

    def stop(self, grace_seconds: float = 8.0) -> int:
        """SIGTERM, wait, then SIGKILL to the whole process group. Returns the exit code; may be called again."""
        if self.running:
            self._process.terminate()
            try:
                return self.wait(grace_seconds)
            except ProcessError:
                return self.kill()
        return self.wait(0)

    def kill(self) -> int:
        """SIGKILL to the child and its process group, at once."""
        if self.running:
            self._kill_group()
            self._process.kill()  # also when it has left its group
        return self.wait(_KILL_DEADLINE)

    def _kill_group(self) -> None:
        """End whatever the child started. Called once, when its end is noticed: later its number may be another's."""
        # macOS says PermissionError of a group that holds only zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _said(self) -> str:
        tail = self.log_tail()
        return f"The end of its log {self.log_path}:\n{tail}" if tail else f"Its log {self.log_path} is empty."


def _launch(arguments: Sequence[str]) -> None:
    """Become the program given after the parent's process id."""
    die_with_parent(int(arguments[0]))
    program = list(arguments[1:])
    try:
        os.execvp(program[0], program)  # noqa: S606  no shell wanted: the arguments are passed as they are
    except OSError as error:
        sys.exit(f"{program[0]} could not be started: {error.strerror or error}.")


if __name__ == "__main__":
    _launch(sys.argv[1:])

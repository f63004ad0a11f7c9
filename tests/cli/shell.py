"""Calls the command: in this process where only its answer matters, as a process where the process does."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.cli.tree import ROOT_COMMAND

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).parent / "elastic-jobs"


@dataclass(frozen=True)
class Answer:
    """How a call ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """The command with an environment and a folder of its own."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.env = env

    @property
    def settings(self) -> Path:
        """The file of contexts."""
        return self.folder / "config" / "elastic-jobs" / "contexts.json"

    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ELASTIC_JOBS_")}
        return {**kept, "XDG_CONFIG_HOME": str(self.folder / "config"), **self.env}

    def __call__(self, *arguments: str, stdin: str | None = None) -> Answer:
        """Call it in this process, without a terminal."""
        gone: dict[str, str | None] = {name: None for name in os.environ if name.startswith("ELASTIC_JOBS_")}
        with CliRunner().isolation(input=stdin, env={**gone, **self.environ()}) as (out, err, _):
            with pytest.raises(SystemExit) as ended:
                ROOT_COMMAND.main(arguments, prog_name="elastic-jobs")
            sys.stdout.flush()
            sys.stderr.flush()
            return Answer(int(ended.value.code or 0), out.getvalue().decode(), err.getvalue().decode())

    def ok(self, *arguments: str, stdin: str | None = None) -> Answer:
        """As a call, which must succeed."""
        answer = self(*arguments, stdin=stdin)
        assert answer.code == 0, answer
        return answer

    def terminal(
        self,
        width: int,
        *arguments: str,
        typed: Mapping[str, str] | None = None,
        seen: Mapping[str, Callable[[], object]] | None = None,
    ) -> tuple[int, str]:
        """The exit code and everything that it writes to a terminal of this width.

        typed: what to type when a text is asked. seen: what to do once when a text is shown.
        """
        terminal, other_end = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        # They would go before the terminal's own size, and some libraries of the tests set them.
        sized = {name: value for name, value in self.environ().items() if name not in {"COLUMNS", "LINES"}}
        process = subprocess.Popen(
            [str(COMMAND), *arguments],
            stdin=other_end,
            stdout=other_end,
            stderr=other_end,
            env={**sized, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(other_end)
        waiting = dict(typed or {})
        awaited = dict(seen or {})
        written, deadline = b"", time.monotonic() + 60
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                written += os.read(terminal, 65536)
            except OSError:  # the other end is closed
                break
            for question in [each for each in waiting if each.encode() in written]:
                os.write(terminal, f"{waiting.pop(question)}\n".encode())
            for text in [each for each in awaited if each.encode() in written]:
                awaited.pop(text)()
        os.close(terminal)
        return process.wait(10), written.decode()

    def process(self, *arguments: str, stdin: str = "", **env: str) -> Answer:
        """Call it as a process, without a terminal."""
        done = subprocess.run(
            [str(COMMAND), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**self.environ(), **env},
            timeout=60,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

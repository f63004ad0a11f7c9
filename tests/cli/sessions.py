"""Shell sessions in the documentation: read from a page, typed into a shell, and compared.

A session is a code block of the kind ``console``: lines that begin with ``$`` are typed, ``>`` goes on with the line
before, and the rest is what comes back.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = 200
"""On a busy machine a command takes seconds."""
_MARK = "@@@@ end of command"
_ALIKE = (
    # Progress depends on the moment at which somebody looked; the last line of a step does not.
    (re.compile(r"^ +[\d.]+ (?:s|min [\d]+ s)  step \d+ .*: (?:finding|running|waiting).*\n", re.MULTILINE), ""),
    (re.compile(r"^ +[\d.]+ s  step", re.MULTILINE), "<time>  step"),
    (re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"), "<id>"),
    (re.compile(r"(?<=execution logs visit )[0-9a-f]{8}|(?<=execution rerun visit )[0-9a-f]{8}"), "<short id>"),
    (re.compile(r"temporary-\d{8}T\d{6}Z-[0-9a-f]{4}"), "temporary-<when>"),
    (re.compile(r"\b202\d-\d\d-\d\d \d\d:\d\d:\d\dZ"), "<instant>"),
    (re.compile(r" *\b\d+(?:\.\d)? s\b(?!tart)"), " <seconds>"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "<endpoint>"),
    (re.compile(r"good for \d+ days"), "good for <days>"),
)


@dataclass(frozen=True)
class Typed:
    """A command of a session and what it shows, at a line of its page."""

    line: int
    command: str
    shows: str


def read_sessions(page: Path) -> list[Typed]:
    """All commands of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    found: list[Typed] = []
    for block in _BLOCK.finditer(text):
        first = text[: block.start(1)].count("\n") + 1
        for number, line in enumerate(block[1].splitlines(), first):
            if line.startswith("$ "):
                found.append(Typed(number, line[2:], ""))
                continue
            last = found[-1]
            if line.startswith("> ") and not last.shows:
                found[-1] = Typed(last.line, f"{last.command}\n{line[2:]}", "")
            else:
                found[-1] = Typed(last.line, last.command, f"{last.shows}{line}\n")
    return found


def type_all(session: list[Typed], folder: Path, env: Mapping[str, str]) -> list[str]:
    """What one shell shows for each command, one after the other."""
    lines = ["exec 2>&1"]
    for typed in session:
        lines += [typed.command, f"(code=$?; echo '{_MARK}'; exit $code)"]
    done = subprocess.run(
        ["bash", "--norc", "-s"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        cwd=folder,
        env=dict(env),
        timeout=SECONDS,
        check=False,
    )
    shown = done.stdout.split(f"{_MARK}\n")
    assert len(shown) == len(session) + 1, done.stdout
    return shown[:-1]


def alike(text: str) -> str:
    """What a command shows without what differs from one time to the next."""
    for varying, instead in _ALIKE:
        text = varying.sub(instead, text)
    return text

"""Every command has help with examples that are true: their commands and options exist."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest

from tests.cli.reference import PAGE, written
from tests.cli.shell import Shell
from tests.cli.tree import ALL, COMMON


def examples(command: Any) -> list[list[str]]:
    """The examples of a command, as a shell splits them; of a pipeline its part that is ours."""
    text = str(command.epilog or "").replace("\\[", "[").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if "elastic-jobs" in line]
    parts = [re.split(r"\s[|<>]\s?", line) for line in lines]
    return [shlex.split(part) for line in parts for part in line if part.strip().startswith("elastic-jobs")]


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_a_command_says_what_it_does_and_shows_an_example(words: tuple[str, ...]) -> None:
    command = ALL[words]
    assert command.help
    assert command.help.rstrip().endswith((".", "!")), "help is sentences"
    found = examples(command)
    assert found
    for example in found:
        assert tuple(example[1 : 1 + len(words)]) == words, f"the example is of another command: {example}"
        options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
        used = {word.partition("=")[0] for word in example if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", word)}
        assert used <= options, f"{example} uses {used - options}"


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_option_says_what_it_is_for(words: tuple[str, ...]) -> None:
    for param in ALL[words].params:
        assert getattr(param, "help", None), f"{' '.join(words)} {param.name}"


def test_every_command_has_the_common_options() -> None:
    for words, command in ALL.items():
        assert {param.name for param in command.params} >= COMMON, words


@pytest.mark.parametrize(
    "words", [(), ("job",), ("step", "create"), ("run",)], ids=lambda words: " ".join(words) or "root"
)
def test_help_is_shown(stranger: Shell, words: tuple[str, ...]) -> None:
    for option in ("--help", "-h"):
        answer = stranger.ok(*words, option)
        assert "Usage: elastic-jobs" in answer.out


def test_no_option_takes_a_secret() -> None:
    for words, command in ALL.items():
        for param in command.params:
            for option in param.opts:
                if re.search("password|secret|token", option):
                    assert option.endswith(("-env", "-stdin")), f"{words} {option}"


def test_the_reference_is_that_of_the_commands() -> None:
    assert PAGE.read_text(encoding="utf-8") == written(), "write it anew: python -m tests.cli.reference"

"""Commands that the documentation tells people to type: does each exist, with its options and what it names?

What is on this machine is asked itself: the parser of ``elastic-jobs``, the Makefile, modules and scripts of the
project. What is not, is on a list with the reason, and what it names of the project is looked up there.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.cli.tree import ROOT_COMMAND
from tests.unit.docs_pages import ROOT
from tests.unit.docs_shell import commands, without_assignments

ELSEWHERE = {
    "az": "the Azure CLI is not among the packages of these tests, and would need a subscription",
    "azd": "the Azure Developer CLI likewise",
    "curl": "asks an app that runs; that it is there is not asked for",
    "docker": "no Docker is needed or there",
    "openssl": "part of the system where it is used",
    "pip": "installs from a registry",
    "jq": "part of GitHub's runners",
    "sqlcmd": "Microsoft's own client",
}
"""Programs that cannot be asked here, and why."""
SUBCOMMANDS = {
    "az": {
        *("account get-access-token", "bicep build", "cloud register", "deployment group create", "login", "rest"),
        *("storage message clear", "storage message peek", "webapp log tail"),
    },
    "azd": {"auth login", "down", "env get-value", "env get-values", "env set", "hooks run", "provision", "up"},
    "docker": {"build", "push"},
}
"""What of these programs the documentation may use; each was looked up in their reference."""
SHELL = frozenset({"cat", "cd", "echo", "export", "find", "rm", "sed", "sort"})
_GENERATED = (".local/", ".venv/", ".azure/", ".vscode/", ".github/")
"""Folders that are made by what is documented."""


class WrongError(Exception):
    """What is documented is not so; the sentence says what."""


def check_shell(text: str, *, whole: bool = True) -> None:
    """Each command of a script. whole: what a command needs must be there; a sentence may leave it out.

    Raises:
        WrongError: one does not exist, or does not take what it is given.
    """
    try:
        found = commands(text)
    except ValueError as error:
        raise WrongError(f"no shell command: {error}") from None
    for words in found:
        _check(without_assignments(words), whole)
        for word in words:
            _check_path(word.partition("=")[2] or word)


def _check(words: list[str], whole: bool) -> None:
    if not words:
        return
    program = Path(words[0]).name
    if program in _ASKED:
        _ASKED[program](words[1:], whole)
    elif program in SHELL:
        if not shutil.which(program) and program not in {"cd", "export"}:
            raise WrongError(f"there is no {program}")
    elif program not in ELSEWHERE:
        raise WrongError(f"nothing says how '{program}' is checked; see tests/unit/docs_commands.py")
    elif program in SUBCOMMANDS:
        said = " ".join(words[1:])
        if not any(re.match(rf"{re.escape(each)}(?![\w-])", said) for each in SUBCOMMANDS[program]):
            raise WrongError(f"'{program} {said}' is not on the list of what may be used")
        _check_azure(program, words[1:])
    elif program == "curl":
        _check_curl(words)


def _make(words: list[str], _: bool) -> None:
    makefile = _text(ROOT / "Makefile")
    for word in words:
        variable = re.fullmatch(r"([A-Z]+)=.*", word, re.DOTALL)
        if variable:
            if variable[1] not in makefile:
                raise WrongError(f"the Makefile has no variable {variable[1]}")
        elif not re.search(rf"^(?:[\w$()/.-]+ )*{re.escape(word)}(?: [\w-]+)*:(?!=)", makefile, re.MULTILINE):
            raise WrongError(f"the Makefile has no target {word}")


def _elastic_jobs(words: list[str], whole: bool) -> None:
    node: Any = ROOT_COMMAND
    rest, said = list(words), "elastic-jobs"
    while hasattr(node, "commands"):
        if not rest:
            if whole:
                raise WrongError(f"'{said}' is not a whole command")
            return
        if rest[0].startswith("-"):
            if rest[0] not in {option for parameter in node.params for option in parameter.opts} | {"--help", "-h"}:
                raise WrongError(f"'{said}' has no option {rest[0]}")
            return
        name = rest.pop(0)
        said += f" {name}"
        if name not in node.commands:
            raise WrongError(f"there is no command '{said}'")
        node = node.commands[name]
    try:
        node.make_context(said, rest)
    except Exception as error:
        # Typer carries its own copy of click; its errors are known by their names.
        if type(error).__name__ == "MissingParameter" and not whole:
            return
        raise WrongError(f"'{said}': {error}") from None


def _python(words: list[str], _: bool) -> None:
    if words[:1] == ["-c"]:
        compile(words[1], "-c", "exec")
        return
    if words[:1] == ["-m"]:
        source = _module(words[1])
        rest = words[2:]
    else:
        file = ROOT / words[0]
        if not file.is_file():
            raise WrongError(f"there is no script {words[0]}")
        source, rest = _text(file), words[1:]
    known = {each.value for each in ast.walk(ast.parse(source)) if isinstance(each, ast.Constant)}
    for word in rest:
        if word.startswith("--") and word not in known:
            raise WrongError(f"'{' '.join(words)}' has no option {word}")
    if rest and not rest[0].startswith("-") and rest[0] not in known:
        raise WrongError(f"'{' '.join(words)}' has nothing called {rest[0]}")


def _module(name: str) -> str:
    """The source of what ``python -m`` runs."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise WrongError(f"there is no module {name}")
    file = Path(found.origin)
    return _text(file.with_name("__main__.py") if file.name == "__init__.py" else file)


_ASKED: dict[str, Callable[[list[str], bool], None]] = {
    "make": _make,
    "elastic-jobs": _elastic_jobs,
    "python": _python,
    "python3": _python,
}


def _check_azure(program: str, words: list[str]) -> None:
    """What a command of Azure names of ours: outputs and parameters of the templates, queues."""
    said = " ".join(words)
    if program == "azd" and words[:2] == ["env", "get-value"] and words[2:]:
        if f"output {words[2]} " not in _text(ROOT / "infra" / "main.bicep"):
            raise WrongError(f"infra/main.bicep has no output {words[2]}")
    elif program == "azd" and words[:2] == ["env", "set"] and words[2:]:
        parameters = _text(ROOT / "infra" / "main.parameters.json")
        scripts = "".join(_text(each) for each in sorted((ROOT / "infra" / "scripts").glob("*.py")))
        if f"${{{words[2]}" not in parameters and f'"{words[2]}"' not in scripts:
            raise WrongError(f"neither infra/main.parameters.json nor a script reads {words[2]}")
    elif program == "azd" and words[:2] == ["hooks", "run"]:
        if not re.search(rf"^\s+{re.escape(words[2])}:", _text(ROOT / "azure.yaml"), re.MULTILINE):
            raise WrongError(f"azure.yaml has no hook {words[2]}")
    elif said.startswith("deployment group create"):
        template = _text(ROOT / words[words.index("-f") + 1])
        for word in words[words.index("-p") + 1 :]:
            if not re.search(rf"^param {re.escape(word.partition('=')[0])} ", template, re.MULTILINE):
                raise WrongError(f"the template has no parameter {word.partition('=')[0]}")
        for name in re.findall(r"^param (\w+) \w+$", template, re.MULTILINE):
            if not any(word.startswith(f"{name}=") for word in words):
                raise WrongError(f"the template needs the parameter {name}")


def _check_curl(words: list[str]) -> None:
    for option, value in pairwise(words):
        if option in {"-d", "--data"}:
            try:
                json.loads(value)
            except ValueError as error:
                raise WrongError(f"the body of curl is no JSON: {error}") from None


def _check_path(word: str) -> None:
    """A word that is a path of the project leads somewhere."""
    first, slash, _ = word.partition("/")
    if (
        first
        and slash
        and re.fullmatch(r"[\w./*-]+", word)
        and (ROOT / first).is_dir()
        and not word.startswith(_GENERATED)
    ):
        exists = any(ROOT.glob(word)) if "*" in word else (ROOT / word).exists()
        if not exists:
            raise WrongError(f"there is no {word}")


@cache
def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")

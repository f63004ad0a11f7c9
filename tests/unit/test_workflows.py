"""The workflows in .github/workflows: what they call exists, their actions are pinned, their rights are small."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit import docs_shell

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))

workflows = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def read(path: Path) -> dict[Any, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict), f"{path.name} is no workflow"
    return found


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in read(path)["jobs"].values():
        yield from job["steps"]


def commands(path: Path) -> Iterator[list[str]]:
    """The words of every command that the workflow runs."""
    for step in steps(path):
        yield from docs_shell.commands(step.get("run", ""))


def make_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    rules = re.findall(r"^([a-z][a-z -]*):(?!=)", text, re.MULTILINE)
    return {name for rule in rules for name in rule.split()}


@workflows
def test_a_workflow_says_when_and_where_it_runs_and_how_long(path: Path) -> None:
    found = read(path)
    assert found[True], "YAML 1.1 reads `on` as true"
    for name, job in found["jobs"].items():
        assert job["runs-on"] == "ubuntu-24.04", name
        assert 0 < job["timeout-minutes"] <= 60, name
        assert set(job.get("needs", "").split()) <= set(found["jobs"]), name
        assert all(("run" in step) != ("uses" in step) for step in job["steps"]), name


def called(path: Path) -> set[str]:
    """The targets of make that the workflow asks for."""
    made = (words[1:] for words in commands(path) if words[:1] == ["make"])
    return {word for words in made for word in words if "=" not in word and not word.startswith("-")}


@workflows
def test_make_is_called_with_targets_that_exist(path: Path) -> None:
    assert called(path) <= make_targets()


@workflows
def test_modules_and_files_that_are_named_exist(path: Path) -> None:
    for words in commands(path):
        for option, name in pairwise(words):
            if option == "-m" and name.startswith(("local", "elastic_jobs")):
                assert importlib.util.find_spec(name) is not None, name
        for word in (part for words_ in words for part in words_.removeprefix("TESTS=").split()):
            if re.fullmatch(r"[\w/-]+\.(?:py|sh|txt)", word):
                assert (ROOT / word).exists(), word


@workflows
def test_actions_are_pinned_and_each_in_one_version(path: Path) -> None:
    pins = dict(
        pin for other in WORKFLOWS for pin in re.findall(r"uses: (\S+?)@(.*)", other.read_text(encoding="utf-8"))
    )
    used = re.findall(r"uses: (\S+?)@(.*)", path.read_text(encoding="utf-8"))
    assert len(used) == sum("uses" in step for step in steps(path))
    for action, pin in used:
        assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", pin), f"{action}: a commit, and its version as a comment"
        assert pins[action] == pin, f"{action} is used in two versions"


@workflows
def test_nothing_from_outside_becomes_part_of_a_script(path: Path) -> None:
    # A tag's or a branch's name may hold shell; it is read from the environment.
    for step in steps(path):
        for expression in re.findall(r"\$\{\{(.*?)\}\}", step.get("run", "")):
            assert expression.strip().startswith("job.services."), expression


@workflows
def test_only_publishing_may_write(path: Path) -> None:
    found = read(path)
    assert found["permissions"] == {"contents": "read"}
    wider = {name: job["permissions"] for name, job in found["jobs"].items() if "permissions" in job}
    assert wider == ({"publish": {"contents": "write"}} if path.stem == "release" else {})


def test_a_release_is_checked_under_the_pythons_of_the_tests_before_it_is_published() -> None:
    paths = [ROOT / ".github" / "workflows" / f"{name}.yml" for name in ("release", "tests")]
    assert {"check", "test"} <= called(paths[0]) & called(paths[1])
    release, tests = map(read, paths)
    assert release[True] == {"push": {"tags": ["v*"]}}
    assert release["jobs"]["publish"]["needs"] == "check"
    assert release["jobs"]["check"]["strategy"] == tests["jobs"]["check"]["strategy"]
    *before, last = release["jobs"]["publish"]["steps"]
    assert not any("env" in step for step in before), "only the last step gets the token"
    assert last["env"] == {"GH_TOKEN": "${{ github.token }}"}

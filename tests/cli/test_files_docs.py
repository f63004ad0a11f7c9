"""docs/files.md: its session is run and its output compared, its files are read, its workflow is looked through."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from elastic_jobs.cli.commands.files import CHANGES
from elastic_jobs.cli.errors import ExitCode
from elastic_jobs.cli.files.model import Definitions
from elastic_jobs.cli.files.nodes import read_document
from elastic_jobs.cli.files.reading import read_folder
from elastic_jobs.cli.files.shapes import GROUP, JOB, Kind, Shape
from elastic_jobs.domain.schedule import IntervalType, Schedule
from tests.api.support import ALL_ROLES, token
from tests.cli.files_support import Agent, running_agent, sample
from tests.cli.tree import ROOT_COMMAND

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """The agent of the page's session."""
    found = sample()
    group, job = found.groups[1], found.jobs[1]
    start = datetime(2030, 1, 31, 4, tzinfo=UTC)
    step = replace(job.steps[0], name="clean/up", command="EXEC dbo.clean;\n")
    schedule = Schedule(interval_type=IntervalType.DAYS, start_time=start, enabled=True)
    with running_agent(tmp_path) as running:
        running.apply(Definitions(groups=(group,), jobs=(replace(job, steps=(step,), schedule=schedule),)))
        yield running


def test_the_session(agent: Agent, tmp_path: Path) -> None:
    command = tmp_path / "bin" / "elastic-jobs"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m elastic_jobs.cli.main "$@"\n')
    command.chmod(0o755)
    env = os.environ | {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "LC_ALL": "C.UTF-8",
        "ELASTIC_JOBS_ENDPOINT": agent.server.url,
        "ELASTIC_JOBS_TOKEN": token(*ALL_ROLES),
    }
    (session,) = blocks("console")
    typed = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE)
    assert len(typed) > 10
    for line, expected in typed:
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout == expected, line


def test_the_files_hold_every_key(tmp_path: Path) -> None:
    group, job = (text for text in blocks("yaml") if not text.startswith("name: jobs"))
    (tmp_path / "groups").mkdir()
    (tmp_path / "jobs" / "nightly").mkdir(parents=True)
    (tmp_path / "groups" / "Servers.yaml").write_text(group)
    (tmp_path / "jobs" / "nightly.yaml").write_text(job)
    (tmp_path / "jobs" / "nightly" / "clean.sql").write_text("SELECT 1")
    found = read_folder(tmp_path)
    assert (len(found.groups[0].members), len(found.jobs[0].steps)) == (4, 2)
    for shape, text in ((GROUP, group), (JOB, job)):
        written = set(re.findall(r"^[ -]*(\w+):", text, re.MULTILINE))
        assert written == _keys(shape)
    assert read_document(job, JOB, lambda line, reason: pytest.fail(f"{line}: {reason}")) is not None
    # What is said to be the value when left out is.
    plain = replace(found.jobs[0].steps[1], name="clean", command="SELECT 1", output=None, max_parallelism=None)
    assert plain == found.jobs[0].steps[0]


def _keys(shape: Shape) -> set[str]:
    found = set()
    for field in shape.fields:
        found.add(field.name)
        if field.shape is not None and field.kind in {Kind.LIST, Kind.SHAPE}:
            found |= _keys(field.shape)
    return found


def test_exit_codes_do_not_clash() -> None:
    assert CHANGES not in set(ExitCode)
    assert f"| {CHANGES} | there are changes, with `--exit-code` only |" in PAGE


def test_the_settings_of_editors_name_the_folders() -> None:
    (settings,) = blocks("json")
    assert set(json.loads(settings)["yaml.schemas"].values()) == {"estate/jobs/*.yaml", "estate/groups/*.yaml"}


def test_the_workflow_plans_and_applies_what_was_planned() -> None:
    (text,) = (text for text in blocks("yaml") if text.startswith("name: jobs"))
    workflow = yaml.safe_load(text)
    assert set(workflow[True]) == {"pull_request", "push"}  # YAML 1.1 reads `on` as true
    assert workflow["permissions"] == {"contents": "read", "id-token": "write"}
    plan, apply = workflow["jobs"]["plan"], workflow["jobs"]["apply"]
    assert plan["outputs"]["fingerprint"] == "${{ steps.plan.outputs.fingerprint }}"
    assert apply["needs"] == "plan"
    assert apply["environment"] == "production"
    assert apply["if"] == "github.event_name == 'push'"
    runs = [step["run"] for job in (plan, apply) for step in job["steps"] if "run" in step]
    assert sum("elastic-jobs" in run for run in runs) == 3
    assert "${{" not in "".join(runs), "what others can write must not become part of a script"
    for run in runs:
        for words in re.findall(r"elastic-jobs ((?:plan|apply)[^|)]*)", run):
            check_command(["elastic-jobs", *shlex.split(words)])


def check_command(words: list[str]) -> None:
    """The command of these words exists, with its options."""
    found: Any = ROOT_COMMAND
    rest = words[1:]
    while hasattr(found, "commands"):
        assert rest, f"{' '.join(words)} is not whole"
        name = rest.pop(0)
        assert name in found.commands, f"There is no command {' '.join(words)}"
        found = found.commands[name]
    known = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in rest if word.startswith("-")} <= known, words

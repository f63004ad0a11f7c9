"""Definitions to files and back, and to an agent and back: nothing is lost, and nothing differs afterwards.

``DEFINITION_SETS`` sets the number of random definition sets; the default keeps this short.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from elastic_jobs.cli.files import names
from elastic_jobs.cli.files.model import Definitions, key
from elastic_jobs.cli.files.reading import read_folder
from elastic_jobs.cli.files.writing import write_folder
from tests.cli.files_support import NAMES, ODD_NAMES, Agent, definitions, emptied, running_agent, sample

SETS = int(os.environ.get("DEFINITION_SETS", "0"))
_RANDOM = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with running_agent(tmp_path_factory.mktemp("agent")) as running:
        yield running


@given(wanted=definitions())
@settings(_RANDOM, max_examples=SETS or 100)
def test_files_hold_what_was_written(tmp_path: Path, wanted: Definitions) -> None:
    folder = tmp_path / "estate"
    shutil.rmtree(folder, ignore_errors=True)
    write_folder(folder, wanted, replace=False)
    assert read_folder(folder) == wanted


@given(wanted=definitions())
@settings(_RANDOM, max_examples=SETS or 8)
def test_an_agent_holds_what_was_applied(agent: Agent, wanted: Definitions) -> None:
    with emptied(agent) as empty:
        empty.apply(wanted)
        assert empty.holds() == wanted
        assert empty.plan(wanted, prune=True).changes == ()


@given(before=definitions(), after=definitions())
@settings(_RANDOM, max_examples=SETS or 4)
def test_any_definitions_follow_any_others(agent: Agent, before: Definitions, after: Definitions) -> None:
    with emptied(agent) as empty:
        empty.apply(before)
        if lost := _emptied_in_use(before, after):
            assert len(empty.plan(after, prune=True).problems) == len(lost)
            assert empty.holds() == before
            return
        empty.apply(after, prune=True)
        assert empty.plan(after, prune=True).changes == ()
        again = empty.holds()
        assert [group.name.lower() for group in again.groups] == [group.name.lower() for group in after.groups]


def _emptied_in_use(before: Definitions, after: Definitions) -> set[str]:
    """Keys of the groups that would lose their last included member although a step runs on them."""
    used = {key(step.target_group_name) for job in after.jobs for step in job.steps}
    had, has = (
        {key(group.name) for group in found.groups for each in group.members if each.membership_type == "Include"}
        for found in (before, after)
    )
    return (had - has) & used


def test_export_then_plan_is_empty_and_apply_elsewhere_exports_the_same(agent: Agent, tmp_path: Path) -> None:
    with emptied(agent) as first:
        first.apply(sample())
        exported = first.run("export", tmp_path / "one")
        assert exported.exit_code == 0, exported.output
        planned = first.run("plan", tmp_path / "one", "--prune", "--exit-code")
        assert (planned.exit_code, planned.stdout) == (0, "Plan: no changes.\n")
    with emptied(agent) as second:
        applied = second.run("apply", tmp_path / "one", "--yes")
        assert applied.exit_code == 0, applied.output
        assert second.run("export", tmp_path / "two").exit_code == 0
        assert second.run("apply", tmp_path / "two", "--yes", "--prune").stdout == "Plan: no changes.\n"
    assert _content(tmp_path / "one") == _content(tmp_path / "two")


def _content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@given(name=NAMES)
@settings(_RANDOM, max_examples=100)
def test_names_of_files_can_be_read_back(name: str) -> None:
    stem = names.file_stem(name)
    assert names.fits(stem, name)
    assert stem.isascii()
    assert len(stem) <= 80
    assert not set(stem) & set('<>:"/\\|?*')
    assert stem.rstrip(". ") == stem == stem.lstrip(".- ")
    assert stem.partition(".")[0].strip().upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}
    if "~" not in stem:
        assert names.name_of(stem) == name
    assert not names.fits(stem, name + "x")


def test_names_that_differ_in_case_only_get_files_that_do_not() -> None:
    stems = names.file_stems([*ODD_NAMES, "Nightly", "nightly"])
    assert len({stem.lower() for stem in stems.values()}) == len(stems)
    assert all(names.fits(stem, name) for name, stem in stems.items())
    assert names.file_stem("Sales/EU") == "Sales%2FEU"
    assert names.file_stem("CON") == "%43ON"
    assert names.file_stem("Größe") == "Gr%C3%B6%C3%9Fe"


@pytest.mark.parametrize(
    ("command", "raw"),
    [
        ("SELECT 1", b"SELECT 1"),
        ("SELECT 1\r\n", b"SELECT 1\r\n"),
        ("\ufeffSELECT 1\n\n", b"\xef\xbb\xbf\xef\xbb\xbfSELECT 1\n\n"),
        ("SELECT N'\u00e4'", b"SELECT N'\xc3\xa4'"),
    ],
)
def test_scripts_are_kept_byte_for_byte(tmp_path: Path, command: str, raw: bytes) -> None:
    wanted = sample()
    job = wanted.jobs[1]
    changed = replace(job, steps=(replace(job.steps[0], command=command), *job.steps[1:]))
    write_folder(tmp_path, replace(wanted, jobs=(wanted.jobs[0], changed)), replace=False)
    assert (tmp_path / "jobs/nightly/measure.sql").read_bytes() == raw
    assert read_folder(tmp_path).jobs[1].steps[0].command == command


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_of_an_editor_is_no_part_of_the_script(tmp_path: Path, encoding: str) -> None:
    write_folder(tmp_path, sample(), replace=False)
    (tmp_path / "jobs/nightly/measure.sql").write_bytes("SELECT 'ä'\r\n".encode(encoding))
    assert read_folder(tmp_path).jobs[1].steps[0].command == "SELECT 'ä'\r\n"

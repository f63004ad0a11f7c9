"""The rules of the house that a machine can check: bindings, imports, settings, documentation of settings."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from elastic_jobs.settings import HOST_SETTINGS, Settings

ROOT = Path(__file__).resolve().parents[2]
STAND_INS = {"local", "bench", "tests"}


def test_the_app_is_indexed_without_any_setting_and_has_its_triggers() -> None:
    # In a process of its own: whoever calls get_functions() breaks the worker's own call.
    script = (
        "import json, function_app\n"
        "found = {f.get_function_name(): [b.get_dict_repr() for b in f.get_bindings()] "
        "for f in function_app.app.get_functions()}\n"
        "print(json.dumps(found, default=str))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, env={}, check=False
    )
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    bindings = {name: sorted(b["type"] for b in of) for name, of in found.items()}
    assert bindings == {
        "tick": ["timerTrigger"],
        "expand_step": ["queueTrigger"],
        "run_target": ["queueTrigger"],
        "http_app_func": ["http", "httpTrigger"],
    }
    queues = {b["queueName"] for of in found.values() for b in of if b["type"] == "queueTrigger"}
    assert queues == {"elastic-jobs-steps", "elastic-jobs-targets"}
    (timer,) = (b for b in found["tick"] if b["type"] == "timerTrigger")
    assert timer["schedule"] == "%TICK_SCHEDULE%"
    assert not timer["runOnStartup"]
    (http,) = (b for b in found["http_app_func"] if b["type"] == "httpTrigger")
    assert str(http["authLevel"]).casefold().endswith("anonymous"), "the API checks bearer tokens itself"


def test_function_app_holds_bindings_only() -> None:
    assert len((ROOT / "function_app.py").read_text(encoding="utf-8").splitlines()) < 60


def test_host_concurrency_is_that_of_an_instance() -> None:
    queues = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))["extensions"]["queues"]
    default = _sample()["INSTANCE_CONCURRENCY"]
    assert queues["batchSize"] + queues["newBatchThreshold"] == int(default) == 128


@cache
def _imports(file: Path) -> frozenset[str]:
    """What a file imports; read once for all rules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module or "")
    return frozenset(found)


def _files(*folders: str) -> list[Path]:
    return [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]


def test_the_product_imports_no_stand_in() -> None:
    for file in [ROOT / "function_app.py", *_files("elastic_jobs")]:
        used = {name.split(".")[0] for name in _imports(file)} & STAND_INS
        assert not used, f"{file} imports {used}"


def test_the_domain_imports_the_standard_library_only() -> None:
    for file in _files("elastic_jobs/domain"):
        for name in _imports(file):
            top = name.split(".")[0]
            allowed = top in sys.stdlib_module_names or name.startswith("elastic_jobs.domain")
            assert allowed, f"{file} imports {name}"


@pytest.mark.parametrize(
    ("module", "room"),
    [
        ("pyodbc", "elastic_jobs/targets"),
        ("elastic_jobs.jobdb.tables", "elastic_jobs/jobdb"),
        ("elastic_jobs.jobdb.execution_tables", "elastic_jobs/jobdb"),
    ],
)
def test_what_belongs_into_one_room_stays_there(module: str, room: str) -> None:
    for file in _files("elastic_jobs"):
        if not file.is_relative_to(ROOT / room):
            assert module not in _imports(file), f"{file} imports {module}"


def test_the_command_line_knows_the_product_by_http_only() -> None:
    for file in _files("elastic_jobs/cli"):
        ours = {name for name in _imports(file) if name.split(".")[0] == "elastic_jobs"}
        foreign = {name for name in ours if not name.startswith(("elastic_jobs.cli", "elastic_jobs.domain"))}
        assert not foreign, f"{file} imports {foreign}"


def _sample() -> dict[str, str]:
    sample: dict[str, str] = json.loads((ROOT / "local.settings.sample.json").read_text(encoding="utf-8"))["Values"]
    return sample


def test_the_sample_and_the_page_hold_exactly_the_settings_that_exist() -> None:
    code = (ROOT / "elastic_jobs" / "settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r'read\.\w+\(\s*"(\w+)"', code))
    assert len(read) == len(dataclasses.fields(Settings))
    assert set(_sample()) == read | set(HOST_SETTINGS)
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(_sample())

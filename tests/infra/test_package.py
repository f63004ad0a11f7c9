"""What is deployed: the files that .funcignore and .dockerignore let through, installed by requirements.txt alone.

The installation runs once per test run: some seconds with uv, a minute or two with pip alone.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pathspec
import pytest

from tests.infra.bicep import ROOT

DEPLOYED = {"function_app.py", "host.json", "requirements.txt", "elastic_jobs"}
WORKER = "azure-functions-runtime==1.3.0"
"""The official worker library, for Python 3.13 and newer; for 3.11 it is not published."""
FUNCTIONS = ["expand_step", "http_app_func", "run_target", "tick"]
ALWAYS_LEFT_OUT = {".funcignore", ".gitignore", "local.settings.json"}
"""By the tool itself, whatever .funcignore says."""


def patterns(name: str) -> list[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def core_tools_ignores(path: str) -> bool:
    """Whether ``func azure functionapp publish`` leaves a path out.

    Its matching is not git's: each pattern is tried at the start of the path only and ends at a word boundary, ``*``
    stays within a folder and ``**`` crosses folders.
    """
    for pattern in patterns(".funcignore"):
        expression = re.escape(pattern.removeprefix("/")).replace(r"\*\*", ".+").replace(r"\*", "[^/]+")
        if re.match(rf"{expression}\b", path):
            return True
    return path in ALWAYS_LEFT_OUT


def candidates() -> Iterator[Path]:
    """Files of the working tree, without those of big folders that are left out whole."""
    for top in sorted(ROOT.iterdir()):
        if core_tools_ignores(top.name):
            continue
        yield from (file for file in sorted([top] if top.is_file() else top.rglob("*")) if file.is_file())


def deployed_files() -> list[str]:
    paths = [file.relative_to(ROOT).as_posix() for file in candidates()]
    return [path for path in paths if not core_tools_ignores(path)]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, unpacked in a folder of its own."""
    folder = tmp_path_factory.mktemp("package")
    for path in deployed_files():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, folder / path)
    return folder


@pytest.fixture(scope="module")
def python(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with what the package's requirements.txt names, and nothing else of ours."""
    folder = tmp_path_factory.mktemp("environment")
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    interpreter = folder / "bin" / "python"
    requirements = ["-r", str(package / "requirements.txt"), *([WORKER] if sys.version_info >= (3, 13) else [])]
    if uv is not None:
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder), env=os.environ)
        _run(uv, "pip", "install", "--quiet", "--python", str(interpreter), *requirements, env=os.environ)
    else:
        pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run(sys.executable, "-m", "venv", str(folder), env=os.environ)
        _run(*pip, *requirements, env=os.environ)
    return interpreter


def _run(*command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    # Without env: no variable of this machine, so no setting and no path of ours.
    answer = subprocess.run(command, cwd=cwd, env=env or {}, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_exactly_the_app_is_deployed() -> None:
    files = deployed_files()
    assert {path.split("/")[0] for path in files} == DEPLOYED
    code = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "elastic_jobs").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and ROOT / "elastic_jobs" / "cli" not in file.parents
    }
    # The command line is a client: nothing that runs in the app needs it.
    assert {path for path in files if path.startswith("elastic_jobs/")} == code, "nothing of the app is left behind"


def test_both_tools_leave_out_the_same() -> None:
    """azd reads .funcignore as git would; func has rules of its own."""
    by_git = pathspec.GitIgnoreSpec.from_lines(patterns(".funcignore"))
    paths = [file.relative_to(ROOT).as_posix() for file in candidates()]
    assert [path for path in paths if not by_git.match_file(path)] == deployed_files()
    for name in ("local.settings.json", ".venv/bin/python", ".venv-3.13/bin/python", "tests/x.py", "infra/main.bicep"):
        assert core_tools_ignores(name), name
        assert by_git.match_file(name), name


def docker_ignores(path: str) -> bool:
    """Whether a path stays out of an image: the last pattern decides that matches it or a folder above it."""
    parts = path.split("/")
    above = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    out = False
    for pattern in patterns(".dockerignore"):
        expression = re.escape(pattern.removeprefix("!")).replace(r"\*\*/", "(.+/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(expression, each) for each in above):
            out = not pattern.startswith("!")
    return out


def test_the_image_holds_the_same_files() -> None:
    paths = [file.relative_to(ROOT).as_posix() for file in candidates()]
    assert [path for path in paths if not docker_ignores(path)] == deployed_files()
    assert docker_ignores("local.settings.json")
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "requirements.txt" in text
    assert not re.search(r"password|secret|key=|token", text, re.IGNORECASE)


def test_no_secret_and_no_stand_in_is_deployed(package: Path) -> None:
    for file in package.rglob("*"):
        if file.is_file():
            text = file.read_text(encoding="utf-8", errors="replace")
            assert "AccountKey=" not in text.replace("AccountKey={", ""), file
            assert "BEGIN PRIVATE KEY" not in text, file
            assert "BEGIN RSA PRIVATE KEY" not in text, file
            assert not re.search(r"^\s*(from|import) (local|tests|bench)\b", text, re.MULTILINE), file


def imported(package: Path) -> set[str]:
    """Every module outside the standard library that the product imports anywhere, also late, inside functions."""
    names: set[str] = set()
    for file in [package / "function_app.py", *(package / "elastic_jobs").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module)
    return {name for name in names if name.split(".")[0] not in sys.stdlib_module_names}


@pytest.mark.timeout(600)
def test_requirements_name_all_that_the_product_imports(package: Path, python: Path) -> None:
    script = (
        "import importlib, json, sys\n"
        "missing = {}\n"
        "for name in json.loads(sys.argv[1]):\n"
        "    try: importlib.import_module(name)\n"
        "    except ImportError as error: missing[name] = str(error)\n"
        "print(json.dumps(missing))"
    )
    wanted = json.dumps(sorted(imported(package)))
    assert json.loads(_run(str(python), "-c", script, wanted, cwd=package)) == {}


@pytest.mark.timeout(600)
def test_all_functions_are_indexed(package: Path, python: Path) -> None:
    if sys.version_info >= (3, 13):
        ask = "from azure_functions_runtime import loader; found = loader.index_function_app('function_app.py')"
    else:
        ask = "import function_app; found = function_app.app.get_functions()"
    script = f"{ask}; print(sorted(function.get_function_name() for function in found))"
    assert _run(str(python), "-c", script, cwd=package).strip().splitlines()[-1] == str(FUNCTIONS)

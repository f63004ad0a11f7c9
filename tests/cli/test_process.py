"""The command as a process without a terminal: exit codes, quiet, pipes, other encodings, completion."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from tests.api.support import Server, token
from tests.cli.shell import COMMAND, ROOT, Shell


def test_the_command_is_installed_as_the_package_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"elastic-jobs": "elastic_jobs.cli.main:run"}
    assert COMMAND.exists(), "run 'make setup'"


def test_the_wheel_gets_every_file_that_is_no_python() -> None:
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    package = ROOT / "elastic_jobs"
    taken = {file for pattern in configured["package-data"]["elastic_jobs"] for file in package.glob(pattern)}
    there = {
        file
        for file in package.rglob("*")
        if file.is_file() and file.suffix not in {".py", ".pyc"} and "__pycache__" not in file.parts
    }
    assert there <= taken, f"not in the wheel: {sorted(map(str, there - taken))}"
    folders = {file.parent for file in package.rglob("*.py")}
    missing = [folder for folder in folders if not (folder / "__init__.py").exists()]
    assert not [folder for folder in missing if "migrations" not in folder.parts], (
        "a folder without __init__.py is left out"
    )


def test_exit_codes_and_sentences(shell: Shell, server: Server) -> None:
    server.ready_job()
    nobody = "http://127.0.0.1:9"
    for arguments, env, code, words in (
        (("job", "list"), {}, 0, ""),
        (("job", "show", "nowhere"), {}, 1, "'nowhere' was not found"),
        (("job", "list"), {"ELASTIC_JOBS_ENDPOINT": nobody}, 1, f"{nobody} cannot be reached"),
        (("job", "list", "--no-such-option"), {}, 2, "No such option"),
        (("job", "list"), {"ELASTIC_JOBS_TOKEN": token("Reader", key="wrong" * 20)}, 4, "does not accept the token"),
        (("job", "list"), {"ELASTIC_JOBS_TOKEN": "two words"}, 4, "cannot be one"),
    ):
        answer = shell.process(*arguments, TERM="xterm-256color", **env)
        assert answer.code == code, answer
        assert words in answer.err
        assert "Traceback" not in answer.err
        assert "\x1b" not in answer.out + answer.err, "no colours without a terminal"
        assert code == 0 or answer.out == ""
        assert code in {0, 2} or answer.err.count("\n") == 1, "one sentence"


def test_without_a_terminal_there_are_results_only(shell: Shell, server: Server) -> None:
    server.agent()
    created = shell.process("job", "create", "nightly", TERM="xterm-256color")
    assert created.err == ""
    listed = shell.process("job", "list", TERM="xterm-256color", COLUMNS="20")
    assert listed.out == "NAME     SCHEDULE  VERSION\nnightly  by hand         0\n"
    assert shell.process("job", "disable", "nightly") == type(created)(0, "", "")


def test_a_reader_that_goes_away_is_no_error(shell: Shell, server: Server) -> None:
    server.agent()
    for number in range(60):
        server.put(f"/jobs/{'x' * 100}{number}", {})
    pipeline = f"{COMMAND} job list -o json | head -c 10"
    done = subprocess.run(["sh", "-c", pipeline], capture_output=True, text=True, env=shell.environ(), check=False)
    assert done.stdout.startswith("[")
    assert "Traceback" not in done.stderr
    assert done.stderr == ""


def test_a_terminal_that_knows_ascii_only(shell: Shell, server: Server) -> None:
    server.agent()
    server.put("/jobs/n%C3%A4chtlich", {"properties": {"description": "日本"}})
    answer = shell.process("job", "list", PYTHONIOENCODING="ascii")
    assert (answer.code, answer.err) == (0, "")
    assert "n\\xe4chtlich" in answer.out


def test_shells_get_a_completion_script(shell: Shell) -> None:
    answer = shell.process("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert answer.code == 0
    assert "elastic-jobs" in answer.out


def test_names_are_completed_from_the_api(shell: Shell, server: Server) -> None:
    server.agent()
    for name in ("nightly", "weekly"):
        server.put(f"/jobs/{name}", {})

    def completed(**env: str) -> list[str]:
        asked = {
            "_ELASTIC_JOBS_COMPLETE": "complete_bash",
            "COMP_WORDS": "elastic-jobs job start n",
            "COMP_CWORD": "3",
            **env,
        }
        return shell.process(**asked).out.split()

    assert completed() == ["nightly"]
    assert completed(ELASTIC_JOBS_ENDPOINT="http://127.0.0.1:9") == []


def test_a_password_is_asked_for_twice_and_not_shown(shell: Shell, server: Server) -> None:
    server.agent()
    secret = "Canary-5up3r!"
    typed = {"Password: ": secret, "Repeat for confirmation: ": secret}
    code, written = shell.terminal(80, "credential", "set", "runner", "-u", "jobuser", typed=typed)
    assert code == 0, written
    assert "jobuser" in written
    assert secret not in written


def test_what_deletes_asks_and_no_means_no(shell: Shell, server: Server) -> None:
    server.ready_job()
    code, written = shell.terminal(80, "job", "delete", "job1", typed={"[y/N]": "n"})
    assert (code, "Delete the job 'job1' with its history?" in written) == (1, True)
    assert shell.ok("job", "show", "job1")
    code, written = shell.terminal(80, "job", "delete", "job1", typed={"[y/N]": "y"})
    assert (code, "The job 'job1' is deleted." in written) == (0, True)
    assert shell("job", "show", "job1").code == 1


def test_an_error_nobody_foresaw_is_no_traceback(shell: Shell, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import elastic_jobs.cli.session as session\n"
        "def fail(self): raise ZeroDivisionError('a bug')\n"
        "session.Session.context = fail\n"
    )
    answer = shell.process("job", "list", PYTHONPATH=str(broken))
    assert answer.code == 1
    assert "ZeroDivisionError: a bug" in answer.err
    assert "Traceback" not in answer.err
    assert "Traceback" in shell.process("job", "list", PYTHONPATH=str(broken), ELASTIC_JOBS_DEBUG="1").err


def test_the_command_does_not_load_what_it_does_not_need() -> None:
    script = "import sys, elastic_jobs.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"sqlalchemy", "fastapi", "starlette", "azure", "pyodbc"}


def test_the_version() -> None:
    done = subprocess.run([str(COMMAND), "--version"], capture_output=True, text=True, check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert done.stdout.strip() == project["version"]

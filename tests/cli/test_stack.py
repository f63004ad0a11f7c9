"""The command against the whole stack: real queues, workers and databases."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.stack import Stack, StackOptions, write_private
from local.target_sql import connect
from tests.cli.sessions import SECONDS, alike, read_sessions, type_all
from tests.cli.shell import COMMAND, ROOT, Shell
from tests.e2e.support import wait_for

MANY = tuple(f"many{number}" for number in range(1, 31))
BROKEN = """PRINT 'hello from ' + DB_NAME();
IF DB_NAME() LIKE 'many1%' SELECT 1/0;
IF DB_NAME() IN ('many2', 'many3') SELECT * FROM dbo.Missing;
"""
HELD = """IF DB_NAME() = 'many30' WHILE OBJECT_ID('dbo.BarsWereSeen') IS NULL WAITFOR DELAY '00:00:00.1';
"""
SLOW = "WAITFOR DELAY '00:01:00'"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    options = StackOptions(
        folder=folder / "stack",
        servers={"manyserver.database.windows.net": MANY},
        workers=1,
        settings={"TICK_SCHEDULE": "*/1 * * * * *"},
    )
    with Stack(options) as stack:
        (folder / ".local").mkdir()
        write_private(folder / ".local" / "endpoint.json", json.dumps(stack.endpoint()))
        yield stack


@pytest.fixture(scope="module")
def environment(stack: Stack, folder: Path) -> dict[str, str]:
    """Of the command, for an agent with a credential and the groups ``many`` and ``one``."""
    endpoint = stack.endpoint()
    env = {"ELASTIC_JOBS_ENDPOINT": endpoint["api"], "ELASTIC_JOBS_TOKEN": endpoint["token"]}
    env["SQL_PASSWORD"] = endpoint["sql"]["password"]
    shell = Shell(folder, env)
    shell.ok("agent", "create", "agent1", "--location", "westeurope")
    shell.ok("credential", "set", "runner", "-u", "sqladmin", "--password-env", "SQL_PASSWORD")
    shell.ok("group", "create", "many")
    shell.ok("group", "members", "add", "many", "--server", "manyserver", "--refresh-credential", "runner")
    shell.ok("group", "create", "one")
    shell.ok("group", "members", "add", "one", "--server", "manyserver", "--database", "many1")
    return env


@pytest.fixture
def here(environment: dict[str, str], tmp_path: Path) -> Iterator[Shell]:
    """The command, on an agent without jobs."""
    shell = Shell(tmp_path, environment)
    yield shell
    for left in jobs(shell):
        shell.ok("job", "delete", left, "--force", "--yes")
    wait_for(lambda: not shell.ok("execution", "list", "--active", "-o", "json").json, 30)


def job(shell: Shell, script: str, group: str = "many", *options: str) -> str:
    shell.ok("job", "create", "job1")
    step = ("step", "create", "job1", "step1", "--script", "-", "--targets", group, "--credential", "runner")
    shell.ok(*step, "--retries", "0", *options, stdin=script)
    return "job1"


def test_a_run_with_failures_is_followed_and_its_errors_are_grouped(here: Shell) -> None:
    answer = here.process("job", "start", job(here, BROKEN), "--watch")
    assert answer.code == 1
    lines = answer.out.splitlines()
    assert re.fullmatch(r"job1  run [0-9a-f-]{36}  Failed after [\d.]+ s", lines[0])
    assert lines[1] == "  1 step1  Failed  30 targets: 17 succeeded, 13 failed"
    assert "  11 targets  error 8134: Divide by zero error encountered." in lines
    assert "   2 targets  error 208: Invalid object name '...'." in lines
    assert answer.out.index("error 8134") < answer.out.index("error 208")
    assert "step 1 step1: Failed, 30 of 30 targets ended (17 succeeded, 13 failed)" in answer.err
    assert "\x1b" not in answer.out + answer.err
    said = here.ok("execution", "logs", "job1", "--failed", "--database", "many2").out
    assert "hello from many2" in said
    assert "Msg 208" in said
    again = here.process("execution", "rerun", "job1", "--failed", "--watch", "-o", "json", "--quiet")
    assert (again.code, again.err) == (1, "")
    assert again.json["steps"][0]["targets"] == {"Failed": 13}
    assert [group["errorNumber"] for group in again.json["errorGroups"]] == [8134, 208]


def test_a_run_that_takes_too_long_ends_with_3(here: Shell) -> None:
    answer = here("job", "start", job(here, SLOW, "one", "--timeout", "1"), "--watch")
    assert answer.code == 3
    assert "TimedOut" in answer.out


def started(shell: Shell, *arguments: str) -> subprocess.Popen[str]:
    """The command as a process that has begun to watch a run."""
    process = subprocess.Popen(
        [str(COMMAND), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=shell.environ()
    )
    wait_for(
        lambda: (
            shell.ok("execution", "targets", "job1", "-o", "json").json
            if shell.ok("execution", "list", "-o", "json").json
            else None
        ),
        30,
    )
    # It watches when it has told of the step.
    assert process.stderr is not None
    assert "step 1 step1" in process.stderr.readline()
    return process


def test_ctrl_c_leaves_the_run_alone_and_says_how_to_cancel_it(here: Shell) -> None:
    process = started(here, "job", "start", job(here, SLOW, "one"), "--watch")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "The run goes on" in said
    command = re.search(r"elastic-jobs (execution cancel job1 [0-9a-f]{8})", said)
    assert command is not None
    assert here.ok("execution", "list", "--active", "-o", "json").json
    here.ok(*command[1].split())
    assert here("execution", "watch", "job1").code == 3


def test_ctrl_c_cancels_when_told_so(here: Shell) -> None:
    process = started(here, "job", "start", job(here, SLOW, "one"), "--watch", "--cancel-on-interrupt")
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert "Canceled" in out
    assert "Traceback" not in said


def jobs(shell: Shell) -> list[str]:
    return [found["name"] for found in shell.ok("job", "list", "-o", "json").json]


def test_a_script_is_run_once_and_leaves_nothing_when_it_succeeded(here: Shell, tmp_path: Path) -> None:
    script = tmp_path / "hello world.sql"
    script.write_text("PRINT 'hello'")
    run = ("run", str(script), "--targets", "one", "--credential", "runner")
    answer = here(*run, "--logs")
    assert answer.code == 0
    assert re.match(r"temporary-\d{8}T\d{6}Z-[0-9a-f]{4}-hello-world  run ", answer.out)
    assert answer.out.endswith("    hello\n")
    assert jobs(here) == []
    assert here(*run, "--keep").code == 0
    assert len(jobs(here)) == 1


def test_a_script_that_fails_leaves_its_job_for_a_rerun(here: Shell) -> None:
    answer = here("run", "-", "--targets", "one", "--credential", "runner", stdin="SELECT 1/0")
    assert answer.code == 1
    (left,) = jobs(here)
    assert f"elastic-jobs execution rerun {left} " in answer.out
    assert "8134" in here.ok("execution", "logs", left).out


def test_a_terminal_gets_bars_and_colours_and_nothing_wider_than_itself(here: Shell, stack: Stack) -> None:
    def let_it_end() -> None:
        assert stack.emulator is not None
        address = {**stack.endpoint()["sql"], "port": stack.emulator.ports["manyserver.database.windows.net"]}
        connect(address, "many30").execute("CREATE TABLE dbo.BarsWereSeen (id int)")

    # A run of a moment can be over between two looks at it, and one that has ended has no bar.
    script = f"{BROKEN}{HELD}"
    code, written = here.terminal(60, "job", "start", job(here, script), "--watch", seen={"━": let_it_end})
    assert code == 1
    assert "\x1b[31m" in written, "what failed is red"
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).replace("\r", "\n")
    commands = [line for line in plain.splitlines() if "elastic-jobs" in line]
    assert [line for line in plain.splitlines() if line not in commands and len(line) > 60] == []
    assert "such as manyserver/many" in plain


@pytest.mark.timeout(SECONDS + 40)
def test_the_tutorial_shows_what_it_says(environment: dict[str, str], folder: Path, tmp_path: Path) -> None:
    # The last of this file, because the reader of the tutorial begins without an agent.
    Shell(tmp_path, environment).ok("agent", "delete", "--yes")
    page = ROOT / "docs" / "tutorial-cli.md"
    session = read_sessions(page)
    assert len(session) > 25
    env = {**Shell(tmp_path, {}).environ(), "PATH": f"{COMMAND.parent}:{os.environ['PATH']}", "PWD": str(folder)}
    for typed, shown in zip(session, type_all(session, folder, env), strict=True):
        assert alike(shown) == alike(typed.shows), f"{page.name}, line {typed.line}: {typed.command}\n{shown}"

"""Broken files are refused, each with file, line and reason, all of them at once; and nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from elastic_jobs.cli.errors import UsageError
from elastic_jobs.cli.files.model import Definitions
from elastic_jobs.cli.files.problems import BrokenFilesError
from elastic_jobs.cli.files.reading import read_folder
from elastic_jobs.cli.files.writing import write_folder
from tests.cli.files_support import Agent, running_agent, sample

GROUP = """\
name: Servers
members:
  - type: SqlServer
    serverName: server1
    refreshCredential: refresh
"""
STEP = """\
  - name: one
    targetGroup: Servers
    credential: runner
    sql: SELECT 1
"""
JOB = f"""\
name: nightly
schedule:
  enabled: true
  interval: P1D
steps:
{STEP}"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one group and one job, as people write it."""
    put(tmp_path, "groups/Servers.yaml", GROUP)
    put(tmp_path, "jobs/nightly.yaml", JOB)
    return tmp_path


def put(folder: Path, path: str, content: str | bytes) -> None:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)


def problems(folder: Path) -> list[str]:
    with pytest.raises(BrokenFilesError) as caught:
        read_folder(folder)
    assert str(caught.value).splitlines()[1:] == [str(problem) for problem in caught.value.problems]
    return [str(problem) for problem in caught.value.problems]


def test_the_files_that_people_write(folder: Path) -> None:
    found = read_folder(folder)
    assert [group.name for group in found.groups] == ["Servers"]
    (job,) = found.jobs
    assert (job.name, job.schedule.enabled, job.steps[0].command) == ("nightly", True, "SELECT 1")
    # The file's name is the name when none is written; comments and other files do not matter.
    put(folder, "jobs/weekly%2Freport.yaml", "# later\nsteps: []\n")
    put(folder, "jobs/README.md", "hello")
    put(folder, "notes.txt", "hello")
    assert [each.name for each in read_folder(folder).jobs] == ["nightly", "weekly/report"]


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        (
            "jobs/nightly.yaml",
            JOB.replace("interval:", "intervall:"),
            "jobs/nightly.yaml:4: A schedule has no key 'intervall'; did you mean 'interval'?",
        ),
        (
            "jobs/nightly.yaml",
            JOB.replace("enabled: true", "enabled: yes please"),
            "jobs/nightly.yaml:3: 'enabled' must be true or false, not 'yes please'.",
        ),
        (
            "jobs/nightly.yaml",
            JOB.replace("enabled: true", "enabled: yes"),
            "jobs/nightly.yaml:3: 'enabled' must be true or false, not 'yes'.",
        ),
        (
            "jobs/nightly.yaml",
            JOB.replace("P1D", "daily"),
            "jobs/nightly.yaml:4: 'interval' cannot be 'daily'; write a duration such as PT5M, PT1H, P1D, P1W or P1M.",
        ),
        (
            "jobs/nightly.yaml",
            JOB + "    maxParallelism: many\n",
            "jobs/nightly.yaml:10: 'maxParallelism' must be a whole number, not 'many'.",
        ),
        (
            "jobs/nightly.yaml",
            JOB + "    executionOptions:\n      retryAttempts: -1\n",
            "jobs/nightly.yaml:11: 'retryAttempts' is -1; it must be from 0 to 2147483647.",
        ),
        (
            "jobs/nightly.yaml",
            JOB + "    executionOptions: {initialRetryIntervalSeconds: 9, maximumRetryIntervalSeconds: 5}\n",
            "jobs/nightly.yaml:10: The longest wait before a retry (5 s) is shorter than the first one (9 s).",
        ),
        (
            "jobs/nightly.yaml",
            JOB + "    output: {serverName: s, databaseName: d}\n",
            "jobs/nightly.yaml:10: The output has no 'tableName'.",
        ),
        (
            "jobs/nightly.yaml",
            JOB
            + "    output:\n      serverName: s\n      databaseName: d\n      tableName: t\n      subscriptionId: 7\n",
            "jobs/nightly.yaml:14: 'subscriptionId' must be text, not a number; for the text write '7' in quotes.",
        ),
        (
            "jobs/nightly.yaml",
            JOB.replace("targetGroup: Servers", "targetGroup: Server"),
            "jobs/nightly.yaml:7: There is no target group 'Server' in the files.",
        ),
        (
            "jobs/nightly.yaml",
            JOB + "    sql: SELECT 2\n",
            "jobs/nightly.yaml:10: The key 'sql' stands here twice, first in line 9; leave one out.",
        ),
        (
            "jobs/nightly.yaml",
            JOB + "    script: nightly/one.sql\n",
            "jobs/nightly.yaml:6: The step must have either 'script' or 'sql', not both.",
        ),
        (
            "jobs/nightly.yaml",
            JOB + STEP.replace("one", "ONE"),
            "jobs/nightly.yaml:10: The step 'ONE' stands in line 6, too; rename one.",
        ),
        (
            "jobs/nightly.yaml",
            JOB.replace("sql: SELECT 1", "script: nightly/one.sql"),
            "jobs/nightly.yaml:9: The script jobs/nightly/one.sql is not there.",
        ),
        (
            "jobs/nightly.yaml",
            JOB.replace("sql: SELECT 1", "script: ../../secret.sql"),
            "jobs/nightly.yaml:9: The script '../../secret.sql' must be a path below jobs/ with '/', without '..'.",
        ),
        (
            "jobs/nightly.yaml",
            JOB.replace("sql: SELECT 1", "script: /etc/passwd"),
            "jobs/nightly.yaml:9: The script '/etc/passwd' must be a path below jobs/ with '/', without '..'.",
        ),
        (
            "jobs/nightly.yaml",
            JOB.replace("sql: SELECT 1", "script: 'C:\\x.sql'"),
            "jobs/nightly.yaml:9: The script 'C:\\x.sql' must be a path below jobs/ with '/', without '..'.",
        ),
        ("jobs/nightly.yaml", JOB.replace("sql: SELECT 1", "sql: ' '"), "jobs/nightly.yaml:9: 'sql' is empty."),
        (
            "jobs/nightly.yaml",
            JOB.replace("  interval: P1D", "  startTime: 2030-02-30T00:00:00Z"),
            "jobs/nightly.yaml:4: 'startTime' is no instant of the calendar: '2030-02-30T00:00:00Z'.",
        ),
        (
            "jobs/nightly.yaml",
            JOB.replace("  interval: P1D", "  startTime: 2030-02-01\n  endTime: 2029-02-01"),
            "jobs/nightly.yaml:5: The schedule ends before it starts.",
        ),
        ("jobs/nightly.yaml", JOB + "  x\n", "jobs/nightly.yaml:11: This is no YAML: could not find expected ':'."),
        (
            "jobs/nightly.yaml",
            JOB + "---\nname: b\n",
            "jobs/nightly.yaml:10: This is no YAML: but found another document.",
        ),
        ("jobs/nightly.yaml", "[" * 1500, "jobs/nightly.yaml: The file is nested too deeply."),
        ("jobs/nightly.yaml", "name: a\x01b\n", "jobs/nightly.yaml:1: The character U+0001 is not allowed in YAML."),
        (
            "jobs/nightly.yaml",
            b"name: nightly\n# \xff\n",
            "jobs/nightly.yaml:2: The file is not UTF-8 here (byte 16); save it as UTF-8.",
        ),
        ("jobs/nightly.yaml", "", "jobs/nightly.yaml: The file is empty; it must define a job."),
        ("jobs/nightly.yaml", "- a\n", "jobs/nightly.yaml:1: A job must be keys with values, not a list."),
        (
            "jobs/nightly.yaml",
            "name: !!python/object/apply:os.system ['true']\n",
            "jobs/nightly.yaml:1: 'name' must be one value, not python/object/apply:os.system.",
        ),
        (
            "jobs/nightly.yaml",
            JOB.replace("name: nightly", "name: hourly"),
            "jobs/nightly.yaml:1: The job is called 'hourly' but its file nightly.yaml; call the file hourly.yaml, or "
            "correct the name.",
        ),
        (
            "jobs/a%.yaml",
            "steps: []\n",
            "jobs/a%.yaml: The file's name stands for no name; write the job's 'name' into it.",
        ),
        ("jobs/NIGHTLY.yaml", "steps: []\n", "The job 'nightly' is defined in jobs/NIGHTLY.yaml, too; leave one out."),
        ("jobs/x.yml", "steps: []\n", "jobs/x.yml: The file would be left out; call it x.yaml."),
        ("groups/x.txt", "hello", "groups/x.txt: This is no definition; they are called NAME.yaml."),
        (
            "groups/Servers.yaml",
            GROUP.replace("SqlServer", "SqlServers"),
            "groups/Servers.yaml:3: 'type' cannot be 'SqlServers'; did you mean 'SqlServer'?",
        ),
        (
            "groups/Servers.yaml",
            GROUP.replace("type: SqlServer", "type: SqlDatabase"),
            "groups/Servers.yaml:3: The member has no 'databaseName'; a SqlDatabase needs one.",
        ),
        (
            "groups/Servers.yaml",
            GROUP + "    databaseName: d\n",
            "groups/Servers.yaml:6: The member has a 'databaseName'; leave it out of a SqlServer.",
        ),
        (
            "groups/Servers.yaml",
            GROUP + "  - {type: SqlServer, serverName: SERVER1, refreshCredential: x}\n",
            "groups/Servers.yaml:6: The member SqlServer SERVER1 stands in line 3, too; leave one out.",
        ),
        ("groups/Servers.yaml", "name: Servers\n", "groups/Servers.yaml:1: The target group has no 'members'."),
        (
            "groups/Servers.yaml",
            GROUP.replace("server1", "x" * 129),
            "groups/Servers.yaml:4: 'serverName' has 129 characters; at most 128 are allowed.",
        ),
    ],
)
def test_what_is_refused(folder: Path, file: str, content: str | bytes, expected: str) -> None:
    put(folder, file, content)
    assert any(expected in problem for problem in problems(folder)), problems(folder)


def test_all_problems_are_told_at_once(folder: Path) -> None:
    put(folder, "groups/Servers.yaml", "name: Servers\nmember: []\n")
    put(
        folder,
        "jobs/nightly.yaml",
        JOB.replace("enabled: true", "enable: true").replace("credential: ", "credentials: "),
    )
    assert problems(folder) == [
        "groups/Servers.yaml:1: The target group has no 'members'.",
        "groups/Servers.yaml:2: A target group has no key 'member'; did you mean 'members'?",
        "jobs/nightly.yaml:3: A schedule has no key 'enable'; did you mean 'enabled'?",
        "jobs/nightly.yaml:8: A step has no key 'credentials'; did you mean 'credential'?",
    ]


def test_links_out_of_the_folder_are_refused(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    put(outside, "secret.sql", "SELECT 'secret'")
    put(outside, "weekly.yaml", "steps: []\n")
    (folder / "jobs" / "nightly").mkdir()
    (folder / "jobs" / "nightly" / "one.sql").symlink_to(outside / "secret.sql")
    (folder / "jobs" / "weekly.yaml").symlink_to(outside / "weekly.yaml")
    (folder / "jobs" / "away").symlink_to(outside)
    put(
        folder,
        "jobs/nightly.yaml",
        JOB.replace("sql: SELECT 1", "script: nightly/one.sql")
        + STEP.replace("one", "two").replace("sql: SELECT 1", "script: away/secret.sql"),
    )
    assert problems(folder) == [
        "jobs/nightly.yaml:9: The script jobs/nightly/one.sql leads out of the definitions' folder; copy it into it.",
        "jobs/nightly.yaml:13: The script jobs/away/secret.sql leads out of the definitions' folder; copy it into it.",
        "jobs/weekly.yaml: The file leads out of the definitions' folder; copy it into it.",
    ]
    # Within the folder links are fine.
    (folder / "jobs" / "weekly.yaml").unlink()
    (folder / "jobs" / "nightly" / "one.sql").unlink()
    put(folder, "jobs/shared.sql/x.sql", "SELECT 5")
    (folder / "jobs" / "nightly" / "one.sql").symlink_to(folder / "jobs" / "shared.sql" / "x.sql")
    put(folder, "jobs/nightly.yaml", JOB.replace("sql: SELECT 1", "script: nightly/one.sql"))
    assert read_folder(folder).jobs[0].steps[0].command == "SELECT 5"


def test_what_is_no_file_is_not_waited_for(folder: Path) -> None:
    (folder / "jobs" / "nightly").mkdir()
    os.mkfifo(folder / "jobs" / "nightly" / "one.sql")
    put(folder, "jobs/nightly.yaml", JOB.replace("sql: SELECT 1", "script: nightly/one.sql"))
    assert problems(folder) == ["jobs/nightly.yaml:9: The script jobs/nightly/one.sql is no file."]


def test_an_export_does_not_follow_links_and_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "estate").mkdir()
    (tmp_path / "estate" / "groups").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is a link; nothing was written"):
        write_folder(tmp_path / "estate", sample(), replace=True)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    write_folder(tmp_path / "other", sample(), replace=False)
    put(tmp_path / "other", "README.md", "ours")
    put(tmp_path / "other", "jobs/old/one.sql", "SELECT 1")
    with pytest.raises(UsageError, match="holds definitions already"):
        write_folder(tmp_path / "other", Definitions(), replace=False)
    write_folder(tmp_path / "other", Definitions(), replace=True)
    left = {file.relative_to(tmp_path / "other").as_posix() for file in (tmp_path / "other").rglob("*")}
    assert left == {".gitattributes", "README.md", "groups", "jobs"}


def test_a_wrong_folder_is_no_empty_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no folder"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="neither a folder 'groups' nor a folder 'jobs'"):
        read_folder(tmp_path)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with running_agent(tmp_path_factory.mktemp("agent")) as running:
        running.apply(sample())
        yield running


@pytest.mark.parametrize("words", [("plan",), ("apply", "--yes"), ("apply", "--yes", "--prune")])
def test_a_broken_file_changes_nothing(agent: Agent, folder: Path, words: tuple[str, ...]) -> None:
    put(folder, "jobs/broken.yaml", "name: broken\nstep: []\n")
    audited = len(list(agent.client.pages("/audit")))
    result = agent.run(words[0], folder, *words[1:])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        "1 problem in the files; nothing was changed.\n"
        "jobs/broken.yaml:2: A job has no key 'step'; did you mean 'steps'?\n"
    )
    assert agent.holds() == sample()
    assert len(list(agent.client.pages("/audit"))) == audited

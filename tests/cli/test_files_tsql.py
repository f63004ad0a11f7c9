"""The way back: definitions as calls of the documented procedures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from elastic_jobs.cli.files.model import Definitions, JobDefinition, same_group, same_job
from elastic_jobs.cli.files.tsql import text, tsql_script
from elastic_jobs.cli.moving.job_database import _Views
from elastic_jobs.domain.script import split
from tests.cli.files_support import Agent, running_agent, sample
from tests.definitions.conftest import Hand
from tests.tsql.conftest import bare, face, real_server, server_database, server_hand, sessions  # noqa: F401  # fixtures
from tests.tsql.contract import PROCEDURES
from tests.tsql.face import Face

USERS = {"runner": "job'user", "refresh": "refresher"}
NASTY = "PRINT N'it''s';\r\nGO\r\n  go 2 -- twice\nSELECT '$(job_name)', $(job_id)\nGO"


def nasty() -> Definitions:
    """The sample, with a script and names that tools which send scripts would take apart."""
    found = sample()
    job = found.jobs[1]
    steps = (replace(job.steps[0], command=NASTY + "x" * 9000), *job.steps[1:])
    odd = JobDefinition(name="it's [odd]", description="two\nlines\nGO\n", steps=steps)
    return replace(found, jobs=(*found.jobs, odd)).sorted()


def test_the_script_calls_the_documented_procedures_with_their_arguments() -> None:
    script = tsql_script(nasty(), USERS)
    calls = re.findall(r"^EXEC jobs\.(\w+)\n(.*?);\nGO$", script, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in calls] == [
        *("sp_add_target_group", "sp_add_target_group_member"),
        *("sp_add_target_group", "sp_add_target_group_member", "sp_add_target_group_member"),
        *("sp_add_job",),
        *("sp_add_job", "sp_add_jobstep", "sp_add_jobstep"),
        *("sp_add_job", "sp_add_jobstep", "sp_add_jobstep"),
        "sp_update_job",
    ]
    for name, arguments in calls:
        known = {parameter for parameter, *_ in PROCEDURES[name]}
        given = re.findall(r"^    (@\w+) =", arguments, re.MULTILINE)
        assert set(given) <= known
        assert len(given) == len(set(given))
    assert "--   CREATE DATABASE SCOPED CREDENTIAL [runner] WITH IDENTITY = 'job''user', SECRET = '<secret>';" in script
    assert "@enabled = 1" in calls[-1][1]
    assert script.count("@enabled = 1") == 1, "schedules are switched on last"


def test_the_comments_say_what_is_to_be_done_and_nothing_gets_out_of_them() -> None:
    script = tsql_script(sample(), USERS | {"runner": "x\r\nDROP TABLE t"})
    assert "-- Azure wants whole server names; these have no suffix: server1, server2." in script
    assert "IDENTITY = 'x DROP TABLE t'" in script
    assert not re.search("^DROP", script, re.MULTILINE)


def test_no_tool_takes_the_script_apart_in_a_literal() -> None:
    script = tsql_script(nasty(), USERS)
    assert "$(" not in script
    separators = len(re.findall(r"(?im)^[ \t]*go\b.*$", script))
    assert separators == script.count("\nEXEC jobs.") == len(split(script))


@pytest.mark.parametrize(
    "value", ["plain", "it's", "", NASTY, "GO", "go\r\n", "a\ngo 3\nb", "x$(y)z", "category\ngone"]
)
def test_a_text_comes_out_as_it_was(value: str) -> None:
    expression = text(value)
    pieces = re.findall(r"N'((?:[^']|'')*)'", expression)
    assert "".join(piece.replace("''", "'") for piece in pieces) == value


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with running_agent(tmp_path_factory.mktemp("agent")) as running:
        running.apply(sample())
        yield running


def test_the_command_writes_it_and_overwrites_nothing(agent: Agent, tmp_path: Path) -> None:
    file = tmp_path / "estate.sql"
    assert agent.run("export", "--to-tsql", file).exit_code == 0
    assert file.read_bytes() == tsql_script(sample(), {"runner": "runner", "refresh": "refresh"}).encode()
    refused = agent.run("export", "--to-tsql", file)
    assert refused.exit_code == 2
    assert "is there already; say --replace" in refused.stderr
    assert agent.run("export", "--to-tsql", file, "--replace").exit_code == 0
    assert agent.run("export", "--to-tsql", "-").stdout_bytes == file.read_bytes()
    assert agent.run("export").exit_code == 2
    assert agent.run("export", tmp_path / "x", "--to-tsql", file).exit_code == 2


def test_a_job_database_holds_the_same_afterwards(server_hand: Hand, face: Face) -> None:  # noqa: F811  # fixtures
    """On a T-SQL engine, when one is named: through the procedures, and back through the views."""
    server_hand.credential("runner")
    server_hand.credential("refresh")
    wanted = nasty()
    for batch in split(tsql_script(wanted, USERS)):
        face.run(batch.text)
    with server_hand.database.read() as connection:
        found = _Views(connection).read("x").definitions
    for group, other in zip(wanted.groups, found.groups, strict=True):
        assert group.name == other.name
        assert same_group(group, other)
    for job, other_job in zip(wanted.jobs, found.jobs, strict=True):
        assert same_job(job, other_job), (job, other_job)

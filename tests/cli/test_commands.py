"""The verbs against the real API: what they define, what they keep, and how they end."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from elastic_jobs.domain.lifecycle import Lifecycle
from tests.api.support import Server, finish, token
from tests.cli.shell import Shell


@pytest.fixture
def script(tmp_path: Path) -> str:
    file = tmp_path / "script.sql"
    file.write_text("SELECT 1\n", encoding="utf-8-sig")
    return str(file)


@pytest.fixture
def job(server: Server) -> str:
    """A job with one step on two databases."""
    server.ready_job()
    members = [{"type": "SqlDatabase", "serverName": "server1", "databaseName": f"database{n}"} for n in (1, 2)]
    server.put("/targetGroups/group1", {"properties": {"members": members}})
    return "job1"


def test_from_nothing_to_a_job(shell: Shell, server: Server, script: str) -> None:
    shell.ok("agent", "create", "agent1", "--location", "westeurope")
    shell.ok("credential", "set", "runner", "-u", "jobuser", "--password-stdin", stdin="Pa55word\n")
    shell.ok("group", "create", "group1")
    shell.ok("group", "members", "add", "group1", "--server", "server1", "--database", "database1")
    shell.ok("job", "create", "job1", "--description", "for tests")
    shell.ok("step", "create", "job1", "step1", "--script", script, "--targets", "group1", "--credential", "runner")
    found = server.get("/jobs/job1/steps/step1")["properties"]
    assert found["action"]["value"] == "SELECT 1\n", "the mark at the beginning of the file is gone"
    assert shell.ok("job", "list").out.splitlines()[1].split() == ["job1", "by", "hand", "1", "for", "tests"]


def test_agent(shell: Shell) -> None:
    answer = shell("agent", "show")
    assert answer.code == 1
    assert "elastic-jobs agent create NAME --location LOCATION" in answer.err
    shell.ok("agent", "create", "agent1", "--location", "westeurope", "--sku", "JA200", "--tag", "a=b=c")
    shell.ok("agent", "update", "--sku", "JA400")
    agent = shell.ok("agent", "show", "-o", "json").json
    assert (agent["sku"]["capacity"], agent["tags"]) == (400, {"a": "b=c"})
    identity = (
        "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/group/providers/Microsoft.ManagedIdentity"
        "/userAssignedIdentities/runner"
    )
    shell.ok("agent", "update", "--identity", identity, "--allowed-server", "*.database.windows.net")
    assert "allowed servers  *.database.windows.net" in shell.ok("agent", "show").out
    shell.ok("agent", "update", "--no-identity")
    assert "identity" not in shell.ok("agent", "show", "-o", "json").json
    shell.ok("agent", "delete", "--yes")
    assert shell("agent", "show").code == 1


IMPOSSIBLE = (
    (("agent", "update"), "Nothing is to be changed"),
    (("agent", "update", "--no-identity", "--identity", "x"), "leave --identity"),
    (("agent", "update", "--allowed-server", "x"), "name it with --identity"),
    (("agent", "create", "a", "--location", "w", "--tag", "word"), "write it as name=value"),
    (("job", "update", "job1"), "Nothing is to be changed"),
    (("job", "create", "job1"), "already"),
    (("job", "create", "job2", "--every", "often"), "no interval"),
    (("job", "create", "job2", "--start", "soon"), "no instant"),
    (("step", "create", "job1", "step1", "--script", "-", "--targets", "group1"), "already"),
    (("step", "create", "job1", "step2", "--script", "-"), "--targets GROUP"),
    (("step", "create", "job1", "step2", "--script", "/nowhere.sql", "--targets", "group1"), "cannot be read"),
    (("step", "create", "job1", "step2", "--script", "-", "--targets", "group1"), "is empty"),
    (("step", "update", "job1", "step1", "--output-table", "T"), "--output-server and --output-database"),
    (("group", "create", "group1"), "already"),
    (("group", "members", "add", "group1", "--server", "s", "--pool", "p", "--database", "d"), "leave --database"),
    (("group", "members", "add", "group1", "--server", "s", "--shard-map", "m"), "needs --database"),
    (("group", "members", "remove", "group1", "--server", "elsewhere"), "no such member"),
    (("credential", "set", "x", "-u", "u"), "Nobody can be asked for the password"),
    (("credential", "set", "x", "-u", "u", "--password-env", "NOT_SET"), "NOT_SET is not set"),
    (("credential", "set", "x", "-u", "u", "--password-stdin"), "Standard input is empty"),
    (("credential", "set", "x", "-u", "u", "--allowed-server", "s", "--no-allowed-servers"), "name one of them"),
    (("execution", "show", "job1"), "has not run yet"),
    (("execution", "show", "job1", "xyz"), "no id of a run"),
    (("execution", "show", "job1", "12345"), "none of the latest"),
    (("execution", "rerun", "job1"), "--failed"),
    (("execution", "list", "--since", "yesterday"), "no instant"),
    (("job", "delete", "job1"), "say --yes"),
    (("step", "delete", "job1", "step1"), "say --yes"),
    (("group", "delete", "group1"), "say --yes"),
    (("credential", "delete", "runner"), "say --yes"),
    (("agent", "delete"), "say --yes"),
)


def test_what_cannot_be_asked_for_ends_with_2(shell: Shell, job: str) -> None:
    for arguments, words in IMPOSSIBLE:
        answer = shell(*arguments)
        assert (answer.code, answer.out) == (2, ""), answer
        assert words in answer.err
    assert shell.ok("job", "show", job, "-o", "json").json["properties"]["version"] == 1, "nothing was changed"


def test_a_script_that_is_no_utf_8(shell: Shell, job: str, tmp_path: Path) -> None:
    file = tmp_path / "latin.sql"
    file.write_bytes("PRINT 'ä'".encode("latin-1"))
    answer = shell("step", "update", job, "step1", "--script", str(file))
    assert (answer.code, "is no UTF-8 (at byte 7)" in answer.err) == (2, True)


def test_what_the_api_refuses_ends_with_1(shell: Shell, job: str) -> None:
    for arguments, words in (
        (("job", "show", "nowhere"), "'nowhere' was not found"),
        (("group", "delete", "group1", "--yes"), "group1"),
        (("job", "start", "nowhere"), "nowhere"),
        (("execution", "rerun", job, "11111111-2222-3333-4444-555555555555", "--failed"), "was not found"),
        (("group", "preflight", "group1"), "needs a credential"),
    ):
        answer = shell(*arguments)
        assert (answer.code, answer.out) == (1, ""), answer
        assert words in answer.err


def test_who_may_not_ends_with_4(shell: Shell, job: str) -> None:
    shell.env["ELASTIC_JOBS_TOKEN"] = token("Reader")
    shell.ok("job", "list")
    for arguments, role in (
        (("job", "start", job), "Operator"),
        (("job", "disable", job), "Contributor"),
        (("credential", "delete", "runner", "--yes"), "CredentialAdmin"),
        (("run", "-", "--targets", "group1"), "Contributor"),
    ):
        answer = shell(*arguments, stdin="SELECT 1")
        assert answer.code == 4
        assert f"needs the role {role}" in answer.err
    shell.env["ELASTIC_JOBS_TOKEN"] = "wrong"
    assert shell("job", "list").code == 4


def test_job_and_schedule(shell: Shell, job: str) -> None:
    shell.ok("job", "update", job, "--every", "1mo", "--start", "2030-01-31T08:00:00Z", "--end", "2031-01-01")
    shell.ok("job", "enable", job)
    found = shell.ok("job", "show", job, "-o", "json").json["properties"]
    assert found["schedule"] == {
        "startTime": "2030-01-31T08:00:00Z",
        "endTime": "2031-01-01T00:00:00Z",
        "type": "Recurring",
        "interval": "P1M",
        "enabled": True,
    }
    assert shell.ok("job", "next", job, "--count", "3").out.splitlines() == [
        "NEXT",
        "2030-01-31 08:00:00Z",
        "2030-02-28 08:00:00Z",
        "2030-03-31 08:00:00Z",
    ]
    planned = shell.ok(
        "job", "next", "not-there-yet", "--every", "1d", "--start", "2030-01-01T00:00:00Z", "--count", "2"
    )
    assert planned.out.splitlines()[1:] == ["2030-01-01 00:00:00Z", "2030-01-02 00:00:00Z"]
    shell.ok("job", "update", job, "--every", "once")
    shell.ok("job", "disable", job)
    found = shell.ok("job", "show", job, "-o", "json").json["properties"]["schedule"]
    assert (found["type"], found["enabled"], found["startTime"]) == ("Once", False, "2030-01-31T08:00:00Z")
    shell.ok("job", "delete", job, "--yes")
    assert shell.ok("job", "list", "-o", "json").json == []


def test_steps_and_versions(shell: Shell, job: str, script: str) -> None:
    output = ("--output-server", "server1", "--output-database", "results", "--output-table", "report.Sizes")
    shell.ok(
        "step",
        "create",
        job,
        "first",
        "--script",
        "-",
        "--targets",
        "group1",
        "--credential",
        "runner",
        "--id",
        "1",
        "--retries",
        "3",
        "--timeout",
        "60",
        "--output-credential",
        "runner",
        *output,
        stdin="SELECT 2",
    )
    listed = shell.ok("step", "list", job, "-o", "json").json
    assert [step["name"] for step in listed] == ["first", "step1"]
    first = listed[0]["properties"]
    assert first["action"]["value"] == "SELECT 2"
    assert (first["output"]["schemaName"], first["output"]["tableName"]) == ("report", "Sizes")
    assert (first["executionOptions"]["retryAttempts"], first["executionOptions"]["timeoutSeconds"]) == (3, 60)
    shell.ok("step", "update", job, "first", "--no-output", "--retries", "0")
    changed = shell.ok("step", "show", job, "first", "-o", "json").json["properties"]
    assert "output" not in changed
    assert (changed["executionOptions"]["retryAttempts"], changed["executionOptions"]["timeoutSeconds"]) == (0, 60)
    assert changed["action"]["value"] == "SELECT 2"
    assert shell.ok("job", "versions", job).out.split() == ["VERSION", "0", "1", "2", "3"]
    old = shell.ok("step", "list", job, "--version", "1", "-o", "json").json
    assert [step["name"] for step in old] == ["step1"]
    assert "script      SELECT 1" in shell.ok("step", "show", job, "step1", "--version", "1").out
    shell.ok("step", "delete", job, "first", "--yes")
    assert [step["name"] for step in shell.ok("step", "list", job, "-o", "json").json] == ["step1"]


def test_members_of_a_group(shell: Shell, job: str) -> None:
    add = ("group", "members", "add", "group1")
    shell.ok(*add, "--server", "server2", "--refresh-credential", "runner")
    shell.ok(*add, "--server", "server2", "--pool", "pool1", "--refresh-credential", "runner")
    shell.ok(*add, "--server", "server2", "--database", "maps", "--shard-map", "map1", "--refresh-credential", "runner")
    shell.ok("group", "members", "exclude", "group1", "--server", "server2", "--database", "secret")
    shell.ok("group", "members", "remove", "group1", "--server", "SERVER1", "--database", "Database2")
    shell.ok("group", "members", "remove", "group1", "--server", "server2.database.windows.net", "--pool", "pool1")
    shown = shell.ok("group", "show", "group1").out
    assert [line.removeprefix("members").strip() for line in shown.splitlines()[1:]] == [
        "include server1/database1",
        "include server2 (listed with runner)",
        "include server2/maps shard map map1 (listed with runner)",
        "exclude server2/secret",
    ]
    assert "EXCLUDES" in shell.ok("group", "list").out
    answer = shell("group", "resolve", "group1")
    assert answer.code == 1
    assert "server2" in answer.err
    assert "a step runs nowhere" in answer.err
    assert not shell("group", "resolve", "group1", "-o", "json").json["complete"]


def test_resolve_preflight_and_users(shell: Shell, job: str, tmp_path: Path) -> None:
    assert shell.ok("group", "resolve", "group1").out.splitlines() == [
        "SERVER   DATABASE",
        "server1  database1",
        "server1  database2",
    ]
    assert "ok" in shell.ok("group", "preflight", "group1", "--credential", "runner").out
    shell.ok("group", "user-setup", "group1", "--credential", "runner", "--folder", str(tmp_path / "setup"))
    assert [file.name for file in sorted((tmp_path / "setup").iterdir())] == [
        "server1.database1.sql",
        "server1.database2.sql",
        "server1.master.sql",
    ]
    said = shell.ok("group", "user-setup", "group1", "--credential", "runner", "--access", "write").out
    assert "-- server1, database database1" in said
    assert "FROM LOGIN [u]" in said


def test_a_secret_goes_in_and_never_comes_out(shell: Shell, job: str) -> None:
    secret = "Canary-5up3r!"
    shell.env["SECRET"] = secret
    answer = shell.ok(
        "credential",
        "set",
        "runner",
        "-u",
        "other",
        "--password-env",
        "SECRET",
        "-o",
        "json",
        "--allowed-server",
        "server1",
    )
    assert answer.json["properties"]["username"] == "other"
    for arguments in (("show", "runner"), ("list", "-o", "json"), ("show", "runner", "-o", "yaml")):
        answer = shell.ok("credential", *arguments)
        assert secret not in answer.out + answer.err
    shell.ok("credential", "set", "runner", "-u", "x", "--password-stdin", "--no-allowed-servers", stdin=secret)
    assert "as the deployment allows" in shell.ok("credential", "show", "runner").out
    refused = shell("credential", "set", "runner", "-u", "x" * 200, "--password-env", "SECRET")
    assert (refused.code, secret in refused.err) == (1, False)


def test_runs(shell: Shell, server: Server, job: str) -> None:
    first = shell.ok("job", "start", job).out.strip()
    assert shell.ok("execution", "list", "--active", "-o", "json").json[0]["name"] == first
    shell.ok("execution", "cancel", job)
    finish(server.database, UUID(first), Lifecycle.FAILED, databases=3)
    second = shell.ok("job", "start", job, "-o", "json").json["name"]
    assert [run["name"] for run in shell.ok("execution", "list", "--job", job, "-o", "json").json] == [second, first]
    assert (
        shell.ok("execution", "list", "--job", job, "--top", "1", "--since", "1h", "-o", "json").json[0]["name"]
        == second
    )
    shown = shell.ok("execution", "show", job, first[:8])
    assert "3 targets: 3 failed" in shown.out
    assert "Errors, the biggest group first" in shown.out
    assert f"elastic-jobs execution rerun {job} {first[:8]} --failed -w" in shown.out
    assert len(shell.ok("execution", "targets", job, first, "--failed", "-o", "json").json) == 3
    assert shell.ok("execution", "targets", job, first, "--step", "step1").out.count("Failed") == 3
    said = shell.ok("execution", "logs", job, first, "--database", "DATABASE1").out
    assert said.splitlines()[1:] == ["    hi", "    (3 rows affected)"]
    assert shell.ok("execution", "errors", job, first, "-o", "json").json[0]["targets"] == 3
    watched = shell("execution", "watch", job, first)
    assert watched.code == 1
    again = shell.ok("execution", "rerun", job, first, "--failed", "-o", "json").json
    assert again["properties"]["rerunOf"] == first


def test_the_end_of_a_run_is_the_exit_code(shell: Shell, server: Server, job: str) -> None:
    for end, code in (
        (Lifecycle.SUCCEEDED, 0),
        (Lifecycle.FAILED, 1),
        (Lifecycle.TIMED_OUT, 3),
        (Lifecycle.CANCELED, 3),
    ):
        run = shell.ok("job", "start", job).out.strip()
        finish(server.database, UUID(run), end)
        answer = shell("execution", "watch", job, "-o", "json")
        assert answer.code == code
        assert answer.json["properties"]["lifecycle"] == end


def test_audit(shell: Shell, job: str) -> None:
    rows = shell.ok("agent", "audit", "--resource", f"jobs/{job}", "--top", "2", "-o", "json").json
    assert len(rows) == 2
    assert all(row["resource"].startswith(f"jobs/{job}") for row in rows)


def test_run_leaves_nothing_behind_when_its_step_is_refused(shell: Shell, job: str) -> None:
    answer = shell("run", "-", "--targets", "nowhere", "--credential", "runner", stdin="SELECT 1")
    assert (answer.code, "nowhere" in answer.err) == (1, True)
    assert [found["name"] for found in shell.ok("job", "list", "-o", "json").json] == [job]

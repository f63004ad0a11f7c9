"""The doctor: each thing that can be wrong is found, and has a way out."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from elastic_jobs.cli import doctor
from elastic_jobs.cli.doctor import Estate, Finding, Level
from elastic_jobs.jobdb.execution_tables import job_executions
from tests.api.support import ALL_ROLES, Server, token
from tests.cli.shell import Shell
from tests.cli.wire import Reply, ScriptedServer, refusal

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
AGENT = {"name": "agent1", "sku": {"capacity": 100}}
RUNNER = {"name": "runner"}


def group(*members: dict[str, str], name: str = "group1") -> dict[str, Any]:
    return {"name": name, "properties": {"members": list(members)}}


def job(**properties: Any) -> dict[str, Any]:
    schedule = {"enabled": False, "endTime": "9999-12-31T11:59:59Z"} | properties.pop("schedule", {})
    return {"name": "job1", "properties": {"schedule": schedule, **properties}}


def step(credential: str | None) -> dict[str, Any]:
    return {"name": "step1", "properties": {"targetGroup": "group1", "credential": credential}}


def only(findings: Any) -> Finding:
    (found,) = findings
    assert isinstance(found, Finding)
    return found


def test_tls_and_its_certificate() -> None:
    assert doctor.check_tls("http://127.0.0.1", None, NOW).level is Level.OK
    good = doctor.check_tls("https://x", NOW + timedelta(days=90), NOW)
    assert (good.level, "2026-07-30" in good.found) == (Level.OK, True)
    soon = doctor.check_tls("https://x", NOW + timedelta(days=3), NOW)
    assert (soon.level, "3 more days" in soon.found) == (Level.WARNING, True)


@pytest.mark.parametrize(
    ("seconds", "level", "words"),
    [(2, Level.OK, "2 s apart"), (120, Level.PROBLEM, "120 s ahead"), (-3600, Level.PROBLEM, "3600 s behind")],
)
def test_clocks(seconds: int, level: Level, words: str) -> None:
    found = doctor.check_clock(format_datetime(NOW - timedelta(seconds=seconds), usegmt=True), NOW)
    assert (found.level, words in found.found) == (level, True)


def test_a_clock_that_nobody_tells() -> None:
    assert {doctor.check_clock(date, NOW).level for date in (None, "", "noon")} == {Level.WARNING}


def test_tokens() -> None:
    ends = (NOW + timedelta(hours=5)).timestamp()
    roles, end = doctor.check_token({"roles": ["Operator", "Reader"], "exp": ends}, NOW)
    assert roles.found == "Reader, Operator (not: Contributor, CredentialAdmin)"
    assert (end.level, end.found) == (Level.OK, "good for 5 h")
    nothing, soon = doctor.check_token({"exp": NOW.timestamp() + 60}, NOW)
    assert (nothing.level, soon.level) == (Level.PROBLEM, Level.WARNING)
    assert only(doctor.check_token({}, NOW)).level is Level.WARNING
    assert [found.level for found in doctor.check_token({"roles": ["Reader"]}, NOW)] == [Level.OK, Level.WARNING]


def test_the_agent() -> None:
    assert "agent create" in only(doctor.check_agent(Estate(now=NOW, agent=None))).way_out
    *_, alone = doctor.check_agent(Estate(now=NOW, agent=AGENT))
    assert (alone.level, "credential set" in alone.way_out) == (Level.PROBLEM, True)
    for estate in (
        Estate(now=NOW, agent=AGENT, credentials=[RUNNER]),
        Estate(now=NOW, agent={**AGENT, "identity": {"type": "UserAssigned"}}),
    ):
        assert {found.level for found in doctor.check_agent(estate)} == {Level.OK}


def test_groups() -> None:
    include = {"membershipType": "Include", "type": "SqlServer", "refreshCredential": "/x/credentials/runner"}
    well = Estate(now=NOW, agent=AGENT, groups=[group(include)], credentials=[{"name": "RUNNER"}])
    assert only(doctor.check_groups(well)).level is Level.OK
    assert only(doctor.check_groups(Estate(now=NOW, agent=AGENT))).way_out.endswith("group create NAME")
    lost = only(doctor.check_groups(Estate(now=NOW, agent=AGENT, groups=[group(include)])))
    assert (lost.level, "'runner', which is not there" in lost.found) == (Level.PROBLEM, True)
    empty = Estate(now=NOW, agent=AGENT, groups=[group({"membershipType": "Exclude"}, name="a b")])
    found = only(doctor.check_groups(empty))
    assert (found.level, "members add 'a b'" in found.way_out) == (Level.WARNING, True)


def test_jobs() -> None:
    assert only(doctor.check_jobs(Estate(now=NOW, agent=AGENT))).found == "there is none"
    well = Estate(now=NOW, agent=AGENT, credentials=[RUNNER], jobs=[job()], steps={"job1": [step("runner")]})
    assert only(doctor.check_jobs(well)).level is Level.OK
    stepless = only(doctor.check_jobs(Estate(now=NOW, agent=AGENT, jobs=[job()])))
    assert (stepless.level, "step create job1" in stepless.way_out) == (Level.WARNING, True)
    for credential, words in ((None, "has no credential"), ("gone", "'gone', which is not there")):
        estate = Estate(now=NOW, agent=AGENT, jobs=[job()], steps={"job1": [step(credential)]})
        found = only(doctor.check_jobs(estate))
        assert (found.level, words in found.found) == (Level.PROBLEM, True)
    by_identity = {**AGENT, "identity": {"type": "UserAssigned"}}
    assert only(doctor.check_jobs(Estate(now=NOW, agent=by_identity, jobs=[job()], steps={"job1": [step(None)]}))).found
    over = job(schedule={"enabled": True, "endTime": "2026-04-01T00:00:00Z"})
    ended = only(doctor.check_jobs(Estate(now=NOW, agent=by_identity, jobs=[over], steps={"job1": [step(None)]})))
    assert (ended.level, "--end" in ended.way_out) == (Level.WARNING, True)


def test_what_is_due_and_not_done() -> None:
    late = job(schedule={"enabled": True}, nextRunTime="2026-05-01T11:50:00Z")
    waiting = {"name": "run1", "properties": {"lifecycle": "Created", "createTime": "2026-05-01T11:50:00Z"}}
    running = {"name": "run2", "properties": {"lifecycle": "InProgress", "createTime": "2026-05-01T01:00:00Z"}}
    found = list(doctor.check_motion(Estate(now=NOW, agent=AGENT, jobs=[late], active=[waiting, running])))
    assert [(each.level, each.check) for each in found] == [(Level.PROBLEM, "timer"), (Level.PROBLEM, "queues")]
    assert all("tick" in each.way_out for each in found)
    soon = job(schedule={"enabled": True}, nextRunTime="2026-05-01T11:59:30Z")
    assert only(doctor.check_motion(Estate(now=NOW, agent=AGENT, jobs=[soon], active=[running]))).level is Level.OK


def test_preflights() -> None:
    checks = [
        {"check": "tls", "status": "warning", "message": "Old. Renew it."},
        {"check": "login", "status": "failed", "message": "18456. Make the user."},
    ]
    target = {"serverName": "s", "databaseName": "d", "ready": False, "checks": checks}
    failures = [{"what": "server 's2'", "error": "It is down. Start it."}]
    found = list(doctor.check_preflight("g", {"ready": False, "targets": [target], "failures": failures}))
    assert [each.level for each in found] == [Level.PROBLEM, Level.WARNING, Level.PROBLEM]
    assert found[2].way_out == "18456. Make the user."
    assert only(doctor.check_preflight("g", {"ready": True, "targets": [], "failures": []})).level is Level.OK


def found_by(shell: Shell, *arguments: str) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for each in shell("doctor", "-o", "json", *arguments).json:
        found.setdefault(each["level"], []).append(each)
    return found


def test_a_healthy_set_up(shell: Shell, server: Server) -> None:
    server.ready_job()
    answer = shell.ok("doctor", "--preflight")
    assert {line.split()[0] for line in answer.out.splitlines()} == {"ok"}
    assert "preflight: 'group1': 1 databases are ready" in answer.out


def test_from_nothing_on_every_problem_says_what_to_type(shell: Shell, server: Server) -> None:
    assert [each["check"] for each in found_by(shell)["problem"]] == ["agent"]
    server.agent()
    found = found_by(shell)
    assert [each["check"] for each in found["problem"]] == ["sign-in to targets"]
    assert [each["check"] for each in found["warning"]] == ["groups", "jobs"]
    assert all("elastic-jobs " in each["wayOut"] for each in found["problem"] + found["warning"])
    assert shell("doctor").code == 1


def test_a_run_that_nobody_begins(shell: Shell, server: Server) -> None:
    server.ready_job()
    shell.ok("job", "start", "job1")
    with server.database.write() as connection:
        connection.execute(update(job_executions).values(create_time=datetime.now(UTC) - timedelta(minutes=10)))
    (problem,) = found_by(shell)["problem"]
    assert (problem["check"], "has not begun" in problem["found"]) == ("queues", True)


def test_a_reader_may_ask_the_doctor_and_a_stranger_learns_what_is_wrong(shell: Shell, server: Server) -> None:
    server.ready_job()
    shell.env["ELASTIC_JOBS_TOKEN"] = token("Reader")
    assert shell("doctor").code == 0
    (refused,) = found_by(shell, "--preflight")["problem"]
    assert "needs the role Operator" in refused["wayOut"]
    shell.env["ELASTIC_JOBS_TOKEN"] = token(*ALL_ROLES, key="other" * 20)
    answer = shell("doctor")
    assert answer.code == 4
    assert answer.out.splitlines()[-2].startswith("problem  token:")


def test_an_endpoint_that_is_not_there(shell: Shell) -> None:
    shell.env["ELASTIC_JOBS_ENDPOINT"] = "http://127.0.0.1:9"
    answer = shell("doctor")
    assert (answer.code, "problem  endpoint: http://127.0.0.1:9 cannot be reached" in answer.out) == (1, True)


def test_a_job_database_that_does_not_answer(shell: Shell, scripted: ScriptedServer) -> None:
    shell.env["ELASTIC_JOBS_ENDPOINT"] = scripted.url
    scripted.answer(refusal(503, "ServiceUnavailable", "The job database does not answer."))
    answer = shell("doctor", "-o", "json")
    assert answer.code == 1
    problem = next(each for each in answer.json if each["level"] == "problem")
    assert (problem["check"], "JOB_DATABASE_URL" in problem["wayOut"]) == ("job database", True)


def test_a_certificate_that_ends_soon(shell: Shell, certificate: Callable[[], ssl.SSLContext], tmp_path: Path) -> None:
    with ScriptedServer(certificate()) as server:
        shell.env |= {"ELASTIC_JOBS_ENDPOINT": server.url, "SSL_CERT_FILE": str(tmp_path / "certificate.pem")}
        server.answer(Reply(body={"status": "ok"}), refusal(404, "JobAgentNotFound", "None."))
        said = shell("doctor").out
    assert "warning  tls: the certificate is good for 4 more days" in said
    assert "Renew" in said


def test_what_health_tells_is_shown(shell: Shell, scripted: ScriptedServer) -> None:
    shell.env["ELASTIC_JOBS_ENDPOINT"] = scripted.url
    scripted.answer(Reply(body={"status": "ok", "queue": "ok"}), refusal(404, "JobAgentNotFound", "None."))
    assert "queue: ok" in shell("doctor").out

"""Preflight: each way in which a target can be out of reach, told at the check where it is."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from elastic_jobs.domain.outcome import StopReason
from elastic_jobs.domain.targets import Member, ServerNames, TargetDatabase, TargetType
from elastic_jobs.errors import CredentialError, JobDatabaseUnavailableError
from elastic_jobs.targets.authentication import Login, PasswordLogin, TokenLogin
from elastic_jobs.targets.network import Check, CheckResult, Status
from elastic_jobs.targets.preflight import Preflight, TargetReport
from elastic_jobs.targets.servers import TargetServers
from elastic_jobs.targets.stop import Stopped, StopSignal
from tests.targets.conftest import TOKEN
from tests.targets.lab import OTHER_SERVER, SERVER, Lab, until
from tests.targets.listener import Listener

NAMES = ServerNames(".database.windows.net")
ALL = (Check.ALLOWED, Check.DNS, Check.TCP, Check.TLS, Check.LOGIN, Check.DATABASE, Check.PERMISSION)


def target(database: str, server: str = SERVER) -> TargetDatabase:
    return TargetDatabase(server_name=server, database_name=database)


def check(lab: Lab, database: str = "listed1", login: Login | None = None, **changes: object) -> TargetReport:
    preflight = Preflight(lab.connector(**changes), login_timeout_seconds=2)
    (report,) = preflight.check([target(database)], login or lab.login, time_limit_seconds=20)
    assert tuple(result.check for result in report.checks) == ALL
    return report


def at(report: TargetReport, failed: Check) -> str:
    """The sentence of the check that failed; those before it went well, those after it were not tried."""
    position = ALL.index(failed)
    states = [result.status for result in report.checks]
    assert states[position] is Status.FAILED, report
    assert all(state is Status.OK for state in states[:position]), report
    assert all(state is Status.SKIPPED for state in states[position + 1 :]), report
    assert not report.is_ready
    return report.checks[position].message


def elsewhere(address: str) -> TargetServers:
    return TargetServers(NAMES, [SERVER], {SERVER: address})


def test_all_is_well(lab: Lab) -> None:
    assert lab.control.healthy()
    report = check(lab, lab.database)
    assert report.is_ready
    assert [result.status for result in report.checks] == [Status.OK] * 7
    assert all(result.milliseconds >= 0 for result in report.checks)
    assert "the certificate is the server's" in report.checks[3].message
    assert "has SELECT, INSERT" in report.checks[6].message


def test_a_server_that_is_not_allowed_is_not_even_looked_up(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **_: asked.append(given))
    preflight = Preflight(lab.connector())
    (report,) = preflight.check([target("x", "evil.example.com")], lab.login)
    assert "not on the list of allowed target servers" in at(report, Check.ALLOWED)
    assert asked == []


def test_a_name_without_an_address(lab: Lab) -> None:
    sentence = at(check(lab, servers=elsewhere("nowhere.invalid,1433")), Check.DNS)
    assert sentence.startswith("The name 'nowhere.invalid' has no address (")
    assert "private DNS zone" in sentence


def test_a_port_where_nobody_listens(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    sentence = at(check(lab, servers=elsewhere(f"127.0.0.1,{port}")), Check.TCP)
    assert f"No connection to 127.0.0.1, port {port} (" in sentence


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Somebody who gives this answer to whatever is sent, and hangs up."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"127.0.0.1,{server.getsockname()[1]}"
    thread.join(10)
    server.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
        # A PRELOGIN reply without and with the option ENCRYPTION, which says "not supported".
        bytes.fromhex("0401 0013 0000 0100 00 0006 0004 ff 00000000"),
        bytes.fromhex("0401 000f 0000 0100 01 0006 0001 ff 02"),
    ],
)
def test_somebody_who_is_no_sql_server_over_tls(lab: Lab, answer: bytes) -> None:
    with answering(answer) as address:
        sentence = at(check(lab, servers=elsewhere(address)), Check.TLS)
    assert "does not encrypt as SQL Server does" in sentence


def test_a_certificate_of_another_server(lab: Lab) -> None:
    assert lab.control.healthy()
    address = lab.options.servers.endpoint(SERVER).address.removeprefix("tcp:")
    servers = TargetServers(NAMES, ["impostor"], {"impostor": address})
    preflight = Preflight(lab.connector(servers=servers))
    (report,) = preflight.check([target("x", "impostor.database.windows.net")], lab.login)
    assert "The certificate of server 'impostor.database.windows.net' could not be verified" in at(report, Check.TLS)


def test_an_unverified_certificate_is_said_to_be_one(lab: Lab) -> None:
    report = check(lab, trust_certificates=True)
    assert report.is_ready
    assert "not verified" in report.checks[3].message


def test_a_login_that_is_refused(lab: Lab) -> None:
    sentence = at(check(lab, login=PasswordLogin("sqladmin", "canary-secret")), Check.LOGIN)
    assert "Login failed for user 'sqladmin'" in sentence
    assert "canary-secret" not in sentence


class NoToken:
    def token(self, client_id: str) -> str:
        raise CredentialError(f"No access token for managed identity '{client_id}' could be had.")


def test_an_identity_without_a_token(lab: Lab) -> None:
    assert "No access token" in at(check(lab, login=TokenLogin("id1", NoToken())), Check.LOGIN)


def test_a_database_that_is_not_there(lab: Lab) -> None:
    assert "cannot open database 'nowhere'" in at(check(lab, "nowhere"), Check.DATABASE)


def test_a_paused_database_is_woken_up_but_not_waited_for(lab: Lab) -> None:
    lab.control.pause(60, database=lab.database)
    report = check(lab, lab.database)
    by_check = {result.check: result for result in report.checks}
    assert by_check[Check.DATABASE].status is Status.FAILED
    assert "this has begun to wake it up" in by_check[Check.DATABASE].message


def test_a_throttled_database_is_no_login_failure(lab: Lab) -> None:
    lab.control.throttle(10928, database=lab.database)
    by_check = {result.check: result.status for result in check(lab, lab.database).checks}
    assert (by_check[Check.LOGIN], by_check[Check.DATABASE]) == (Status.SKIPPED, Status.FAILED)


def test_a_user_without_any_permission_is_a_warning(lab: Lab) -> None:
    login = PasswordLogin(f"poor{lab.database}", "An0ther;pass")
    lab.control.create_login(SERVER, login.username, login.password)
    lab.query(f"CREATE USER [{login.username}] FROM LOGIN [{login.username}]")
    report = check(lab, lab.database, login)
    assert report.checks[-1].status is Status.WARNING
    assert report.is_ready
    assert "no permission that counts for the whole database" in report.checks[-1].message


def test_a_database_where_nothing_runs(lab: Lab) -> None:
    lab.control.add_fault("error", "before", number=229, text="HAS_PERMS_BY_NAME", database=lab.database)
    assert "A statement that reads nothing fails" in at(check(lab, lab.database), Check.PERMISSION)


def group() -> list[Member]:
    return [
        Member(target_type=TargetType.SQL_SERVER, server_name=OTHER_SERVER),
        Member(target_type=TargetType.SQL_DATABASE, server_name=SERVER, database_name="nowhere"),
        Member(target_type=TargetType.SQL_DATABASE, server_name="evil.example.com", database_name="x"),
    ]


def test_a_whole_group(lab: Lab) -> None:
    assert lab.control.healthy()
    sequence = lab.control.last_sequence()
    report = Preflight(lab.connector()).check_group(group(), lambda _: lab.login, lambda: lab.login)
    states = {(found.server_name, found.database_name): found.is_ready for found in report.targets}
    assert states == {
        (OTHER_SERVER, "listed1"): True,
        (OTHER_SERVER, "listed2"): True,
        (OTHER_SERVER, "pooled1"): True,
        (SERVER, "nowhere"): False,
        ("evil.example.com", "x"): False,
    }
    assert not report.is_ready
    assert report.problems == ()
    logins = [r for r in lab.control.journal(after=sequence, kind="login") if r["database"] != "master"]
    assert len(logins) == 4


def test_an_identity_checks_a_group_with_its_token(lab: Lab) -> None:
    assert lab.control.healthy()

    class Tokens:
        def token(self, client_id: str) -> str:
            del client_id
            return TOKEN

    login = TokenLogin("id1", Tokens())
    report = Preflight(lab.connector()).check_group(group()[:1], lambda _: login, lambda: login)
    assert report.is_ready
    assert len(report.targets) == 3


def test_servers_that_cannot_be_enumerated_are_the_problems(lab: Lab) -> None:
    lab.control.refuse_logins(18456, database="master")
    members = [Member(target_type=TargetType.SQL_SERVER, server_name=name) for name in (SERVER, OTHER_SERVER)]
    report = Preflight(lab.connector()).check_group(members, lambda _: lab.login, lambda: lab.login)
    assert report.targets == ()
    assert not report.is_ready
    assert [SERVER in report.problems[0], OTHER_SERVER in report.problems[1]] == [True, True]


def test_a_job_login_that_is_not_there(lab: Lab) -> None:
    def missing() -> Login:
        raise CredentialError("No credential is named.")

    def away() -> Login:
        raise JobDatabaseUnavailableError("It does not answer.")

    preflight = Preflight(lab.connector())
    report = preflight.check_group(group()[1:2], lambda _: lab.login, missing)
    assert report.problems == ("No credential is named.",)
    with pytest.raises(JobDatabaseUnavailableError):
        preflight.check_group(group()[1:2], lambda _: lab.login, away)


def test_the_time_limit_holds_with_a_silent_database(lab: Lab) -> None:
    lab.control.add_fault("stall", "login", database=lab.database)
    started = time.monotonic()
    preflight = Preflight(lab.connector())
    late, well = preflight.check([target(lab.database), target("listed1")], lab.login, time_limit_seconds=1.5)
    assert time.monotonic() - started < 6
    assert "not finished within the time limit" in at(late, Check.LOGIN)
    assert well.is_ready


def test_the_time_limit_holds_with_a_silent_server(lab: Lab) -> None:
    listener = Listener()
    try:
        started = time.monotonic()
        servers = elsewhere(f"127.0.0.1,{listener.port}")
        members = [Member(target_type=TargetType.SQL_SERVER, server_name=SERVER)]
        preflight = Preflight(lab.connector(servers=servers, login_timeout_seconds=20))
        report = preflight.check_group(members, lambda _: lab.login, lambda: lab.login, time_limit_seconds=0.5)
        assert time.monotonic() - started < 15
        assert report.problems == ("The group was not resolved within 0.5 s.",)
        (late,) = preflight.check([target("x")], lab.login, time_limit_seconds=0.5)
        assert "not finished within the time limit" in late.checks[0].message
    finally:
        listener.close()


def test_a_stop_ends_it(lab: Lab) -> None:
    lab.control.add_fault("stall", "login", database=lab.database)
    signal, ended = StopSignal(), threading.Event()
    sequence = lab.control.last_sequence()

    def run() -> None:
        with pytest.raises(Stopped):
            Preflight(lab.connector()).check([target("listed1"), target(lab.database)], lab.login, stop=signal)
        ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: lab.control.journal(after=sequence, kind="login", database="listed1"))
    signal.set(StopReason.CANCELED)
    thread.join(3)
    assert ended.is_set()


def test_a_report_is_plain_data() -> None:
    result = CheckResult(Check.DNS, Status.OK, 3, "Fine.")
    assert json.loads(json.dumps(result.__dict__)) == {
        "check": "dns",
        "status": "ok",
        "milliseconds": 3,
        "message": "Fine.",
    }

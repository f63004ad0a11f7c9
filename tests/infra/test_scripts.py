"""The hooks of a deployment: users by client id, a server that is opened only while it is needed, and failures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.infra.bicep import INFRA

SCRIPTS = INFRA / "scripts"
sys.path.insert(0, str(SCRIPTS))

import access  # noqa: E402 - the scripts run as files, beside each other
import database  # noqa: E402
import postprovision  # noqa: E402
from arm import Arm, DeployError  # noqa: E402

SERVER = "/subscriptions/one/resourceGroups/two/providers/Microsoft.Sql/servers/three"
CLIENT_ID = UUID("00112233-4455-6677-8899-aabbccddeeff")
DENIED = access.Refusal(number=47073, address="", text="Deny Public Network Access is set to Yes")
NOT_ALLOWED = access.Refusal(number=40615, address="203.0.113.7", text="address 203.0.113.7 is not allowed")


class ResourceManager:
    """A stand-in for Azure Resource Manager over real HTTP: one logical server and its firewall rules."""

    def __init__(self) -> None:
        self.public = "Disabled"
        self.rules: dict[str, Any] = {}
        self.calls: list[str] = []
        self.refuse = ""
        self.tokens: set[str] = set()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                sent = json.loads(self.rfile.read(length) or b"{}")
                path = self.path.split("?")[0]
                stand_in.tokens.add(self.headers.get("Authorization", ""))
                status, answer = stand_in.handle(self.command, path, sent)
                payload = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - the names that the base class looks for

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def handle(self, method: str, path: str, sent: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = path.removeprefix(SERVER) or "server"
        self.calls.append(f"{method} {name}")
        if self.refuse == f"{method} {name}":
            return 403, {"error": {"code": "AuthorizationFailed", "message": "no right"}}
        if name == "server":
            self.public = sent.get("properties", {}).get("publicNetworkAccess", self.public)
            return 200, {"properties": {"publicNetworkAccess": self.public}}
        if method == "PUT":
            self.rules[name] = sent["properties"]
        elif method == "DELETE" and self.rules.pop(name, None) is None:
            return 404, {}
        return 200, {"name": name}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def azure() -> Iterator[ResourceManager]:
    stand_in = ResourceManager()
    yield stand_in
    stand_in.close()


@pytest.fixture
def arm(azure: ResourceManager) -> Arm:
    return Arm(azure.url, token=lambda: "a-token", pause=lambda _: None)


def scripted(*refusals: access.Refusal) -> Callable[[], access.Refusal | None]:
    """A step that is refused so often, and then let in."""
    waiting = list(refusals)

    def step() -> access.Refusal | None:
        return waiting.pop(0) if waiting else None

    return step


def test_a_machine_that_is_let_in_changes_nothing(azure: ResourceManager, arm: Arm) -> None:
    access.run_with_access(arm, SERVER, scripted(), may_open=True)
    assert azure.calls == []


def test_the_server_is_opened_for_one_address_and_closed_again(azure: ResourceManager, arm: Arm) -> None:
    seen: list[tuple[str, dict[str, Any]]] = []
    step = scripted(DENIED, DENIED, NOT_ALLOWED, NOT_ALLOWED)

    def watched() -> access.Refusal | None:
        refusal = step()
        if refusal is None:
            seen.append((azure.public, dict(azure.rules)))
        return refusal

    access.run_with_access(arm, SERVER, watched, may_open=True)
    address = {"startIpAddress": "203.0.113.7", "endIpAddress": "203.0.113.7"}
    assert seen == [("Enabled", {"/firewallRules/elastic-jobs-deployment": address})]
    assert (azure.public, azure.rules) == ("Disabled", {})
    assert azure.tokens == {"Bearer a-token"}


def test_the_server_is_closed_again_when_the_step_fails(azure: ResourceManager, arm: Arm) -> None:
    refusals = [DENIED, NOT_ALLOWED]

    def step() -> access.Refusal | None:
        if refusals:
            return refusals.pop(0)
        raise DeployError("The schema could not be made.")

    with pytest.raises(DeployError, match="schema"):
        access.run_with_access(arm, SERVER, step, may_open=True)
    assert (azure.public, azure.rules) == ("Disabled", {})


def test_the_server_is_closed_again_when_opening_fails_half_way(azure: ResourceManager, arm: Arm) -> None:
    azure.refuse = "PUT /firewallRules/elastic-jobs-deployment"
    with pytest.raises(DeployError, match=r"403.*no right"):
        access.run_with_access(arm, SERVER, scripted(DENIED, NOT_ALLOWED), may_open=True)
    assert (azure.public, azure.rules) == ("Disabled", {})


def test_a_server_that_was_open_stays_open(azure: ResourceManager, arm: Arm) -> None:
    azure.public = "Enabled"
    access.run_with_access(arm, SERVER, scripted(NOT_ALLOWED), may_open=True)
    assert (azure.public, azure.rules) == ("Enabled", {})


def test_a_server_that_may_not_be_opened_is_not(azure: ResourceManager, arm: Arm) -> None:
    with pytest.raises(DeployError, match="from inside the virtual network"):
        access.run_with_access(arm, SERVER, scripted(DENIED), may_open=False)
    assert azure.calls == []


def test_another_refusal_opens_nothing(azure: ResourceManager, arm: Arm) -> None:
    wrong = access.Refusal(number=18456, address="", text="Login failed")
    with pytest.raises(DeployError, match="Login failed"):
        access.run_with_access(arm, SERVER, scripted(wrong), may_open=True)
    assert azure.calls == []


def test_a_server_that_stays_closed_is_given_up(azure: ResourceManager, arm: Arm) -> None:
    with pytest.raises(DeployError, match="stayed closed"):
        access.run_with_access(arm, SERVER, lambda: NOT_ALLOWED, may_open=True)
    assert azure.rules == {}


def test_a_server_that_does_not_change_is_given_up(azure: ResourceManager, arm: Arm) -> None:
    with pytest.raises(DeployError, match="did not change in 15 seconds"):
        arm.wait(SERVER, access.VERSION, lambda _: False, tries=3)


def test_an_azure_that_does_not_answer_is_said(azure: ResourceManager) -> None:
    azure.close()
    with pytest.raises(DeployError, match="was not answered"):
        Arm(azure.url, token=lambda: "a-token").call("GET", SERVER, access.VERSION)


def test_the_user_of_an_identity_is_made_from_its_client_id() -> None:
    drop, create = database.user_statements("id-app", CLIENT_ID)
    # SQL Server's order of a uniqueidentifier's bytes: the first three groups reversed.
    assert "WITH SID = 0x33221100554477668899AABBCCDDEEFF, TYPE = E" in create
    assert "sid <> 0x33221100554477668899AABBCCDDEEFF) DROP USER [id-app]" in drop


def test_a_name_cannot_leave_its_quotes() -> None:
    text = " ".join(database.target_statements("a]'; DROP", CLIENT_ID, ["db]owner"]))
    assert "N'a]''; DROP'" in text
    assert "CREATE USER [a]]'; DROP]" in text
    assert "ALTER ROLE [db]]owner] ADD MEMBER [a]]'; DROP];" in text


def test_the_app_may_use_rows_and_change_no_table() -> None:
    text = " ".join(database.job_database_statements("id-app", CLIENT_ID))
    assert "ON SCHEMA::jobs_internal TO [id-app];" in text
    assert "ON SCHEMA::jobs TO [id-app];" in text
    for word in ("db_owner", "db_ddladmin", "CONTROL", "ALTER ROLE", "CREATE TABLE"):
        assert word not in text


def test_a_refusal_is_read_from_the_drivers_text() -> None:
    text = (
        "('42000', \"[42000] [Microsoft][ODBC Driver 18 for SQL Server][SQL Server]Cannot open server 'three' requested"
        " by the login. Client with IP address '203.0.113.7' is not allowed to access the server. (40615)"
        ' (SQLDriverConnect)")'
    )
    told = database.refusal(text)
    assert (told["number"], told["address"]) == (40615, "203.0.113.7")
    assert database.refusal("Login timeout expired")["number"] == 0


def run(script: str, env: dict[str, str], path: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / script)]
    return subprocess.run(command, env={"PATH": path, **env}, capture_output=True, text=True, check=False, timeout=60)


def test_the_hook_says_what_is_not_set() -> None:
    answer = run("postprovision.py", {})
    assert answer.returncode == 1
    assert "JOB_SERVER_NAME" in answer.stderr
    assert "azd hooks run postprovision" in answer.stderr
    assert "Traceback" not in answer.stderr


def executable(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(0o755)


def test_the_tools_are_kept_once_they_are_there(tmp_path: Path) -> None:
    """An environment that is complete is used as it is: nothing is installed."""
    (tmp_path / "bin").mkdir()
    requirements = (INFRA.parent / "requirements.txt").read_text(encoding="utf-8")
    (tmp_path / ".ready").write_text(requirements + postprovision.DRIVER, encoding="utf-8")
    assert postprovision.tools(tmp_path) == tmp_path / "bin" / "python"


@pytest.mark.parametrize(
    ("output", "code", "expected"),
    [
        ("{}", 0, None),
        (json.dumps({"number": 47073, "address": "", "text": "closed"}), 0, access.Refusal(47073, "", "closed")),
    ],
)
def test_what_the_database_step_says(tmp_path: Path, output: str, code: int, expected: object) -> None:
    executable(tmp_path, "python", f"echo 'a line before'; echo '{output}'; exit {code}")
    assert postprovision.prepare_database(tmp_path / "python", dict(os.environ)) == expected


def test_a_database_step_that_fails_is_an_error(tmp_path: Path) -> None:
    executable(tmp_path, "python", "echo half; exit 1")
    with pytest.raises(DeployError, match="could not be prepared"):
        postprovision.prepare_database(tmp_path / "python", dict(os.environ))


def test_the_whole_hook(azure: ResourceManager, arm: Arm, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A server that is closed: opened, the database step done on it, closed again."""
    (tmp_path / "bin").mkdir()
    requirements = (INFRA.parent / "requirements.txt").read_text(encoding="utf-8")
    (tmp_path / ".ready").write_text(requirements + postprovision.DRIVER, encoding="utf-8")
    closed = json.dumps({"number": 47073, "address": "", "text": "closed"})
    said = f'if [ -e "{tmp_path}/again" ]; then echo "{{}}"; else touch "{tmp_path}/again"; echo \'{closed}\'; fi'
    executable(tmp_path / "bin", "python", f'echo "$2 $APP_IDENTITY_NAME" >> "{tmp_path}/calls"; {said}')
    env = dict.fromkeys(postprovision.NEEDED, "a") | {
        "AZURE_SUBSCRIPTION_ID": "one",
        "JOB_SERVER_RESOURCE_GROUP": "two",
        "JOB_SERVER_NAME": "three",
        "APP_IDENTITY_NAME": "id-app",
        "PATH": os.environ["PATH"],
    }
    postprovision.prepare(arm, env, tmp_path)
    assert (tmp_path / "calls").read_text(encoding="utf-8") == "job id-app\n" * 2
    assert azure.public == "Disabled"
    assert [call for call in azure.calls if not call.startswith("GET")] == ["PATCH server", "PATCH server"]
    assert "The job database is ready." in capsys.readouterr().out


def test_no_azd_and_nobody_signed_in_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeployError, match="azd was not found"):
        Arm().call("GET", SERVER, access.VERSION)
    executable(tmp_path, "azd", "echo 'not logged in' >&2; exit 1")
    with pytest.raises(DeployError, match=r"azd auth login.*not logged in"):
        Arm().call("GET", SERVER, access.VERSION)


def test_the_second_region_gets_the_package_when_there_is_one(tmp_path: Path) -> None:
    assert run("postdeploy.py", {}).returncode == 0
    missing = run("postdeploy.py", {"SECOND_FUNCTION_APP_NAME": "func-two"}, str(tmp_path))
    assert missing.returncode == 1
    assert "func azure functionapp publish func-two --python" in missing.stderr
    executable(tmp_path, "func", 'echo "$@"; exit 7')
    done = run("postdeploy.py", {"SECOND_FUNCTION_APP_NAME": "func-two"}, str(tmp_path))
    assert done.returncode == 7
    assert done.stdout.strip() == "azure functionapp publish func-two --python --build remote"

"""The quickstart's first job in Azure, its blocks typed as they stand there, on a stack with a managed identity."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyodbc
import pytest

from elastic_jobs.domain.targets import ServerNames
from elastic_jobs.targets.authentication import PasswordLogin
from elastic_jobs.targets.connect import ConnectOptions, Connector
from elastic_jobs.targets.servers import TargetServers
from local.azure.identity import AssignedIdentity, IdentityEndpoint
from local.stack import ADMIN_USER, ROOT, SUFFIX, Stack, StackOptions
from tests.cli.shell import COMMAND, Shell

SERVER = f"my-server{SUFFIX}"
DATABASES = ("customer1", "customer2")
IDENTITY = AssignedIdentity(
    client_id="33333333-3333-3333-3333-333333333333",
    resource_id="/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/jobs/providers"
    "/Microsoft.ManagedIdentity/userAssignedIdentities/jobs-agent",
)


def blocks() -> list[str]:
    page = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    section = page.partition("## Your first job in Azure\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    def tell(token: str, _: AssignedIdentity) -> None:
        assert running.emulator is not None
        running.emulator.control.add_token(token, "jobs-agent", SERVER)

    with IdentityEndpoint(IDENTITY, on_token=tell) as endpoint:
        options = StackOptions(
            folder=tmp_path / "stack", servers={SERVER: DATABASES}, workers=1, settings=endpoint.environment()
        )
        running = Stack(options)
        with running:
            yield running


@pytest.fixture
def shell(stack: Stack, tmp_path: Path) -> Shell:
    """A shell in which the deployment's own commands give what they give after ``azd up``."""
    programs = tmp_path / "bin"
    programs.mkdir()
    azd = programs / "azd"
    azd.write_text(f'#!/bin/sh\n[ "$*" = "env get-value AGENT_IDENTITY_ID" ] && echo {IDENTITY.resource_id}\n')
    azd.chmod(0o755)
    endpoint = stack.endpoint()
    env = {
        "ELASTIC_JOBS_ENDPOINT": endpoint["api"],
        "ELASTIC_JOBS_TOKEN": endpoint["token"],
        "PATH": f"{programs}:{COMMAND.parent}:/usr/bin:/bin",
    }
    return Shell(tmp_path, env)


def type_block(shell: Shell, block: str) -> tuple[int, str]:
    """What a shell says that stops at the first command that fails."""
    done = subprocess.run(
        ["bash", "--norc", "-e"],
        input=block,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=shell.folder,
        env=shell.environ(),
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout


@contextmanager
def administrator(stack: Stack, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[pyodbc.Connection]:
    assert stack.emulator is not None
    monkeypatch.setenv("SSL_CERT_FILE", str(stack.emulator.ca))
    address = f"{stack.emulator.host},{stack.emulator.ports[SERVER]}"
    connector = Connector(ConnectOptions(servers=TargetServers(ServerNames(SUFFIX), [SERVER], {SERVER: address})))
    connection = connector.connect(SERVER, database, PasswordLogin(ADMIN_USER, stack.keys["ADMIN_PASSWORD"]))
    try:
        yield connection
    finally:
        connection.close()


def run_setup(stack: Stack, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run the scripts of the folder ``setup`` in their databases, whose names are those of the files."""
    files = sorted((shell.folder / "setup").rglob("*.sql"))
    for file in files:
        with administrator(stack, database_of(file), monkeypatch) as connection:
            connection.execute(file.read_text(encoding="utf-8"))
    return [database_of(file) for file in files]


def database_of(file: Path) -> str:
    return next(name for name in ("master", *DATABASES) if name in file.name)


def test_the_first_job_in_azure(stack: Stack, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, group, preflight, once, nightly = blocks()
    assert type_block(shell, agent)[0] == 0

    code, said = type_block(shell, group)
    assert (code, "run them, and ask again" in said) == (1, True), said
    assert run_setup(stack, shell, monkeypatch) == ["master"]
    again = next(line for line in group.splitlines() if "user-setup" in line)
    code, said = type_block(shell, again)
    assert code == 0, said
    assert sorted(run_setup(stack, shell, monkeypatch)) == ["customer1", "customer2", "master"]

    code, said = type_block(shell, preflight)
    assert (code, said.count(" ok")) == (0, len(DATABASES)), said
    code, said = type_block(shell, once)
    assert code == 0, said
    assert all(re.search(rf"^.*\b{name}\b", said, re.MULTILINE) for name in DATABASES)
    code, said = type_block(shell, nightly)
    assert (code, "2 targets: 2 succeeded" in said) == (0, True), said
    assert shell.ok("job", "show", "nightly", "-o", "json").json["properties"]["schedule"]["enabled"] is True

"""Contexts and signing in: what is kept, who may read it, and which token goes where."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import pytest

from elastic_jobs.cli.contexts import Context, Contexts, chosen
from elastic_jobs.cli.errors import NoAccess, UsageError
from elastic_jobs.cli.tokens import claims_of, entra_source, scope_for, token_source
from tests.api.support import ALL_ROLES, Server, token
from tests.cli.shell import Shell
from tests.cli.wire import Reply, ScriptedServer

CONTEXT = {"name": "prod", "endpoint": "https://prod.example", "scope": "api://app/.default"}


def stack_file(folder: Path, url: str) -> Path:
    """The file that a local stack leaves while it runs."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "endpoint.json"
    file.write_text(json.dumps({"api": url, "token": token(*ALL_ROLES)}))
    return file


def test_the_file_is_for_its_owner_only_also_when_it_was_not(tmp_path: Path) -> None:
    contexts = Contexts(tmp_path / "new")
    contexts.put(Context(name="a", endpoint="https://a.example", token="secret"))
    assert stat.S_IMODE(contexts.path.stat().st_mode) == 0o600
    contexts.path.chmod(0o644)
    contexts.use("a")
    assert stat.S_IMODE(contexts.path.stat().st_mode) == 0o600
    assert [file.name for file in contexts.path.parent.iterdir()] == ["contexts.json"]
    assert "secret" not in repr(contexts.get("a"))


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    saved = Contexts(tmp_path)
    saved.put(Context(**CONTEXT, tenant="t"))
    saved.put(Context(name="local", file="/x/endpoint.json"))
    read = Contexts(tmp_path)
    assert (read.known, read.current) == (saved.known, "local")
    read.remove("local")
    assert Contexts(tmp_path).current is None
    with pytest.raises(UsageError, match=r"no context 'local' \(there are: prod"):
        read.use("local")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"contexts": {"a": 1}}', '{"contexts": {"a": {"endpoint"', "\xff"])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "contexts.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"contexts\.json"):
        Contexts(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    contexts = Contexts(tmp_path)
    contexts.path = tmp_path / "file" / "contexts.json"
    with pytest.raises(UsageError, match="cannot be written"):
        contexts.put(Context(**CONTEXT))


def test_the_folder_follows_the_xdg_rules(tmp_path: Path) -> None:
    assert Contexts.of_user({"XDG_CONFIG_HOME": str(tmp_path)}).path == tmp_path / "elastic-jobs" / "contexts.json"
    for relative in ("", "not/absolute"):
        found = Contexts.of_user({"XDG_CONFIG_HOME": relative, "HOME": str(tmp_path)}).path
        assert found == tmp_path / ".config" / "elastic-jobs" / "contexts.json"


@pytest.fixture
def kept(tmp_path: Path) -> Contexts:
    contexts = Contexts(tmp_path)
    contexts.put(Context(name="other", endpoint="https://other.example", token="other-token"))
    contexts.put(Context(**CONTEXT))
    return contexts


def test_which_context_a_call_has(kept: Contexts) -> None:
    assert chosen(kept, {}, None).name == "prod"
    assert chosen(kept, {}, "other").token == "other-token"
    assert chosen(kept, {"ELASTIC_JOBS_CONTEXT": "other"}, None).name == "other"
    assert chosen(kept, {"ELASTIC_JOBS_CONTEXT": "other"}, "prod").name == "prod"
    with pytest.raises(UsageError, match="no context 'gone'"):
        chosen(kept, {}, "gone")


def test_the_environment_s_endpoint_comes_with_its_own_sign_in(kept: Contexts) -> None:
    env = {"ELASTIC_JOBS_ENDPOINT": "https://env.example", "ELASTIC_JOBS_TOKEN": "env-token"}
    found = chosen(kept, env, None)
    assert (found.endpoint, found.token, found.scope) == ("https://env.example", "env-token", None)
    scoped = chosen(
        kept, {"ELASTIC_JOBS_ENDPOINT": "https://env.example", "ELASTIC_JOBS_SCOPE": "api://x/.default"}, None
    )
    assert (scoped.token, scoped.scope) == (None, "api://x/.default")
    with pytest.raises(NoAccess, match="without a way to sign in"):
        chosen(kept, {"ELASTIC_JOBS_ENDPOINT": "https://env.example"}, None)


def test_no_token_goes_to_an_endpoint_that_it_is_not_for(kept: Contexts) -> None:
    env = {"ELASTIC_JOBS_ENDPOINT": "https://env.example", "ELASTIC_JOBS_TOKEN": "env-token"}
    assert chosen(kept, env, "other").token == "other-token"
    assert chosen(kept, env, "prod").token is None
    alone = chosen(kept, {"ELASTIC_JOBS_TOKEN": "env-token"}, "other")
    assert (alone.endpoint, alone.token) == ("https://other.example", "env-token")


def test_nothing_is_known_at_first(tmp_path: Path) -> None:
    with pytest.raises(NoAccess, match="elastic-jobs login"):
        chosen(Contexts(tmp_path), {}, None)
    with pytest.raises(NoAccess, match="no way to sign in"):
        token_source(Context(name="half", endpoint="https://x.example"))


def test_a_local_stack_keeps_its_token_to_itself(stranger: Shell, server: Server) -> None:
    server.agent()
    file = stack_file(stranger.folder / ".local", server.url)
    stranger.ok("login", "--local", "--folder", str(file.parent))
    assert token(*ALL_ROLES)[:20] not in stranger.settings.read_text()
    assert stranger.ok("agent", "show", "-o", "json").json["name"] == "agent1"
    file.unlink()
    answer = stranger("agent", "show")
    assert answer.code == 4
    assert "does not run. Start it with 'make serve'" in answer.err


def test_several_contexts(stranger: Shell, server: Server) -> None:
    for name in ("one", "two"):
        stranger.ok("login", server.url, "--name", name, "--token-stdin", stdin=token("Reader"))
    assert [(row["name"], row["current"]) for row in stranger.ok("context", "list", "-o", "json").json] == [
        ("one", False),
        ("two", True),
    ]
    stranger.ok("context", "use", "one")
    shown = stranger.ok("context", "show", "-o", "json").json
    assert (shown["name"], shown["caller"], shown["roles"]) == ("one", "alice", ["Reader"])
    stranger.ok("context", "remove", "one")
    answer = stranger("job", "list")
    assert (answer.code, "No endpoint is known yet" in answer.err) == (4, True)
    assert stranger("job", "list", "--context", "two").code == 1  # there is no agent yet


def test_a_token_that_is_refused_is_not_kept(stranger: Shell, server: Server) -> None:
    answer = stranger("login", server.url, "--token-stdin", stdin=token("Reader", key="wrong" * 20))
    assert answer.code == 4
    assert "does not accept the token" in answer.err
    assert not stranger.settings.exists()


def test_a_token_from_a_variable_and_nobody_to_ask(stranger: Shell, server: Server) -> None:
    assert "Nobody can be asked for the token" in stranger("login", server.url).err
    assert "variable MY_TOKEN is not set" in stranger("login", server.url, "--token-env", "MY_TOKEN").err
    stranger.env["MY_TOKEN"] = token("Reader")
    stranger.ok("login", server.url, "--token-env", "MY_TOKEN")
    assert stranger("login", server.url, "--token-stdin", stdin="").code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("login",), "The endpoint is missing"),
        (("login", "http://jobs.example"), "unencrypted"),
        (("login", "https://x.example", "--local"), "leave the endpoint out"),
        (("login", "--local", "--folder", "/nowhere"), "does not run"),
    ],
)
def test_logins_that_cannot_be(stranger: Shell, arguments: tuple[str, ...], words: str) -> None:
    answer = stranger(*arguments)
    assert answer.code in {2, 4}
    assert words in answer.err


def test_a_name_that_a_context_cannot_have(stranger: Shell, server: Server) -> None:
    answer = stranger("login", server.url, "--name", "a b", "--token-stdin", stdin=token("Reader"))
    assert (answer.code, "cannot name a context" in answer.err) == (2, True)


def metadata(*audiences: str) -> Reply:
    return Reply(body={"authentication": {"audiences": list(audiences)}})


def test_an_endpoint_that_asks_for_a_token_of_azure_gets_none(stranger: Shell, scripted: ScriptedServer) -> None:
    for audience in ("https://management.azure.com", "https://database.windows.net", ""):
        scripted.answer(metadata(audience))
        answer = stranger("login", scripted.url, "--yes")
        assert answer.code == 2
        assert "no token is asked" in answer.err
    assert all("Authorization" not in asked.headers for asked in scripted.asked)


def test_the_scope_of_an_endpoint_is_trusted_only_when_somebody_says_so(
    stranger: Shell, scripted: ScriptedServer
) -> None:
    scripted.answer(metadata("api://somebody"))
    answer = stranger("login", scripted.url)
    assert answer.code == 2
    assert "api://somebody/.default" in answer.err
    assert "--yes" in answer.err


def test_an_endpoint_that_is_something_else(stranger: Shell, scripted: ScriptedServer) -> None:
    scripted.answer(Reply(body={"hello": "world"}))
    answer = stranger("login", scripted.url)
    assert (answer.code, "does not tell how to sign in" in answer.err) == (1, True)


def fake_az(folder: Path, text: str, code: int = 0) -> Path:
    """An Azure CLI that answers this, whatever it is asked; azure-identity really calls it."""
    folder.mkdir(exist_ok=True)
    file = folder / "az"
    file.write_text(f"#!/bin/sh\necho \"$@\" >> {folder}/asked\ncat <<'END'\n{text}\nEND\nexit {code}\n")
    file.chmod(0o755)
    return folder


def test_entra_id_gives_the_token_whenever_it_is_needed(stranger: Shell, server: Server, tmp_path: Path) -> None:
    server.agent()
    given: dict[str, object] = {"accessToken": token("Reader"), "expires_on": 4102444800}
    folder = fake_az(tmp_path / "bin", json.dumps(given))
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "AZURE_TOKEN_CREDENTIALS": "AzureCliCredential"}
    done = stranger.process("login", server.url, "--scope", "api://app/.default", "--tenant", "tenant1", **env)
    assert (done.code, done.err) == (0, "")
    assert stranger.process("agent", "show", "-o", "json", **env).json["name"] == "agent1"
    assert str(given["accessToken"]) not in stranger.settings.read_text()
    asked = (folder / "asked").read_text()
    assert "api://app" in asked
    assert "tenant1" in asked
    fake_az(folder, "Please run 'az login'", 1)
    refused = stranger.process("agent", "show", **env)
    assert refused.code == 4
    assert "Entra ID gives no token for api://app/.default" in refused.err
    assert "Traceback" not in refused.err


@pytest.mark.parametrize(("lives", "calls"), [(3600, 1), (200, 3)])
def test_a_token_of_entra_id_is_asked_for_again_when_it_ends_soon(
    lives: int, calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"accessToken": "a.b.c", "expires_on": int(time.time()) + lives}
    folder = fake_az(tmp_path / "bin", json.dumps(given))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    source = entra_source("api://app/.default", None)
    assert [source() for _ in range(3)] == ["a.b.c"] * 3
    assert len((folder / "asked").read_text().splitlines()) == calls


def test_scopes_follow_from_audiences() -> None:
    guid = "11111111-2222-3333-4444-555555555555"
    assert scope_for(["api://app"]) == "api://app/.default"
    assert scope_for(["elastic", guid]) == f"{guid}/.default"
    with pytest.raises(UsageError, match="none"):
        scope_for([])


@pytest.mark.parametrize("text", ["", "a.b.c", "a.b", "....", "a.bnVsbA.c", "a.\xff.c"])
def test_a_token_that_says_nothing_about_itself(text: str) -> None:
    assert claims_of(text) == {}

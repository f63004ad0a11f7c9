"""Logins and the tokens of managed identities."""

from __future__ import annotations

import struct
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from elastic_jobs.errors import CredentialError
from elastic_jobs.targets.authentication import (
    TOKEN_SCOPE,
    ManagedIdentityTokens,
    PasswordLogin,
    TokenLogin,
    pack_token,
)


class HandClock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.time = datetime(2024, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


class Credential:
    """Stands for the identity endpoint, which exists on Azure only."""

    def __init__(self, clock: HandClock) -> None:
        self.clock, self.requests = clock, 0
        self.fails = False
        self.gate = threading.Event()
        self.gate.set()

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        assert scopes == (TOKEN_SCOPE,)
        self.gate.wait(10)
        self.requests += 1
        if self.fails:
            raise ClientAuthenticationError("eyJ-should-not-be-shown")
        return AccessToken(f"token{self.requests}", int((self.clock.now() + timedelta(hours=1)).timestamp()))


def source(clock: HandClock) -> tuple[ManagedIdentityTokens, dict[str, Credential]]:
    made: dict[str, Credential] = {}

    def make(client_id: str) -> Credential:
        made[client_id] = Credential(clock)
        return made[client_id]

    return ManagedIdentityTokens(clock, make), made


def test_a_password_is_not_in_the_repr() -> None:
    login = PasswordLogin(username="jobuser", password="s3cret")
    assert "s3cret" not in repr(login) + str(login) + f"{login!r:>40}"
    assert "jobuser" in str(login)
    assert login.secrets() == ("s3cret",)


def test_a_token_is_kept_until_five_minutes_before_it_expires() -> None:
    clock = HandClock()
    tokens, made = source(clock)
    assert tokens.token("id1") == "token1"
    clock.time += timedelta(minutes=54, seconds=59)
    assert tokens.token("id1") == "token1"
    clock.time += timedelta(seconds=1)
    assert tokens.token("id1") == "token2"
    assert made["id1"].requests == 2


def test_each_identity_has_its_own() -> None:
    tokens, made = source(HandClock())
    tokens.token("id1"), tokens.token("id2"), tokens.token("id1")
    assert {name: credential.requests for name, credential in made.items()} == {"id1": 1, "id2": 1}


def test_many_threads_ask_once() -> None:
    clock = HandClock()
    tokens, made = source(clock)
    tokens.token("id1")
    clock.time += timedelta(hours=1)
    made["id1"].gate.clear()
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(tokens.token("id1"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    made["id1"].gate.set()
    for thread in threads:
        thread.join(10)
    assert answers == ["token2"] * 8
    assert made["id1"].requests == 2


def test_a_failure_is_a_sentence_without_its_text_and_is_not_repeated_at_once() -> None:
    clock = HandClock()
    tokens, made = source(clock)
    tokens.token("id1")
    clock.time += timedelta(hours=1)
    made["id1"].fails = True
    for _ in range(3):
        with pytest.raises(CredentialError, match="No access token for managed identity 'id1'") as failure:
            tokens.token("id1")
        assert "eyJ" not in str(failure.value)
        assert failure.value.__cause__ is None
    assert made["id1"].requests == 2
    made["id1"].fails = False
    clock.time += timedelta(seconds=6)
    assert tokens.token("id1") == "token3"


def test_the_driver_gets_length_and_utf_16() -> None:
    assert pack_token("ab") == struct.pack("<I", 4) + b"a\x00b\x00"


def test_a_token_login_shows_its_client_id_only() -> None:
    login = TokenLogin(client_id="id1", tokens=source(HandClock())[0])
    assert repr(login) == "TokenLogin(client_id='id1')"
    assert str(login) == "managed identity 'id1'"

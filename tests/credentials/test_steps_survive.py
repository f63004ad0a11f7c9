"""A step over 300 databases while its token expires or is taken back, or its password is rotated: all succeed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from elastic_jobs.agent.logins import Logins
from elastic_jobs.credentials.key_vault import KeyVaultSafe, secret_name
from elastic_jobs.credentials.sealing import Sealer
from elastic_jobs.domain.model import Identity
from elastic_jobs.domain.ports import SystemClock
from elastic_jobs.targets.authentication import ManagedIdentityTokens
from local.azure.identity import AssignedIdentity, IdentityEndpoint
from local.azure.key_vault import KeyVault
from local.sqlserver.certificates import write_certificates
from tests.credentials.conftest import IDENTITY, PREFIX, Book, until
from tests.credentials.estate import ADMIN, PRINCIPAL, SERVER, Crew, Server, listening, trust

TARGETS = 300
FEWER = 120
"""Enough for what happens in the middle; the laws are the same."""
PASSWORD = "F1rst-of-the-vault"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, int]]:
    tls = write_certificates(tmp_path_factory.mktemp("server"), [SERVER], datetime.now(UTC))
    monkeypatch.setenv(*trust(tls))
    server = Server(TARGETS, PASSWORD)
    with listening(server, tls) as port:
        yield server, port


def _logins_of_identity(
    book: Book, server: Server, monkeypatch: pytest.MonkeyPatch, endpoint: IdentityEndpoint
) -> Logins:
    for name, value in endpoint.environment().items():
        monkeypatch.setenv(name, value)
    book.agent(Identity(resource_id=IDENTITY.resource_id))
    return Logins(book.database, Sealer(bytes(32)), ManagedIdentityTokens(SystemClock()))


@pytest.fixture
def learning(server: tuple[Server, int]) -> Iterator[IdentityEndpoint]:
    """The identity endpoint; the server learns of every token and when it expires."""

    def learn(token: str, identity: AssignedIdentity) -> None:
        del identity
        server[0].expires[token] = endpoint.issued[-1][1]
        server[0].add_token(token, PRINCIPAL)

    endpoint = IdentityEndpoint(IDENTITY, lifetime_seconds=2, on_token=learn)
    with endpoint:
        yield endpoint


def test_tokens_that_expire_again_and_again(
    book: Book, server: tuple[Server, int], learning: IdentityEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    crew = Crew(book, _logins_of_identity(book, server[0], monkeypatch, learning), server[1])
    execution = crew.run(TARGETS, credential=None)
    assert crew.ends(execution) == ("Succeeded", {"Succeeded": TARGETS}, 1)
    assert 2 <= len(learning.issued) < TARGETS / 4, "renewed, but not for every target"


def test_a_token_that_is_taken_back(
    book: Book, server: tuple[Server, int], learning: IdentityEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    learning.lifetime_seconds = 3600
    crew = Crew(book, _logins_of_identity(book, server[0], monkeypatch, learning), server[1])

    def take_back() -> None:
        until(lambda: server[0].accepted >= 50, 60)
        server[0].expires[learning.issued[0][0]] = 0.0

    thread = threading.Thread(target=take_back)
    thread.start()
    execution = crew.run(FEWER, credential=None)
    thread.join(30)
    assert crew.ends(execution) == ("Succeeded", {"Succeeded": FEWER}, 1)
    assert len(learning.issued) == 2
    assert 1 <= server[0].refused <= 8, "at most each worker was refused once"


def test_a_password_that_is_rotated(
    book: Book, server: tuple[Server, int], safe: KeyVaultSafe, vault: KeyVault
) -> None:
    book.save(safe, username=ADMIN, password=PASSWORD)
    crew = Crew(book, Logins(book.database, safe, ManagedIdentityTokens(SystemClock())), server[1])

    def rotate() -> None:
        until(lambda: server[0].accepted >= 50, 60)
        vault.rotate(secret_name(PREFIX, "runner"), "S3cond-of-the-vault")
        server[0].alter_login(ADMIN, "S3cond-of-the-vault")

    thread = threading.Thread(target=rotate)
    thread.start()
    execution = crew.run(FEWER, credential="runner")
    thread.join(30)
    assert crew.ends(execution) == ("Succeeded", {"Succeeded": FEWER}, 1)
    assert vault.reads() == 2, "one read at first, one after the refusal"
    assert 1 <= server[0].refused <= 8

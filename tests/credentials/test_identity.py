"""Tokens of managed identities: the SDK's own code against an endpoint that speaks its protocols."""

from __future__ import annotations

import threading

import pytest

from elastic_jobs.agent.logins import Logins
from elastic_jobs.credentials.sealing import Sealer
from elastic_jobs.domain.model import Identity
from elastic_jobs.domain.ports import SystemClock
from elastic_jobs.domain.server_scope import ServerScope
from elastic_jobs.errors import CredentialError, ServerNotAllowedError
from elastic_jobs.targets.authentication import ManagedIdentityTokens, TokenLogin
from local.azure.identity import IdentityEndpoint
from tests.credentials.conftest import IDENTITY, Book, HandClock, until

_VARIABLES = ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZURE_POD_IDENTITY_AUTHORITY_HOST", "MSI_ENDPOINT", "MSI_SECRET")


@pytest.fixture(autouse=True)
def _no_other_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)


def _in(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def app_service(endpoint: IdentityEndpoint, monkeypatch: pytest.MonkeyPatch) -> IdentityEndpoint:
    _in(monkeypatch, endpoint.environment())
    return endpoint


@pytest.fixture(params=["App Service", "IMDS"])
def anywhere(
    request: pytest.FixtureRequest, endpoint: IdentityEndpoint, monkeypatch: pytest.MonkeyPatch
) -> IdentityEndpoint:
    in_app_service = request.param == "App Service"
    _in(monkeypatch, endpoint.environment() if in_app_service else endpoint.imds_environment())
    return endpoint


@pytest.mark.parametrize("name", [IDENTITY.client_id, IDENTITY.resource_id])
def test_an_identity_is_found_by_client_id_and_by_resource_id(anywhere: IdentityEndpoint, name: str) -> None:
    tokens = ManagedIdentityTokens(SystemClock())
    assert tokens.token(name) == anywhere.issued[-1][0]
    assert tokens.token(name) == anywhere.issued[-1][0]
    assert len(anywhere.issued) == 1


def test_an_identity_that_is_not_assigned_is_a_sentence(anywhere: IdentityEndpoint) -> None:
    other = "99999999-9999-9999-9999-999999999999"
    with pytest.raises(CredentialError, match=f"managed identity '{other}' .*check that the identity is assigned"):
        ManagedIdentityTokens(SystemClock()).token(other)
    assert anywhere.issued == []


def test_an_endpoint_that_fails_for_a_moment_is_asked_again(app_service: IdentityEndpoint) -> None:
    app_service.failures[:] = [500]
    assert ManagedIdentityTokens(SystemClock()).token(IDENTITY.client_id)
    assert app_service.requests == 2


def test_hundred_threads_are_one_request(app_service: IdentityEndpoint) -> None:
    tokens = ManagedIdentityTokens(SystemClock())
    app_service.gate.clear()
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(tokens.token(IDENTITY.client_id))) for _ in range(100)]
    for thread in threads:
        thread.start()
    app_service.gate.set()
    for thread in threads:
        thread.join(30)
    assert answers == [app_service.issued[0][0]] * 100
    assert len(app_service.issued) == 1


def test_one_renews_and_the_others_go_on(app_service: IdentityEndpoint, clock: HandClock) -> None:
    app_service.lifetime_seconds = 250  # below five minutes the SDK keeps no token of its own
    tokens = ManagedIdentityTokens(clock)
    first = tokens.token(IDENTITY.client_id)
    clock.move(seconds=130)
    app_service.gate.clear()
    renewed: list[str] = []
    thread = threading.Thread(target=lambda: renewed.append(tokens.token(IDENTITY.client_id)))
    thread.start()
    until(lambda: tokens._identity(IDENTITY.client_id)._tokens._fetching)
    assert tokens.token(IDENTITY.client_id) == first
    app_service.gate.set()
    thread.join(30)
    assert renewed == [app_service.issued[1][0]]
    assert tokens.token(IDENTITY.client_id) == renewed[0] != first


def test_a_refused_token_is_replaced_although_the_sdk_keeps_it(app_service: IdentityEndpoint, clock: HandClock) -> None:
    tokens = ManagedIdentityTokens(clock)
    login = TokenLogin(IDENTITY.client_id, tokens)
    refused = login.secret()
    newer = login.renewed(refused)
    assert newer is not None
    assert newer.secret() == app_service.issued[1][0] != refused
    assert login.renewed(refused) is not None, "there is another one by now"
    assert login.renewed(newer.secret()) is None, "not again at once"
    assert len(app_service.issued) == 2
    clock.move(seconds=11)
    assert login.renewed(newer.secret()) is not None


def test_a_login_names_the_agents_identity_and_its_servers(book: Book, app_service: IdentityEndpoint) -> None:
    scope = ServerScope(("server1.database.windows.net",))
    identity = Identity(resource_id=IDENTITY.resource_id, allowed_servers=scope)
    assert book.agent(identity).identity == identity
    logins = Logins(book.database, Sealer(bytes(32)), ManagedIdentityTokens(SystemClock()))
    login = logins.login(None)
    assert isinstance(login, TokenLogin)
    assert login.secret() == app_service.issued[0][0]
    login.require("server1.database.windows.net")
    with pytest.raises(
        ServerNotAllowedError, match="userAssignedIdentities/agent1' may not be sent to server 'server2"
    ):
        login.require("server2.database.windows.net")
    with pytest.raises(ServerNotAllowedError):
        logins.login(None, "server2.database.windows.net")
    # A step of the time before, which still names a credential, runs as the identity: as in Azure.
    assert logins.login("runner") == login


def test_an_agent_without_identity_and_a_step_without_credential(book: Book) -> None:
    logins = Logins(book.database, Sealer(bytes(32)), ManagedIdentityTokens(SystemClock()))
    with pytest.raises(CredentialError, match="No credential is named and the job agent has no identity"):
        logins.login(None)


def test_the_secret_of_the_endpoint_is_in_no_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:9/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "eyJ-secret-header")
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(CredentialError) as failure:
        ManagedIdentityTokens(SystemClock()).token(IDENTITY.client_id)
    assert "eyJ-secret-header" not in str(failure.value)

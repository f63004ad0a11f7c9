"""The servers that a credential or identity may be sent to: as they are written, stored, checked and used."""

from __future__ import annotations

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jobs.agent.logins import Logins
from elastic_jobs.credentials.sealing import Sealer
from elastic_jobs.domain.model import Agent, Identity
from elastic_jobs.domain.ports import SystemClock
from elastic_jobs.domain.server_scope import ServerScope, parse_scope
from elastic_jobs.errors import InvalidDefinitionError, ServerNotAllowedError
from elastic_jobs.jobdb.definitions import audit, credentials
from elastic_jobs.jobdb.definitions.identities import check_identity, identity_name
from elastic_jobs.targets.authentication import ManagedIdentityTokens
from tests.credentials.conftest import NAMES, Book

SEALER = Sealer(bytes(32))
_LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)
_SERVER = st.lists(_LABEL, min_size=1, max_size=4).map(".".join)


@given(st.lists(st.one_of(_SERVER, _SERVER.map("*.{}".format)), min_size=1, max_size=6), _SERVER)
def test_a_scope_is_what_was_written_and_is_stored_as_it_is(patterns: list[str], server: str) -> None:
    scope = parse_scope(patterns, NAMES)
    assert scope is not None
    assert ServerScope.from_text(scope.text()) == scope
    name = NAMES.canonical(server)
    by_hand = any(
        name == NAMES.canonical(pattern)
        if not pattern.startswith("*.")
        else name.endswith(pattern[1:]) and "." not in name[: -len(pattern[1:])]
        for pattern in patterns
    )
    assert scope.allows(name) == by_hand
    assert (f",{name}," in scope.text() or f",*.{name.partition('.')[2]}," in scope.text()) == by_hand


def test_names_are_completed_and_compared_as_everywhere() -> None:
    scope = parse_scope([" Server1 ", "*.Example.NET", "server1"], NAMES)
    assert scope is not None
    assert scope.patterns == ("*.example.net", "server1.database.windows.net")
    assert scope.allows("a.example.net")
    assert not scope.allows("a.b.example.net")
    assert not scope.allows("example.net")
    assert parse_scope([], NAMES) is None


@pytest.mark.parametrize(
    "pattern",
    ["*", "*.", "", "a*.net", "s1,1433", "tcp:s1", "s1;Encrypt=no", "{s1}", "10.0.0.1", "-a", "a..b", "*.*.net"],
)
def test_what_is_no_name_is_refused(book: Book, pattern: str) -> None:
    with pytest.raises(InvalidDefinitionError, match="The allowed servers of the credential 'runner' are not right"):
        book.save(SEALER, allowed_servers=(pattern,))


def test_too_many_are_refused() -> None:
    with pytest.raises(ValueError, match="501 servers are listed; at most 500"):
        parse_scope([f"s{number}" for number in range(501)], NAMES)


@pytest.mark.parametrize("pattern", ["evil1", "server1.example.net", "*.example.net", "*.net"])
def test_a_list_is_never_wider_than_the_deployments(book: Book, pattern: str) -> None:
    with pytest.raises(InvalidDefinitionError, match=r"not within the deployment's list .*ALLOWED_TARGET_SERVERS"):
        book.save(SEALER, allowed_servers=("server1", pattern))


def test_a_client_that_knows_no_list_cannot_widen_it(book: Book) -> None:
    assert book.save(SEALER).allowed_servers is None
    limited = ServerScope(("server1.database.windows.net",))
    assert book.save(SEALER, allowed_servers=("server1",)).allowed_servers == limited
    assert book.save(SEALER, password="another").allowed_servers == limited
    with book.database.read() as connection:
        assert credentials.get_credential(connection, "RUNNER").allowed_servers == limited
        assert credentials.list_credentials(connection)[0].allowed_servers == limited
        entry = audit.list_entries(connection, audit.AuditFilter(resource="credentials/runner"), limit=1)[0]
    assert entry.after["allowed_servers"] == {"patterns": ["server1.database.windows.net"]}
    assert book.save(SEALER, allowed_servers=()).allowed_servers is None


def _check(book: Book, agent: Agent, name: str | None, *servers: str) -> None:
    with book.database.read() as connection:
        credentials.check_scope(connection, book.edit, agent, name, servers, "step 'one'")


def test_a_definition_that_would_send_it_elsewhere_is_refused(book: Book) -> None:
    agent = book.agent()
    book.save(SEALER, allowed_servers=("server1", "*.database.windows.net"))
    _check(book, agent, "runner", "server1", "SERVER2.database.windows.net")
    book.save(SEALER, allowed_servers=("server1",))
    _check(book, agent, "runner", "server1", "tcp:SERVER1.database.windows.net,1433")
    with pytest.raises(
        InvalidDefinitionError,
        match=r"The step 'one' would send the credential 'runner' to server 'server2.database.windows.net'",
    ):
        _check(book, agent, "runner", "server1", "server2")
    _check(book, agent, None, "server2")
    limited = Identity(resource_id="/x/agent1", allowed_servers=ServerScope(("server1.database.windows.net",)))
    with pytest.raises(InvalidDefinitionError, match="would send the identity of the job agent to server 'server2"):
        _check(book, book.agent(limited), None, "server2")


def test_what_is_used_is_checked_again(book: Book) -> None:
    book.save(SEALER, allowed_servers=("server1",))
    logins = Logins(book.database, SEALER, ManagedIdentityTokens(SystemClock()))
    login = logins.login("runner")
    login.require("server1.database.windows.net")
    with pytest.raises(ServerNotAllowedError, match="credential 'runner' may not be sent to server 'server2"):
        login.require("server2.database.windows.net")
    with pytest.raises(ServerNotAllowedError, match="credential 'runner'"):
        logins.login("runner", "server2.database.windows.net")
    assert logins.login("runner", "server1.database.windows.net") == login
    with pytest.raises(ServerNotAllowedError):
        logins.login("runner", "server1"), "only a canonical name is known"


def test_a_server_that_is_refused_costs_no_look_into_the_safe(book: Book) -> None:
    book.save(Sealer(b"k" * 32), allowed_servers=("server1",))
    logins = Logins(book.database, SEALER, ManagedIdentityTokens(SystemClock()))  # whose key does not open it
    with pytest.raises(ServerNotAllowedError):
        logins.login("runner", "server2.database.windows.net")


@pytest.mark.parametrize("name", ["ab", "-abc", "_abc", "a.b.c", "a" * 129, "agent 1", "ägent"])
def test_identities_are_named_as_azure_wants_it(name: str) -> None:
    with pytest.raises(InvalidDefinitionError, match="must begin with a letter or a number, have 3 to 128") as refused:
        check_identity(Identity(resource_id=f"/subscriptions/1/userAssignedIdentities/{name}"))
    assert refused.value.code == "InvalidResourceId"


@pytest.mark.parametrize("name", ["abc", "1-_", "A" * 128])
def test_good_names_of_identities(name: str) -> None:
    resource_id = f"/subscriptions/{uuid4()}/userAssignedIdentities/{name}"
    check_identity(Identity(resource_id=resource_id))
    assert identity_name(resource_id) == name

"""Private endpoints: the SDK's pipeline against a server that speaks the network API's protocol."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from elastic_jobs.azure.endpoints import PrivateEndpoints
from elastic_jobs.azure.network import PrivateEndpointError, PrivateEndpointNetwork, make_network
from elastic_jobs.errors import NotFoundError
from elastic_jobs.jobdb.definitions import private_endpoints
from elastic_jobs.settings import Settings
from local.azure.network import NetworkApi
from local.sqlserver.certificates import CertificateFiles
from tests.credentials.conftest import AppIdentity, Book, environment

TOKEN = "eyJ-token-for-the-network"
SERVER = "/subscriptions/2/resourceGroups/far/providers/Microsoft.Sql/servers/"
SUBNET = "/subscriptions/1/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/net/subnets/jobs"


@pytest.fixture
def api(certificates: CertificateFiles) -> Iterator[NetworkApi]:
    with NetworkApi(certificates, tokens={TOKEN}) as api:
        yield api


def _network(api: NetworkApi, certificates: CertificateFiles, token: str = TOKEN) -> PrivateEndpointNetwork:
    settings = Settings.from_env(environment(RESOURCE_MANAGER_URL=api.url, PRIVATE_ENDPOINT_SUBNET_ID=SUBNET))
    made = make_network(
        settings, AppIdentity(token), connection_verify=str(certificates.ca), retry_total=1, retry_backoff_factor=0.01
    )
    assert made is not None
    return made


@pytest.fixture
def network(api: NetworkApi, certificates: CertificateFiles) -> PrivateEndpointNetwork:
    return _network(api, certificates)


def test_without_a_subnet_the_app_makes_none() -> None:
    assert make_network(Settings.from_env(environment()), AppIdentity()) is None


def test_an_endpoint_is_asked_for_and_approved(network: PrivateEndpointNetwork, api: NetworkApi) -> None:
    assert network.find("EJ_1") is None
    made = network.create("EJ_1", SERVER + "far1", "m" * 200)
    assert (made.status, made.provisioning_state) == ("Pending", "Updating")
    assert made.target_server_id == SERVER + "far1"
    api.decide("EJ_1", "Approved", "welcome")
    found = network.find("EJ_1")
    assert found is not None
    assert (found.status, found.description, found.provisioning_state) == ("Approved", "welcome", "Succeeded")
    assert network.create("EJ_1", SERVER + "far1", "again").status == "Approved", "it is not made anew"


def test_lists_have_pages_and_only_what_is_ours(network: PrivateEndpointNetwork, api: NetworkApi) -> None:
    api.put("of-somebody", {})
    api.put("of-another-agent", {"elastic-jobs-agent": "otherserver/JobDatabase"})
    for number in range(5):
        network.create(f"EJ_{number}", f"{SERVER}far{number}", "please")
    assert [state.name for state in network.list()] == [f"EJ_{number}" for number in range(5)]
    api.next_link_host = "https://127.0.0.2:1"
    with pytest.raises(PrivateEndpointError, match="a next page on another host"):
        network.list()


def test_what_is_not_ours_is_not_touched(network: PrivateEndpointNetwork, api: NetworkApi) -> None:
    api.put("of-somebody", {})
    with pytest.raises(PrivateEndpointError, match="'of-somebody' that is not of this job agent"):
        network.create("of-somebody", SERVER + "far1", "please")
    with pytest.raises(PrivateEndpointError, match="not of this job agent"):
        network.delete("of-somebody")
    assert not network.delete("nobody")
    assert api.names() == ["of-somebody"]


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (403, "AuthorizationFailed", "give its identity the role Network Contributor"),
        (403, "LinkedAuthorizationFailed", "may not use the subnet"),
        (409, "MissingSubscriptionRegistration", "Microsoft.Network is not registered"),
        (429, "TooManyRequests", "throttling; try again later"),
        (503, "ServiceUnavailable", r"not available \(status 503, ServiceUnavailable\)"),
        (400, "SubnetNotFound; drop", r"refuses it \(status 400\); check the target server's id"),
    ],
)
def test_every_trouble_is_a_sentence(
    network: PrivateEndpointNetwork, api: NetworkApi, status: int, code: str, sentence: str
) -> None:
    api.failure = (status, code)
    with pytest.raises(PrivateEndpointError, match=sentence) as failure:
        network.find("EJ_1")
    assert str(failure.value).startswith("Private endpoint 'EJ_1': ")


def test_a_token_that_is_refused_and_an_api_that_is_away(
    api: NetworkApi, certificates: CertificateFiles, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(PrivateEndpointError, match="status 401, InvalidAuthenticationToken"):
        _network(api, certificates, "eyJ-wrong").find("EJ_1")
    with NetworkApi(certificates) as gone:
        network = _network(gone, certificates)
    with pytest.raises(PrivateEndpointError, match="the network API does not answer"):
        network.find("EJ_1")
    assert "eyJ-" not in caplog.text


def _wish(book: Book, name: str, server: str) -> str:
    with book.database.write() as connection:
        saved, _ = private_endpoints.save_private_endpoint(
            connection, book.edit, name, target_server_id=SERVER + server, target_server=server
        )
    return saved.private_endpoint_id


def _status(book: Book, name: str) -> tuple[str, str]:
    with book.database.read() as connection:
        found = private_endpoints.get_private_endpoint(connection, name)
    return found.status.value, found.description


def test_wishes_are_carried_out_and_their_approval_is_noted(
    book: Book, network: PrivateEndpointNetwork, api: NetworkApi
) -> None:
    one, two = _wish(book, "one", "far1"), _wish(book, "two", "far2")
    aligner = PrivateEndpoints(book.database, network, lambda: book.edit)
    first = aligner.align()
    assert (first.created, first.deleted, first.failures) == (("one", "two"), (), ())
    assert api.names() == sorted([one, two])
    assert _status(book, "one") == ("Pending", "Awaiting approval")
    api.decide(one, "Approved", "")
    api.decide(two, "Rejected", "not you")
    assert aligner.align().noted == ("one", "two")
    assert _status(book, "one")[0] == "Approved"
    assert _status(book, "two") == ("Rejected", "not you")
    again = aligner.align()
    assert (again.created, again.noted, again.deleted) == ((), (), ())
    with book.database.write() as connection:
        private_endpoints.delete_private_endpoint(connection, book.edit, "two")
    assert aligner.align().deleted == (two,)
    assert api.names() == [one]


def test_one_that_fails_does_not_hold_up_the_others(
    book: Book, network: PrivateEndpointNetwork, api: NetworkApi
) -> None:
    taken = _wish(book, "one", "far1")
    api.put(taken, {})
    other = _wish(book, "two", "far2")
    result = PrivateEndpoints(book.database, network, lambda: book.edit).align()
    assert result.created == ("two",)
    assert len(result.failures) == 1
    assert "not of this job agent" in result.failures[0]
    assert api.names() == sorted([taken, other])


def test_who_can_do_without_is_not_held_up(
    book: Book, network: PrivateEndpointNetwork, api: NetworkApi, caplog: pytest.LogCaptureFixture
) -> None:
    aligner = PrivateEndpoints(book.database, network, lambda: book.edit)
    taken = _wish(book, "one", "far1")
    api.failure = (403, "AuthorizationFailed")
    assert aligner.try_align() is None
    api.failure = None
    api.put(taken, {})
    result = aligner.try_align()
    assert result is not None
    assert result.failures[0] in caplog.text
    assert "Network Contributor" in caplog.text


def test_one_wish_is_refreshed(book: Book, network: PrivateEndpointNetwork, api: NetworkApi) -> None:
    name = _wish(book, "one", "far1")
    aligner = PrivateEndpoints(book.database, network, lambda: book.edit)
    aligner.refresh("one")
    assert network.list() == [], "Looking creates nothing."
    assert aligner.ensure("one").status.value == "Pending"
    api.decide(name, "Approved", "yes")
    aligner.refresh("one")
    refreshed = aligner.ensure("one")
    assert (refreshed.status.value, refreshed.description) == ("Approved", "yes")
    with pytest.raises(NotFoundError):
        aligner.refresh("nobody")

"""The client over real sockets: what it sends, what it believes, and what it says when something is in the way."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable

import pytest

from elastic_jobs.cli.client import Client, checked_endpoint, path
from elastic_jobs.cli.errors import ApiError, NoAccess, Unreachable, UsageError
from tests.api.support import ALL_ROLES, Server, token
from tests.cli.wire import Reply, ScriptedServer, refusal


def client_of(scripted: ScriptedServer, pauses: list[float] | None = None) -> Client:
    return Client(scripted.url, lambda: "secret", sleep=(pauses if pauses is not None else []).append)


def test_names_are_encoded_and_arrive_as_they_are(server: Server) -> None:
    server.agent()
    name = "a/b ü?#&=+;."
    with Client(server.url, lambda: token(*ALL_ROLES)) as client:
        client.put(path("jobs", name), {"properties": {"description": "odd"}})
        assert client.get(path("jobs", name))["name"] == name
        assert [job["name"] for job in client.pages(path("jobs"))] == [name]
        client.delete(path("jobs", name))
        client.delete(path("jobs", name))
        with pytest.raises(ApiError) as refused:
            client.get(path("jobs", name))
    assert (refused.value.status, refused.value.code) == (404, "ResourceNotFound")


def test_pages_follow_each_other_to_the_end(server: Server) -> None:
    server.agent()
    with Client(server.url, lambda: token(*ALL_ROLES)) as client:
        for number in range(105):
            client.put(path("targetGroups", f"g{number:03}"), {"properties": {"members": []}})
        names = [group["name"] for group in client.pages(path("targetGroups"))]
    assert names == [f"g{number:03}" for number in range(105)]


def test_a_next_link_leads_nowhere_else(scripted: ScriptedServer) -> None:
    scripted.answer(
        Reply(body={"value": [{"n": 1}], "nextLink": "http://evil.example/agent/jobs?%24skiptoken=x&isActive=true"}),
        Reply(body={"value": [{"n": 2}]}),
    )
    with client_of(scripted) as client:
        assert [item["n"] for item in client.pages(path("jobs"), isActive="true")] == [1, 2]
    assert [asked.path for asked in scripted.asked] == [
        "/agent/jobs?isActive=true",
        "/agent/jobs?%24skiptoken=x&isActive=true",
    ]


def test_a_list_that_goes_round_ends_with_a_sentence(scripted: ScriptedServer) -> None:
    scripted.answer(Reply(body={"value": [{}], "nextLink": "/agent/jobs?%24skiptoken=x"}))
    with client_of(scripted) as client, pytest.raises(Unreachable, match="again and again"):
        list(client.pages(path("jobs")))


def test_a_busy_answer_is_waited_for_and_counts_once(scripted: ScriptedServer) -> None:
    pauses: list[float] = []
    scripted.answer(
        refusal(429, "SubscriptionTooManyRequests", "Slow down.", Retry_After="3"),
        refusal(503, "ServiceUnavailable", "In a moment."),
        Reply(body={"name": "run"}),
    )
    with client_of(scripted, pauses) as client:
        assert client.post(path("jobs", "j", "start")) == {"name": "run"}
    assert pauses == [3.0, 2.0]
    assert len({asked.headers["x-ms-client-request-id"] for asked in scripted.asked}) == 1


def test_who_stays_busy_is_refused_in_the_end(scripted: ScriptedServer) -> None:
    scripted.answer(refusal(429, "SubscriptionTooManyRequests", "Slow down."))
    with client_of(scripted) as client, pytest.raises(ApiError, match="Slow down") as refused:
        client.get("")
    assert (refused.value.status, len(scripted.asked)) == (429, 4)


def test_a_change_that_takes_long_is_waited_for(scripted: ScriptedServer) -> None:
    state = {"Azure-AsyncOperation": "https://elsewhere.example/operations/1?x=1"}
    scripted.answer(
        Reply(status=202, headers=state),
        Reply(body={"status": "InProgress"}),
        Reply(body={"status": "Succeeded"}),
        Reply(body={"name": "agent"}),
    )
    with client_of(scripted) as client:
        assert client.put("", {}) == {"name": "agent"}
    assert [asked.path for asked in scripted.asked] == ["/agent", "/operations/1?x=1", "/operations/1?x=1", "/agent"]


def test_a_change_that_fails_late_says_why(scripted: ScriptedServer) -> None:
    failed = {"status": "Failed", "error": {"code": "Broken", "message": "It broke."}}
    scripted.answer(Reply(status=202, headers={"Azure-AsyncOperation": "/operations/1"}), Reply(body=failed))
    with client_of(scripted) as client, pytest.raises(ApiError, match="It broke") as refused:
        client.put("", {})
    assert refused.value.code == "Broken"


def test_a_location_is_asked_until_it_is_done(scripted: ScriptedServer) -> None:
    later = {"Location": "/results/1"}
    scripted.answer(Reply(status=202, headers=later), Reply(status=202, headers=later), Reply(body={"name": "it"}))
    with client_of(scripted) as client:
        assert client.put(path("privateEndpoints", "p"), {}) == {"name": "it"}


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (refusal(401, "ExpiredAuthenticationToken", "It has expired."), NoAccess, "It has expired. Sign in anew"),
        (refusal(403, "AuthorizationFailed", "It needs the role Operator."), NoAccess, "needs the role Operator"),
        (Reply(status=401, body="<html>"), NoAccess, "before the management API is asked"),
        (Reply(status=500, body="<html>"), Unreachable, "HTTP 500, and not as the management API does"),
        (Reply(status=302, headers={"Location": "https://login.example"}), Unreachable, "HTTP 302"),
        (Reply(body="<html>"), Unreachable, "does not answer as the management API does"),
        (Reply(body="[1]"), Unreachable, "does not answer as the management API does"),
        (Reply(hang_up=True), Unreachable, "broke"),
    ],
)
def test_what_is_no_answer_of_the_api_is_a_sentence(
    scripted: ScriptedServer, reply: Reply, kind: type[Exception], words: str
) -> None:
    scripted.answer(reply)
    with client_of(scripted) as client, pytest.raises(kind, match=words):
        client.get("")
    assert all("login.example" not in asked.headers["Host"] for asked in scripted.asked)


def test_nobody_there() -> None:
    with Client("http://127.0.0.1:9", None) as client, pytest.raises(Unreachable, match="cannot be reached"):
        client.get("")


def test_an_endpoint_that_never_answers_is_not_waited_for_longer_than_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(url, None, seconds=0.2) as client, pytest.raises(Unreachable, match="did not answer in time"):
            client.get("")


def test_a_certificate_that_nobody_vouches_for(certificate: Callable[[], ssl.SSLContext]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def shake_hands() -> None:
            connection, _ = listener.accept()
            with connection, pytest.raises(ssl.SSLError):
                certificate().wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=shake_hands)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with Client(url, None) as client, pytest.raises(Unreachable, match=r"cannot be verified.*SSL_CERT_FILE"):
            client.get("")
        thread.join(10)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("https://jobs.example/", "https://jobs.example"),
        (" https://jobs.example:8443/base/ ", "https://jobs.example:8443/base"),
        ("http://127.0.0.1:7071", "http://127.0.0.1:7071"),
        ("http://localhost:7071", "http://localhost:7071"),
        ("http://[::1]:7071", "http://[::1]:7071"),
    ],
)
def test_endpoints_that_are_taken(given: str, taken: str) -> None:
    assert checked_endpoint(given) == taken


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("http://jobs.example", "unencrypted"),
        ("http://127.0.0.1.evil.example", "unencrypted"),
        ("http://user@127.0.0.1", "no endpoint"),
        ("https://user:word@jobs.example", "no endpoint"),
        ("jobs.example", "no endpoint"),
        ("ftp://jobs.example", "no endpoint"),
        ("https://", "no endpoint"),
        ("https://jobs.example:port", "no endpoint"),
        ("https://[::1", "no endpoint"),
        ("https://jobs.example?x=1", "has a query"),
    ],
)
def test_endpoints_that_are_refused(given: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        checked_endpoint(given)


def test_queries_and_bodies_are_sent_as_given(scripted: ScriptedServer) -> None:
    with client_of(scripted) as client:
        client.get(path("x"), access=["read", "write"], nothing=None, flag=True, **{"$top": 5})
        client.patch("", {"tags": {"a": "b"}})
    assert scripted.asked[0].path == "/agent/x?access=read&access=write&flag=true&%24top=5"
    assert json.loads(scripted.asked[1].body) == {"tags": {"a": "b"}}
    assert scripted.asked[1].headers["Authorization"] == "Bearer secret"

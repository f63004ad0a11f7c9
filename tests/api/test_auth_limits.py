"""What every request must get past before it is routed: limits, sizes, odd paths and headers, over real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.types import Message

from elastic_jobs.api.auth import LocalAuthenticator
from elastic_jobs.api.errors import ApiError
from elastic_jobs.api.limits import Buckets, Limits
from elastic_jobs.api.middleware import Gate
from elastic_jobs.domain.ports import new_id
from elastic_jobs.errors import SettingsError
from tests.api.support import ALL_ROLES, KEY, Server, http_client, running, settings, token


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def raw(server: Server, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes as they are, without a client that would tidy them up; status, headers and body of the answer."""
    url = urlsplit(server.url)
    with socket.create_connection((url.hostname, url.port or 0), timeout=10) as connection:
        connection.sendall(request)
        file = connection.makefile("rb")
        status = int(file.readline().split(b" ")[1])
        headers: dict[str, str] = {}
        while (line := file.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, file.read(int(headers.get("content-length", "0")))


# Buckets


def test_a_bucket_gives_ten_seconds_worth_and_then_its_rate() -> None:
    clock = [0.0]
    buckets = Buckets(5, monotonic=lambda: clock[0])
    assert [buckets.take("a").remaining for _ in range(50)] == list(range(49, -1, -1))
    refused = buckets.take("a")
    assert refused.wait == pytest.approx(0.2)
    assert buckets.take("b").wait == 0, "each key has its own"
    clock[0] += 0.2
    assert buckets.take("a").wait == 0
    assert buckets.take("a").wait > 0
    clock[0] += 3600
    assert buckets.take("a").remaining == 49, "no more than full"
    clock[0] -= 7200
    assert buckets.take("a").remaining == 48, "a clock that goes back takes nothing away"


def test_a_rate_of_nothing_lets_everything_pass() -> None:
    buckets = Buckets(0, monotonic=lambda: 0.0)
    assert all(buckets.take("a").wait == 0 for _ in range(10_000))


def test_buckets_do_not_pile_up() -> None:
    buckets = Buckets(1, monotonic=lambda: 0.0, most=100)
    for number in range(10_000):
        buckets.take(str(number))
    assert len(buckets._buckets) == 100


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30)), max_size=300), st.integers(1, 20))
@hypothesis_settings(max_examples=80)
def test_nobody_gets_more_than_the_rate_and_nobody_waits_in_vain(steps: list[tuple[str, float]], rate: int) -> None:
    clock = [0.0]
    buckets = Buckets(rate, monotonic=lambda: clock[0])
    passed = {"a": 0, "b": 0, "c": 0}
    for key, pause in steps:
        clock[0] += pause
        taken = buckets.take(key)
        if taken.wait:
            clock[0] += taken.wait * 1.000001
            assert buckets.take(key).wait == 0, "after the wait that was told, the request passes"
        passed[key] += 1
        assert passed[key] <= rate * 10 + clock[0] * rate + 1e-6


# Limits over HTTP


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = {"CALLER_REQUESTS_PER_SECOND": "1", "INSTANCE_REQUESTS_PER_SECOND": "3", "REQUEST_BODY_LIMIT": "65536"}
    with running(tmp_path_factory.mktemp("tight"), **limits) as server:
        yield server


def _called(server: Server, who: str, times: int) -> list[httpx.Response]:
    with http_client(server.url) as client:
        client.headers["Authorization"] = f"Bearer {token('Reader', sub=who)}"
        return [client.get("/agent") for _ in range(times)]


def test_a_caller_who_asks_too_often_is_told_when_to_come_back(tight: Server) -> None:
    answers = _called(tight, "greedy", 15)
    passed = [answer for answer in answers if answer.status_code == 404]
    left = [int(answer.headers["x-ms-ratelimit-remaining-subscription-reads"]) for answer in passed]
    assert len(passed) in {10, 11, 12}
    assert left[0] == 9
    assert left == sorted(left, reverse=True)
    refused = answers[-1]
    assert code_of(refused) == (429, "SubscriptionTooManyRequests")
    assert refused.headers["Retry-After"] == "1"
    assert "more than 1 requests a second" in refused.json()["error"]["message"]
    assert _called(tight, "modest", 1)[0].status_code == 404, "others are not held back"


def test_all_callers_together_have_a_limit_and_probes_and_strangers_have_their_own(tmp_path: Path) -> None:
    with running(tmp_path, CALLER_REQUESTS_PER_SECOND="1", INSTANCE_REQUESTS_PER_SECOND="1") as server:
        answers = [answer for who in "abcd" for answer in _called(server, who, 4)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert "All callers together" in refused[0].json()["error"]["message"]
        assert httpx.get(f"{server.url}/health").status_code == 200
        with http_client(server.url) as client:
            client.headers["Authorization"] = "Bearer a.b.c"
            statuses = [client.get("/agent").status_code for _ in range(15)]
        assert statuses[0] == 401
        assert statuses[-1] == 429


def test_strangers_do_not_use_up_what_a_caller_needs(tight: Server) -> None:
    with http_client(tight.url) as client:
        del client.headers["Authorization"]
        statuses = [client.get("/agent").status_code for _ in range(15)]
    assert statuses[-1] == 429
    assert _called(tight, "patient", 1)[0].status_code == 404


def test_writes_and_deletes_are_told_apart(server: Server) -> None:
    for method, kind in (("GET", "reads"), ("PUT", "writes"), ("DELETE", "deletes"), ("POST", "writes")):
        answer = server.http.request(method, "/agent/jobs/x")
        left = int(answer.headers[f"x-ms-ratelimit-remaining-subscription-{kind}"])
        assert 0 < left < 2500


def test_without_a_rate_nothing_is_counted() -> None:
    limits = Limits.from_settings(settings(CALLER_REQUESTS_PER_SECOND="0", INSTANCE_REQUESTS_PER_SECOND="0"))
    assert {limits.caller("a") for _ in range(5000)} == {None}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REQUEST_BODY_LIMIT", "1000"),
        ("REQUEST_BODY_LIMIT", str(5 * 1024 * 1024)),
        ("REQUEST_BODY_LIMIT", "1MB"),
        ("CALLER_REQUESTS_PER_SECOND", "-1"),
        ("INSTANCE_REQUESTS_PER_SECOND", "many"),
    ],
)
def test_wrong_limits_stop_the_start(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        settings(**{name: value})


def test_addresses_of_the_functions_host() -> None:
    """There the peer is not known, and only the last hop of X-Forwarded-For was written by the platform."""
    limits = Limits(body=65536, caller_rate=1, instance_rate=0, monotonic=lambda: 0.0)
    gate = Gate(_never, LocalAuthenticator(KEY), new_id, limits)

    def status(forwarded: str) -> int:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(b"x-forwarded-for", forwarded.encode())]
        scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/agent", "client": None, "headers": headers}
        asyncio.run(gate(scope, receive, send))
        found: int = sent[0]["status"]
        return found

    for hop in ("20.1.2.3", "[2001:db8::1]"):
        assert [status(f"10.0.0.{number}, {hop}:{5000 + number}") for number in range(10)] == [401] * 10
    assert status("1.1.1.1, 20.1.2.3:9999") == 429, "another connection from the same address"
    assert status("1.1.1.1, [2001:db8::1]:9999") == 429
    assert status("20.1.2.3, 20.1.2.4:1") == 401
    assert status("2001:db8::1") == 429, "the same address without a port"
    assert status("") == 401


async def _never(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the request went through")


def test_web_sockets_are_closed() -> None:
    gate = Gate(_never, LocalAuthenticator(KEY), new_id, Limits(body=65536, caller_rate=0, instance_rate=0))
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(gate({"type": "websocket", "path": "/agent", "headers": []}, receive, send))
    assert [message["type"] for message in sent] == ["websocket.close"]


# Bodies


def test_the_size_of_bodies_is_the_settings(tight: Server) -> None:
    with http_client(tight.url) as client:
        client.headers["Authorization"] = f"Bearer {token(*ALL_ROLES, sub='writer')}"
        assert code_of(client.put("/agent/jobs/j", content=b" " * 65537)) == (413, "RequestEntityTooLarge")
        assert client.put("/agent/jobs/j", content=b" " * 65530 + b"{}").status_code == 404


def test_an_announced_size_is_refused_before_anything_is_read(server: Server) -> None:
    head = (
        f"PUT /agent/jobs/j HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(*ALL_ROLES)}\r\n"
        "Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"
    )
    status, _, body = raw(server, head.encode())
    assert (status, json.loads(body)["error"]["code"]) == (413, "RequestEntityTooLarge")


def test_no_body_is_read_of_one_who_is_not_let_in(server: Server) -> None:
    """The answer comes although the announced body never does."""
    head = "PUT /agent/jobs/j HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    assert raw(server, head.encode())[0] == 401


def test_a_body_that_does_not_come_ends_the_wait() -> None:
    gate = Gate(
        _never,
        LocalAuthenticator(KEY),
        new_id,
        Limits(body=65536, caller_rate=0, instance_rate=0),
        body_seconds=0.05,
    )
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "PUT",
        "path": "/agent/jobs/j",
        "headers": [(b"authorization", f"Bearer {token(*ALL_ROLES)}".encode())],
    }
    asyncio.run(gate(scope, receive, send))
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["error"]["code"] == "RequestTimeout"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity, gzip"])
def test_packed_bodies_are_not_unpacked(server: Server, coding: str) -> None:
    answer = server.http.put("/agent/jobs/j", content=b"\x1f\x8b" + b"\0" * 100, headers={"Content-Encoding": coding})
    assert code_of(answer) == (415, "UnsupportedMediaType")
    answer = server.http.put("/agent/jobs/j", content=b"{}", headers={"Content-Encoding": "Identity"})
    assert code_of(answer) == (404, "JobAgentNotFound")


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 500_000,
        b'{"properties":' * 50_000,
        b'{"properties": {"description": ' + b"9" * 100_000 + b"}}",
        b'{"properties": 1e999}',
        b'{"properties": NaN}',
        b'{"' + b"a" * 900_000 + b'": 1' + b"]",
        b"\xef\xbb\xbf{",
        b"{}" * 100_000,
        b"\0" * 1000,
    ],
)
def test_body_bombs(server: Server, content: bytes) -> None:
    server.agent()
    assert code_of(server.http.put("/agent/jobs/j", content=content)) == (400, "InvalidResourceRequestBody")
    assert server.http.get("/health").status_code == 200


# Paths and headers


@pytest.mark.parametrize(
    "path",
    [
        "//agent/jobs",
        "/health/../agent/jobs",
        "/health/%2e%2e/agent/jobs",
        "/health%2f..%2fagent/jobs",
        "/health;/agent/jobs",
        "/health/agent",
        "/health/x",
        "/health%00",
        "/health%0d%0a",
        "/metadata/endpoints/../../agent",
        "/metadata/endpoints/x",
        "/metadata",
        "/./agent/jobs",
        "/%61gent/jobs",
        "/agent%2fjobs",
        "/agent/jobs?x=/health",
        "/agent/jobs#/health",
        "/\\health",
        "/agent\\jobs",
        "http://x/agent/jobs",
        "http://x/health/../agent",
        "*",
        "/" + "a/" * 3000,
        "/agent/jobs/" + "%25" * 5000,
    ],
)
def test_no_spelling_of_a_path_goes_around_the_gate(server: Server, path: str) -> None:
    server.agent()
    status, _, body = raw(server, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1"))
    assert status in {400, 401}, body
    assert b"agent1" not in body


@given(st.text(st.sampled_from("/.%2eEfF0agenthlmtdo;\\?#:@*"), max_size=60))
@hypothesis_settings(max_examples=150)
def test_whatever_path_a_stranger_asks_for(shared_server: Server, path: str) -> None:
    status, _, _ = raw(shared_server, f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    if re.fullmatch(r"/+health/?(\?.*|#.*)?", f"/{path}", re.IGNORECASE) is None:
        # A path that is no UTF-8 names nothing, whoever asks.
        assert status in ({400, 401, 429} if _is_utf8(path) else {400, 401, 404, 429}), path


def _is_utf8(path: str) -> bool:
    try:
        unquote(path, errors="strict")
    except UnicodeDecodeError:
        return False
    return True


def test_header_values_of_a_request_do_not_come_back_unchecked(server: Server) -> None:
    for value in ("a b", "a\tb", "x" * 129, "<script>", "\u00e9"):
        request = (
            f"GET /agent HTTP/1.1\r\nHost: evil.example.com\r\nx-ms-client-request-id: {value}\r\n"
            f"x-ms-correlation-request-id: {value}\r\n\r\n"
        )
        _, headers, _ = raw(server, request.encode("latin-1"))
        if value == "<script>":
            continue  # printable, and no more than a header: nothing reads it as a page
        assert "x-ms-client-request-id" not in headers
        assert re.fullmatch(r"[0-9a-f-]{36}", headers["x-ms-correlation-request-id"])


@pytest.mark.parametrize("name", ["a%0d%0aSet-Cookie:%20x=1", "a%0aLocation:%20http:%2f%2fevil", "%00", "a%e2%80%a8b"])
def test_names_do_not_become_headers(server: Server, name: str) -> None:
    server.ready_job()
    for method in ("PUT", "GET", "POST"):
        suffix = "/start" if method == "POST" else ""
        answer = server.http.request(method, f"/agent/jobs/{name}{suffix}")
        assert "Set-Cookie" not in answer.headers
        assert "evil" not in answer.headers.get("Location", "")
        assert answer.status_code in {201, 200, 400, 404}


def test_security_headers_are_on_every_answer(server: Server) -> None:
    with http_client(server.url) as stranger:
        del stranger.headers["Authorization"]
        answers = [
            server.http.get("/agent"),
            server.http.get("/nowhere"),
            server.http.put("/agent/jobs/j", content=b"{"),
            server.http.get("/health"),
            stranger.get("/agent"),
        ]
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-cache"
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_refusal_is_an_error_like_any_other() -> None:
    limits = Limits(body=65536, caller_rate=1, instance_rate=0, monotonic=lambda: 0.0)
    for _ in range(10):
        limits.caller("a")
    with pytest.raises(ApiError) as refused:
        limits.caller("a")
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})

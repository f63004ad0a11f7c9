"""Requests that would keep an instance busy, or that say something that cannot be meant."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.types import Message

from elastic_jobs.agent.trial import Tried
from elastic_jobs.api.app import create_app
from elastic_jobs.api.bodies import TargetGroupBody
from elastic_jobs.api.errors import ApiError
from elastic_jobs.api.lazy import lazy_app
from elastic_jobs.api.limits import PLACES_EACH, PLACES_TOGETHER, Places
from elastic_jobs.api.paths import route_path
from elastic_jobs.api.services import Services
from elastic_jobs.domain.rehearsal import Rehearsed
from elastic_jobs.domain.targets import Member
from elastic_jobs.errors import SettingsError
from tests.api.support import ALL_ROLES, Server, http_client, running, token

_WAITING = ("resolve", "preflight")


class SilentServers:
    """Target servers that answer when they are told to."""

    def __init__(self) -> None:
        self.asked, self.answer = threading.Semaphore(0), threading.Event()

    def rehearse(self, members: Sequence[Member]) -> Rehearsed:
        del members
        self._wait()
        return Rehearsed()

    def try_out(self, members: Sequence[Member], credential: str | None, seconds: float) -> Tried:
        del members, credential, seconds
        self._wait()
        return Tried()

    def _wait(self) -> None:
        self.asked.release()
        assert self.answer.wait(60)

    def given_to(self, services: Services) -> Services:
        return replace(services, rehearse=self.rehearse, try_out=self.try_out)


@pytest.fixture
def silent() -> Iterator[SilentServers]:
    servers = SilentServers()
    yield servers
    servers.answer.set()


def ask(server: Server, number: int) -> httpx.Response:
    """One dry run or preflight, with a client of its own."""
    with http_client(server.url, "Operator") as client:
        body = {"credential": "runner"} if number % 2 else None
        path = f"/agent/targetGroups/group1/{_WAITING[number % 2]}"
        return client.post(path, json=body, timeout=60)


def test_an_impatient_caller_does_not_stop_the_api(tmp_path: Path, silent: SilentServers) -> None:
    with running(tmp_path, wrap=silent.given_to) as server, ThreadPoolExecutor(PLACES_EACH) as threads:
        server.ready_job()
        waiting = [threads.submit(ask, server, number) for number in range(PLACES_EACH)]
        for _ in waiting:
            assert silent.asked.acquire(timeout=60)
        for number in range(2):
            refused = ask(server, number)
            assert refused.status_code == 429
            assert refused.json()["error"]["code"] == "SubscriptionTooManyRequests"
            assert refused.headers["Retry-After"] == "10"
        setup = server.http.get("/agent/targetGroups/group1/userSetup", params={"credential": "runner"})
        assert setup.status_code == 429
        assert server.get("/jobs")["value"]
        silent.answer.set()
        assert [each.result(60).status_code for each in waiting] == [200] * PLACES_EACH
        # What was waited for gives its place back.
        assert ask(server, 0).status_code == 200


def test_places_are_counted_by_caller_and_together() -> None:
    places = Places(each=2, together=3)
    with places.take("alice"), places.take("alice"):
        with pytest.raises(ApiError, match="of this caller") as refusal, places.take("alice"):
            pass
        assert refusal.value.status == 429
        with places.take("bob"), pytest.raises(ApiError, match="3 requests wait"), places.take("carol"):
            pass
    with places.take("carol"), places.take("carol"):
        pass
    # Everything else that an instance answers has 40 threads together with these.
    assert PLACES_TOGETHER < 20


@pytest.mark.parametrize(
    "body",
    [
        {"properties": {"members": [{"type": "x"}] * 60_000}},
        {"properties": {"members": [1] * 200_000}},
    ],
)
def test_thousands_of_wrong_members_are_refused_at_the_first(server: Server, body: object) -> None:
    server.agent()
    answer = server.http.put("/agent/targetGroups/g", content=json.dumps(body))
    assert answer.status_code == 400
    assert "more)" not in answer.json()["error"]["message"]
    began = time.process_time()
    with pytest.raises(ValueError, match="1 validation error"):
        TargetGroupBody.model_validate(body)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    "body",
    [
        {"location": "x", "tags": {f"k{number}": number for number in range(70_000)}},
        {"location": "x", "identity": {"userAssignedIdentities": {f"k{number}": 1 for number in range(70_000)}}},
    ],
)
def test_objects_with_thousands_of_entries_are_refused_unread(server: Server, body: object) -> None:
    answer = server.http.put("/agent", json=body)
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert "there are 70000 entries" in message
    assert "more)" not in message


@pytest.mark.parametrize("content", [b"[" * 200_000, b"{'a': 1}", b'{"a": "\xff"}', b'{"a": ' + b"1" * 9000 + b"}"])
def test_what_is_no_json_is_refused_with_a_way_out(server: Server, content: bytes) -> None:
    server.agent()
    answer = server.http.put("/agent/jobs/j", content=content)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "InvalidResourceRequestBody"
    assert "send one JSON object in UTF-8" in answer.json()["error"]["message"]


def test_paths_that_are_no_utf8_name_nothing(server: Server) -> None:
    server.agent()
    for method in ("GET", "PUT"):
        answer = server.http.request(method, "/agent/jobs/%FF")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "ResourceNotFound"
        assert "UTF-8" in answer.json()["error"]["message"]


def test_every_fixed_segment_of_a_route_is_known_in_any_case(server: Server) -> None:
    app = create_app(server.services)
    paths = list(app.openapi()["paths"])
    assert len(paths) > 80
    for path in paths:
        if path == "/metadata/endpoints":  # asked for by programs, which all spell it so
            continue
        shouted = "/".join(part if part.startswith("{") else part.upper() for part in path.split("/"))
        routed = route_path(shouted.replace("{", "").replace("}", ""))
        assert routed == path.replace("{", "").replace("}", ""), path


@pytest.mark.parametrize("subject", ["a\r\nX: y", "a\0b", "a\ud800", "a" * 257, "\u202e"])
def test_a_local_subject_is_fit_for_the_audit_trail(server: Server, subject: str) -> None:
    server.agent()
    with httpx.Client(base_url=server.url) as client:
        headers = {"Authorization": f"Bearer {token(*ALL_ROLES, sub=subject)}"}
        answer = client.put("/agent/jobs/j", json={}, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "InvalidAuthenticationToken"


def test_a_deployment_that_is_slow_to_start_leaves_the_event_loop_to_others() -> None:
    asked, release = threading.Event(), threading.Event()
    sent: list[Message] = []

    def services() -> Services:
        asked.set()
        if not release.wait(10):
            raise RuntimeError("The event loop stood still.")
        raise SettingsError("JOB_DATABASE_URL is wrong.")

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    async def scenario() -> None:
        scope = {"type": "http", "method": "GET", "path": "/health", "headers": []}
        request = asyncio.ensure_future(lazy_app(services)(scope, receive, send))
        await asyncio.to_thread(asked.wait, 30)
        release.set()
        await request

    asyncio.run(scenario())
    assert sent[0]["status"] == 503

"""What a caller sees of a job database that rolls a transaction back, and what the scheduler hears of a change."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Response
from fastapi.routing import APIRoute

from elastic_jobs.api import agents, credentials, executions, jobs, private_endpoints, steps, target_groups
from elastic_jobs.api.repeating import RepeatingRoute
from elastic_jobs.api.stirring import Stir
from elastic_jobs.errors import JobDatabaseUnavailableError
from elastic_jobs.jobdb.database import REPEAT_SECONDS


class Work:
    """Fails as often as it is told."""

    def __init__(self) -> None:
        self.failures: list[JobDatabaseUnavailableError] = []
        self.bodies: list[object] = []

    def do(self, body: object) -> None:
        self.bodies.append(body)
        if self.failures:
            raise self.failures.pop()


class Client:
    """Asks an app without a server."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def __call__(self, method: str, path: str, json: object = None) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://agent") as client:
                return await client.request(method, path, json=json)

        return asyncio.run(ask())


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def stirred() -> list[str]:
    return []


@pytest.fixture
def client(work: Work, stirred: list[str]) -> Client:
    router = APIRouter(route_class=RepeatingRoute)

    @router.put("/thing")
    def put_thing(body: dict[str, int]) -> dict[str, int]:
        work.do(body)
        return body

    @router.get("/thing")
    def get_thing() -> str:
        return "here"

    @router.post("/refused")
    def refused() -> Response:
        return Response(status_code=400)

    app = FastAPI()
    app.include_router(router, prefix="/agent")
    app.add_middleware(Stir, stir=lambda: stirred.append("stir"))
    return Client(app)


def _rolled_back() -> JobDatabaseUnavailableError:
    return JobDatabaseUnavailableError("Deadlock.", nothing_changed=True)


def test_a_request_whose_transaction_was_rolled_back_is_done_again_with_its_body(client: Client, work: Work) -> None:
    work.failures = [_rolled_back(), _rolled_back()]
    assert client("PUT", "/agent/thing", json={"a": 1}).json() == {"a": 1}
    assert work.bodies == [{"a": 1}] * 3


def test_a_request_whose_outcome_is_unknown_is_not_done_again(client: Client, work: Work) -> None:
    work.failures = [JobDatabaseUnavailableError("The answer to COMMIT was lost.")]
    assert client("PUT", "/agent/thing", json={"a": 1}).status_code == 500
    assert len(work.bodies) == 1


def test_a_job_database_that_stays_away_is_told_in_the_end(
    client: Client, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elastic_jobs.api.repeating.REPEAT_SECONDS", (0.0,) * len(REPEAT_SECONDS))
    work.failures = [_rolled_back() for _ in range(9)]
    assert client("PUT", "/agent/thing", json={"a": 1}).status_code == 500
    assert len(work.bodies) == 1 + len(REPEAT_SECONDS)


def test_every_route_that_works_on_the_job_database_repeats() -> None:
    for module in (agents, credentials, executions, jobs, private_endpoints, steps, target_groups):
        routes = [route for route in module.router.routes if isinstance(route, APIRoute)]
        assert routes
        assert all(isinstance(route, RepeatingRoute) for route in routes), module.__name__


def test_the_scheduler_hears_of_changes_only(client: Client, work: Work, stirred: list[str]) -> None:
    client("GET", "/agent/thing")
    client("POST", "/agent/refused")
    work.failures = [JobDatabaseUnavailableError("Away.")]
    client("PUT", "/agent/thing", json={"a": 1})
    assert stirred == []
    client("PUT", "/agent/thing", json={"a": 1})
    assert stirred == ["stir"]

"""The API in the hands of the Functions worker's own request and response classes."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import azure.functions as func
import pytest
from starlette.types import Receive, Scope, Send

from elastic_jobs.api.app import create_app
from elastic_jobs.api.functions import answer
from elastic_jobs.api.lazy import lazy_app
from tests.api.support import AGENT, ALL_ROLES, Server, token


def request(method: str, path: str, body: bytes = b"", **headers: str) -> func.HttpRequest:
    return func.HttpRequest(
        method=method,
        url=f"https://jobs.example.com{path}",
        headers={"Authorization": f"Bearer {token(*ALL_ROLES)}", "Host": "jobs.example.com"} | headers,
        body=body,
    )


@pytest.mark.parametrize("name", ["nightly/rebuild", "Aufträge übers Jahr"])
@pytest.mark.parametrize("decoded", [False, True])
def test_the_bridge_keeps_names_whole(server: Server, name: str, decoded: bool) -> None:
    app = create_app(server.services)
    server.agent()
    # The host hands URLs decoded but for the slash.
    path = name.replace("/", "%2F") if decoded else quote(name, safe="")

    async def scenario() -> tuple[func.HttpResponse, func.HttpResponse]:
        made = await answer(app, request("PUT", f"/agent/jobs/{path}", b"{}"))
        return made, await answer(app, request("GET", f"{AGENT}/jobs/{path}?api-version=2025-01-01"))

    made, found = asyncio.run(scenario())
    assert (made.status_code, found.status_code) == (201, 200)
    assert found.headers["content-type"] == found.mimetype == "application/json; charset=utf-8"
    assert f'"name":"{name}"'.encode() in found.get_body()


def test_an_exception_becomes_an_answer_and_a_missing_token_a_401(server: Server) -> None:
    app = create_app(server.services)
    response = asyncio.run(answer(app, request("GET", "/agent", Authorization="")))
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="elastic-jobs"'


def test_the_asgi_function_app_of_azure_functions(server: Server) -> None:
    """Its middleware decodes the path: names that are not ASCII work, only ``%2F`` cannot."""
    server.agent()
    app = func.AsgiFunctionApp(app=lazy_app(lambda: server.services), http_auth_level=func.AuthLevel.ANONYMOUS)
    middleware: Any = app.middleware
    handle = middleware.handle_async

    async def scenario() -> list[func.HttpResponse]:
        assert await middleware.notify_startup()
        context: Any = type("Context", (), {"function_directory": "", "function_name": "f", "invocation_id": "i"})
        context.thread_local_storage = context.trace_context = context.retry_context = None
        made = await handle(request("PUT", f"/agent/jobs/{quote('Aufträge')}", b"{}"), context)
        found = await handle(request("GET", f"/AGENT/jobs/{quote('Aufträge')}"), context)
        health = await handle(request("GET", "/health"), context)
        await middleware.notify_shutdown()
        return [made, found, health]

    made, found, health = asyncio.run(scenario())
    assert [response.status_code for response in (made, found, health)] == [201, 200, 200]
    assert '"name":"Aufträge"'.encode() in found.get_body()


def test_an_app_that_waits_for_the_client_to_leave_is_told_so(server: Server) -> None:
    del server
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        seen.extend([(await receive())["type"], (await receive())["type"]])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    response = asyncio.run(answer(app, request("GET", "/")))
    assert (response.status_code, seen) == (204, ["http.request", "http.disconnect"])

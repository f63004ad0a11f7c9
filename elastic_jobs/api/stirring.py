"""Tells the scheduler that somebody changed something, so that a resting tick looks again."""

from __future__ import annotations

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Stir:
    """Calls ``stir`` after every request that may have changed something and did not fail; behind the answer, so that
    nobody waits for it."""

    def __init__(self, app: ASGIApp, stir: Callable[[], object]) -> None:
        self._app, self._stir = app, stir

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _READING:
            await self._app(scope, receive, send)
            return
        status = 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._app(scope, receive, note)
        if 200 <= status < 400:
            await run_in_threadpool(self._stir)

"""A request whose transaction was rolled back by a deadlock or a failover is done again instead of failing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from elastic_jobs.errors import JobDatabaseUnavailableError
from elastic_jobs.jobdb.database import REPEAT_SECONDS


class RepeatingRoute(APIRoute):
    """A route that is done again, some times and after a moment, when its transaction certainly changed nothing.

    Never when the answer to COMMIT was lost: the caller has to know that the outcome is unknown.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def repeat(request: Request) -> Response:
            for seconds in REPEAT_SECONDS:
                try:
                    return await handle(request)
                except JobDatabaseUnavailableError as error:
                    if not error.nothing_changed:
                        raise
                await asyncio.sleep(seconds * (0.5 + random.random()))  # noqa: S311  # spreads, and protects nothing
            return await handle(request)

        return repeat

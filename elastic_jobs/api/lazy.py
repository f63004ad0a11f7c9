"""The API at the door of the Functions app: imported and built at the first request.

More than half of what the product imports serves HTTP. An instance that was started to run targets, as Flex Consumption
scales queue functions apart from HTTP, never needs it, and is ready for its first message that much earlier.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from uuid import uuid4

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from elastic_jobs.api.services import Services


def lazy_app(services: Callable[[], Services]) -> ASGIApp:
    """The API, built at the first request: a Functions worker indexes functions before settings may be right.

    A request that comes while ``services()`` fails is answered with 503; the next one tries again.
    """
    lock = threading.Lock()
    built: list[ASGIApp] = []

    def app() -> ASGIApp:
        from elastic_jobs.api.app import create_app

        with lock:
            if not built:
                built.append(create_app(services()))
        return built[0]

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        try:
            # In a thread: a job database that has to wake up takes a minute, and the event loop is everybody's.
            ready = built[0] if built else await run_in_threadpool(app)
        except Exception as error:
            from elastic_jobs.api.context import Json
            from elastic_jobs.api.errors import to_answer

            answer = to_answer(error, str(uuid4()))
            await Json(answer.body, answer.status, dict(answer.headers))(scope, receive, send)
            return
        await ready(scope, receive, send)

    return serve


async def _lifespan(receive: Receive, send: Send) -> None:
    """There is nothing to start or stop."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return

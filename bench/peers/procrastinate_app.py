"""The Procrastinate peer's application and its worker: ``python -m bench.peers.procrastinate_app <concurrency>``.

Synchronous tasks run in the event loop's default threads, of which Python has few; a worker that shall run many at once
gives the loop as many. New jobs are announced (LISTEN/NOTIFY), and a job's status in PostgreSQL is its record.
"""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from procrastinate import App, PsycopgConnector

from bench.peers.work import run

URL = "BENCH_PROCRASTINATE"
CONNECTIONS = 8
"""Per worker. Statements are short, so that few connections serve many jobs; more are no faster."""


def make_app(url: str) -> App:
    """The application with its one task."""
    app = App(connector=PsycopgConnector(conninfo=url, min_size=1, max_size=CONNECTIONS))
    app.task(name="bench.work", queue="bench")(_work)
    return app


def _work(database: str) -> None:
    run(database)


async def serve(url: str, concurrency: int) -> None:
    """Run jobs until SIGTERM."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(concurrency))
    app = make_app(url)
    async with app.open_async():
        await app.run_worker_async(queues=["bench"], concurrency=concurrency, listen_notify=True)


if __name__ == "__main__":
    asyncio.run(serve(os.environ[URL], int(sys.argv[1])))

"""Closes connections that nobody uses: an open one keeps a serverless database awake, and billed."""

from __future__ import annotations

import threading
from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import Engine, event


def close_unused(engines: Collection[Engine], after: timedelta) -> None:
    """From now on, close the pooled connections of these engines whenever none was used for a while."""
    used = threading.Event()
    for engine in engines:
        event.listen(engine, "checkout", lambda *_: used.set())
        event.listen(engine, "checkin", lambda *_: used.set())
    watch = threading.Thread(target=_watch, args=(engines, used, after.total_seconds()), daemon=True)
    watch.name = "unused-connections"
    watch.start()


def _watch(engines: Collection[Engine], used: threading.Event, seconds: float) -> None:
    while True:
        used.wait()
        while used.is_set():
            used.clear()
            used.wait(seconds)
        for engine in engines:
            engine.dispose()

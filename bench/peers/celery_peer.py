"""Celery with Redis: broker, result store, two worker processes with threads."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.arena import Estate, wait_for
from bench.peers import work
from bench.peers.servers import Redis
from local.processes import ChildProcess
from local.stack import ROOT

_READY_SECONDS = 60.0
_RESULT_PREFIX = "celery-task-meta-*"


class CeleryPeer:
    """A Celery installation over the databases; a contender of the fan-out."""

    def __init__(
        self, name: str, folder: Path, estate: Estate, statement: str, *, concurrency: int, workers: int
    ) -> None:
        self.name = name
        self._redis = Redis(folder / "redis")
        self._workers: list[ChildProcess] = []
        broker, results = self._redis.url(0), self._redis.url(1)
        environment = work.save(estate, statement, folder / "estate.json")
        environment.update(BENCH_CELERY_BROKER=broker, BENCH_CELERY_RESULTS=results)
        self._client: Any = None
        try:
            self._client = _Client(broker, results)
            for number in range(workers):
                self._workers.append(
                    ChildProcess.start(
                        f"Celery worker {number}",
                        [
                            *(sys.executable, "-m", "celery", "-A", "bench.peers.celery_app", "worker"),
                            *("--pool", "threads", "--concurrency", str(-(-concurrency // workers))),
                            *("--hostname", f"bench{number}@localhost", "--loglevel", "WARNING"),
                            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
                        ],
                        folder / f"celery{number}.log",
                        env=environment,
                        cwd=ROOT,
                    )
                )
            wait_for(
                lambda: len(self._client.ping()) == workers, _READY_SECONDS, "Celery's workers to answer", every=0.2
            )
        except BaseException:
            self.stop()
            raise

    def fan_out(self, databases: Sequence[str]) -> float:
        """Run on these databases; seconds from asking until all outcomes are in Redis."""
        self._client.forget()
        began = time.perf_counter()
        self._client.ask(databases)
        wait_for(lambda: self._client.outcomes() == len(databases), 600, "Celery to record all outcomes", every=0.02)
        return time.perf_counter() - began

    def check(self, databases: Sequence[str]) -> None:
        """Every outcome must be a success.

        Raises:
            AssertionError: one is not.
        """
        found = self._client.states()
        assert found == {"SUCCESS": len(databases)}, f"Celery's outcomes: {found}."

    def pids(self) -> dict[str, list[int]]:
        return {
            "workers": [worker.pid for worker in self._workers],
            "storage (Redis)": [self._redis.process.pid],
        }

    def stop(self) -> None:
        for worker in self._workers:
            worker.stop()
        if self._client is not None:
            self._client.close()
        self._redis.stop()


class _Client:
    """Who asks: an application that sends tasks, and counts outcomes the cheapest way there is."""

    def __init__(self, broker: str, results: str) -> None:
        from celery import Celery, group
        from redis import Redis as RedisClient

        self._app = Celery("asker", broker=broker, backend=results)
        self._task = self._app.signature("bench.work")
        self._group = group
        self._redis: Any = RedisClient.from_url(results)

    def ping(self) -> list[Any]:
        return list(self._app.control.ping(timeout=1.0) or [])

    def forget(self) -> None:
        self._redis.flushdb()

    def ask(self, databases: Sequence[str]) -> None:
        # One group: all its messages go out over one connection.
        self._group(self._task.clone(args=(database,)) for database in databases).apply_async()

    def outcomes(self) -> int:
        """Results in the store, which holds nothing else: one key per task."""
        return int(self._redis.dbsize())

    def states(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for key in self._redis.scan_iter(_RESULT_PREFIX, count=1000):
            state = json.loads(self._redis.get(key))["status"]
            counts[state] = counts.get(state, 0) + 1
        return counts

    def close(self) -> None:
        self._app.close()
        self._redis.close()

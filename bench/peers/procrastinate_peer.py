"""Procrastinate with PostgreSQL: a queue that is a table, two worker processes with threads."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.arena import Estate, wait_for
from bench.machine import children_of
from bench.peers import work
from bench.peers.servers import Postgres
from local.processes import ChildProcess
from local.stack import ROOT

_READY_SECONDS = 60.0


class ProcrastinatePeer:
    """A Procrastinate installation over the databases; a contender of the fan-out."""

    def __init__(
        self, name: str, folder: Path, estate: Estate, statement: str, *, concurrency: int, workers: int
    ) -> None:
        self.name = name
        import psycopg

        self._postgres = Postgres(folder / "postgres")
        self._workers: list[ChildProcess] = []
        self._connection: Any = None
        try:
            self._connection = psycopg.connect(self._postgres.url, autocommit=True)
            self._app = _asker(self._postgres.url)
            self._app.schema_manager.apply_schema()
            environment = work.save(estate, statement, folder / "estate.json")
            environment["BENCH_PROCRASTINATE"] = self._postgres.url
            for number in range(workers):
                self._workers.append(
                    ChildProcess.start(
                        f"Procrastinate worker {number}",
                        [sys.executable, "-m", "bench.peers.procrastinate_app", str(-(-concurrency // workers))],
                        folder / f"procrastinate{number}.log",
                        env=environment,
                        cwd=ROOT,
                    )
                )
            wait_for(lambda: self._count("procrastinate_workers") == workers, _READY_SECONDS, "Procrastinate's workers")
        except BaseException:
            self.stop()
            raise

    def fan_out(self, databases: Sequence[str]) -> float:
        """Run on these databases; seconds from asking until the last outcome is in PostgreSQL."""
        self._connection.execute("TRUNCATE procrastinate_jobs, procrastinate_events, procrastinate_periodic_defers")
        self._connection.execute("VACUUM ANALYZE procrastinate_jobs")
        began = time.perf_counter()
        # All jobs in one statement.
        self._app.configure_task("bench.work", queue="bench").batch_defer(
            *({"database": database} for database in databases)
        )
        wait_for(
            lambda: self._count("procrastinate_jobs WHERE status IN ('todo', 'doing')") == 0,
            600,
            "Procrastinate to record all outcomes",
            every=0.05,
        )
        return time.perf_counter() - began

    def check(self, databases: Sequence[str]) -> None:
        """Every job must have succeeded.

        Raises:
            AssertionError: one has not.
        """
        found = self._count("procrastinate_jobs WHERE status = 'succeeded'")
        assert found == len(databases), f"{found} of {len(databases)} jobs of Procrastinate succeeded."

    def pids(self) -> dict[str, list[int]]:
        server = self._postgres.process.pid
        return {
            "workers": [worker.pid for worker in self._workers],
            "storage (PostgreSQL)": [server, *children_of(server)],
        }

    def stop(self) -> None:
        for worker in self._workers:
            worker.stop()
        if self._connection is not None:
            self._app.close()
            self._connection.close()
        self._postgres.stop()

    def _count(self, what: str) -> int:
        return int(self._connection.execute(f"SELECT count(*) FROM {what}").fetchone()[0])  # noqa: S608  own text


def _asker(url: str) -> Any:
    from procrastinate import App, SyncPsycopgConnector

    app = App(connector=SyncPsycopgConnector(conninfo=url))
    app.open()
    return app

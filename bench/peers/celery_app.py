"""The Celery peer's application: ``celery -A bench.peers.celery_app worker``.

As Celery's guide on optimising advises for short tasks that wait for others: the thread pool, no rate limits, no
events, no gossip between workers. Late acknowledgement, so that a target is not lost with its worker: the
product does not lose it either. Outcomes are kept in Redis, Celery's own way.
"""

from __future__ import annotations

import os

from celery import Celery

from bench.peers.work import run

BROKER, RESULTS = "BENCH_CELERY_BROKER", "BENCH_CELERY_RESULTS"
PREFETCH = 4
"""Messages fetched ahead per thread: Celery's default, and here as fast as 1 and 16."""

app = Celery("bench", broker=os.environ[BROKER], backend=os.environ[RESULTS])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=PREFETCH,
    worker_disable_rate_limits=True,
    worker_send_task_events=False,
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 3600},
)


def _work(database: str) -> str:
    run(database)
    return "succeeded"


work = app.task(name="bench.work")(_work)

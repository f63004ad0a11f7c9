"""How long a run takes and what it costs, from what was measured here and what Azure documents. Pure arithmetic.

The model of ``docs/scale.md``: a run over N databases lasts

    start lag + planning + N / min(slots / t, instances x cores / CPU, job database)

where t is the time that one target takes (connect, script, close). The assumptions are the fields' defaults, each with
its source; what is measured comes from ``bench/results``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

HOURS_PER_MONTH = 730.0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """From the benchmarks, on their machine."""

    worker_ms: float
    """CPU of the worker processes per target."""
    statements: float
    """Statements against the job database per target."""
    storage_per_message: float
    """Queue operations of app and host together per message; a run needs about a message per slot."""
    plan_us: float
    """CPU of planning per target."""
    start_lag: float
    """Seconds, median, idle."""
    waiting_kib: float
    """Memory per target that waits for its server."""
    idle_statements: float
    """Per hour."""
    idle_storage: float
    """Operations per hour of one instance."""


@dataclass(frozen=True, kw_only=True)
class Assumed:
    """Not measured here. Money is in US dollars."""

    target_seconds: float = 0.25
    """A trivial script in the same region, with the connection: no figure is published; 0.1 to 0.25 s is usual."""
    per_instance: int = 128
    """INSTANCE_CONCURRENCY."""
    cores: float = 1.0
    """Of an instance with 2,048 MB on Flex Consumption, as fast as one of the measuring machine."""
    statement_ms: float = 0.25
    """CPU of the job database per statement, all of which find one row by an index. To be measured on Azure."""
    gigabyte_second: float = 0.000026
    """On demand on Flex Consumption, and free_gigabyte_seconds per month."""
    free_gigabyte_seconds: float = 100_000.0
    million_executions: float = 0.40
    gigabytes: float = 2.0
    shortest_execution: float = 1.0
    """Seconds that an execution is billed for at least."""
    million_storage_operations: float = 0.04


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the model says of a run. Rates are targets per second."""

    targets: int
    capacity: int
    instances: int
    rates: dict[str, float]
    seconds: float
    cores_of_job_database: float
    storage_operations: float
    dollars: float

    @property
    def limited_by(self) -> str:
        return min(self.rates, key=lambda name: self.rates[name])


def run(targets: int, capacity: int, measured: Measured, assumed: Assumed, instances: int | None = None) -> Run:
    """A run over so many databases, on as many instances as the tier needs, or on a given number."""
    count = instances or math.ceil(capacity / assumed.per_instance)
    rates = {
        "slots of the tier": min(capacity, targets) / assumed.target_seconds,
        "CPU of the instances": count * assumed.cores * 1000 / measured.worker_ms,
    }
    rate = min(rates.values())
    work = max(targets / rate, assumed.target_seconds)
    seconds = measured.start_lag + targets * measured.plan_us / 1e6 + work
    messages = min(targets, capacity)
    operations = measured.storage_per_message * messages
    dollars = (
        count * seconds * assumed.gigabytes * assumed.gigabyte_second
        + messages / 1e6 * assumed.million_executions
        + operations / 1e6 * assumed.million_storage_operations
    )
    return Run(
        targets=targets,
        capacity=capacity,
        instances=count,
        rates=rates,
        seconds=seconds,
        cores_of_job_database=rate * measured.statements * assumed.statement_ms / 1000,
        storage_operations=operations,
        dollars=dollars,
    )


def best_concurrency(measured: Measured, assumed: Assumed) -> int:
    """Targets at once that keep one instance's cores just busy: more of them only wait for each other."""
    return max(1, math.floor(assumed.cores * 1000 / measured.worker_ms * assumed.target_seconds))


@dataclass(frozen=True, kw_only=True)
class IdleMonth:
    """An agent that has nothing to do for a month, without its job database."""

    statements: float
    storage_operations: float
    ticks: float
    gigabyte_seconds: float
    dollars: float


def idle_month(measured: Measured, assumed: Assumed, tick_seconds: float) -> IdleMonth:
    """What a month of ticks and polls costs."""
    ticks = HOURS_PER_MONTH * 3600 / tick_seconds
    used = ticks * assumed.shortest_execution * assumed.gigabytes
    operations = measured.idle_storage * HOURS_PER_MONTH
    dollars = (
        max(0.0, used - assumed.free_gigabyte_seconds) * assumed.gigabyte_second
        + ticks / 1e6 * assumed.million_executions
        + operations / 1e6 * assumed.million_storage_operations
    )
    return IdleMonth(
        statements=measured.idle_statements * HOURS_PER_MONTH,
        storage_operations=operations,
        ticks=ticks,
        gigabyte_seconds=used,
        dollars=dollars,
    )

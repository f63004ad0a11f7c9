"""The day that the pictures show, told with ``Past``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.domain.targets import TargetDatabase
from elastic_jobs.jobdb.database import JobDatabase
from local.portal_pictures.estate import OTHER, SUFFIX, tenants
from local.portal_pictures.past import DEADLOCK, FULL, LOCKED_OUT, End, Past

MANY = 5000
_DONE, _FAILED = Lifecycle.SUCCEEDED, Lifecycle.FAILED


@dataclass(frozen=True, kw_only=True)
class Story:
    """The runs that pages are opened with."""

    running: UUID
    failed: UUID
    large: UUID


def tell(database: JobDatabase, now: datetime) -> Story:
    """Write the day before ``now`` into a job database that has the definitions."""
    past = Past(database, now)
    hour = now.replace(minute=5, second=0, microsecond=0)
    for ago in range(24, 0, -1):
        _usage(past, hour - timedelta(hours=ago), ago)
    _usage(past, hour, 0)
    office = [TargetDatabase(server_name=OTHER, database_name=name) for name in ("billing", "ledger")]
    for days in (1, 0):
        nightly = hour.replace(hour=3, minute=30) - timedelta(days=days)
        past.run("Purge audit rows", nightly, [[(each, End(state=_DONE, seconds=41)) for each in office]], state=_DONE)
    canceled = [(target, End(state=Lifecycle.CANCELED, seconds=3)) for target in tenants()[:20]]
    past.run("Grant reporting", now - timedelta(hours=5), [canceled], state=Lifecycle.CANCELED, scheduled=False)
    failed = _indexes(past, now - timedelta(hours=2, minutes=11))
    large = _large(past, now - timedelta(hours=8))
    return Story(running=_running(past, now), failed=failed, large=large)


def _usage(past: Past, created: datetime, ago: int) -> None:
    bad = {11: 3, 12: 9, 3: 1}.get(ago, 0)
    targets = []
    for number, target in enumerate(tenants()):
        end = End(state=_DONE, seconds=past.random.uniform(0.3, 1.4))
        if number < bad:
            end = End(state=_FAILED, seconds=2.4, attempts=3, error=LOCKED_OUT)
        targets.append((target, end))
    past.run("Collect usage", created, [targets], state=_FAILED if bad else _DONE)


def _indexes(past: Past, created: datetime) -> UUID:
    targets = []
    for number, target in enumerate(tenants()):
        end = End(state=_DONE, seconds=past.random.uniform(4, 30))
        if number % 17 == 5:
            end = End(state=_FAILED, seconds=52, attempts=4, error=DEADLOCK)
        elif number in (30, 61):
            end = End(state=_FAILED, seconds=20, attempts=4, error=FULL)
        elif number % 11 == 3:
            end = End(state=_DONE, seconds=45, attempts=2, error=DEADLOCK)
        targets.append((target, end))
    return past.run("Rebuild indexes", created, [targets], state=_FAILED)


def _running(past: Past, now: datetime) -> UUID:
    tenants_now = tenants()
    first = [(target, End(state=_DONE, seconds=past.random.uniform(0.4, 1.5))) for target in tenants_now]
    second = []
    for number, target in enumerate(tenants_now):
        if number in (7, 33):
            end = End(state=_FAILED, seconds=18, attempts=6, error=LOCKED_OUT)
        elif number in (12, 40, 51):
            end = End(state=Lifecycle.WAITING_FOR_RETRY, seconds=9, attempts=2, error=DEADLOCK)
        elif number < 58:
            end = End(state=_DONE, seconds=past.random.uniform(3, 17))
        elif number < 70:
            end = End(state=Lifecycle.IN_PROGRESS, seconds=past.random.uniform(0.6, 9))
        else:
            end = End(state=Lifecycle.CREATED)
        second.append((target, end))
    created = now - timedelta(seconds=76)
    return past.run("Orders: delivery time", created, [first, second], state=Lifecycle.IN_PROGRESS, scheduled=False)


def _large(past: Past, created: datetime) -> UUID:
    targets = []
    for number in range(MANY):
        end = End(state=_DONE, seconds=past.random.uniform(0.2, 1.0))
        if number % 301 == 7:
            end = End(state=_FAILED, seconds=4, attempts=4, error=DEADLOCK)
        elif 2000 < number < 2200:
            end = End(state=_DONE, seconds=5, attempts=2, error=DEADLOCK)
        targets.append(
            (TargetDatabase(server_name=f"contoso-archive{SUFFIX}", database_name=f"archive-{number:04}"), end)
        )
    return past.run("Grant reporting", created, [targets], state=_FAILED, scheduled=False)

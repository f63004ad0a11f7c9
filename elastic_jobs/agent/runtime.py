"""One instance of the app: all services, made from the settings the first time something happens.

Nothing here runs at import: an exception while the app is being indexed would take every function down with it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cached_property
from typing import TypeVar

from azure.core.credentials import TokenCredential

from elastic_jobs.agent.caretaker import Caretaker
from elastic_jobs.agent.control import Control
from elastic_jobs.agent.expander import StepExpander
from elastic_jobs.agent.flow import Flow
from elastic_jobs.agent.logins import Logins
from elastic_jobs.agent.messages import Alarm, WakeStep, WakeTarget, decode
from elastic_jobs.agent.outbox import StorageOutbox
from elastic_jobs.agent.registry import Registry
from elastic_jobs.agent.rehearsal import Rehearsal
from elastic_jobs.agent.scheduler import Scheduler
from elastic_jobs.agent.trial import Trial
from elastic_jobs.agent.worker import TargetWorker
from elastic_jobs.api.services import Services
from elastic_jobs.azure.endpoints import PrivateEndpoints
from elastic_jobs.azure.network import make_network
from elastic_jobs.credentials.safes import make_safe
from elastic_jobs.domain.ports import SystemClock, new_id
from elastic_jobs.jobdb import schema
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions.agent import ensure_agent
from elastic_jobs.jobdb.definitions.deployment import publish
from elastic_jobs.jobdb.executions.claims import Holder
from elastic_jobs.settings import Settings
from elastic_jobs.targets.authentication import ManagedIdentityTokens
from elastic_jobs.targets.connect import ConnectOptions, Connector
from elastic_jobs.targets.servers import TargetServers
from elastic_jobs.telemetry import Telemetry
from elastic_jobs.telemetry.setup import configure as configure_telemetry

UNUSED_CONNECTIONS = timedelta(minutes=1)
"""After this time an agent that may rest closes its connections, so that a serverless job database can pause."""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Runtime:
    """The services of one instance, and the threads in which their blocking work is done.

    The queue functions are async and only wait for these threads: the Functions worker has about five of its own, and
    blocking its event loop would stop everything.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock, self.ids = SystemClock(), new_id
        unused = UNUSED_CONNECTIONS if settings.idle_rest else None
        self.database = JobDatabase(settings.job_database_url, close_unused_after=unused)
        schema.check(self.database)
        self.safe = make_safe(settings, self.clock)
        self.servers = TargetServers.from_settings(settings)
        self.outbox = StorageOutbox(
            connection_string=settings.storage_connection,
            queue_uri=settings.storage_queue_uri,
            credential=None if settings.storage_connection else _own_identity(),
        )
        telemetry = Telemetry()
        flow = Flow(self.database, self.outbox, self.ids, telemetry)
        registry = Registry(
            # With a connection of its own: the heartbeat must not stand in line behind the workers whose claims it
            # renews. On SQLite all writers stand in the one line that there is.
            self.database
            if self.database.is_sqlite
            else JobDatabase(settings.job_database_url, pool_size=1, close_unused_after=unused),
            Holder(instance=self.ids(), lease=settings.lease),
            monotonic=time.monotonic,
            heartbeat_seconds=settings.heartbeat.total_seconds(),
        )
        connector = Connector(ConnectOptions.from_settings(settings))
        logins = Logins(self.database, self.safe, ManagedIdentityTokens(self.clock))
        self.control = Control(self.database, self.outbox, flow, self.clock, self.ids)
        caretaker = Caretaker(
            self.database, self.outbox, flow, self.clock, keep_history=settings.keep_history, telemetry=telemetry
        )
        self.scheduler = Scheduler(
            self.database,
            self.outbox,
            caretaker,
            self.clock,
            self.ids,
            pause=time.sleep,
            telemetry=telemetry,
            longest_rest=settings.idle_rest,
        )
        self._expander = StepExpander(
            self.database,
            connector,
            logins,
            registry,
            self.outbox,
            flow,
            self.ids,
            telemetry=telemetry,
        )
        self._worker = TargetWorker(
            self.database, connector, logins, registry, self.outbox, flow, self.ids, telemetry=telemetry
        )
        self.services = Services(
            settings=settings,
            database=self.database,
            clock=self.clock,
            ids=self.ids,
            sealer=self.safe,
            check_server=self.servers.require,
            control=self.control,
            rehearse=Rehearsal(connector, logins).resolve,
            try_out=Trial(connector, logins).run,
            wake=lambda: self.scheduler.run_once(self.clock.now()),
            stir=self.scheduler.stir,
            endpoints=self._endpoints(),
        )
        publish(self.database, server_suffix=settings.sql_server_suffix, allowed_servers=self.servers.patterns)
        if settings.agent_name:
            with self.database.write() as connection:
                edit = self.services.edit("deployment settings")
                ensure_agent(connection, edit, settings.agent_name, settings.location)

    def _endpoints(self) -> PrivateEndpoints | None:
        """What makes private endpoints, with the app's own identity; None when no setting says where."""
        network = make_network(self.settings, _own_identity()) if self.settings.private_endpoint_subnet_id else None
        if network is None:
            return None
        return PrivateEndpoints(self.database, network, lambda: self.services.edit("network of the deployment"))

    @cached_property
    def _target_threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.settings.instance_concurrency, thread_name_prefix="target")

    @cached_property
    def _step_threads(self) -> ThreadPoolExecutor:
        # Own threads: a new step never waits behind scripts.
        return ThreadPoolExecutor(8, thread_name_prefix="step")

    @cached_property
    def _tick_thread(self) -> ThreadPoolExecutor:
        # Its own: what the caretaker mends may be the very servers for which all other threads wait.
        return ThreadPoolExecutor(1, thread_name_prefix="tick")

    async def tick(self) -> None:
        """Do what is due."""
        await self._in(self._tick_thread, lambda: self.scheduler.tick(self.clock.now()))

    async def handle(self, body: str) -> None:
        """Do what a queue message says; drop one that is none of ours, because it can only be forged or outdated."""
        message = decode(body)
        if isinstance(message, WakeTarget):
            target = message.target_execution_id
            await self._in(self._target_threads, lambda: self._worker.handle(target))
        elif isinstance(message, WakeStep):
            step = message.step_execution_id
            await self._in(self._step_threads, lambda: self._expander.handle(step))
        elif isinstance(message, Alarm):
            due = message.due
            await self._in(self._tick_thread, lambda: self.scheduler.alarm(due))
        else:
            _log.warning("A queue message names nothing to do; it is dropped.", extra={"action": "bad_message"})

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(threads, work)


_lock = threading.Lock()
_made: list[Runtime] = []


def runtime() -> Runtime:
    """The instance's one runtime, made at first use; when that fails, the next use tries again.

    Raises:
        SettingsError: a setting is missing or wrong, or the job database is of another version.
        JobDatabaseUnavailableError: the job database does not answer.
    """
    with _lock:
        if not _made:
            settings = Settings.from_env(os.environ)
            configure_telemetry(os.environ)
            _made.append(Runtime(settings))
        return _made[0]


def _own_identity() -> TokenCredential:
    # Its import takes a quarter of a second, which an instance with a connection string need not wait for.
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()

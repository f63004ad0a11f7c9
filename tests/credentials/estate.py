"""A logical server of the emulator within the test's own process, so that a test can take tokens back, and the agent's
worker over a real job database, queues left out."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import select

from elastic_jobs.agent.flow import Flow
from elastic_jobs.agent.logins import Logins
from elastic_jobs.agent.registry import Registry
from elastic_jobs.agent.worker import TargetWorker
from elastic_jobs.domain.model import StepDefinition
from elastic_jobs.domain.schedule import Schedule
from elastic_jobs.domain.targets import Member, TargetDatabase, TargetType
from elastic_jobs.jobdb.definitions import jobs, steps, target_groups
from elastic_jobs.jobdb.execution_tables import job_executions, target_executions
from elastic_jobs.jobdb.executions import claims, planning, starting
from elastic_jobs.jobdb.executions.claims import Holder
from elastic_jobs.jobdb.executions.work import load_step_run
from elastic_jobs.targets.connect import ConnectOptions, Connector
from elastic_jobs.targets.servers import TargetServers
from local.sqlserver.catalog import LogicalServer
from local.sqlserver.certificates import CertificateFiles
from local.sqlserver.contract import SqlError
from local.sqlserver.engine.session import EngineSession
from local.sqlserver.faults import FaultBook
from local.sqlserver.journal import Journal
from local.sqlserver.server import WireServer
from local.sqlserver.tds.tls import TlsContexts
from tests.credentials.conftest import NAMES, Book

SERVER = "server1.database.windows.net"
ADMIN, PRINCIPAL = "sqladmin", "agent1"


class Server(LogicalServer):
    """Takes a token only until it expires, as Azure SQL does; counts what it refuses."""

    def __init__(self, databases: int, password: str) -> None:
        super().__init__(SERVER, ADMIN, password, entra_admin=PRINCIPAL)
        self.expires: dict[str, float] = {}
        self.refused = 0
        self.accepted = 0
        for number in range(databases):
            self.create_database(f"db{number:03}")

    def login(self, user: str, password: str, database: str = "") -> EngineSession:
        return self._counted(lambda: super(Server, self).login(user, password, database))

    def login_with_token(self, token: str, database: str = "") -> EngineSession:
        if time.time() >= self.expires.get(token, 0.0):
            self.remove_token(token)
        return self._counted(lambda: super(Server, self).login_with_token(token, database))

    def _counted(self, log_in: Callable[[], EngineSession]) -> EngineSession:
        try:
            session = log_in()
        except SqlError as error:
            self.refused += error.number == 18456
            raise
        self.accepted += 1
        return session


@contextmanager
def listening(server: LogicalServer, tls: CertificateFiles) -> Iterator[int]:
    """The port at which the server answers, on an event loop of its own thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def begin() -> tuple[WireServer, int]:
        wire = WireServer(TlsContexts(tls.certificate, tls.key), FaultBook(), Journal(None), require_encryption=True)
        return wire, await wire.listen(server)

    wire, port = asyncio.run_coroutine_threadsafe(begin(), loop).result(30)
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(wire.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        server.close()


class Messages:
    """The queue of targets."""

    def __init__(self) -> None:
        self.targets: queue.SimpleQueue[UUID] = queue.SimpleQueue()

    def wake_steps(self, ids: Iterable[UUID], delay: timedelta = timedelta()) -> None:
        del ids, delay

    def wake_targets(self, ids: Iterable[UUID], delay: timedelta = timedelta()) -> None:
        del delay
        for each in ids:
            self.targets.put(each)

    def alarm(self, due: object, delay: timedelta) -> None:
        del due, delay


@dataclass
class Crew:
    """Workers of one instance."""

    book: Book
    logins: Logins
    port: int
    messages: Messages = field(default_factory=Messages)

    def __post_init__(self) -> None:
        addresses = {SERVER: f"127.0.0.1,{self.port}"}
        self.connector = Connector(ConnectOptions(servers=TargetServers(NAMES, [SERVER], addresses)))
        database = self.book.database
        self._holder = Holder(instance=uuid4(), lease=timedelta(seconds=30))
        registry = Registry(database, self._holder, monotonic=time.monotonic, heartbeat_seconds=2)
        flow = Flow(database, self.messages, uuid4)
        self._worker = TargetWorker(database, self.connector, self.logins, registry, self.messages, flow, uuid4)

    def run(self, databases: int, *, credential: str | None, workers: int = 8) -> UUID:
        """A job of one step over these databases, from its start to its end; the run's id."""
        self._define(credential)
        targets = [TargetDatabase(server_name=SERVER, database_name=f"db{number:03}") for number in range(databases)]
        execution = self._plan(targets)
        threads = [threading.Thread(target=self._work, args=(execution,), daemon=True) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(100)
        return execution

    def ends(self, execution: UUID) -> tuple[str, dict[str, int], int]:
        """State of the run, number of targets by state, and the highest number of attempts of any target."""
        with self.book.database.read() as connection:
            state = connection.execute(
                select(job_executions.c.lifecycle).where(job_executions.c.id == execution)
            ).scalar_one()
            rows = connection.execute(
                select(target_executions.c.lifecycle, target_executions.c.current_attempts).where(
                    target_executions.c.job_execution_id == execution
                )
            ).all()
        counts: dict[str, int] = {}
        for row in rows:
            counts[row.lifecycle] = counts.get(row.lifecycle, 0) + 1
        return state, counts, max(row.current_attempts for row in rows)

    def _work(self, execution: UUID) -> None:
        while self.ends(execution)[0] in {"Created", "InProgress"}:
            try:
                target = self.messages.targets.get(timeout=0.1)
            except queue.Empty:
                continue
            self._worker.handle(target)

    def _define(self, credential: str | None) -> None:
        member = Member(target_type=TargetType.SQL_DATABASE, server_name="server1", database_name="db000")
        step = StepDefinition(
            name="step1", command="SELECT 1 AS one", target_group_name="group1", credential_name=credential
        )
        edit = self.book.edit
        with self.book.database.write() as connection:
            target_groups.save_group(connection, edit, "group1", (member,))
            jobs.save_job(connection, edit, "job1", schedule=Schedule(), description="")
            steps.save_step(connection, edit, "job1", step)

    def _plan(self, targets: list[TargetDatabase]) -> UUID:
        database = self.book.database
        with database.write() as connection:
            started = starting.start(connection, database, "job1", ids=uuid4)
        assert started.step_execution_id is not None
        with database.write() as connection:
            claim = claims.claim_step(connection, database, started.step_execution_id, uuid4(), self._holder)
            run = load_step_run(connection, started.step_execution_id)
            assert claim is not None
            assert run is not None
            planned = planning.plan(connection, database, claim, run.step, targets, uuid4)
        assert planned is not None
        self.messages.wake_targets(planned.dispatched)
        return started.execution_id


def trust(tls: CertificateFiles) -> tuple[str, str]:
    """The variable that makes the driver trust the server's certificate, and its value."""
    return "SSL_CERT_FILE", str(Path(tls.ca))

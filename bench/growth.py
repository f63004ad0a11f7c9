"""Growth: what a target costs when a step has 100 or 100,000 of them, and what a long history costs everything else.

    python -m bench.growth [--targets 100,1000,10000,100000] [--history 1000,10000,100000,1000000] [--runs 5]

Expansion is the product's own: the expander lists logical servers of up to 5,000 databases each (Azure's limit) in the
emulator over verified TLS, plans one row per database in a SQLite job database, and gives out the agent's slots. CPU is
that of this process; the emulator's is apart. The second table is that of ``bench.history``, with more sizes.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import func, select, update

from bench import charts, history
from bench.arena import TARGETS, BenchError
from bench.machine import CpuMark
from bench.report import Demand, Report, Spread, options_of, parser
from elastic_jobs.agent.expander import StepExpander
from elastic_jobs.agent.flow import Flow
from elastic_jobs.agent.logins import Logins
from elastic_jobs.agent.registry import Registry
from elastic_jobs.credentials.sealing import Sealer
from elastic_jobs.domain.model import Agent, StepDefinition
from elastic_jobs.domain.ports import SystemClock, new_id
from elastic_jobs.domain.schedule import Schedule
from elastic_jobs.domain.targets import Member, ServerNames, TargetType
from elastic_jobs.jobdb import schema
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions.agent import save_agent
from elastic_jobs.jobdb.definitions.checks import Edit
from elastic_jobs.jobdb.definitions.credentials import NewCredential, save_credential
from elastic_jobs.jobdb.definitions.jobs import save_job
from elastic_jobs.jobdb.definitions.steps import save_step
from elastic_jobs.jobdb.definitions.target_groups import save_group
from elastic_jobs.jobdb.execution_tables import target_executions
from elastic_jobs.jobdb.executions import starting
from elastic_jobs.jobdb.executions.claims import Holder
from elastic_jobs.targets.authentication import ManagedIdentityTokens
from elastic_jobs.targets.connect import ConnectOptions, Connector
from elastic_jobs.targets.servers import TargetServers
from local.sqlserver.client import Emulator, running_emulator
from local.stack import SUFFIX

PER_SERVER = 5000
"""Databases on a logical server at most, in Azure."""
PASSWORD = "Bench;pass'word1"  # noqa: S105  of databases that live in the emulator's memory
LIMIT = 1.3
"""Cost per target with the largest group over that with 1,000."""


class NoMessages:
    """An outbox for an engine without workers: at most as many messages as slots are sent, whatever the size."""

    def wake_steps(self, ids: Iterable[UUID], delay: timedelta = timedelta()) -> None:
        del ids, delay

    def wake_targets(self, ids: Iterable[UUID], delay: timedelta = timedelta()) -> None:
        del ids, delay

    def alarm(self, due: datetime, delay: timedelta) -> None:
        del due, delay


@dataclass(kw_only=True)
class Expanded:
    """Expansions of one size. Seconds of each run."""

    targets: int
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    emulator: list[float] = field(default_factory=list)

    def per_target_us(self) -> Spread:
        """Microseconds of this process's CPU per target."""
        return Spread.of([seconds / self.targets * 1e6 for seconds in self.cpu])


class Expansion:
    """A job over servers with so many databases, and the expander that resolves it."""

    def __init__(self, folder: Path, emulator: Emulator, targets: int, names: list[str]) -> None:
        self.targets = targets
        self._database = JobDatabase(f"sqlite:///{folder}/{targets}-{uuid4().hex[:6]}.db")
        schema.upgrade(self._database)
        addresses = {name: f"{emulator.host},{emulator.ports[name]}" for name in names}
        servers = TargetServers(ServerNames(SUFFIX), names, addresses)
        connector = Connector(ConnectOptions(servers=servers))
        safe = Sealer(os.urandom(32))
        flow = Flow(self._database, NoMessages(), new_id)
        registry = Registry(
            self._database,
            Holder(instance=new_id(), lease=timedelta(minutes=5)),
            monotonic=time.monotonic,
            heartbeat_seconds=60,
        )
        logins = Logins(self._database, safe, ManagedIdentityTokens(SystemClock()))
        self._expander = StepExpander(self._database, connector, logins, registry, NoMessages(), flow, new_id)
        self._define(safe, names, servers)

    def _define(self, safe: Sealer, names: list[str], servers: TargetServers) -> None:
        now = SystemClock().now()
        edit = Edit(caller="bench", now=now, new_id=new_id, names=servers.names, check_server=servers.require)
        credential = NewCredential(name="admin", username="sqladmin", password=PASSWORD)
        members = [
            Member(target_type=TargetType.SQL_SERVER, server_name=name, refresh_credential_name="admin")
            for name in names
        ]
        step = StepDefinition(name="s", command="SELECT 1", target_group_name="g", credential_name="admin")
        with self._database.write() as connection:
            save_agent(connection, edit, Agent(name="a", location="x"))
            save_credential(connection, edit, credential, safe)
            save_group(connection, edit, "g", members)
            save_job(connection, edit, "j", description="", schedule=Schedule())
            save_step(connection, edit, "j", step)

    def run(self, emulator: Emulator, found: Expanded) -> None:
        """Start a run, expand its step, measure that, and make room for the next.

        Raises:
            BenchError: not all targets were planned.
        """
        with self._database.write() as connection:
            started = starting.start(connection, self._database, "j", ids=new_id)
        assert started.step_execution_id is not None
        mark, wall = CpuMark.now({TARGETS: [emulator.process.pid]}), time.perf_counter()
        cpu = time.process_time()
        self._expander.handle(started.step_execution_id)
        found.cpu.append(time.process_time() - cpu)
        found.wall.append(time.perf_counter() - wall)
        found.emulator.append(mark.since()[TARGETS])
        own = target_executions.c.job_execution_id == started.execution_id
        with self._database.write() as connection:
            planned = connection.execute(select(func.count()).select_from(target_executions).where(own)).scalar_one()
            # The next run must not find its databases busy.
            connection.execute(
                update(target_executions)
                .where(own)
                .values(is_active=0, lifecycle="Canceled", dispatch_time=None, end_time=self._database.now())
            )
        if planned != self.targets:
            raise BenchError(f"{planned} of {self.targets} targets were planned.")

    def close(self) -> None:
        self._database.dispose()


def servers_for(targets: int) -> list[dict[str, object]]:
    """Logical servers that hold so many databases together."""
    full, rest = divmod(targets, PER_SERVER)
    sizes = [PER_SERVER] * full + ([rest] if rest else [])
    return [
        {
            "name": f"server{targets}-{number}{SUFFIX}",
            "admin_user": "sqladmin",
            "admin_password": PASSWORD,
            "databases": [{"prefix": "database", "count": size}],
        }
        for number, size in enumerate(sizes, 1)
    ]


@contextmanager
def trusted(emulator: Emulator) -> Iterator[None]:
    """Make the driver of this process trust the emulator."""
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = str(emulator.ca)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SSL_CERT_FILE"]
        else:
            os.environ["SSL_CERT_FILE"] = before


def expand(sizes: list[int], runs: int, report: Report) -> list[Expanded]:
    """Expansions of all sizes; the first run of each is the warm-up and does not count."""
    found: list[Expanded] = []
    servers = {size: servers_for(size) for size in sizes}
    config = {"servers": [server for group in servers.values() for server in group]}
    with (
        tempfile.TemporaryDirectory(prefix="growth-") as name,
        running_emulator(config, Path(name) / "sqlserver") as emulator,
        trusted(emulator),
    ):
        for size in sizes:
            expansion = Expansion(Path(name), emulator, size, [str(server["name"]) for server in servers[size]])
            measured = Expanded(targets=size)
            for _ in range(runs + 1):
                expansion.run(emulator, measured)
            for values in (measured.wall, measured.cpu, measured.emulator):
                del values[0]
            expansion.close()
            found.append(measured)
            report.say(f"{size:,} targets: {measured.per_target_us().median:.0f} microseconds of CPU per target")
    return found


def remember(sizes: list[int], repeats: int, report: Report) -> dict[str, dict[int, float]]:
    """Milliseconds of CPU of each piece of work, by the number of finished targets in the history."""
    found: dict[str, dict[int, float]] = {}
    with tempfile.TemporaryDirectory(prefix="growth-") as name:
        for size in sizes:
            filled = history.fill(Path(name) / f"{size}.db", size)
            report.say(f"a history of {size:,} targets is written")
            for work, seconds in history.measure(filled, repeats).items():
                found.setdefault(work, {})[size] = seconds * 1000
            filled.database.dispose()
    return found


def main(arguments: list[str]) -> int:
    made = parser("What a target costs in groups of many, and what a long history costs everything else.")
    made.add_argument("--targets", default="100,1000,10000,100000", help="sizes of groups, ascending")
    made.add_argument("--history", default="1000,10000,100000,1000000", help="finished targets, ascending")
    made.add_argument("--runs", type=int, default=5, help="of each expansion")
    made.add_argument("--repeats", type=int, default=30, help="of each piece of work over a history")
    options = made.parse_args(arguments)
    if options.tiny:
        options.targets, options.history, options.runs, options.repeats = "5,20", "100,200", 1, 2
    report = Report(part="growth", title="Growth", options=options_of(options))
    expanded = expand([int(size) for size in options.targets.split(",")], options.runs, report)
    works = remember([int(size) for size in options.history.split(",")], options.repeats, report)
    tell(expanded, works, options, report)
    if charts.available():
        draw(expanded, works, options.results / "growth.png")
    return report.finish(options.results)


def tell(
    expanded: list[Expanded], works: dict[str, dict[int, float]], options: argparse.Namespace, report: Report
) -> None:
    """Tables, JSON and verdicts."""
    rows = []
    for each in expanded:
        wall = Spread.of(each.wall)
        emulator = Spread.of(each.emulator).median / each.targets * 1e6
        rows.append([f"{each.targets:,}", wall.text(3), each.per_target_us().text(0), f"{emulator:.0f}"])
    columns = ["targets", "seconds", "CPU per target, microseconds", "of the emulator"]
    report.table("Expansion of a step", columns, rows)
    report.data["expansion"] = [
        {"targets": each.targets, "wall": each.wall, "cpu": each.cpu, "emulator": each.emulator} for each in expanded
    ]
    sizes = list(next(iter(works.values())))
    rows = [[name, *(f"{by[size]:.2f}" for size in sizes), f"{_ratio(by):.2f}"] for name, by in works.items()]
    report.table("CPU in ms, by finished targets in the history", ["", *(f"{size:,}" for size in sizes), "ratio"], rows)
    report.data["history"] = {name: {str(size): value for size, value in by.items()} for name, by in works.items()}
    if options.tiny:
        return
    thousand = next((each for each in expanded if each.targets == 1000), None)
    if thousand is not None:
        ratio = expanded[-1].per_target_us().median / thousand.per_target_us().median
        what = f"expansion: CPU per target with {expanded[-1].targets:,} targets over that with 1,000"
        report.demands.append(Demand(what=what, value=ratio, limit=LIMIT))
    what = f"history: the largest ratio between {sizes[-1]:,} and {sizes[0]:,} finished targets"
    report.demands.append(Demand(what=what, value=max(map(_ratio, works.values())), limit=history.LIMIT))


def _ratio(by: dict[int, float]) -> float:
    short, *_, long = by.values()
    return history.ratio(short / 1000, long / 1000)


def draw(expanded: list[Expanded], works: dict[str, dict[int, float]], file: Path) -> None:
    """Both halves: flat lines are what is wanted."""
    with charts.figure(file, columns=2) as axes:
        sizes = [float(each.targets) for each in expanded]
        costs = [each.per_target_us().median for each in expanded]
        charts.lines(
            axes[0],
            {"expansion": (sizes, costs)},
            title="Expansion of a step",
            x="targets in the group",
            y="CPU per target in microseconds",
            log_x=True,
        )
        chosen = (
            "tick",
            "record, and claim the next",
            "runs: first page",
            "runs: page in the middle",
            "targets of a run",
        )
        series = {
            name: ([float(size) for size in works[name]], list(works[name].values()))
            for name in chosen
            if name in works
        }
        charts.lines(
            axes[1], series, title="The same work over a history", x="finished targets", y="CPU in ms", log_x=True
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

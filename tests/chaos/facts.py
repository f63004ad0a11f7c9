"""What happened in a run: the rows of the job database, what the witness saw, the emulator's journal, the effects."""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from local.sqlserver.client import Emulator
from local.stack import ADMIN_USER
from local.target_sql import connect
from tests.chaos.plan import Database, Plan

_MARK = re.compile(r"-- (?P<marker>\w+) part (?P<part>\d) of (?P<parts>\d)\n.* = '(?P<run>[0-9a-fA-F-]{36})';")
READERS = 4


@dataclass(frozen=True)
class Row:
    """A row of the job database; its columns by name, ids as hexadecimal text."""

    columns: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.columns[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass(frozen=True, kw_only=True)
class Move:
    """One change of state. open_children: active children at that moment."""

    at: datetime
    level: str
    row_id: str
    old: str | None
    new: str
    open_children: int


@dataclass(kw_only=True)
class Script:
    """One execution of a step's script, as the target server saw it: all its batches in one session.

    began, ended: seconds of the server's monotonic clock; began_at, ended_at: the same by the clock of the world.
    """

    server: str
    database: str
    marker: str
    run: str
    parts: int
    began: float
    ended: float
    began_at: datetime
    ended_at: datetime
    outcomes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return len(self.outcomes) == self.parts and set(self.outcomes) <= {"ok", "dropped"}


@dataclass(kw_only=True)
class Facts:
    runs: list[Row]
    steps: list[Row]
    targets: list[Row]
    moves: list[Move]
    excess: list[str]
    scripts: list[Script]
    effects: dict[tuple[str, str], set[tuple[str, str, str]]]
    """By (server, database): (run, marker, phase)."""


def read_rows(database: Path, statement: str, parameters: Iterable[object] = ()) -> list[Row]:
    """Ask the job database, past the product."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        connection.row_factory = sqlite3.Row
        return [Row(dict(row)) for row in connection.execute(statement, tuple(parameters))]


def collect(plan: Plan, job_database: Path, emulator: Emulator, password: str) -> Facts:
    """Everything about a plan's runs; they must have ended."""
    ids = [run.hex for run in plan.runs]
    marks = ", ".join("?" * len(ids))
    runs = read_rows(job_database, f"SELECT * FROM job_executions WHERE id IN ({marks})", ids)
    steps, targets = (
        read_rows(job_database, f"SELECT * FROM {table} WHERE job_execution_id IN ({marks}) ORDER BY {order}", ids)
        for table, order in (("step_executions", "step_id"), ("target_executions", "id"))
    )
    return Facts(
        runs=runs,
        steps=steps,
        targets=targets,
        moves=_moves(job_database, {row.id for row in (*runs, *steps, *targets)}),
        excess=[
            f"{row.at}: {row.used} {row.what}, allowed are {row.allowed}"
            for row in read_rows(job_database, "SELECT * FROM chaos_excess")
        ],
        scripts=read_scripts(emulator, f"-- {plan.prefix}j"),
        effects=_effects(plan.databases, emulator, password),
    )


def _moves(job_database: Path, ids: set[str]) -> list[Move]:
    return [
        Move(
            at=instant(row.at), level=row.level, row_id=row.row_id, old=row.old, new=row.new,
            open_children=row.open_children or 0,
        )
        for row in read_rows(job_database, "SELECT * FROM chaos_moves ORDER BY seq")
        if row.row_id in ids
    ]  # fmt: skip


def instant(text: str) -> datetime:
    """An instant as the job database keeps it: UTC without saying so."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def read_scripts(emulator: Emulator, text: str) -> list[Script]:
    """Script executions whose batches hold this text, in the order in which they began."""
    sessions: dict[tuple[str, int], list[tuple[re.Match[str], dict[str, Any]]]] = defaultdict(list)
    for record in emulator.control.journal(kind="batch", text=text):
        mark = _MARK.search(record["text"])
        if mark is not None:
            sessions[record["server"], record["spid"]].append((mark, record))
    scripts = [_script(batches) for batches in sessions.values()]
    return sorted(scripts, key=lambda script: script.began)


def _script(batches: list[tuple[re.Match[str], dict[str, Any]]]) -> Script:
    batches.sort(key=lambda batch: batch[1]["started_monotonic"])
    (mark, first), (_, last) = batches[0], batches[-1]
    return Script(
        server=first["server"],
        database=first["database"],
        marker=mark["marker"],
        run=mark["run"].replace("-", "").lower(),
        parts=int(mark["parts"]),
        began=first["started_monotonic"],
        ended=last["ended_monotonic"],
        began_at=datetime.fromisoformat(first["started"]),
        ended_at=datetime.fromisoformat(last["ended"]),
        outcomes=[record["outcome"] for _, record in batches],
    )


def _effects(
    databases: Iterable[Database], emulator: Emulator, password: str
) -> dict[tuple[str, str], set[tuple[str, str, str]]]:
    def read(database: Database) -> set[tuple[str, str, str]]:
        sql = {
            "host": emulator.host,
            "port": emulator.ports[database.server],
            "user": ADMIN_USER,
            "password": password,
        }
        connection = connect(sql, database.name)
        try:
            cursor = connection.cursor()
            if cursor.execute("SELECT OBJECT_ID('dbo.Effect')").fetchval() is None:
                return set()
            rows = cursor.execute("SELECT run, step, phase FROM dbo.Effect").fetchall()
            return {(UUID(str(run)).hex, step, phase) for run, step, phase in rows}
        finally:
            connection.close()

    listed = list(databases)
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip([database.key for database in listed], pool.map(read, listed), strict=True))

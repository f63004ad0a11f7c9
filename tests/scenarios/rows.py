"""The rows of definitions and executions, told so that those of several job databases can be compared.

Ids become labels in the order in which they turn up, so that what refers to what is compared, too. Instants that lie
around the present become ``now``: they say when something was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Table, select

from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import (
    job_executions,
    rerun_targets,
    step_executions,
    target_executions,
    target_messages,
)
from elastic_jobs.jobdb.tables import job_steps, job_versions, jobs, target_group_members, target_groups
from elastic_jobs.jobdb.tsql_tables import schedule_edits

TABLES: tuple[Table, ...] = (
    target_groups,
    target_group_members,
    jobs,
    job_versions,
    job_steps,
    schedule_edits,
    job_executions,
    step_executions,
    target_executions,
    target_messages,
    rerun_targets,
)
"""Definitions before executions: whatever is referred to gets its label first."""
AROUND_NOW = timedelta(days=2)

Row = dict[str, Any]
Told = dict[str, list[Row]]


class Teller:
    """Tells one job database again and again; an id keeps its label."""

    def __init__(self, database: JobDatabase) -> None:
        self._database = database
        self._labels: dict[UUID, str] = {}

    def tell(self) -> Told:
        """All rows of all tables, as they are now."""
        with self._database.read() as connection:
            found = {table.name: connection.execute(select(table)).mappings().all() for table in TABLES}
        now = datetime.now(UTC)
        return {name: self._table(name, rows, now) for name, rows in found.items()}

    def _table(self, name: str, rows: Iterable[Mapping[Any, Any]], now: datetime) -> list[Row]:
        # Rows that say the same but for their ids are told apart by the time of their writing.
        ordered = sorted(rows, key=lambda row: (str(_plain(row, now)), str(row.get("create_time"))))
        for row in ordered:
            for column, value in row.items():
                if isinstance(value, UUID) and value not in self._labels:
                    self._labels[value] = f"{name}.{column} {len(self._labels) + 1}"
        told = [_plain(row, now) | self._references(row) for row in ordered]
        return sorted(told, key=str)

    def _references(self, row: Mapping[Any, Any]) -> Row:
        return {str(column): self._labels[value] for column, value in row.items() if isinstance(value, UUID)}


def _plain(row: Mapping[Any, Any], now: datetime) -> Row:
    return {str(column): _settled(value, now) for column, value in row.items() if not isinstance(value, UUID)}


def _settled(value: Any, now: datetime) -> Any:
    return "now" if isinstance(value, datetime) and abs(value - now) < AROUND_NOW else value


def without(told: Told, columns: Mapping[str, frozenset[str]]) -> Told:
    """The same without some columns of some tables."""
    return {
        table: [
            {name: value for name, value in row.items() if name not in columns.get(table, frozenset())} for row in rows
        ]
        for table, rows in told.items()
    }

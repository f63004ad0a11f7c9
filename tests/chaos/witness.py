"""A witness inside the job database: triggers that write down every change of state, and counts beyond a limit.

Law 3 speaks of the way to the end state, and law 5 of every moment; the tables alone only show how it ended. Written
for SQLite, where a trigger sees exactly what its transaction sees.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_NOW = "strftime('%Y-%m-%d %H:%M:%f', 'now')"
_OPEN_CHILDREN = {
    "job_executions": "(SELECT COUNT(*) FROM step_executions WHERE job_execution_id = new.id AND is_active = 1)",
    "step_executions": "(SELECT COUNT(*) FROM target_executions WHERE step_execution_id = new.id AND is_active = 1)",
    "target_executions": "0",
}
_LIMIT = """
    (SELECT s.max_parallelism FROM step_executions e JOIN job_steps s
       ON s.job_id = e.job_id AND s.job_version = e.job_version AND s.step_id = e.step_id
     WHERE e.id = {row}.step_execution_id)"""
_IN_POOL = """
    (SELECT COUNT(*) FROM target_executions t
     WHERE t.step_uid = new.step_uid AND t.elastic_pool_name = new.elastic_pool_name AND t.dispatch_time IS NOT NULL)"""

ADMITTED_TOO_MANY = f"""
    SELECT elastic_pool_name, COUNT(*) AS used, MAX({_LIMIT.format(row="t")}) AS allowed
    FROM target_executions t WHERE is_active = 1 AND admitted = 1 AND elastic_pool_name IS NOT NULL
    GROUP BY step_uid, elastic_pool_name HAVING used > allowed"""
"""Pools in which more targets of a step are admitted than its max_parallelism says. To be asked from outside, because
within a transaction the one that leaves and the one that follows are both admitted for a moment."""


def install(database: Path) -> None:
    """Create the witness's tables and triggers; once per job database."""
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        connection.executescript(
            "CREATE TABLE chaos_moves (seq INTEGER PRIMARY KEY, at TEXT, level TEXT, row_id TEXT, old TEXT, new TEXT,"
            " open_children INTEGER);\n"
            "CREATE TABLE chaos_excess (seq INTEGER PRIMARY KEY, at TEXT, what TEXT, used INTEGER, allowed INTEGER);\n"
            + "".join(_moves(table) for table in _OPEN_CHILDREN)
            + _slots()
            + _pools()
        )


def _moves(table: str) -> str:
    level = table.removesuffix("_executions")
    return (
        f"CREATE TRIGGER chaos_{level}_insert AFTER INSERT ON {table} BEGIN INSERT INTO chaos_moves"
        f" (at, level, row_id, new) VALUES ({_NOW}, '{level}', new.id, new.lifecycle); END;\n"
        f"CREATE TRIGGER chaos_{level}_update AFTER UPDATE OF lifecycle ON {table} BEGIN INSERT INTO chaos_moves"
        f" (at, level, row_id, old, new, open_children)"
        f" VALUES ({_NOW}, '{level}', new.id, old.lifecycle, new.lifecycle, {_OPEN_CHILDREN[table]}); END;\n"
    )


def _slots() -> str:
    used = "(SELECT COUNT(*) FROM target_executions WHERE dispatch_time IS NOT NULL)"
    return (
        "CREATE TRIGGER chaos_slots AFTER UPDATE OF dispatch_time ON target_executions"
        f" WHEN old.dispatch_time IS NULL AND new.dispatch_time IS NOT NULL AND {used} > (SELECT capacity FROM agent)"
        f" BEGIN INSERT INTO chaos_excess (at, what, used, allowed)"
        f" VALUES ({_NOW}, 'slots', {used}, (SELECT capacity FROM agent)); END;\n"
    )


def _pools() -> str:
    limit = _LIMIT.format(row="new")
    return (
        "CREATE TRIGGER chaos_pools AFTER UPDATE OF dispatch_time ON target_executions"
        " WHEN old.dispatch_time IS NULL AND new.dispatch_time IS NOT NULL AND new.elastic_pool_name IS NOT NULL"
        f" AND {_IN_POOL} > {limit}"
        " BEGIN INSERT INTO chaos_excess (at, what, used, allowed)"
        f" VALUES ({_NOW}, 'slots in pool ' || new.elastic_pool_name, {_IN_POOL}, {limit}); END;\n"
    )

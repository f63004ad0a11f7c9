"""Installs the T-SQL face: on SQL Server all of it, on SQLite the views.

Everything is dropped before the tables change and created anew afterwards, in one transaction with them: what stands
there is always what this version's files say, and nobody sees anything in between. Data is never touched.
"""

from __future__ import annotations

import re
from importlib import resources

from sqlalchemy import Connection, text

from elastic_jobs.jobdb.tables import SCHEMA

PUBLIC_SCHEMA = "jobs"
READER = "jobs_reader"
VIEWS = (
    "jobs",
    "job_versions",
    "jobsteps",
    "jobstep_versions",
    "target_groups",
    "target_group_members",
    "job_executions",
)
PROCEDURES = (
    "sp_add_job",
    "sp_update_job",
    "sp_delete_job",
    "sp_add_jobstep",
    "sp_update_jobstep",
    "sp_delete_jobstep",
    "sp_start_job",
    "sp_stop_job",
    "sp_add_target_group",
    "sp_delete_target_group",
    "sp_add_target_group_member",
    "sp_delete_target_group_member",
    "sp_purge_jobhistory",
)
FUNCTIONS = (
    "is_space",
    "is_blank",
    "text_error",
    "name_error",
    "canonical_server",
    "is_listed",
    "server_error",
    "credential_error",
    "scope_error",
    "interval_type",
    "json_time",
    "schedule_error",
    "number_error",
    "steps_using_group",
    "member_text",
    "member_name_error",
    "step_error",
    "output_error",
    "json_text",
    "job_snapshot",
    "step_snapshot",
    "member_snapshot",
)
"""Functions of ``jobs_internal``, each after those that it calls."""
INTERNAL_PROCEDURES = (
    "lock_agent",
    "record_audit",
    "get_job",
    "get_step",
    "get_group",
    "keep_schedule",
    "new_version",
    "save_step",
    "wake",
)
"""Procedures of ``jobs_internal``, each after those that it calls."""


def source(kind: str, name: str) -> str:
    """The text of a file. kind: ``procedures``, ``views`` or ``internal``."""
    return resources.files(__package__).joinpath(kind, f"{name}.sql").read_text(encoding="utf-8")


def uninstall(connection: Connection) -> None:
    """Drop everything that ``install`` creates, as far as it is there; schemas, role and permissions stay."""
    if connection.dialect.name == "sqlite":
        for view in VIEWS:
            connection.execute(text(f"DROP VIEW IF EXISTS {sqlite_name(view)}"))
        return
    for view in VIEWS:
        trigger = f"{PUBLIC_SCHEMA}.{view}_read_only"
        connection.exec_driver_sql(f"IF OBJECT_ID('{trigger}', 'TR') IS NOT NULL DROP TRIGGER {trigger}")
    for schema, kind, names in (
        (PUBLIC_SCHEMA, "PROCEDURE", PROCEDURES),
        (PUBLIC_SCHEMA, "VIEW", VIEWS),
        (SCHEMA, "PROCEDURE", tuple(reversed(INTERNAL_PROCEDURES))),
        (SCHEMA, "FUNCTION", tuple(reversed(FUNCTIONS))),
    ):
        for name in names:
            connection.exec_driver_sql(f"DROP {kind} IF EXISTS {schema}.{name}")


def install(connection: Connection) -> None:
    """Create the procedures and views, and the role that may read them. The tables are those of this version."""
    uninstall(connection)
    if connection.dialect.name == "sqlite":
        for view in VIEWS:
            connection.execute(text(sqlite_view(source("views", view)).replace(":", r"\:")))
        return
    _prepare_schemas(connection)
    for name in (*FUNCTIONS, *INTERNAL_PROCEDURES):
        connection.exec_driver_sql(source("internal", name))
    for view in VIEWS:
        connection.exec_driver_sql(source("views", view))
        connection.exec_driver_sql(source("internal", "read_only").replace("{view}", view))
    for name in PROCEDURES:
        connection.exec_driver_sql(source("procedures", name))


def sqlite_name(view: str) -> str:
    """SQLite has no schemas, and tables and views share their names: ``jobs.job_executions`` is
    ``jobs_job_executions`` there."""
    return f"{PUBLIC_SCHEMA}_{view}"


def sqlite_view(sql: str) -> str:
    """The text of a view for SQLite.

    Ids are kept there as 32 hexadecimal digits and shown as 36 characters with hyphens, in lower case as Python's are.
    """
    sql = re.sub(
        r"/\* uuid \*/ ([\w.]+)",
        lambda found: "lower(" + " || '-' || ".join(_slices(found.group(1))) + ")",
        sql,
    )
    sql = sql.replace("nvarchar(max)", "text").replace(f"{SCHEMA}.", "")
    return sql.replace(f"VIEW {PUBLIC_SCHEMA}.", f"VIEW {PUBLIC_SCHEMA}_")


def _slices(column: str) -> list[str]:
    return [f"substr({column}, {start}, {length})" for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))]


def _prepare_schemas(connection: Connection) -> None:
    """Both schemas, owned by one principal, and the role.

    The reader has no permission in ``jobs_internal``: the views reach its tables only because owner of both is dbo.
    """
    for schema in (PUBLIC_SCHEMA, SCHEMA):
        connection.exec_driver_sql(f"IF SCHEMA_ID('{schema}') IS NULL EXEC('CREATE SCHEMA {schema}')")
        owner = text(
            "SELECT p.name FROM sys.schemas AS s JOIN sys.database_principals AS p"
            " ON p.principal_id = s.principal_id WHERE s.name = :schema"
        )
        if connection.execute(owner, {"schema": schema}).scalar() != "dbo":
            connection.exec_driver_sql(f"ALTER AUTHORIZATION ON SCHEMA::{schema} TO dbo")
    role = text("SELECT COUNT(*) FROM sys.database_principals WHERE name = :role")
    if not connection.execute(role, {"role": READER}).scalar():
        connection.exec_driver_sql(f"CREATE ROLE {READER}")
    connection.exec_driver_sql(f"GRANT SELECT ON SCHEMA::{PUBLIC_SCHEMA} TO {READER}")

"""The tables of the job database: definitions. The tables of executions are in ``execution_tables``.

On SQL Server they live in schema ``jobs_internal``; SQLite has no schemas. Changes need an Alembic revision
(``migrations/``); a test compares what the revisions build with what is written here.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Unicode,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.sql.schema import SchemaItem

from elastic_jobs.jobdb import types
from elastic_jobs.jobdb.types import UtcDateTime

SCHEMA = "jobs_internal"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    },
)


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> SchemaItem:
    """An index over the rows that fulfil ``where`` (a filtered index on SQL Server, a partial one on SQLite)."""
    return Index(name, *columns, unique=unique, sqlite_where=text(where), mssql_where=text(where))


agent = Table(
    "agent",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", types.name(), nullable=False),
    Column("location", Unicode(128), nullable=False),
    Column("tags", JSON),
    Column("sku_name", Unicode(50), nullable=False),
    Column("capacity", Integer, nullable=False),
    Column("identity_id", Unicode(512)),
    Column("identity_client_id", Unicode(64)),
    Column("identity_allowed_servers", types.text(), comment="As credentials.allowed_servers, for the identity."),
    Column("create_time", UtcDateTime, nullable=False),
    CheckConstraint("id = 1", name="one_agent"),
    CheckConstraint("capacity >= 1", name="capacity"),
    comment="The one job agent that owns this job database.",
)

credentials = Table(
    "credentials",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", types.name(), nullable=False, unique=True),
    Column("username", Unicode(128), nullable=False),
    Column("sealed_password", LargeBinary, nullable=False),
    Column(
        "allowed_servers",
        types.text(),
        comment="Names and *.parents, each between two commas; NULL: all servers of the deployment.",
    ),
    Column("create_time", UtcDateTime, nullable=False),
    Column("modify_time", UtcDateTime, nullable=False),
    comment="User names and sealed passwords for target servers.",
)

target_groups = Table(
    "target_groups",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", types.name(), nullable=False, unique=True),
    Column("create_time", UtcDateTime, nullable=False),
    comment="Named sets of servers, pools and databases.",
)

target_group_members = Table(
    "target_group_members",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("target_group_id", Uuid, ForeignKey(target_groups.c.id, ondelete="CASCADE"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("membership_type", Unicode(50), nullable=False),
    Column("target_type", Unicode(50), nullable=False),
    Column("server_name", types.name(256), nullable=False),
    Column("database_name", types.name()),
    Column("elastic_pool_name", types.name()),
    Column("shard_map_name", types.name()),
    Column("refresh_credential_name", types.name()),
    CheckConstraint("membership_type IN ('Include', 'Exclude')", name="membership_type"),
    CheckConstraint(
        "(target_type = 'SqlServer' AND database_name IS NULL AND elastic_pool_name IS NULL AND shard_map_name IS NULL)"
        " OR (target_type = 'SqlElasticPool' AND elastic_pool_name IS NOT NULL AND database_name IS NULL)"
        " OR (target_type = 'SqlDatabase' AND database_name IS NOT NULL AND elastic_pool_name IS NULL)"
        " OR (target_type = 'SqlShardMap' AND shard_map_name IS NOT NULL)",
        name="names_of_target_type",
    ),
    comment="Includes and excludes of a target group.",
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", types.name(), nullable=False),
    Column("description", Unicode(512), nullable=False),
    Column("version", Integer, nullable=False, comment="Number of the current version; 0 until the first step."),
    Column("enabled", Boolean, nullable=False, comment="Governs the schedule only."),
    Column("schedule_interval_type", Unicode(50), nullable=False),
    Column("schedule_interval_count", Integer, nullable=False),
    Column("schedule_start_time", UtcDateTime, nullable=False),
    Column("schedule_end_time", UtcDateTime, nullable=False),
    Column("next_run_time", UtcDateTime, comment="When the schedule starts the job next; NULL: never."),
    Column("schedule_anchor", UtcDateTime, comment="First instant of the grid of next_run_time."),
    Column("consumed_start_time", UtcDateTime, comment="Start time for which a Once schedule already ran."),
    Column("create_time", UtcDateTime, nullable=False),
    Column("delete_time", UtcDateTime, comment="Deletion by force was asked; goes when its executions have ended."),
    partial_index("ux_jobs_name", "name", unique=True, where="delete_time IS NULL"),
    partial_index("ix_jobs_next_run_time", "next_run_time", where="next_run_time IS NOT NULL"),
    partial_index("ix_jobs_delete_time", "delete_time", where="delete_time IS NOT NULL"),
    CheckConstraint(
        "schedule_interval_type IN ('Once', 'Minutes', 'Hours', 'Days', 'Weeks', 'Months')", name="interval_type"
    ),
    CheckConstraint("schedule_interval_count >= 1", name="interval_count"),
    CheckConstraint("next_run_time IS NULL OR schedule_anchor IS NOT NULL", name="anchor"),
    comment="Jobs with their one schedule.",
)

job_versions = Table(
    "job_versions",
    metadata,
    Column("job_id", Uuid, ForeignKey(jobs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("create_time", UtcDateTime, nullable=False),
    comment="One row per version of a job's steps.",
)

job_steps = Table(
    "job_steps",
    metadata,
    Column("job_id", Uuid, ForeignKey(jobs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("job_version", Integer, primary_key=True, autoincrement=False),
    Column("step_id", Integer, primary_key=True, autoincrement=False, comment="Place within the version, from 1."),
    Column("step_uid", Uuid, nullable=False, comment="The same step across versions, renames and reordering."),
    Column("name", types.name(), nullable=False),
    Column("command", types.text(), nullable=False),
    Column("credential_name", types.name()),
    Column("target_group_id", Uuid, nullable=False, index=True),
    Column("target_group_name", types.name(), nullable=False),
    Column("initial_retry_interval_seconds", Integer, nullable=False),
    Column("maximum_retry_interval_seconds", Integer, nullable=False),
    Column("retry_interval_backoff_multiplier", Float, nullable=False),
    Column("retry_attempts", Integer, nullable=False),
    Column("step_timeout_seconds", Integer, nullable=False),
    Column("output_server_name", Unicode(256)),
    Column("output_database_name", Unicode(128)),
    Column("output_schema_name", Unicode(128)),
    Column("output_table_name", Unicode(128)),
    Column("output_credential_name", types.name()),
    Column("output_subscription_id", Uuid),
    Column("output_resource_group_name", Unicode(128)),
    Column("max_parallelism", Integer, comment="Databases at once per elastic pool; NULL: no limit."),
    UniqueConstraint("job_id", "job_version", "name"),
    CheckConstraint(
        "(output_server_name IS NULL AND output_database_name IS NULL AND output_table_name IS NULL)"
        " OR (output_server_name IS NOT NULL AND output_database_name IS NOT NULL"
        " AND output_schema_name IS NOT NULL AND output_table_name IS NOT NULL)",
        name="whole_output",
    ),
    CheckConstraint(
        "retry_attempts >= 0 AND step_timeout_seconds >= 1 AND initial_retry_interval_seconds >= 0"
        " AND maximum_retry_interval_seconds >= initial_retry_interval_seconds"
        " AND retry_interval_backoff_multiplier >= 1 AND (max_parallelism IS NULL OR max_parallelism >= 1)",
        name="options",
    ),
    comment="Steps; rows of a version are never changed, a change makes a new version.",
)

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("time", UtcDateTime, nullable=False, index=True),
    Column("caller", Unicode(256), nullable=False),
    Column("action", Unicode(64), nullable=False),
    Column("resource", Unicode(512), nullable=False),
    Column("before", JSON),
    Column("after", JSON),
    Index("ix_audit_entries_resource", "resource", "action", "id"),
    comment="Who changed what, and who started or canceled which execution. No secrets.",
)

private_endpoints = Table(
    "private_endpoints",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", types.name(), nullable=False, unique=True),
    Column("target_server_id", Unicode(512), nullable=False, comment="ARM id of the target server, as it was given."),
    Column("target_server_name", types.name(256), nullable=False, unique=True, comment="Canonical name."),
    Column("private_endpoint_id", Unicode(256), nullable=False, comment="Name of the resource to create in Azure."),
    Column("connection_status", Unicode(50), nullable=False),
    Column("connection_description", Unicode(512), nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    CheckConstraint(
        "connection_status IN ('Pending', 'Approved', 'Rejected', 'Disconnected')", name="connection_status"
    ),
    comment="Private endpoints that the deployment is to have to its target servers, and what became of them.",
)

operations = Table(
    "operations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Unicode(64), nullable=False),
    Column("name", types.name(), nullable=False, comment="Of the agent or private endpoint."),
    Column("time", UtcDateTime, nullable=False, index=True),
    comment="Long-running operations that clients poll. They are done in the transaction that writes them down.",
)

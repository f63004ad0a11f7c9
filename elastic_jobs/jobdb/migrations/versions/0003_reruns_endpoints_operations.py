"""reruns of failed targets, private endpoints, operations that clients poll"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from elastic_jobs.jobdb import types

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_SCHEMA = "jobs_internal"


def upgrade() -> None:
    _private_endpoints()
    _operations()
    _reruns()
    with op.batch_alter_table("audit_entries", schema=_SCHEMA) as batch_op:
        batch_op.create_index("ix_audit_entries_resource", ["resource", "action", "id"], unique=False)


def _private_endpoints() -> None:
    op.create_table(
        "private_endpoints",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", types.name(), nullable=False),
        sa.Column(
            "target_server_id",
            sa.Unicode(length=512),
            nullable=False,
            comment="ARM id of the target server, as it was given.",
        ),
        sa.Column("target_server_name", types.name(256), nullable=False, comment="Canonical name."),
        sa.Column(
            "private_endpoint_id",
            sa.Unicode(length=256),
            nullable=False,
            comment="Name of the resource to create in Azure.",
        ),
        sa.Column("connection_status", sa.Unicode(length=50), nullable=False),
        sa.Column("connection_description", sa.Unicode(length=512), nullable=False),
        sa.Column("create_time", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "connection_status IN ('Pending', 'Approved', 'Rejected', 'Disconnected')",
            name=op.f("ck_private_endpoints_connection_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_private_endpoints")),
        sa.UniqueConstraint("name", name=op.f("uq_private_endpoints_name")),
        sa.UniqueConstraint("target_server_name", name=op.f("uq_private_endpoints_target_server_name")),
        schema=_SCHEMA,
        comment="Private endpoints that the deployment is to have to its target servers, and what became of them.",
    )


def _operations() -> None:
    op.create_table(
        "operations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Unicode(length=64), nullable=False),
        sa.Column("name", types.name(), nullable=False, comment="Of the agent or private endpoint."),
        sa.Column("time", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operations")),
        schema=_SCHEMA,
        comment="Long-running operations that clients poll. They are done in the transaction that writes them down.",
    )
    with op.batch_alter_table("operations", schema=_SCHEMA) as batch_op:
        batch_op.create_index(batch_op.f("ix_operations_time"), ["time"], unique=False)


def _reruns() -> None:
    # Plain ADD COLUMN also on SQLite, which has no schemas: a batch would build the largest tables anew.
    schema = None if op.get_bind().dialect.name == "sqlite" else _SCHEMA
    op.add_column(
        "job_executions",
        sa.Column(
            "rerun_of", sa.Uuid(), nullable=True, comment="The run whose unsuccessful targets this one tries again."
        ),
        schema=schema,
    )
    op.add_column(
        "job_executions",
        sa.Column(
            "rerun_reached",
            sa.Integer(),
            nullable=True,
            comment="Last step that had planned targets before; up to it rerun_targets hold.",
        ),
        schema=schema,
    )
    op.add_column(
        "step_executions",
        sa.Column(
            "planned_targets",
            sa.Integer(),
            nullable=True,
            comment="How many targets its group gave; NULL until that is known.",
        ),
        schema=schema,
    )
    where = sa.text("rerun_of IS NOT NULL")
    op.create_index(
        "ux_job_executions_rerun_of",
        "job_executions",
        ["rerun_of"],
        unique=True,
        schema=schema,
        sqlite_where=where,
        mssql_where=where,
    )
    op.create_table(
        "rerun_targets",
        sa.Column("job_execution_id", sa.Uuid(), nullable=False),
        sa.Column("step_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("server_name", types.name(256), nullable=False),
        sa.Column("database_name", types.name(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_execution_id"],
            [f"{_SCHEMA}.job_executions.id"],
            name=op.f("fk_rerun_targets_job_execution_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "job_execution_id", "step_id", "server_name", "database_name", name=op.f("pk_rerun_targets")
        ),
        schema=_SCHEMA,
        comment="What a rerun may touch in the steps that the run before it had come to: frozen when it starts.",
    )

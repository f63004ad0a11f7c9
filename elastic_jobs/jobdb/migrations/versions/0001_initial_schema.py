"""initial schema"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from elastic_jobs.jobdb import types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agent",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "name",
            sa.Unicode(length=128).with_variant(sa.Unicode(length=128, collation="NOCASE"), "sqlite"),
            nullable=False,
        ),
        sa.Column("location", sa.Unicode(length=128), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=True),
        sa.Column("sku_name", sa.Unicode(length=50), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("identity_id", sa.Unicode(length=512), nullable=True),
        sa.Column("identity_client_id", sa.Unicode(length=64), nullable=True),
        sa.Column("create_time", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("capacity >= 1", name=op.f("ck_agent_capacity")),
        sa.CheckConstraint("id = 1", name=op.f("ck_agent_one_agent")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent")),
        schema="jobs_internal",
        comment="The one job agent that owns this job database.",
    )
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("time", types.UtcDateTime(), nullable=False),
        sa.Column("caller", sa.Unicode(length=256), nullable=False),
        sa.Column("action", sa.Unicode(length=64), nullable=False),
        sa.Column("resource", sa.Unicode(length=512), nullable=False),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
        schema="jobs_internal",
        comment="Who changed what, and who started or canceled which execution. No secrets.",
    )
    with op.batch_alter_table("audit_entries", schema="jobs_internal") as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_entries_time"), ["time"], unique=False)

    op.create_table(
        "credentials",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "name",
            sa.Unicode(length=128).with_variant(sa.Unicode(length=128, collation="NOCASE"), "sqlite"),
            nullable=False,
        ),
        sa.Column("username", sa.Unicode(length=128), nullable=False),
        sa.Column("sealed_password", sa.LargeBinary(), nullable=False),
        sa.Column("create_time", types.UtcDateTime(), nullable=False),
        sa.Column("modify_time", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credentials")),
        sa.UniqueConstraint("name", name=op.f("uq_credentials_name")),
        schema="jobs_internal",
        comment="User names and sealed passwords for target servers.",
    )
    op.create_table(
        "job_executions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column(
            "job_name",
            sa.Unicode(length=128).with_variant(sa.Unicode(length=128, collation="NOCASE"), "sqlite"),
            nullable=False,
        ),
        sa.Column(
            "job_version", sa.Integer(), nullable=False, comment="Runs to its end as this version, whatever is edited."
        ),
        sa.Column("lifecycle", sa.Unicode(length=50), nullable=False),
        sa.Column("is_active", sa.Integer(), nullable=False),
        sa.Column("create_time", types.UtcDateTime(), nullable=False),
        sa.Column("start_time", types.UtcDateTime(), nullable=True),
        sa.Column("end_time", types.UtcDateTime(), nullable=True),
        sa.Column("last_message", sa.UnicodeText(), nullable=True),
        sa.Column(
            "scheduled_for",
            types.UtcDateTime(),
            nullable=True,
            comment="The schedule's instant; NULL when it was started by hand.",
        ),
        sa.Column(
            "request_id",
            sa.Unicode(length=128),
            nullable=True,
            comment="x-ms-client-request-id of the start, to recognise its repetition.",
        ),
        sa.Column("cancel_request_time", types.UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "is_active = CASE WHEN lifecycle IN ('Created', 'InProgress') THEN 1 ELSE 0 END",
            name=op.f("ck_job_executions_is_active"),
        ),
        sa.CheckConstraint(
            "lifecycle IN ('Created', 'InProgress', 'Succeeded', 'SucceededWithSkipped', 'Failed', 'TimedOut', 'Canceled')",
            name=op.f("ck_job_executions_lifecycle"),
        ),
        sa.CheckConstraint(
            "(is_active = 1 AND end_time IS NULL) OR (is_active = 0 AND end_time IS NOT NULL)",
            name=op.f("ck_job_executions_end_time"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_executions")),
        schema="jobs_internal",
        comment="Root executions: one run of a job.",
    )
    with op.batch_alter_table("job_executions", schema="jobs_internal") as batch_op:
        batch_op.create_index(
            "ix_job_executions_active",
            ["job_id"],
            unique=False,
            sqlite_where=sa.text("is_active = 1"),
            mssql_where=sa.text("is_active = 1"),
        )
        batch_op.create_index("ix_job_executions_create_time", ["create_time", "id"], unique=False)
        batch_op.create_index("ix_job_executions_end_time", ["end_time"], unique=False)
        batch_op.create_index("ix_job_executions_job", ["job_id", "create_time", "id"], unique=False)
        batch_op.create_index(
            "ux_job_executions_request_id",
            ["job_id", "request_id"],
            unique=True,
            sqlite_where=sa.text("request_id IS NOT NULL"),
            mssql_where=sa.text("request_id IS NOT NULL"),
        )
        batch_op.create_index(
            "ux_job_executions_scheduled_for",
            ["job_id", "scheduled_for"],
            unique=True,
            sqlite_where=sa.text("scheduled_for IS NOT NULL"),
            mssql_where=sa.text("scheduled_for IS NOT NULL"),
        )

    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "name",
            sa.Unicode(length=128).with_variant(sa.Unicode(length=128, collation="NOCASE"), "sqlite"),
            nullable=False,
        ),
        sa.Column("description", sa.Unicode(length=512), nullable=False),
        sa.Column(
            "version", sa.Integer(), nullable=False, comment="Number of the current version; 0 until the first step."
        ),
        sa.Column("enabled", sa.Boolean(), nullable=False, comment="Governs the schedule only."),
        sa.Column("schedule_interval_type", sa.Unicode(length=50), nullable=False),
        sa.Column("schedule_interval_count", sa.Integer(), nullable=False),
        sa.Column("schedule_start_time", types.UtcDateTime(), nullable=False),
        sa.Column("schedule_end_time", types.UtcDateTime(), nullable=False),
        sa.Column(
            "next_run_time",
            types.UtcDateTime(),
            nullable=True,
            comment="When the schedule starts the job next; NULL: never.",
        ),
        sa.Column(
            "schedule_anchor", types.UtcDateTime(), nullable=True, comment="First instant of the grid of next_run_time."
        ),
        sa.Column(
            "consumed_start_time",
            types.UtcDateTime(),
            nullable=True,
            comment="Start time for which a Once schedule already ran.",
        ),
        sa.Column("create_time", types.UtcDateTime(), nullable=False),
        sa.Column(
            "delete_time",
            types.UtcDateTime(),
            nullable=True,
            comment="Deletion by force was asked; goes when its executions have ended.",
        ),
        sa.CheckConstraint(
            "schedule_interval_type IN ('Once', 'Minutes', 'Hours', 'Days', 'Weeks', 'Months')",
            name=op.f("ck_jobs_interval_type"),
        ),
        sa.CheckConstraint("next_run_time IS NULL OR schedule_anchor IS NOT NULL", name=op.f("ck_jobs_anchor")),
        sa.CheckConstraint("schedule_interval_count >= 1", name=op.f("ck_jobs_interval_count")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        schema="jobs_internal",
        comment="Jobs with their one schedule.",
    )
    with op.batch_alter_table("jobs", schema="jobs_internal") as batch_op:
        batch_op.create_index(
            "ix_jobs_delete_time",
            ["delete_time"],
            unique=False,
            sqlite_where=sa.text("delete_time IS NOT NULL"),
            mssql_where=sa.text("delete_time IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_jobs_next_run_time",
            ["next_run_time"],
            unique=False,
            sqlite_where=sa.text("next_run_time IS NOT NULL"),
            mssql_where=sa.text("next_run_time IS NOT NULL"),
        )
        batch_op.create_index(
            "ux_jobs_name",
            ["name"],
            unique=True,
            sqlite_where=sa.text("delete_time IS NULL"),
            mssql_where=sa.text("delete_time IS NULL"),
        )

    op.create_table(
        "target_groups",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "name",
            sa.Unicode(length=128).with_variant(sa.Unicode(length=128, collation="NOCASE"), "sqlite"),
            nullable=False,
        ),
        sa.Column("create_time", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_target_groups")),
        sa.UniqueConstraint("name", name=op.f("uq_target_groups_name")),
        schema="jobs_internal",
        comment="Named sets of servers, pools and databases.",
    )
    op.create_table(
        "job_steps",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("job_version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "step_id", sa.Integer(), autoincrement=False, nullable=False, comment="Place within the version, from 1."
        ),
        sa.Column(
            "step_uid", sa.Uuid(), nullable=False, comment="The same step across versions, renames and reordering."
        ),
        sa.Column(
            "name",
            sa.Unicode(length=128).with_variant(sa.Unicode(length=128, collation="NOCASE"), "sqlite"),
            nullable=False,
        ),
        sa.Column("command", sa.UnicodeText(), nullable=False),
        sa.Column(
            "credential_name",
            sa.Unicode(length=128).with_variant(sa.Unicode(length=128, collation="NOCASE"), "sqlite"),
            nullable=True,
        ),
        sa.Column("target_group_id", sa.Uuid(), nullable=False),
        sa.Column(
            "target_group_name",
            sa.Unicode(length=128).with_variant(sa.Unicode(length=128, collation="NOCASE"), "sqlite"),
            nullable=False,
        ),
        sa.Column("initial_retry_interval_seconds", sa.Integer(), nullable=False),
        sa.Column("maximum_retry_interval_seconds", sa.Integer(), nullable=False),
        sa.Column("retry_interval_backoff_multiplier", sa.Float(), nullable=False),
        sa.Column("retry_attempts", sa.Integer(), nullable=False),
        sa.Column("step_timeout_seconds", sa.Integer(), nullable=False),
        sa.Column("output_server_name", sa.Unicode(length=256), nullable=True),
        sa.Column("output_database_name", sa.Unicode(length=128), nullable=True),
        sa.Column("output_schema_name", sa.Unicode(length=128), nullable=True),
        sa.Column("output_table_name", sa.Unicode(length=128), nullable=True),
        sa.Column(
            "output_credential_name",
            sa.Unicode(length=128).with_variant(sa.Unicode(length=128, collation="NOCASE"), "sqlite"),
            nullable=True,
        ),
        sa.Column("output_subscription_id", sa.Uuid(), nullable=True),
        sa.Column("output_resource_group_name", sa.Unicode(length=128), nullable=True),
        sa.Column(
            "max_parallelism",
            sa.Integer(),
            nullable=True,
            comment="Databases at once per elastic pool; NULL: no limit.",
        ),
        sa.CheckConstraint(
            "(output_server_name IS NULL AND output_database_name IS NULL AND output_table_name IS NULL) OR (output_server_name IS NOT NULL AND output_database_name IS NOT NULL AND output_schema_name IS NOT NULL AND output_table_name IS NOT NULL)",
            name=op.f("ck_job_steps_whole_output"),
        ),
        sa.CheckConstraint(
            "retry_attempts >= 0 AND step_timeout_seconds >= 1 AND initial_retry_interval_seconds >= 0 AND maximum_retry_interval_seconds >= initial_retry_interval_seconds AND retry_interval_backoff_multiplier >= 1 AND (max_parallelism IS NULL OR max_parallelism >= 1)",
            name=op.f("ck_job_steps_options"),
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs_internal.jobs.id"], name=op.f("fk_job_steps_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "job_version", "step_id", name=op.f("pk_job_steps")),
        sa.UniqueConstraint("job_id", "job_version", "name", name=op.f("uq_job_steps_job_id_job_version_name")),
        schema="jobs_internal",
        comment="Steps; rows of a version are never changed, a change makes a new version.",
    )
    with op.batch_alter_table("job_steps", schema="jobs_internal") as batch_op:
        batch_op.create_index(batch_op.f("ix_job_steps_target_group_id"), ["target_group_id"], unique=False)

    op.create_table(
        "job_versions",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("create_time", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs_internal.jobs.id"], name=op.f("fk_job_versions_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "version", name=op.f("pk_job_versions")),
        schema="jobs_internal",
        comment="One row per version of a job's steps.",
    )
    op.create_table(
        "step_executions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_execution_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("job_version", sa.Integer(), nullable=False),
        sa.Column("step_id", sa.Integer(), nullable=False),
        sa.Column(
            "step_name",
            sa.Unicode(length=128).with_variant(sa.Unicode(length=128, collation="NOCASE"), "sqlite"),
            nullable=False,
        ),
        sa.Column("lifecycle", sa.Unicode(length=50), nullable=False),
        sa.Column("is_active", sa.Integer(), nullable=False),
        sa.Column("create_time", types.UtcDateTime(), nullable=False),
        sa.Column("start_time", types.UtcDateTime(), nullable=True),
        sa.Column("end_time", types.UtcDateTime(), nullable=True),
        sa.Column("last_message", sa.UnicodeText(), nullable=True),
        sa.Column(
            "dispatch_time", types.UtcDateTime(), nullable=True, comment="When its wake-up message was last sent."
        ),
        sa.Column("sent_messages", sa.Integer(), nullable=False, comment="How often it was sent for this wait."),
        sa.Column(
            "claim_token", sa.Uuid(), nullable=True, comment="Fencing token: only its holder may record an outcome."
        ),
        sa.Column("claimed_by", sa.Uuid(), nullable=True, comment="The instance that holds the claim."),
        sa.Column(
            "lease_until",
            types.UtcDateTime(),
            nullable=True,
            comment="When the claim ends unless it is renewed; job database's clock.",
        ),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("current_attempts", sa.Integer(), nullable=False, comment="Attempts begun, lost ones included."),
        sa.Column("failed_attempts", sa.Integer(), nullable=False, comment="Attempts that count against retries."),
        sa.Column("lost_attempts", sa.Integer(), nullable=False, comment="Attempts whose worker was lost."),
        sa.Column("current_attempt_start_time", types.UtcDateTime(), nullable=True),
        sa.Column(
            "next_attempt_start_time",
            types.UtcDateTime(),
            nullable=True,
            comment="From when the next attempt may begin.",
        ),
        sa.CheckConstraint(
            "(lifecycle = 'InProgress' AND claim_token IS NOT NULL AND claimed_by IS NOT NULL AND lease_until IS NOT NULL AND dispatch_time IS NOT NULL) OR (lifecycle <> 'InProgress' AND claim_token IS NULL AND claimed_by IS NULL AND lease_until IS NULL)",
            name=op.f("ck_step_executions_claim"),
        ),
        sa.CheckConstraint(
            "is_active = CASE WHEN lifecycle IN ('Created', 'InProgress', 'WaitingForChildJobExecutions', 'WaitingForRetry') THEN 1 ELSE 0 END",
            name=op.f("ck_step_executions_is_active"),
        ),
        sa.CheckConstraint(
            "lifecycle IN ('Created', 'InProgress', 'WaitingForChildJobExecutions', 'WaitingForRetry', 'Succeeded', 'SucceededWithSkipped', 'Failed', 'TimedOut', 'Canceled')",
            name=op.f("ck_step_executions_lifecycle"),
        ),
        sa.CheckConstraint(
            "(is_active = 1 AND end_time IS NULL) OR (is_active = 0 AND end_time IS NOT NULL)",
            name=op.f("ck_step_executions_end_time"),
        ),
        sa.ForeignKeyConstraint(
            ["job_execution_id"],
            ["jobs_internal.job_executions.id"],
            name=op.f("fk_step_executions_job_execution_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_step_executions")),
        sa.UniqueConstraint("job_execution_id", "step_id", name=op.f("uq_step_executions_job_execution_id_step_id")),
        schema="jobs_internal",
        comment="One step of a run: resolves its target group, then waits for its targets.",
    )
    with op.batch_alter_table("step_executions", schema="jobs_internal") as batch_op:
        batch_op.create_index(
            "ix_step_executions_active",
            ["lifecycle", "dispatch_time"],
            unique=False,
            sqlite_where=sa.text("is_active = 1"),
            mssql_where=sa.text("is_active = 1"),
        )
        batch_op.create_index(
            "ix_step_executions_lease",
            ["lease_until"],
            unique=False,
            sqlite_where=sa.text("lease_until IS NOT NULL"),
            mssql_where=sa.text("lease_until IS NOT NULL"),
        )

    op.create_table(
        "target_group_members",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("target_group_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("membership_type", sa.Unicode(length=50), nullable=False),
        sa.Column("target_type", sa.Unicode(length=50), nullable=False),
        sa.Column(
            "server_name",
            sa.Unicode(length=256).with_variant(sa.Unicode(length=256, collation="NOCASE"), "sqlite"),
            nullable=False,
        ),
        sa.Column(
            "database_name",
            sa.Unicode(length=128).with_variant(sa.Unicode(length=128, collation="NOCASE"), "sqlite"),
            nullable=True,
        ),
        sa.Column(
            "elastic_pool_name",
            sa.Unicode(length=128).with_variant(sa.Unicode(length=128, collation="NOCASE"), "sqlite"),
            nullable=True,
        ),
        sa.Column(
            "shard_map_name",
            sa.Unicode(length=128).with_variant(sa.Unicode(length=128, collation="NOCASE"), "sqlite"),
            nullable=True,
        ),
        sa.Column(
            "refresh_credential_name",
            sa.Unicode(length=128).with_variant(sa.Unicode(length=128, collation="NOCASE"), "sqlite"),
            nullable=True,
        ),
        sa.CheckConstraint(
            "(target_type = 'SqlServer' AND database_name IS NULL AND elastic_pool_name IS NULL AND shard_map_name IS NULL) OR (target_type = 'SqlElasticPool' AND elastic_pool_name IS NOT NULL AND database_name IS NULL) OR (target_type = 'SqlDatabase' AND database_name IS NOT NULL AND elastic_pool_name IS NULL) OR (target_type = 'SqlShardMap' AND shard_map_name IS NOT NULL)",
            name=op.f("ck_target_group_members_names_of_target_type"),
        ),
        sa.CheckConstraint(
            "membership_type IN ('Include', 'Exclude')", name=op.f("ck_target_group_members_membership_type")
        ),
        sa.ForeignKeyConstraint(
            ["target_group_id"],
            ["jobs_internal.target_groups.id"],
            name=op.f("fk_target_group_members_target_group_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_target_group_members")),
        schema="jobs_internal",
        comment="Includes and excludes of a target group.",
    )
    with op.batch_alter_table("target_group_members", schema="jobs_internal") as batch_op:
        batch_op.create_index(batch_op.f("ix_target_group_members_target_group_id"), ["target_group_id"], unique=False)

    op.create_table(
        "target_executions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("step_execution_id", sa.Uuid(), nullable=False),
        sa.Column("job_execution_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("step_uid", sa.Uuid(), nullable=False),
        sa.Column(
            "server_name",
            sa.Unicode(length=256).with_variant(sa.Unicode(length=256, collation="NOCASE"), "sqlite"),
            nullable=False,
        ),
        sa.Column(
            "database_name",
            sa.Unicode(length=128).with_variant(sa.Unicode(length=128, collation="NOCASE"), "sqlite"),
            nullable=False,
        ),
        sa.Column(
            "elastic_pool_name",
            sa.Unicode(length=128).with_variant(sa.Unicode(length=128, collation="NOCASE"), "sqlite"),
            nullable=True,
        ),
        sa.Column("turn", sa.BigInteger(), nullable=False, comment="Order of dispatch, fair between steps."),
        sa.Column("admitted", sa.Boolean(), nullable=False, comment="Within its pool's max_parallelism."),
        sa.Column("lifecycle", sa.Unicode(length=50), nullable=False),
        sa.Column("is_active", sa.Integer(), nullable=False),
        sa.Column("create_time", types.UtcDateTime(), nullable=False),
        sa.Column("start_time", types.UtcDateTime(), nullable=True),
        sa.Column("end_time", types.UtcDateTime(), nullable=True),
        sa.Column("last_message", sa.UnicodeText(), nullable=True),
        sa.Column(
            "dispatch_time", types.UtcDateTime(), nullable=True, comment="When its wake-up message was last sent."
        ),
        sa.Column("sent_messages", sa.Integer(), nullable=False, comment="How often it was sent for this wait."),
        sa.Column(
            "claim_token", sa.Uuid(), nullable=True, comment="Fencing token: only its holder may record an outcome."
        ),
        sa.Column("claimed_by", sa.Uuid(), nullable=True, comment="The instance that holds the claim."),
        sa.Column(
            "lease_until",
            types.UtcDateTime(),
            nullable=True,
            comment="When the claim ends unless it is renewed; job database's clock.",
        ),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("current_attempts", sa.Integer(), nullable=False, comment="Attempts begun, lost ones included."),
        sa.Column("failed_attempts", sa.Integer(), nullable=False, comment="Attempts that count against retries."),
        sa.Column("lost_attempts", sa.Integer(), nullable=False, comment="Attempts whose worker was lost."),
        sa.Column("current_attempt_start_time", types.UtcDateTime(), nullable=True),
        sa.Column(
            "next_attempt_start_time",
            types.UtcDateTime(),
            nullable=True,
            comment="From when the next attempt may begin.",
        ),
        sa.Column(
            "error_number", sa.Integer(), nullable=True, comment="SQL Server's number of the last attempt's error."
        ),
        sa.CheckConstraint(
            "(lifecycle = 'InProgress' AND claim_token IS NOT NULL AND claimed_by IS NOT NULL AND lease_until IS NOT NULL AND dispatch_time IS NOT NULL) OR (lifecycle <> 'InProgress' AND claim_token IS NULL AND claimed_by IS NULL AND lease_until IS NULL)",
            name=op.f("ck_target_executions_claim"),
        ),
        sa.CheckConstraint(
            "is_active = CASE WHEN lifecycle IN ('Created', 'InProgress', 'WaitingForRetry') THEN 1 ELSE 0 END",
            name=op.f("ck_target_executions_is_active"),
        ),
        sa.CheckConstraint(
            "lifecycle IN ('Created', 'InProgress', 'WaitingForRetry', 'Succeeded', 'Failed', 'TimedOut', 'Canceled', 'Skipped')",
            name=op.f("ck_target_executions_lifecycle"),
        ),
        sa.CheckConstraint(
            "(is_active = 1 AND end_time IS NULL) OR (is_active = 0 AND end_time IS NOT NULL)",
            name=op.f("ck_target_executions_end_time"),
        ),
        sa.CheckConstraint(
            "dispatch_time IS NULL OR (is_active = 1 AND admitted = 1)", name=op.f("ck_target_executions_slot")
        ),
        sa.ForeignKeyConstraint(
            ["step_execution_id"],
            ["jobs_internal.step_executions.id"],
            name=op.f("fk_target_executions_step_execution_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_target_executions")),
        sa.UniqueConstraint(
            "step_execution_id",
            "server_name",
            "database_name",
            name=op.f("uq_target_executions_step_execution_id_server_name_database_name"),
        ),
        schema="jobs_internal",
        comment="One step of a run on one database.",
    )
    with op.batch_alter_table("target_executions", schema="jobs_internal") as batch_op:
        batch_op.create_index(
            "ix_target_executions_job_execution", ["job_execution_id", "create_time", "id"], unique=False
        )
        batch_op.create_index(
            "ix_target_executions_lease",
            ["lease_until"],
            unique=False,
            sqlite_where=sa.text("lease_until IS NOT NULL"),
            mssql_where=sa.text("lease_until IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_target_executions_pool",
            ["step_uid", "elastic_pool_name", "admitted", "turn"],
            unique=False,
            sqlite_where=sa.text("is_active = 1"),
            mssql_where=sa.text("is_active = 1"),
        )
        batch_op.create_index(
            "ix_target_executions_ready",
            ["turn", "id"],
            unique=False,
            sqlite_where=sa.text(
                "is_active = 1 AND admitted = 1 AND dispatch_time IS NULL AND next_attempt_start_time IS NULL"
            ),
            mssql_where=sa.text(
                "is_active = 1 AND admitted = 1 AND dispatch_time IS NULL AND next_attempt_start_time IS NULL"
            ),
        )
        batch_op.create_index(
            "ix_target_executions_retry",
            ["next_attempt_start_time"],
            unique=False,
            sqlite_where=sa.text("next_attempt_start_time IS NOT NULL"),
            mssql_where=sa.text("next_attempt_start_time IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_target_executions_slots",
            ["dispatch_time"],
            unique=False,
            sqlite_where=sa.text("dispatch_time IS NOT NULL"),
            mssql_where=sa.text("dispatch_time IS NOT NULL"),
        )
        batch_op.create_index("ix_target_executions_step", ["step_execution_id", "lifecycle"], unique=False)
        batch_op.create_index(
            "ux_target_executions_overlap",
            ["step_uid", "server_name", "database_name"],
            unique=True,
            sqlite_where=sa.text("is_active = 1"),
            mssql_where=sa.text("is_active = 1"),
        )

    op.create_table(
        "target_messages",
        sa.Column("target_execution_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False, comment="Number of the batch within the script, from 1."),
        sa.Column("kind", sa.Unicode(length=20), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("row_count", sa.BigInteger(), nullable=True),
        sa.Column("text", sa.UnicodeText(), nullable=True),
        sa.CheckConstraint("kind IN ('message', 'error', 'rowcount', 'note')", name=op.f("ck_target_messages_kind")),
        sa.ForeignKeyConstraint(
            ["target_execution_id"],
            ["jobs_internal.target_executions.id"],
            name=op.f("fk_target_messages_target_execution_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("target_execution_id", "attempt", "ordinal", name=op.f("pk_target_messages")),
        schema="jobs_internal",
        comment="What a script said: PRINT, errors, row counts, and notes of the agent.",
    )

"""what the T-SQL procedures and the app tell each other"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from elastic_jobs.jobdb import types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SCHEMA = "jobs_internal"


def upgrade() -> None:
    op.create_table(
        "deployment",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("server_suffix", sa.Unicode(length=256), nullable=False),
        sa.Column(
            "allowed_servers", sa.UnicodeText(), nullable=False, comment="Names and *.parents, each between two commas."
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_deployment_one_deployment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment")),
        schema=_SCHEMA,
        comment="What the procedures have to know of the app's settings; the app writes it when it starts.",
    )
    op.create_table(
        "wake_endpoint",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("url", sa.Unicode(length=2000), nullable=False),
        sa.Column("credential_name", types.name(), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_wake_endpoint_one_endpoint")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wake_endpoint")),
        schema=_SCHEMA,
        comment="Where the procedures wake the agent at once; without a row, its next tick finds what they did.",
    )
    op.create_table(
        "schedule_edits",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("time", types.UtcDateTime(), nullable=False),
        sa.Column("had_steps", sa.Boolean(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("schedule_interval_type", sa.Unicode(length=50), nullable=False),
        sa.Column("schedule_interval_count", sa.Integer(), nullable=False),
        sa.Column("schedule_start_time", types.UtcDateTime(), nullable=False),
        sa.Column("schedule_end_time", types.UtcDateTime(), nullable=False),
        sa.Column("next_run_time", types.UtcDateTime(), nullable=True),
        sa.Column("schedule_anchor", types.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], [f"{_SCHEMA}.jobs.id"], name=op.f("fk_schedule_edits_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule_edits")),
        schema=_SCHEMA,
        comment="Edits made in T-SQL that the tick has yet to arm: each with what stood in the job before it.",
    )
    with op.batch_alter_table("schedule_edits", schema=_SCHEMA) as batch_op:
        batch_op.create_index(batch_op.f("ix_schedule_edits_job_id"), ["job_id"], unique=False)

"""active runs in the order of the lists"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_SCHEMA = "jobs_internal"


def upgrade() -> None:
    where = sa.text("is_active = 1")
    schema = None if op.get_bind().dialect.name == "sqlite" else _SCHEMA
    op.drop_index("ix_job_executions_active", "job_executions", schema=schema)
    for name, columns in (
        ("ix_job_executions_active", ["job_id", "create_time", "id"]),
        ("ix_job_executions_active_time", ["create_time", "id"]),
    ):
        op.create_index(
            name, "job_executions", columns, unique=False, schema=schema, sqlite_where=where, mssql_where=where
        )

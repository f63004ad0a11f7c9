"""the servers that a credential or the agent's identity may be sent to"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SCHEMA = "jobs_internal"


def upgrade() -> None:
    # Plain ADD COLUMN also on SQLite, which has no schemas: a batch would build the tables anew.
    schema = None if op.get_bind().dialect.name == "sqlite" else _SCHEMA
    op.add_column(
        "credentials",
        sa.Column(
            "allowed_servers",
            sa.UnicodeText(),
            nullable=True,
            comment="Names and *.parents, each between two commas; NULL: all servers of the deployment.",
        ),
        schema=schema,
    )
    op.add_column(
        "agent",
        sa.Column(
            "identity_allowed_servers",
            sa.UnicodeText(),
            nullable=True,
            comment="As credentials.allowed_servers, for the identity.",
        ),
        schema=schema,
    )

"""Runs revisions on the connection that ``elastic_jobs.jobdb.schema`` hands over."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from elastic_jobs.jobdb.schema import metadata

connection: Connection = context.config.attributes["connection"]
sqlite = connection.dialect.name == "sqlite"
context.configure(
    connection=connection,
    target_metadata=metadata,
    # SQLite has no schemas, and changes a table only by building it anew.
    version_table_schema=None if sqlite else metadata.schema,
    include_schemas=not sqlite,
    render_as_batch=sqlite,
    compare_type=True,
    user_module_prefix="types.",
)
context.run_migrations()

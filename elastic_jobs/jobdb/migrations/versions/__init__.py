"""Alembic revisions of the job database: the same files for SQLite and SQL Server."""

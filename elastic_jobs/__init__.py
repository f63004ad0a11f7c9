"""Elastic Jobs: run T-SQL scripts across many Azure SQL databases, on a schedule or on demand."""

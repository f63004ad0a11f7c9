"""The job database: its tables and every statement that is sent to it. Nothing else knows the tables."""

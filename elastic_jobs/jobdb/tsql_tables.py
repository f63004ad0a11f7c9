"""The tables through which the T-SQL procedures and the app talk to each other.

T-SQL cannot compute when a schedule is due next, and it does not see the app's settings. So the procedures write down
what they did to a schedule, and the app writes down which servers it may reach.
"""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Integer, Table, Unicode, UnicodeText, Uuid

from elastic_jobs.jobdb import types
from elastic_jobs.jobdb.tables import jobs, metadata
from elastic_jobs.jobdb.types import UtcDateTime

schedule_edits = Table(
    "schedule_edits",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", Uuid, ForeignKey(jobs.c.id, ondelete="CASCADE"), nullable=False, index=True),
    Column("time", UtcDateTime, nullable=False),
    Column("had_steps", Boolean, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("schedule_interval_type", Unicode(50), nullable=False),
    Column("schedule_interval_count", Integer, nullable=False),
    Column("schedule_start_time", UtcDateTime, nullable=False),
    Column("schedule_end_time", UtcDateTime, nullable=False),
    Column("next_run_time", UtcDateTime),
    Column("schedule_anchor", UtcDateTime),
    comment="Edits made in T-SQL that the tick has yet to arm: each with what stood in the job before it.",
)

deployment = Table(
    "deployment",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("server_suffix", Unicode(256), nullable=False),
    Column("allowed_servers", UnicodeText, nullable=False, comment="Names and *.parents, each between two commas."),
    CheckConstraint("id = 1", name="one_deployment"),
    comment="What the procedures have to know of the app's settings; the app writes it when it starts.",
)

wake_endpoint = Table(
    "wake_endpoint",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("url", Unicode(2000), nullable=False),
    Column("credential_name", types.name()),
    CheckConstraint("id = 1", name="one_endpoint"),
    comment="Where the procedures wake the agent at once; without a row, its next tick finds what they did.",
)

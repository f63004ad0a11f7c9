"""The tables of executions: job, step and target, and what a script said on a target.

CHECK constraints and filtered unique indexes carry the laws of the design wherever the database can.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Unicode,
    UniqueConstraint,
    Uuid,
)

from elastic_jobs.domain.lifecycle import ACTIVE, Level, Lifecycle, states
from elastic_jobs.jobdb import types
from elastic_jobs.jobdb.tables import metadata, partial_index
from elastic_jobs.jobdb.types import UtcDateTime


def _one_of(lifecycles: frozenset[Lifecycle]) -> str:
    return "lifecycle IN (" + ", ".join(f"'{state}'" for state in Lifecycle if state in lifecycles) + ")"


def _lifecycle_checks(level: Level) -> tuple[CheckConstraint, ...]:
    """The state is one of the level's; is_active says the same as the state; end_time is set when it ended.

    is_active is stored because SQL Server allows no computed column in the predicate of a filtered index.
    """
    active = _one_of(ACTIVE & states(level))
    return (
        CheckConstraint(_one_of(states(level)), name="lifecycle"),
        CheckConstraint(f"is_active = CASE WHEN {active} THEN 1 ELSE 0 END", name="is_active"),
        CheckConstraint(
            "(is_active = 1 AND end_time IS NULL) OR (is_active = 0 AND end_time IS NOT NULL)", name="end_time"
        ),
    )


_CLAIM_CHECK = (
    f"(lifecycle = '{Lifecycle.IN_PROGRESS}' AND claim_token IS NOT NULL AND claimed_by IS NOT NULL"
    " AND lease_until IS NOT NULL AND dispatch_time IS NOT NULL)"
    f" OR (lifecycle <> '{Lifecycle.IN_PROGRESS}' AND claim_token IS NULL AND claimed_by IS NULL"
    " AND lease_until IS NULL)"
)


def _claim_columns() -> tuple[Column[object], ...]:
    """What a worker holds while it works on a row."""
    return (
        Column("dispatch_time", UtcDateTime, comment="When its wake-up message was last sent."),
        Column("sent_messages", Integer, nullable=False, default=1, comment="How often it was sent for this wait."),
        Column("claim_token", Uuid, comment="Fencing token: only its holder may record an outcome."),
        Column("claimed_by", Uuid, comment="The instance that holds the claim."),
        Column("lease_until", UtcDateTime, comment="When the claim ends unless it is renewed; job database's clock."),
        Column("cancel_requested", Boolean, nullable=False, default=False),
    )


def _attempt_columns() -> tuple[Column[object], ...]:
    return (
        Column("current_attempts", Integer, nullable=False, default=0, comment="Attempts begun, lost ones included."),
        Column("failed_attempts", Integer, nullable=False, default=0, comment="Attempts that count against retries."),
        Column("lost_attempts", Integer, nullable=False, default=0, comment="Attempts whose worker was lost."),
        Column("current_attempt_start_time", UtcDateTime),
        Column("next_attempt_start_time", UtcDateTime, comment="From when the next attempt may begin."),
    )


def _common_columns() -> tuple[Column[object], ...]:
    return (
        Column("lifecycle", Unicode(50), nullable=False),
        Column("is_active", Integer, nullable=False),
        Column("create_time", UtcDateTime, nullable=False),
        Column("start_time", UtcDateTime),
        Column("end_time", UtcDateTime),
        Column("last_message", types.text()),
    )


job_executions = Table(
    "job_executions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("job_id", Uuid, nullable=False),
    Column("job_name", types.name(), nullable=False),
    Column("job_version", Integer, nullable=False, comment="Runs to its end as this version, whatever is edited."),
    *_common_columns(),
    Column("scheduled_for", UtcDateTime, comment="The schedule's instant; NULL when it was started by hand."),
    Column("request_id", Unicode(128), comment="x-ms-client-request-id of the start, to recognise its repetition."),
    Column("cancel_request_time", UtcDateTime),
    Column("rerun_of", Uuid, comment="The run whose unsuccessful targets this one tries again."),
    Column("rerun_reached", Integer, comment="Last step that had planned targets before; up to it rerun_targets hold."),
    *_lifecycle_checks(Level.JOB),
    partial_index(
        "ux_job_executions_scheduled_for", "job_id", "scheduled_for", unique=True, where="scheduled_for IS NOT NULL"
    ),
    partial_index("ux_job_executions_request_id", "job_id", "request_id", unique=True, where="request_id IS NOT NULL"),
    # One rerun per run: what a rerun left undone is tried again by a rerun of that one.
    partial_index("ux_job_executions_rerun_of", "rerun_of", unique=True, where="rerun_of IS NOT NULL"),
    partial_index("ix_job_executions_active", "job_id", "create_time", "id", where="is_active = 1"),
    partial_index("ix_job_executions_active_time", "create_time", "id", where="is_active = 1"),
    Index("ix_job_executions_create_time", "create_time", "id"),
    Index("ix_job_executions_job", "job_id", "create_time", "id"),
    Index("ix_job_executions_end_time", "end_time"),
    comment="Root executions: one run of a job.",
)

step_executions = Table(
    "step_executions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("job_execution_id", Uuid, ForeignKey(job_executions.c.id, ondelete="CASCADE"), nullable=False),
    Column("job_id", Uuid, nullable=False),
    Column("job_version", Integer, nullable=False),
    Column("step_id", Integer, nullable=False),
    Column("step_name", types.name(), nullable=False),
    Column("planned_targets", Integer, comment="How many targets its group gave; NULL until that is known."),
    *_common_columns(),
    *_claim_columns(),
    *_attempt_columns(),
    UniqueConstraint("job_execution_id", "step_id"),
    *_lifecycle_checks(Level.STEP),
    CheckConstraint(_CLAIM_CHECK, name="claim"),
    partial_index("ix_step_executions_active", "lifecycle", "dispatch_time", where="is_active = 1"),
    partial_index("ix_step_executions_lease", "lease_until", where="lease_until IS NOT NULL"),
    comment="One step of a run: resolves its target group, then waits for its targets.",
)

target_executions = Table(
    "target_executions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("step_execution_id", Uuid, ForeignKey(step_executions.c.id, ondelete="CASCADE"), nullable=False),
    Column("job_execution_id", Uuid, nullable=False),
    Column("job_id", Uuid, nullable=False),
    Column("step_uid", Uuid, nullable=False),
    Column("server_name", types.name(256), nullable=False),
    Column("database_name", types.name(), nullable=False),
    Column("elastic_pool_name", types.name()),
    Column("turn", BigInteger, nullable=False, comment="Order of dispatch, fair between steps."),
    Column("admitted", Boolean, nullable=False, comment="Within its pool's max_parallelism."),
    *_common_columns(),
    *_claim_columns(),
    *_attempt_columns(),
    Column("error_number", Integer, comment="SQL Server's number of the last attempt's error."),
    UniqueConstraint("step_execution_id", "server_name", "database_name"),
    *_lifecycle_checks(Level.TARGET),
    CheckConstraint(_CLAIM_CHECK, name="claim"),
    # dispatch_time doubles as "holds one of the agent's slots": nothing that waits or has ended may keep one.
    CheckConstraint("dispatch_time IS NULL OR (is_active = 1 AND admitted = 1)", name="slot"),
    # Law 4: one run at a time per (job step, target database).
    partial_index(
        "ux_target_executions_overlap", "step_uid", "server_name", "database_name", unique=True, where="is_active = 1"
    ),
    partial_index(
        "ix_target_executions_ready",
        "turn",
        "id",
        where="is_active = 1 AND admitted = 1 AND dispatch_time IS NULL AND next_attempt_start_time IS NULL",
    ),
    partial_index(
        "ix_target_executions_pool", "step_uid", "elastic_pool_name", "admitted", "turn", where="is_active = 1"
    ),
    partial_index("ix_target_executions_slots", "dispatch_time", where="dispatch_time IS NOT NULL"),
    partial_index("ix_target_executions_lease", "lease_until", where="lease_until IS NOT NULL"),
    partial_index("ix_target_executions_retry", "next_attempt_start_time", where="next_attempt_start_time IS NOT NULL"),
    Index("ix_target_executions_step", "step_execution_id", "lifecycle"),
    Index("ix_target_executions_job_execution", "job_execution_id", "create_time", "id"),
    comment="One step of a run on one database.",
)

target_messages = Table(
    "target_messages",
    metadata,
    Column("target_execution_id", Uuid, ForeignKey(target_executions.c.id, ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("batch", Integer, nullable=False, comment="Number of the batch within the script, from 1."),
    Column("kind", Unicode(20), nullable=False),
    Column("number", Integer),
    Column("row_count", BigInteger),
    Column("text", types.text()),
    CheckConstraint("kind IN ('message', 'error', 'rowcount', 'note')", name="kind"),
    comment="What a script said: PRINT, errors, row counts, and notes of the agent.",
)

rerun_targets = Table(
    "rerun_targets",
    metadata,
    Column("job_execution_id", Uuid, ForeignKey(job_executions.c.id, ondelete="CASCADE"), primary_key=True),
    Column("step_id", Integer, primary_key=True, autoincrement=False),
    Column("server_name", types.name(256), primary_key=True),
    Column("database_name", types.name(), primary_key=True),
    comment="What a rerun may touch in the steps that the run before it had come to: frozen when it starts.",
)

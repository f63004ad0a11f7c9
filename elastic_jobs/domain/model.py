"""The definitions that people write: credentials, target groups, jobs, steps, the agent. Plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.domain.schedule import Schedule
from elastic_jobs.domain.server_scope import ServerScope
from elastic_jobs.domain.targets import Member


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A user-assigned managed identity: its ARM id, and the client id under which tokens are asked for.

    allowed_servers: the servers that its tokens may be sent to; None: all that the deployment allows.
    """

    resource_id: str
    client_id: str | None = None
    allowed_servers: ServerScope | None = None


@dataclass(frozen=True, kw_only=True)
class Agent:
    """The job agent. With an identity every target is reached as that identity, otherwise with credentials."""

    name: str
    location: str
    sku_name: str = "JA100"
    capacity: int = 100
    tags: dict[str, str] = field(default_factory=dict)
    identity: Identity | None = None
    create_time: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class TargetGroup:
    id: UUID
    name: str
    members: tuple[tuple[UUID, Member], ...] = ()
    """Members with their ids, in the order in which they were given."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a step's first result set is kept."""

    server_name: str
    database_name: str
    table_name: str
    schema_name: str = "dbo"
    credential_name: str | None = None
    subscription_id: UUID | None = None
    resource_group_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class StepDefinition:
    """What a step does. ``max_parallelism``: databases at once per elastic pool, None for no limit."""

    name: str
    command: str
    target_group_name: str
    credential_name: str | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout_seconds: int = 43200
    output: Output | None = None
    max_parallelism: int | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step as it stands in a version of its job. ``step_id`` is its place, from 1; ``uid`` stays over versions."""

    job_id: UUID
    job_version: int
    step_id: int
    uid: UUID
    target_group_id: UUID
    definition: StepDefinition


@dataclass(frozen=True, kw_only=True)
class Job:
    id: UUID
    name: str
    description: str = ""
    version: int = 0
    schedule: Schedule = field(default_factory=Schedule)
    next_run_time: datetime | None = None

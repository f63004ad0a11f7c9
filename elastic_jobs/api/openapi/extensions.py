"""The shapes of answers that Azure's API does not have, for the OpenAPI document; see ``answers``."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from elastic_jobs.api.openapi.answers import Shape
from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.targets.network import Check, Status


class ProgressAnswer(Shape):
    step_id: int
    step_name: str
    lifecycle: Lifecycle
    targets: dict[str, int]


class MessageAnswer(Shape):
    attempt: int
    ordinal: int
    batch: int
    kind: Literal["message", "error", "rowcount", "note"]
    number: int | None = None
    row_count: int | None = None
    text: str | None = None


class ErrorExample(Shape):
    id: str
    step_name: str
    server_name: str
    database_name: str
    message: str


class ErrorGroupAnswer(Shape):
    error_number: int | None = None
    message: str
    targets: int
    lifecycles: dict[str, int]
    example: ErrorExample


class ResolvedDatabase(Shape):
    server_name: str
    database_name: str
    elastic_pool_name: str | None = None


class RefusedDatabase(ResolvedDatabase):
    reason: str


class NotAskedAnswer(Shape):
    what: str
    error: str


class ResolvedAnswer(Shape):
    complete: bool
    targets: list[ResolvedDatabase]
    refused: list[RefusedDatabase]
    failures: list[NotAskedAnswer]


class PreviewAnswer(Shape):
    value: list[datetime]


class CheckAnswer(Shape):
    check: Check
    status: Status
    milliseconds: int
    message: str


class TriedDatabase(Shape):
    """One database: its checks in the order in which a job would pass them."""

    server_name: str
    database_name: str
    ready: bool
    checks: list[CheckAnswer]


class TriedAnswer(Shape):
    ready: bool
    targets: list[TriedDatabase]
    failures: list[NotAskedAnswer]


class SetupScriptAnswer(Shape):
    server_name: str
    database_name: str
    sql: str


class UserSetupAnswer(Shape):
    complete: bool
    scripts: list[SetupScriptAnswer]
    refused: list[RefusedDatabase]
    failures: list[NotAskedAnswer]

"""How one attempt on one target ended, and what the script said meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The closed set of ends of an attempt."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    """Connecting, the script or its output failed; a retry may follow."""
    TIMED_OUT = "TimedOut"
    """It ran longer than the step's timeout and was stopped on the server. Final."""
    CANCELED = "Canceled"
    """The execution was canceled while it ran, and the statement was stopped on the server."""
    BUSY = "Busy"
    """The target refused it because an earlier attempt of the same step still runs there."""
    LEASE_LOST = "LeaseLost"
    """The worker could not renew its claim in time and stopped the script itself; nothing may be recorded."""


class StopReason(StrEnum):
    """Why a running attempt is told to stop."""

    TIMED_OUT = "TimedOut"
    CANCELED = "Canceled"
    LEASE_LOST = "LeaseLost"


class ErrorClass(StrEnum):
    """What kind of trouble an error is; decides wording, metrics and connect-time retries."""

    TRANSIENT = "transient"
    THROTTLED = "throttled"
    LOGIN = "login"
    PERMISSION = "permission"
    SCRIPT = "script"
    OUTCOME_UNKNOWN = "outcome unknown"
    NOT_ALLOWED = "not allowed"


class MessageKind(StrEnum):
    MESSAGE = "message"
    """PRINT and RAISERROR up to severity 10."""
    ERROR = "error"
    ROW_COUNT = "rowcount"
    NOTE = "note"
    """The agent's own remark, e.g. that captured messages were cut."""


@dataclass(frozen=True, kw_only=True)
class CapturedMessage:
    """One thing that a script said, in order. ``batch`` is the number of the batch within the script, from 1."""

    batch: int
    kind: MessageKind
    text: str | None = None
    number: int | None = None
    row_count: int | None = None


@dataclass(frozen=True, kw_only=True)
class AttemptResult:
    """The end of one attempt. ``message`` is the sentence that becomes ``lastMessage``; no secret is in it."""

    outcome: Outcome
    message: str
    error_number: int | None = None
    error_class: ErrorClass | None = None
    messages: tuple[CapturedMessage, ...] = ()

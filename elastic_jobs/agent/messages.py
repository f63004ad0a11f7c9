"""The queue messages. A message is only a wake-up call: it names a row, and the row says what is to be done.

The top-level key is neither ``id`` nor another name of the queue trigger's metadata, because the Functions host lets
the properties of a JSON body overwrite metadata of the same name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

STEPS_QUEUE = "elastic-jobs-steps"
TARGETS_QUEUE = "elastic-jobs-targets"


@dataclass(frozen=True)
class WakeStep:
    """Somebody should resolve a step's target group. Travels in the steps queue."""

    step_execution_id: UUID


@dataclass(frozen=True)
class WakeTarget:
    """Somebody should run a step's script on a target. Travels in the targets queue."""

    target_execution_id: UUID


@dataclass(frozen=True)
class Alarm:
    """A schedule is due at this instant. Travels, delayed, in the steps queue."""

    due: datetime


Message = WakeStep | WakeTarget | Alarm


def encode(message: Message) -> str:
    """The body of a message."""
    if isinstance(message, WakeStep):
        return json.dumps({"step": str(message.step_execution_id)})
    if isinstance(message, WakeTarget):
        return json.dumps({"target": str(message.target_execution_id)})
    return json.dumps({"due": message.due.isoformat()})


def decode(body: str) -> Message | None:
    """The message in a body; None when it is none of ours (forged, or of another version)."""
    try:
        ((key, value),) = json.loads(body).items()
        if key == "step":
            return WakeStep(UUID(value))
        if key == "target":
            return WakeTarget(UUID(value))
        due = datetime.fromisoformat(value) if key == "due" else None
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return Alarm(due) if due is not None and due.tzinfo is not None else None

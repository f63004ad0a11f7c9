"""The queue messages. A message is only a wake-up call: it names a row, and the row says what is to be done.

The top-level key is neither ``id`` nor another name of the queue trigger's metadata, because the Functions host lets
the properties of a JSON body overwrite metadata of the same name.
"""

from __future__ import annotations

import json
from uuid import UUID

STEPS_QUEUE = "elastic-jobs-steps"
TARGETS_QUEUE = "elastic-jobs-targets"

_KEYS = {STEPS_QUEUE: "step", TARGETS_QUEUE: "target"}


def encode(queue: str, row_id: UUID) -> str:
    """The message that wakes somebody up for a row."""
    return json.dumps({_KEYS[queue]: str(row_id)})


def decode(queue: str, body: str) -> UUID | None:
    """The row that a message names; None for a message that is none of ours (forged or of another version)."""
    try:
        return UUID(json.loads(body)[_KEYS[queue]])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None

"""What a script said, in order and within bounds: messages, errors, row counts, notes."""

from __future__ import annotations

from collections.abc import Iterable

from elastic_jobs.domain.outcome import CapturedMessage, MessageKind
from elastic_jobs.targets.errors import redact

MAXIMUM_MESSAGES = 1000
MAXIMUM_BYTES = 64 * 1024
"""Of UTF-8 text, per target. A script that prints in a loop must not fill the job database."""


class MessageLog:
    """Collects messages. Errors and notes are always kept; of the rest, what comes over the bounds is counted."""

    def __init__(
        self,
        secrets: Iterable[str] = (),
        *,
        maximum_messages: int = MAXIMUM_MESSAGES,
        maximum_bytes: int = MAXIMUM_BYTES,
    ) -> None:
        """secrets: texts that are blotted out wherever they come up."""
        self._secrets = tuple(secrets)
        self._messages: list[CapturedMessage] = []
        self._left_messages, self._left_bytes = maximum_messages, maximum_bytes
        self._cut = 0
        self._batch = 1

    def begin_batch(self, number: int) -> None:
        """What follows belongs to this batch of the script, counted from 1."""
        self._batch = number

    def message(self, text: str, number: int = 0) -> None:
        """PRINT, or RAISERROR up to severity 10."""
        text = redact(text, self._secrets)
        if self._has_room(text):
            self._add(MessageKind.MESSAGE, text=text, number=number)

    def row_count(self, count: int) -> None:
        """Rows that a statement changed or returned."""
        if self._has_room(""):
            self._add(MessageKind.ROW_COUNT, row_count=count)

    def error(self, text: str, number: int | None) -> None:
        self._add(MessageKind.ERROR, text=redact(text, self._secrets), number=number)

    def note(self, text: str) -> None:
        """A remark of the agent."""
        self._add(MessageKind.NOTE, text=redact(text, self._secrets))

    def messages(self) -> tuple[CapturedMessage, ...]:
        """All that was kept, and a last note when something was not."""
        kept = tuple(self._messages)
        if not self._cut:
            return kept
        note = f"{self._cut} more messages were not kept: a target's messages are kept up to {MAXIMUM_MESSAGES}"
        return (
            *kept,
            CapturedMessage(
                batch=self._batch,
                kind=MessageKind.NOTE,
                text=f"{note} messages and {MAXIMUM_BYTES // 1024} KiB of text.",
            ),
        )

    def _has_room(self, text: str) -> bool:
        size = len(text.encode(errors="replace"))
        # Once one is cut, all later ones are: a gap in the middle would mislead.
        if self._cut or self._left_messages < 1 or self._left_bytes < size:
            self._cut += 1
            return False
        self._left_messages -= 1
        self._left_bytes -= size
        return True

    def _add(
        self, kind: MessageKind, *, text: str | None = None, number: int | None = None, row_count: int | None = None
    ) -> None:
        self._messages.append(
            CapturedMessage(batch=self._batch, kind=kind, text=text, number=number, row_count=row_count)
        )

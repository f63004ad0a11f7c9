"""One trace per run, without carrying anything along: the ids of trace and spans are made from the rows' own ids.

Whoever works on a target knows its run and its step, and so knows trace and parent span, whichever way the wake-up
came and whatever crashed in between. The spans of a run and of its steps are written when these end.
"""

from __future__ import annotations

import threading
from datetime import datetime
from uuid import UUID

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

_SPAN_BITS = (1 << 64) - 1
_chosen = threading.local()


def choose(span: UUID, trace: UUID | None = None) -> None:
    """Give the next span that this thread begins the id of a row, and the trace that of a run."""
    _chosen.span = span_id(span)
    _chosen.trace = None if trace is None else trace.int


def take_span() -> int | None:
    """The id that was chosen for the next span of this thread; it is used once."""
    return _take("span")


def take_trace() -> int | None:
    """The id that was chosen for the next trace of this thread; it is used once."""
    return _take("trace")


def _take(what: str) -> int | None:
    chosen: int | None = getattr(_chosen, what, None)
    setattr(_chosen, what, None)
    return chosen


def span_id(row_id: UUID) -> int:
    """The span id of a row: the lower half of its id, which is random in every version of UUID that is used here."""
    return row_id.int & _SPAN_BITS


def inside(job_execution_id: UUID, parent: UUID) -> Context:
    """The context for a span whose parent is a row of a run."""
    return set_span_in_context(
        NonRecordingSpan(
            SpanContext(
                trace_id=job_execution_id.int,
                span_id=span_id(parent),
                is_remote=True,
                trace_flags=TraceFlags(TraceFlags.SAMPLED),
            )
        ),
        Context(),
    )


def nanoseconds(instant: datetime) -> int:
    """An instant as OpenTelemetry counts it: nanoseconds since 1970."""
    return round(instant.timestamp() * 1_000_000) * 1000

"""The generator that gives spans the ids of rows. Apart, because it loads OpenTelemetry's SDK."""

from __future__ import annotations

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from elastic_jobs.telemetry.tracing import take_span, take_trace


class RowIds(RandomIdGenerator):
    """Uses the ids chosen by ``tracing.choose`` for the next span of this thread, random ones otherwise."""

    def generate_span_id(self) -> int:
        return take_span() or super().generate_span_id()

    def generate_trace_id(self) -> int:
        return take_trace() or super().generate_trace_id()

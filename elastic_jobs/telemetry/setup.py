"""Connects telemetry with where it goes: Azure Monitor, an OTLP endpoint, both, or nowhere.

Nowhere costs nothing: OpenTelemetry's API then does nothing, and no SDK is set up. The settings are the standard ones:
``APPLICATIONINSIGHTS_CONNECTION_STRING`` (and ``APPLICATIONINSIGHTS_AUTHENTICATION_STRING`` where the resource takes
identities only), and OpenTelemetry's own variables such as ``OTEL_EXPORTER_OTLP_ENDPOINT``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import metrics, trace

METRIC_INTERVAL_MILLISECONDS = 15_000
"""How often metrics are sent unless OTEL_METRIC_EXPORT_INTERVAL says otherwise. OpenTelemetry's default of a minute is
what is lost when an instance is killed, and what an alert comes late."""

AZURE = "APPLICATIONINSIGHTS_CONNECTION_STRING"
AZURE_AUTHENTICATION = "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"
OTLP = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")

LOGGER = "elastic_jobs"
_lock = threading.Lock()
_done: list[bool] = []


@dataclass
class _Pipeline:
    """What an OTLP endpoint adds to the providers."""

    span_processors: list[Any] = field(default_factory=list)
    metric_readers: list[Any] = field(default_factory=list)
    log_record_processors: list[Any] = field(default_factory=list)


def configure(env: Mapping[str, str]) -> bool:
    """Set up what the environment asks for, once per process; whether telemetry goes anywhere."""
    with _lock:
        if not _done:
            _done.append(_configure(env))
        return _done[0]


def _configure(env: Mapping[str, str]) -> bool:
    to_azure = bool(env.get(AZURE, "").strip())
    to_otlp = any(env.get(name, "").strip() for name in OTLP)
    if not to_azure and not to_otlp:
        return False
    logging.getLogger(LOGGER).setLevel(logging.INFO)
    interval = float(env.get("OTEL_METRIC_EXPORT_INTERVAL") or METRIC_INTERVAL_MILLISECONDS)
    pipeline = _otlp(interval) if to_otlp else _Pipeline()
    if to_azure:
        _azure(env, pipeline)
    else:
        _plain(pipeline)
    _use_row_ids()
    return True


def _otlp(interval: float) -> _Pipeline:
    # Imported here: whoever sends nothing shall not pay for loading it.
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return _Pipeline(
        span_processors=[BatchSpanProcessor(OTLPSpanExporter())],
        metric_readers=[PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=interval)],
        log_record_processors=[BatchLogRecordProcessor(OTLPLogExporter())],
    )


def _plain(pipeline: _Pipeline) -> None:
    from opentelemetry._logs import set_logger_provider
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    resource = Resource.create({"service.name": "elastic-jobs"})
    tracers = TracerProvider(resource=resource)
    for processor in pipeline.span_processors:
        tracers.add_span_processor(processor)
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(MeterProvider(metric_readers=pipeline.metric_readers, resource=resource))
    logs = LoggerProvider(resource=resource)
    for processor in pipeline.log_record_processors:
        logs.add_log_record_processor(processor)
    set_logger_provider(logs)
    logging.getLogger(LOGGER).addHandler(LoggingHandler(logger_provider=logs))


def _azure(env: Mapping[str, str], pipeline: _Pipeline) -> None:
    from azure.monitor.opentelemetry import configure_azure_monitor

    options: dict[str, Any] = {}
    if not env.get("OTEL_TRACES_SAMPLER"):
        # All or nothing of a run: the distribution's default samples by rate and would tear traces apart.
        options["sampling_ratio"] = 1.0
    client_id = _identity(env.get(AZURE_AUTHENTICATION, ""))
    if client_id is not None:
        # Its import takes a quarter of a second, which an instance without identity need not wait for.
        from azure.identity import ManagedIdentityCredential

        options["credential"] = ManagedIdentityCredential(client_id=client_id or None)
    configure_azure_monitor(
        connection_string=env[AZURE].strip(),
        logger_name=LOGGER,
        # The web framework and every HTTP call of the SDKs would be told as well, and drown what is ours.
        instrumentation_options={
            name: {"enabled": False}
            for name in (
                "azure_sdk",
                "django",
                "fastapi",
                "flask",
                "httpx",
                "psycopg2",
                "requests",
                "urllib",
                "urllib3",
            )
        },
        enable_live_metrics=False,
        enable_performance_counters=False,
        span_processors=pipeline.span_processors,
        metric_readers=pipeline.metric_readers,
        log_record_processors=pipeline.log_record_processors,
        **options,
    )


def _identity(authentication: str) -> str | None:
    """The client id in ``Authorization=AAD;ClientId=…``; empty for the app's own identity, None without identity."""
    parts = dict(part.strip().partition("=")[::2] for part in authentication.split(";") if part.strip())
    return parts.get("ClientId", "") if parts.get("Authorization", "").upper() == "AAD" else None


def _use_row_ids() -> None:
    # Loads the SDK, which is there by now.
    from elastic_jobs.telemetry.row_ids import RowIds

    provider: Any = trace.get_tracer_provider()
    provider.id_generator = RowIds()

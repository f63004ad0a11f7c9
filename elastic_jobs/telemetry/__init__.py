"""What the agent tells operators: metrics, one trace per run, log records. Silent until it is configured."""

from elastic_jobs.telemetry.recording import SILENT, StepContext, Telemetry

__all__ = ["SILENT", "StepContext", "Telemetry"]

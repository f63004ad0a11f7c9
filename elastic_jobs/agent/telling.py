"""What the services tell telemetry of the step they work on."""

from __future__ import annotations

from elastic_jobs.jobdb.executions.work import StepRun
from elastic_jobs.telemetry import StepContext


def step_context(run: StepRun) -> StepContext:
    """Where what is told of a step's work belongs."""
    return StepContext(
        job_execution_id=run.job_execution_id,
        step_execution_id=run.step_execution_id,
        job_name=run.job_name,
        step_name=run.step.definition.name,
    )

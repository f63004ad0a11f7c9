"""Turns what happens into metrics and spans. Nothing here reads settings, sends, or fails what it is told about.

Everything is counted once, by the instance whose transaction made it so. Texts of scripts, messages and errors are not
told: they are in the job database, for those who may read it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Meter, NoOpMeter
from opentelemetry.trace import NoOpTracer, Span, Status, StatusCode, Tracer

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.domain.outcome import AttemptResult, Outcome
from elastic_jobs.jobdb.executions.ends import Ended, EndedJob, EndedStep, Moved
from elastic_jobs.telemetry import names
from elastic_jobs.telemetry.names import Metric
from elastic_jobs.telemetry.tracing import choose, inside, nanoseconds

_BAD = frozenset({Lifecycle.FAILED, Lifecycle.TIMED_OUT})
_OF_OUTCOME = {
    Lifecycle.SUCCEEDED: names.SUCCESSFUL,
    Lifecycle.FAILED: names.FAILED,
    Lifecycle.TIMED_OUT: names.TIMEOUT,
}
INSTRUMENTATION = "elastic_jobs"


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """Where an attempt belongs."""

    job_execution_id: UUID
    step_execution_id: UUID
    job_name: str
    step_name: str


@dataclass
class Attempting:
    """An attempt that is being told about; ``result`` is set when it is known."""

    result: AttemptResult | None = None


class Telemetry:
    """The recorder of one instance.

    meter, tracer: where to; by default the process's global ones, which do nothing until they are configured.
    """

    def __init__(self, meter: Meter | None = None, tracer: Tracer | None = None) -> None:
        meter = meter or metrics.get_meter(INSTRUMENTATION)
        self._tracer = tracer or trace.get_tracer(INSTRUMENTATION)
        made = [metric for metric in names.METRICS if metric.kind == "counter"]
        self._counters = {metric: meter.create_counter(metric.name, metric.unit, metric.description) for metric in made}
        made = [metric for metric in names.METRICS if metric.kind == "histogram"]
        self._histograms = {
            metric: meter.create_histogram(metric.name, metric.unit, metric.description) for metric in made
        }
        made = [metric for metric in names.METRICS if metric.kind == "gauge"]
        self._gauges = {metric: meter.create_gauge(metric.name, metric.unit, metric.description) for metric in made}

    def tick(self, *, used_slots: int, capacity: int, oldest_wait_seconds: float) -> None:
        """The scheduler looked; what it saw of the agent's slots. Without an agent there are none to tell of."""
        self._count(names.TICKS, 1)
        if not capacity:
            return
        self._gauges[names.SLOTS_USED].set(used_slots)
        self._gauges[names.SLOTS_FREE].set(max(0, capacity - used_slots))
        self._gauges[names.OLDEST_WAIT].set(oldest_wait_seconds)

    def run_moved(self, moved: Moved) -> None:
        """A run moved on: tell what ended."""
        if moved.step is not None:
            self._step_ended(moved.step)
        if moved.job is not None:
            self._job_ended(moved.job)

    def step_taken_up(self, job_name: str, *, seconds: float) -> None:
        """The first step of a run was claimed so long after the run should have begun."""
        self._histograms[names.START_LAG].record(max(0.0, seconds), {names.JOB: job_name})

    def target_claimed(self, *, waited_seconds: float) -> None:
        """A worker claimed the target that its message named."""
        self._histograms[names.QUEUE_WAIT].record(max(0.0, waited_seconds))

    def claims_lost(self, number: int) -> None:
        """Claims were taken back from workers that were lost."""
        self._count(names.LOST, number)

    @contextmanager
    def resolving(self, step: StepContext) -> Iterator[None]:
        """A span around the resolution of a step's target group."""
        with self._span("resolve target group", step):
            yield

    @contextmanager
    def attempt(
        self, step: StepContext, *, target_execution_id: UUID, server: str, database: str, number: int
    ) -> Iterator[Attempting]:
        """A span and a duration around one attempt on one target."""
        attempting = Attempting()
        with self._span("attempt", step) as span:
            began = time.monotonic()
            span.set_attributes(
                {
                    "db.system.name": "microsoft.sql_server",
                    "server.address": server,
                    "db.namespace": database,
                    "elastic_jobs.target_execution.id": str(target_execution_id),
                    "elastic_jobs.attempt": number,
                }
            )
            yield attempting
            result = attempting.result
            if result is None:
                return
            self._histograms[names.ATTEMPT_DURATION].record(
                time.monotonic() - began,
                {
                    names.JOB: step.job_name,
                    names.STEP: step.step_name,
                    names.SERVER: server,
                    names.OUTCOME: result.outcome.value,
                },
            )
            span.set_attribute("elastic_jobs.outcome", result.outcome.value)
            if result.error_number is not None:
                span.set_attribute("db.response.status_code", str(result.error_number))
            if result.outcome is not Outcome.SUCCEEDED:
                span.set_status(Status(StatusCode.ERROR))

    def retried(self, step: StepContext, *, server: str, result: AttemptResult) -> None:
        """An attempt failed and is tried again."""
        self._count(
            names.RETRIES,
            1,
            job=step.job_name,
            step=step.step_name,
            server=server,
            error_class=result.error_class.value if result.error_class else "",
        )

    def _step_ended(self, step: EndedStep) -> None:
        targets = step.targets
        if not targets and step.lifecycle in _BAD:
            targets = {("", step.lifecycle): 1}
        for (server, lifecycle), number in targets.items():
            metric = _OF_OUTCOME.get(lifecycle)
            if metric is not None:
                self._count(metric, number, job=step.job_name, step=step.step_name, server=server)
        for lifecycle in sorted({lifecycle for _, lifecycle in step.targets}):
            number = sum(count for (_, state), count in step.targets.items() if state is lifecycle)
            self._count(names.TARGETS, number, job=step.job_name, step=step.step_name, outcome=lifecycle.value)
        choose(step.id)
        self._ended(
            f"step {step.step_name}",
            step,
            inside(step.job_execution_id, step.job_execution_id),
            {"elastic_jobs.step": step.step_name, "elastic_jobs.step_execution.id": str(step.id)},
        )

    def _job_ended(self, job: EndedJob) -> None:
        labels = {names.JOB: job.job_name, names.OUTCOME: job.lifecycle.value}
        self._counters[names.EXECUTIONS].add(1, labels)
        seconds = (job.end_time - job.create_time).total_seconds()
        self._histograms[names.EXECUTION_DURATION].record(max(0.0, seconds), labels)
        choose(job.id, trace=job.id)
        self._ended(
            f"job {job.job_name}",
            job,
            Context(),
            {"elastic_jobs.job.version": job.job_version, "elastic_jobs.scheduled": job.scheduled_for is not None},
        )

    def _ended(self, name: str, ended: Ended, context: Context, attributes: dict[str, str | int | bool]) -> None:
        """Write the span of a row that has ended."""
        span = self._tracer.start_span(name, context, start_time=nanoseconds(ended.create_time))
        span.set_attributes(
            {
                "elastic_jobs.job": ended.job_name,
                "elastic_jobs.execution.id": str(ended.job_execution_id),
                "elastic_jobs.outcome": ended.lifecycle.value,
                **attributes,
            }
        )
        if ended.lifecycle in _BAD:
            span.set_status(Status(StatusCode.ERROR))
        span.end(nanoseconds(ended.end_time))

    @contextmanager
    def _span(self, name: str, step: StepContext) -> Iterator[Span]:
        attributes = {
            "elastic_jobs.job": step.job_name,
            "elastic_jobs.step": step.step_name,
            "elastic_jobs.execution.id": str(step.job_execution_id),
        }
        context = inside(step.job_execution_id, step.step_execution_id)
        # An exception's text may quote a script; it is told in the log, without its arguments, by who catches it.
        with self._tracer.start_as_current_span(
            name, context, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            yield span

    def _count(self, metric: Metric, number: int, **labels: str) -> None:
        self._counters[metric].add(number, labels)


SILENT = Telemetry(NoOpMeter(INSTRUMENTATION), NoOpTracer())
"""Tells nobody."""

"""The names of metrics and their dimensions: what alert rules, dashboards and docs/telemetry.md rely on."""

from __future__ import annotations

from dataclasses import dataclass

JOB, STEP, SERVER, OUTCOME, ERROR_CLASS = "job", "step", "server", "outcome", "error_class"


@dataclass(frozen=True)
class Metric:
    """One metric. kind: counter, gauge or histogram; unit as in UCUM."""

    name: str
    kind: str
    unit: str
    dimensions: tuple[str, ...]
    description: str


SUCCESSFUL = Metric(
    "elastic_jobs_successful",
    "counter",
    "{target}",
    (JOB, STEP, SERVER),
    "Target executions that succeeded; counted when their step ends.",
)
FAILED = Metric(
    "elastic_jobs_failed",
    "counter",
    "{target}",
    (JOB, STEP, SERVER),
    "Target executions that failed; counted when their step ends. A step whose target group could not be resolved"
    " counts once, with an empty server.",
)
TIMEOUT = Metric(
    "elastic_jobs_timeout",
    "counter",
    "{target}",
    (JOB, STEP, SERVER),
    "Target executions that timed out; counted when their step ends.",
)
TARGETS = Metric(
    "elastic_jobs_targets",
    "counter",
    "{target}",
    (JOB, STEP, OUTCOME),
    "Target executions by the state in which they ended, skipped and canceled ones too; counted when their step ends.",
)
EXECUTIONS = Metric(
    "elastic_jobs_executions", "counter", "{execution}", (JOB, OUTCOME), "Job executions by the state they ended in."
)
EXECUTION_DURATION = Metric(
    "elastic_jobs_execution_duration",
    "histogram",
    "s",
    (JOB, OUTCOME),
    "From the creation of a job execution to its end.",
)
START_LAG = Metric(
    "elastic_jobs_start_lag",
    "histogram",
    "s",
    (JOB,),
    "From the scheduled instant (or the request) to the moment at which the first step is taken up.",
)
ATTEMPT_DURATION = Metric(
    "elastic_jobs_attempt_duration",
    "histogram",
    "s",
    (JOB, STEP, SERVER, OUTCOME),
    "One attempt on one target, connecting included; told at once.",
)
RETRIES = Metric(
    "elastic_jobs_retries",
    "counter",
    "{attempt}",
    (JOB, STEP, SERVER, ERROR_CLASS),
    "Attempts that failed and are tried again.",
)
LOST = Metric(
    "elastic_jobs_lost_attempts", "counter", "{attempt}", (), "Claims taken back because their worker was lost."
)
QUEUE_WAIT = Metric(
    "elastic_jobs_queue_wait", "histogram", "s", (), "From giving a target its slot to a worker's claim, by message."
)
TICKS = Metric("elastic_jobs_ticks", "counter", "{tick}", (), "Runs of the scheduler; none for minutes is an outage.")
SLOTS_USED = Metric("elastic_jobs_slots_used", "gauge", "{slot}", (), "Slots of the agent's capacity in use.")
SLOTS_FREE = Metric("elastic_jobs_slots_free", "gauge", "{slot}", (), "Slots of the agent's capacity that are free.")
OLDEST_WAIT = Metric(
    "elastic_jobs_oldest_wait",
    "gauge",
    "s",
    (),
    "How long the target that holds a slot and that no worker has claimed is waiting; 0 when there is none.",
)

METRICS = (
    SUCCESSFUL,
    FAILED,
    TIMEOUT,
    TARGETS,
    EXECUTIONS,
    EXECUTION_DURATION,
    START_LAG,
    ATTEMPT_DURATION,
    RETRIES,
    LOST,
    QUEUE_WAIT,
    TICKS,
    SLOTS_USED,
    SLOTS_FREE,
    OLDEST_WAIT,
)

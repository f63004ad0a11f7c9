"""What operators see of runs: metrics, one connected trace per run, log records, as they arrive at a real collector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from elastic_jobs.telemetry import names
from local.stack import Stack, StackOptions
from tests.e2e.support import Bench, wait_for
from tests.infra import alerting
from tests.telemetry.collector import Collector, Span, collecting

SECRET_WORD = "mentionedInTheScriptOnly"
SERVER = "targetserver.database.windows.net"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def bench(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    options = StackOptions(
        folder=tmp_path_factory.mktemp("stack"),
        workers=1,
        settings={
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_METRIC_EXPORT_INTERVAL": "300",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_BLRP_SCHEDULE_DELAY": "100",
        },
    )
    with Stack(options) as stack:
        bench = Bench(stack)
        yield bench
        bench.close()


def _trace(collector: Collector, execution: str) -> list[Span]:
    """The spans of a run, once its own one, which is written last, has arrived."""
    trace = UUID(execution).hex
    root = UUID(execution).hex[16:]
    wait_for(lambda: any(span.id == root for span in list(collector.spans)), 20, lambda: collector.spans)
    return [span for span in list(collector.spans) if span.trace == trace]


def _executions(collector: Collector, job: str, end: str) -> bool:
    return collector.total("elastic_jobs_executions", job=job, outcome=end) == 1


def test_a_run_is_one_trace_from_its_start_to_each_target(bench: Bench, collector: Collector) -> None:
    job = bench.job(f"SELECT 1 -- {SECRET_WORD}", bench.member("database1"), bench.member("database2"))
    bench.add_step(job, "SELECT 2", job, name="step2")
    execution = bench.start(job)
    assert bench.ended(job, execution)["lifecycle"] == "Succeeded"
    spans = _trace(collector, execution)
    wait_for(lambda: len(_trace(collector, execution)) == 9, 20, lambda: spans)
    spans = _trace(collector, execution)
    by_id = {span.id: span for span in spans}
    assert len(by_id) == 9
    assert Counter(span.name for span in spans) == {
        f"job {job}": 1,
        "step step1": 1,
        "step step2": 1,
        "resolve target group": 2,
        "attempt": 4,
    }
    for span in spans:
        if span.name.startswith("job "):
            assert span.parent == ""
        elif span.name.startswith("step "):
            assert by_id[span.parent].name.startswith("job ")
        else:
            assert by_id[span.parent].name == f"step {span.attributes['elastic_jobs.step']}"
            assert by_id[span.parent].start <= span.start <= span.end
        assert not span.failed
    assert {
        (span.attributes["server.address"], span.attributes["db.namespace"]) for span in spans if span.name == "attempt"
    } == {(SERVER, "database1"), (SERVER, "database2")}


def test_the_metrics_of_a_good_job(bench: Bench, collector: Collector) -> None:
    job = bench.job("SELECT 1", bench.member("database1"), bench.member("database2"))
    assert bench.ended(job, bench.start(job))["lifecycle"] == "Succeeded"
    wait_for(lambda: collector.total("elastic_jobs_executions", job=job, outcome="Succeeded") == 1, 20)
    assert collector.total("elastic_jobs_successful", job=job, step="step1", server=SERVER) == 2
    assert collector.total("elastic_jobs_targets", job=job, step="step1", outcome="Succeeded") == 2
    assert collector.total("elastic_jobs_failed", job=job) == 0
    assert collector.total("elastic_jobs_timeout", job=job) == 0
    assert collector.total("elastic_jobs_attempt_duration", job=job, server=SERVER, outcome="Succeeded") == 2
    assert collector.total("elastic_jobs_start_lag", job=job) == 1


def test_the_metrics_of_jobs_that_end_badly(bench: Bench, collector: Collector) -> None:
    failing = bench.job("SELECT 1/0", bench.member("database1"), executionOptions={"retryAttempts": 1})
    slow = bench.job("WAITFOR DELAY '00:00:30'", bench.member("database2"), executionOptions={"timeoutSeconds": 1})
    bench.api.put("/credentials/stranger", {"username": "nobody", "password": "is known under this"})
    nowhere = bench.job("SELECT 1", bench.member(refreshCredential=f"{bench.api.agent}/credentials/stranger"))
    runs = {job: bench.start(job) for job in (failing, slow, nowhere)}
    for job, end in ((failing, "Failed"), (slow, "TimedOut"), (nowhere, "Failed")):
        assert bench.ended(job, runs[job])["lifecycle"] == end
        wait_for(partial(_executions, collector, job, end), 20)
    assert collector.total("elastic_jobs_failed", job=failing, step="step1", server=SERVER) == 1
    assert collector.total("elastic_jobs_retries", job=failing, error_class="script") == 1
    assert collector.total("elastic_jobs_timeout", job=slow, step="step1", server=SERVER) == 1
    assert collector.total("elastic_jobs_failed", job=nowhere, step="step1", server="") == 1
    spans = _trace(collector, runs[failing])
    assert [span.failed for span in spans if span.name == "attempt"] == [True, True]
    assert {span.attributes.get("db.response.status_code") for span in spans if span.name == "attempt"} == {"8134"}


def test_the_gauges_and_the_tick_tell_of_the_agent_itself(bench: Bench, collector: Collector) -> None:
    wait_for(lambda: collector.total("elastic_jobs_ticks") >= 1, 30)
    slots = ("elastic_jobs_slots_used", "elastic_jobs_slots_free")
    # The tick before the agent was created had no slots to tell of.
    wait_for(lambda: sum(collector.total(name) for name in slots) == 100, 30)
    wait_for(lambda: collector.total("elastic_jobs_oldest_wait") == 0, 30)
    job = bench.job("SELECT 1", bench.member("database1"))
    bench.ended(job, bench.start(job))
    wait_for(lambda: collector.total("elastic_jobs_queue_wait") >= 1, 20)


def _rows(collector: Collector, now: datetime) -> list[dict[str, Any]]:
    """What Azure Monitor would keep of the collected metrics."""
    return [
        {
            "TimeGenerated": now,
            "Name": name,
            "Sum": value,
            "Min": value,
            "Max": value,
            "ItemCount": 1,
            "Properties": dict(labels),
        }
        for name, series in dict(collector.series).items()
        for labels, value in dict(series).items()
    ]


def test_the_deployed_alerts_fire_for_jobs_that_ended_badly_and_for_no_other(
    bench: Bench, collector: Collector
) -> None:
    good = bench.job("SELECT 1", bench.member("database1"))
    failing = bench.job("SELECT 1/0", bench.member("database1"))
    slow = bench.job("WAITFOR DELAY '00:00:30'", bench.member("database2"), executionOptions={"timeoutSeconds": 1})
    runs = {job: bench.start(job) for job in (good, failing, slow)}
    for job, end in ((good, "Succeeded"), (failing, "Failed"), (slow, "TimedOut")):
        assert bench.ended(job, runs[job])["lifecycle"] == end
        wait_for(partial(_executions, collector, job, end), 20)
    wait_for(lambda: collector.total("elastic_jobs_ticks") > 0, 30)
    now = datetime.now(UTC)
    rules = {rule.name: rule for rule in alerting.rules()}
    alerts = alerting.fired(_rows(collector, now), now)
    [failed_rule] = [name for name, rule in rules.items() if "elastic_jobs_failed" in rule.query]
    [timeout_rule] = [name for name, rule in rules.items() if "elastic_jobs_timeout" in rule.query]
    assert set(alerts) == {failed_rule, timeout_rule}
    assert {"job": failing, "step": "step1", "server": SERVER} in alerts[failed_rule]
    assert {"job": slow, "step": "step1", "server": SERVER} in alerts[timeout_rule]
    told = {alert["job"] for found in alerts.values() for alert in found}
    assert good not in told
    [silence] = [name for name, rule in rules.items() if "elastic_jobs_ticks" in rule.query]
    assert silence in alerting.fired([], now)


def test_nothing_is_sent_under_a_name_that_is_not_documented(bench: Bench, collector: Collector) -> None:
    known = {metric.name: metric for metric in names.METRICS}
    wait_for(lambda: collector.total("elastic_jobs_ticks") >= 1, 30)
    # The web framework tells of the management API itself, under OpenTelemetry's own names.
    sent = {name: series for name, series in collector.series.items() if series and not name.startswith("http.server.")}
    assert set(sent) <= set(known)
    for name, series in sent.items():
        assert collector.units[name] == known[name].unit
        for labels in series:
            assert {label for label, _ in labels} == set(known[name].dimensions)


def test_log_records_carry_an_action_and_nothing_tells_a_script_or_a_secret(bench: Bench, collector: Collector) -> None:
    job = bench.job("SELECT 1", bench.member("database1"))
    execution = bench.start(job)
    bench.ended(job, execution)

    def told() -> bool:
        return any(
            record.get("action") == "attempt_ended" and record.get("execution") == execution
            for record in list(collector.logs)
        )

    # An exporter that once found the collector busy pauses before it tries again.
    wait_for(told, 60, lambda: collector.logs[-5:])
    assert all(record.get("action") for record in collector.logs)
    everything = b"".join(collector.raw)
    for word in (SECRET_WORD, bench.endpoint["sql"]["password"], bench.endpoint["token"]):
        assert word.encode() not in everything


def test_every_metric_is_documented() -> None:
    page = Path("docs/telemetry.md").read_text()
    for metric in names.METRICS:
        row = next((line for line in page.splitlines() if f"`{metric.name}`" in line), "")
        assert metric.kind in row, metric.name
        for dimension in metric.dimensions:
            assert f"`{dimension}`" in row, metric.name

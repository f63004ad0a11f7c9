"""The alert rules: over metrics that exist, with dimensions that they have; loud for what is wrong, else quiet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from elastic_jobs.telemetry.names import METRICS
from tests.infra.alerting import PARAMETERS, fired, rules, run
from tests.infra.bicep import ROOT, body, template

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DIMENSIONS = {"job": "nightly", "step": "reindex", "server": "one.database.windows.net"}


def row(
    name: str, value: float, properties: Mapping[str, str] | None = None, *, minutes_ago: float = 1
) -> dict[str, Any]:
    return {
        "TimeGenerated": NOW - timedelta(minutes=minutes_ago),
        "Name": name,
        "Sum": value,
        "Min": value,
        "Max": value,
        "ItemCount": 1,
        "Properties": properties or {},
    }


HEALTHY = [
    *(row("elastic_jobs_ticks", 6, minutes_ago=minute) for minute in range(60)),
    *(row("elastic_jobs_slots_free", 90, minutes_ago=minute) for minute in range(60)),
    *(row("elastic_jobs_oldest_wait", 1, minutes_ago=minute) for minute in range(60)),
    row("elastic_jobs_successful", 2, DIMENSIONS),
]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_a_rule_asks_for_metrics_and_dimensions_that_the_app_sends(rule: Any) -> None:
    dimensions = {metric.name: set(metric.dimensions) for metric in METRICS}
    (name,) = re.findall(r"Name == '(\w+)'", rule.query)
    assert name in dimensions
    asked = set(re.findall(r"Properties\.(\w+)", rule.query))
    assert asked <= dimensions[name]
    assert set(rule.dimensions) == asked
    assert "{" not in rule.query, "a placeholder is left"


def test_there_is_a_rule_for_each_thing_that_must_wake_somebody() -> None:
    assert [rule.name for rule in rules()] == ["failed-job", "timed-out-job", "no-tick", "old-queue", "capacity-full"]


def test_every_rule_is_explained() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.split("## Alerts", 1)[1].split("\n## ", 1)[0]
    explained = re.findall(r"^\| `([\w-]+)` \| (.+) \| (.+) \|$", section, re.MULTILINE)
    assert [name for name, _, _ in explained] == [rule.name for rule in rules()]


def test_a_good_run_wakes_nobody() -> None:
    assert fired(HEALTHY, NOW) == {}


def test_a_failed_job_is_told_with_its_name() -> None:
    rows = [*HEALTHY, row("elastic_jobs_failed", 1, DIMENSIONS)]
    assert fired(rows, NOW) == {"failed-job": [DIMENSIONS]}


def test_each_failed_job_is_an_alert_of_its_own() -> None:
    other = {**DIMENSIONS, "job": "hourly"}
    rows = [*HEALTHY, row("elastic_jobs_failed", 1, DIMENSIONS), row("elastic_jobs_failed", 3, other)]
    assert fired(rows, NOW) == {"failed-job": [DIMENSIONS, other]}


def test_a_counter_that_stays_at_zero_is_no_alert() -> None:
    assert fired([*HEALTHY, row("elastic_jobs_failed", 0, DIMENSIONS)], NOW) == {}


def test_a_timed_out_job_is_told_with_its_name() -> None:
    assert fired([*HEALTHY, row("elastic_jobs_timeout", 1, DIMENSIONS)], NOW) == {"timed-out-job": [DIMENSIONS]}


@pytest.mark.parametrize(("minutes", "alerts"), [(6.9, {}), (7.1, {"no-tick": [{}]})])
def test_silence_of_the_scheduler(minutes: float, alerts: dict[str, Any]) -> None:
    """Five minutes, and two for telemetry on its way."""
    rows = [r for r in HEALTHY if r["Name"] != "elastic_jobs_ticks"]
    assert fired([*rows, row("elastic_jobs_ticks", 6, minutes_ago=minutes)], NOW) == alerts


def test_no_telemetry_at_all_is_silence() -> None:
    assert fired([], NOW) == {"no-tick": [{}]}


@pytest.mark.parametrize(("seconds", "alerts"), [(900, {}), (901, {"old-queue": [{}]})])
def test_a_target_that_waits(seconds: float, alerts: dict[str, Any]) -> None:
    assert fired([*HEALTHY, row("elastic_jobs_oldest_wait", seconds)], NOW) == alerts


def test_capacity_that_is_full_all_the_time() -> None:
    rows = [r for r in HEALTHY if r["Name"] != "elastic_jobs_slots_free"]
    full = [row("elastic_jobs_slots_free", 0, minutes_ago=minute) for minute in range(30)]
    assert fired([*rows, *full], NOW) == {"capacity-full": [{}]}
    assert fired([*rows, *full, row("elastic_jobs_slots_free", 1, minutes_ago=20)], NOW) == {}


def test_the_rules_are_deployed_as_they_are_read_here() -> None:
    params = body(template("app/alerts.bicep").part("modules")["alertRules"])["params"]
    (condition,) = params["criterias"]["allOf"]
    assert condition["timeAggregation"] == "Total"
    assert condition["failingPeriods"] == {"numberOfEvaluationPeriods": 1, "minFailingPeriodsToAlert": 1}
    main = template("main.bicep").part("parameters")
    assert {name: main[name]["default"] for name in PARAMETERS} == PARAMETERS


def test_a_query_that_is_not_understood_is_refused() -> None:
    with pytest.raises(ValueError, match="not understood"):
        run("AppMetrics\n| join kind=inner Other on Name", [], NOW)

"""A step of a job as a form: what is shown, what is read, what the API is asked for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from elastic_jobs.domain.model import Step
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.jobdb.definitions.checks import (
    NAME_LENGTH,
    SERVER_NAME_LENGTH,
    check_name,
    check_retry,
    check_text,
    invalid,
)
from elastic_jobs.portal.fields import Fields

NAMES = (
    "name",
    "step_id",
    "script",
    "target_group",
    "credential",
    "timeout",
    "retries",
    "first_wait",
    "longest_wait",
    "multiplier",
    "parallel",
    "output_server",
    "output_database",
    "output_schema",
    "output_table",
    "output_credential",
    "output_subscription",
    "output_group",
    "seen",
)
OUTPUT_NAMES = tuple(name for name in NAMES if name.startswith("output_"))
_DEFAULT_TIMEOUT = 43200
_DEFAULT = RetryPolicy()
PLACES = {
    "Server '": "output_server",
    "credential of the output": "output_credential",
    "output of the step": "output_credential",
    "target group": "target_group",
    "credential": "credential",
    "identity of the job agent": "target_group",
    "step id": "step_id",
    "server": "output_server",
    "script of the step": "script",
    "name of the step": "name",
}
"""Where to say what the API refuses of a step; the first that matches counts."""

Reference = Callable[[str, str], str]
"""The resource id of a kind and a name: ``reference("targetGroups", "group1")``."""


def new_form() -> Fields:
    """An empty form with the defaults of Azure elastic jobs in its fields."""
    return Fields(
        values={
            "timeout": str(_DEFAULT_TIMEOUT),
            "retries": str(_DEFAULT.attempts),
            "first_wait": str(_DEFAULT.initial_interval_seconds),
            "longest_wait": str(_DEFAULT.maximum_interval_seconds),
            "multiplier": f"{_DEFAULT.backoff_multiplier:g}",
            "output_schema": "dbo",
        }
    )


def form_of(step: Step) -> Fields:
    """The form of a step that is there."""
    definition, output = step.definition, step.definition.output
    retry = definition.retry
    values = {
        "name": definition.name,
        "step_id": str(step.step_id),
        "script": definition.command,
        "target_group": definition.target_group_name,
        "credential": definition.credential_name or "",
        "timeout": str(definition.timeout_seconds),
        "retries": str(retry.attempts),
        "first_wait": str(retry.initial_interval_seconds),
        "longest_wait": str(retry.maximum_interval_seconds),
        "multiplier": f"{retry.backoff_multiplier!r}".removesuffix(".0"),
        "parallel": "" if definition.max_parallelism is None else str(definition.max_parallelism),
        "output_schema": "dbo",
    }
    if output is not None:
        values |= {
            "output_server": output.server_name,
            "output_database": output.database_name,
            "output_schema": output.schema_name,
            "output_table": output.table_name,
            "output_credential": output.credential_name or "",
            "output_subscription": str(output.subscription_id or ""),
            "output_group": output.resource_group_name or "",
        }
    return Fields(values=values)


def fields_of(raw: Mapping[str, str]) -> Fields:
    """The form as it was sent."""
    return Fields(values={name: raw.get(name, "") for name in NAMES})


def read_step(fields: Fields, reference: Reference, stored: str | None = None) -> dict[str, Any]:
    """What PUT of a step is sent; what is wrong with the form is noted in it.

    stored: the script that the form was made from.
    """
    if stored is None:
        fields.check("name", lambda: check_name("step", fields["name"]))
    if not fields["script"].strip():
        fields.refuse("script", "The script is empty; write the T-SQL that runs on each target database.")
    if not fields["target_group"].strip():
        fields.refuse("target_group", "A step needs a target group; choose one.")
    place = fields.whole("step_id", "place of the step", 0, 1)
    properties: dict[str, Any] = {
        "targetGroup": reference("targetGroups", fields["target_group"]),
        "action": {"value": script_text(fields["script"], stored)},
        "executionOptions": _options(fields),
        # -1 removes the limit; leaving the property out would keep the one that is set.
        "maxParallelism": fields.whole("parallel", "number of databases at once", -1, 1),
    }
    if place:
        properties["stepId"] = place
    if fields["credential"]:
        properties["credential"] = reference("credentials", fields["credential"])
    output = _output(fields, reference)
    if output is not None:
        properties["output"] = output
    return {"properties": properties}


def script_text(typed: str, stored: str | None) -> str:
    """A script with the line ends that it had: browsers make all of them the same.

    Otherwise the difference to the version before would be every line.
    """
    plain = typed.replace("\r\n", "\n").replace("\r", "\n")
    if stored is None:
        return plain
    if stored.replace("\r\n", "\n").replace("\r", "\n") == plain:
        return stored
    windows = stored.count("\r\n")
    return plain.replace("\n", "\r\n") if windows and windows == stored.count("\n") else plain


def _options(fields: Fields) -> dict[str, Any]:
    timeout = fields.whole("timeout", "timeout in seconds", _DEFAULT_TIMEOUT, 1)
    retry = RetryPolicy(
        attempts=fields.whole("retries", "number of retries", _DEFAULT.attempts, 0),
        initial_interval_seconds=fields.whole("first_wait", "first wait", _DEFAULT.initial_interval_seconds, 0),
        maximum_interval_seconds=fields.whole("longest_wait", "longest wait", _DEFAULT.maximum_interval_seconds, 0),
        backoff_multiplier=fields.decimal("multiplier", "multiplier", _DEFAULT.backoff_multiplier),
    )
    if not {"first_wait", "longest_wait"} & fields.errors.keys():
        longer = retry.maximum_interval_seconds < retry.initial_interval_seconds
        fields.check("longest_wait" if longer else "multiplier", lambda: check_retry(retry))
    return {
        "timeoutSeconds": timeout,
        "retryAttempts": retry.attempts,
        "initialRetryIntervalSeconds": retry.initial_interval_seconds,
        "maximumRetryIntervalSeconds": retry.maximum_interval_seconds,
        # What cannot be JSON was noted above, so that nothing is sent.
        "retryIntervalBackoffMultiplier": retry.backoff_multiplier,
    }


def _output(fields: Fields, reference: Reference) -> dict[str, Any] | None:
    """Where results go; None when the fields for it are empty."""
    wanted = any(fields[name].strip() for name in OUTPUT_NAMES if name != "output_schema")
    if not wanted:
        return None
    for name, what, longest in (
        ("output_server", "server name of the output", SERVER_NAME_LENGTH),
        ("output_database", "database name of the output", NAME_LENGTH),
        ("output_schema", "schema name of the output", NAME_LENGTH),
        ("output_table", "table name of the output", NAME_LENGTH),
    ):
        fields.check(name, partial(check_text, what, fields[name], longest))
    fields.check("output_subscription", lambda: _check_guid(fields["output_subscription"]))
    output: dict[str, Any] = {
        "serverName": fields["output_server"],
        "databaseName": fields["output_database"],
        "schemaName": fields["output_schema"],
        "tableName": fields["output_table"],
    }
    if fields["output_credential"]:
        output["credential"] = reference("credentials", fields["output_credential"])
    if fields["output_subscription"]:
        output["subscriptionId"] = fields["output_subscription"]
    if fields["output_group"]:
        output["resourceGroupName"] = fields["output_group"]
    return output


def _check_guid(text: str) -> None:
    try:
        UUID(text or "00000000-0000-0000-0000-000000000000")
    except ValueError:
        raise invalid("The subscription of the output must be a GUID, or empty.") from None

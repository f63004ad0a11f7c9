"""The public face as the documentation of Azure SQL elastic jobs describes it: names, order, types, defaults.

Written down by hand, not derived from the files under test. ``REQUIRED``: the caller has to give it.
"""

from __future__ import annotations

REQUIRED = "required"
NULL = "NULL"

Parameter = tuple[str, str, str, bool]
"""Name, type, default as it is written, whether it comes back (OUTPUT)."""


def _in(name: str, kind: str, default: str = REQUIRED) -> Parameter:
    return (name, kind, default, False)


def _out(name: str, kind: str) -> Parameter:
    return (name, kind, NULL, True)


_JOB_NAME = _in("@job_name", "nvarchar(128)")
_GROUP_NAME = _in("@target_group_name", "nvarchar(128)")

PROCEDURES: dict[str, tuple[Parameter, ...]] = {
    "sp_add_job": (
        _JOB_NAME,
        _in("@description", "nvarchar(512)", NULL),
        _in("@enabled", "bit", "0"),
        _in("@schedule_interval_type", "nvarchar(50)", "N'Once'"),
        _in("@schedule_interval_count", "int", "1"),
        _in("@schedule_start_time", "datetime2", "'0001-01-01 00:00:00.0000000'"),
        _in("@schedule_end_time", "datetime2", "'9999-12-31 11:59:59.0000000'"),
        _out("@job_id", "uniqueidentifier"),
    ),
    "sp_update_job": (
        _JOB_NAME,
        _in("@new_name", "nvarchar(128)", NULL),
        _in("@description", "nvarchar(512)", NULL),
        _in("@enabled", "bit", NULL),
        _in("@schedule_interval_type", "nvarchar(50)", NULL),
        _in("@schedule_interval_count", "int", NULL),
        _in("@schedule_start_time", "datetime2", NULL),
        _in("@schedule_end_time", "datetime2", NULL),
    ),
    "sp_delete_job": (_in("@job_name", "nvarchar(128)", NULL), _in("@force", "bit", "0")),
    "sp_add_jobstep": (
        _JOB_NAME,
        _in("@step_id", "int", NULL),
        _in("@step_name", "nvarchar(128)", NULL),
        _in("@command_type", "nvarchar(50)", "N'TSql'"),
        _in("@command_source", "nvarchar(50)", "N'Inline'"),
        _in("@command", "nvarchar(max)", NULL),
        _in("@credential_name", "nvarchar(128)", NULL),
        _GROUP_NAME,
        _in("@initial_retry_interval_seconds", "int", "1"),
        _in("@maximum_retry_interval_seconds", "int", "120"),
        _in("@retry_interval_backoff_multiplier", "real", "2.0"),
        _in("@retry_attempts", "int", "10"),
        _in("@step_timeout_seconds", "int", "43200"),
        _in("@output_type", "nvarchar(50)", NULL),
        _in("@output_credential_name", "nvarchar(128)", NULL),
        _in("@output_subscription_id", "uniqueidentifier", NULL),
        _in("@output_resource_group_name", "nvarchar(128)", NULL),
        _in("@output_server_name", "nvarchar(256)", NULL),
        _in("@output_database_name", "nvarchar(128)", NULL),
        _in("@output_schema_name", "nvarchar(128)", NULL),
        _in("@output_table_name", "nvarchar(128)", NULL),
        _out("@job_version", "int"),
        _in("@max_parallelism", "int", NULL),
    ),
    "sp_update_jobstep": (
        _JOB_NAME,
        _in("@step_id", "int", NULL),
        _in("@step_name", "nvarchar(128)", NULL),
        _in("@new_id", "int", NULL),
        _in("@new_name", "nvarchar(128)", NULL),
        _in("@command_type", "nvarchar(50)", NULL),
        _in("@command_source", "nvarchar(50)", NULL),
        _in("@command", "nvarchar(max)", NULL),
        _in("@credential_name", "nvarchar(128)", NULL),
        _in("@target_group_name", "nvarchar(128)", NULL),
        _in("@initial_retry_interval_seconds", "int", NULL),
        _in("@maximum_retry_interval_seconds", "int", NULL),
        _in("@retry_interval_backoff_multiplier", "real", NULL),
        _in("@retry_attempts", "int", NULL),
        _in("@step_timeout_seconds", "int", NULL),
        _in("@output_type", "nvarchar(50)", NULL),
        _in("@output_credential_name", "nvarchar(128)", NULL),
        _in("@output_server_name", "nvarchar(256)", NULL),
        _in("@output_database_name", "nvarchar(128)", NULL),
        _in("@output_schema_name", "nvarchar(128)", NULL),
        _in("@output_table_name", "nvarchar(128)", NULL),
        _out("@job_version", "int"),
        _in("@max_parallelism", "int", NULL),
    ),
    "sp_delete_jobstep": (
        _JOB_NAME,
        _in("@step_id", "int", NULL),
        _in("@step_name", "nvarchar(128)", NULL),
        _out("@job_version", "int"),
    ),
    "sp_start_job": (_JOB_NAME, _out("@job_execution_id", "uniqueidentifier")),
    "sp_stop_job": (_in("@job_execution_id", "uniqueidentifier", NULL),),
    "sp_add_target_group": (_GROUP_NAME, _out("@target_group_id", "uniqueidentifier")),
    "sp_delete_target_group": (_GROUP_NAME,),
    "sp_add_target_group_member": (
        _GROUP_NAME,
        _in("@membership_type", "nvarchar(128)", "N'Include'"),
        _in("@target_type", "nvarchar(128)"),
        _in("@refresh_credential_name", "nvarchar(128)", NULL),
        _in("@server_name", "nvarchar(128)", NULL),
        _in("@database_name", "nvarchar(128)", NULL),
        _in("@elastic_pool_name", "nvarchar(128)", NULL),
        _in("@shard_map_name", "nvarchar(128)", NULL),
        _out("@target_id", "uniqueidentifier"),
    ),
    "sp_delete_target_group_member": (_GROUP_NAME, _in("@target_id", "uniqueidentifier", NULL)),
    "sp_purge_jobhistory": (
        _in("@job_name", "nvarchar(128)", NULL),
        _in("@job_id", "uniqueidentifier", NULL),
        _in("@oldest_date", "datetime2", NULL),
    ),
}

Column = tuple[str, str]
"""Name and type."""

_JOB: tuple[Column, ...] = (("job_name", "nvarchar(128)"), ("job_id", "uniqueidentifier"), ("job_version", "int"))
_STEPS: tuple[Column, ...] = (
    *_JOB,
    ("step_id", "int"),
    ("step_name", "nvarchar(128)"),
    ("command_type", "nvarchar(50)"),
    ("command_source", "nvarchar(50)"),
    ("command", "nvarchar(max)"),
    ("credential_name", "nvarchar(128)"),
    ("target_group_name", "nvarchar(128)"),
    ("target_group_id", "uniqueidentifier"),
    ("initial_retry_interval_seconds", "int"),
    ("maximum_retry_interval_seconds", "int"),
    ("retry_interval_backoff_multiplier", "real"),
    ("retry_attempts", "int"),
    ("step_timeout_seconds", "int"),
    ("output_type", "nvarchar(11)"),
    ("output_credential_name", "nvarchar(128)"),
    ("output_subscription_id", "uniqueidentifier"),
    ("output_resource_group_name", "nvarchar(128)"),
    ("output_server_name", "nvarchar(256)"),
    ("output_database_name", "nvarchar(128)"),
    ("output_schema_name", "nvarchar(max)"),
    ("output_table_name", "nvarchar(max)"),
    ("max_parallelism", "int"),
)

VIEWS: dict[str, tuple[Column, ...]] = {
    "jobs": (
        *_JOB,
        ("description", "nvarchar(512)"),
        ("enabled", "bit"),
        ("schedule_interval_type", "nvarchar(50)"),
        ("schedule_interval_count", "int"),
        ("schedule_start_time", "datetime2(7)"),
        ("schedule_end_time", "datetime2(7)"),
    ),
    "job_versions": _JOB,
    "jobsteps": _STEPS,
    "jobstep_versions": _STEPS,
    "target_groups": (("target_group_name", "nvarchar(128)"), ("target_group_id", "uniqueidentifier")),
    "target_group_members": (
        ("target_group_name", "nvarchar(128)"),
        ("target_group_id", "uniqueidentifier"),
        ("membership_type", "nvarchar(50)"),
        ("target_type", "nvarchar(128)"),
        ("target_id", "uniqueidentifier"),
        ("refresh_credential_name", "nvarchar(128)"),
        ("subscription_id", "uniqueidentifier"),
        ("resource_group_name", "nvarchar(128)"),
        ("server_name", "nvarchar(128)"),
        ("database_name", "nvarchar(128)"),
        ("elastic_pool_name", "nvarchar(128)"),
        ("shard_map_name", "nvarchar(128)"),
    ),
    "job_executions": (
        ("job_execution_id", "uniqueidentifier"),
        *_JOB,
        ("step_id", "int"),
        ("is_active", "bit"),
        ("lifecycle", "nvarchar(50)"),
        ("create_time", "datetime2(7)"),
        ("start_time", "datetime2(7)"),
        ("end_time", "datetime2(7)"),
        ("current_attempts", "int"),
        ("current_attempt_start_time", "datetime2(7)"),
        ("next_attempt_start_time", "datetime2(7)"),
        ("last_message", "nvarchar(max)"),
        ("target_type", "nvarchar(128)"),
        ("target_id", "uniqueidentifier"),
        ("target_group_name", "nvarchar(128)"),
        ("target_server_name", "nvarchar(256)"),
        ("target_database_name", "nvarchar(128)"),
        # Seen in queries in the field, behind the documented columns.
        ("step_name", "nvarchar(128)"),
        ("target_resource_group_name", "nvarchar(128)"),
        ("target_elastic_pool_name", "nvarchar(128)"),
    ),
}

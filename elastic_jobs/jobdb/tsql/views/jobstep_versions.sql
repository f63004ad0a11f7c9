-- The steps of all versions of the jobs.
CREATE VIEW jobs.jobstep_versions
AS
SELECT
    CAST(j.name AS nvarchar(128)) AS job_name,
    /* uuid */ j.id AS job_id,
    s.job_version AS job_version,
    s.step_id AS step_id,
    CAST(s.name AS nvarchar(128)) AS step_name,
    CAST('TSql' AS nvarchar(50)) AS command_type,
    CAST('Inline' AS nvarchar(50)) AS command_source,
    s.command AS command,
    CAST(s.credential_name AS nvarchar(128)) AS credential_name,
    CAST(s.target_group_name AS nvarchar(128)) AS target_group_name,
    /* uuid */ s.target_group_id AS target_group_id,
    s.initial_retry_interval_seconds AS initial_retry_interval_seconds,
    s.maximum_retry_interval_seconds AS maximum_retry_interval_seconds,
    CAST(s.retry_interval_backoff_multiplier AS real) AS retry_interval_backoff_multiplier,
    s.retry_attempts AS retry_attempts,
    s.step_timeout_seconds AS step_timeout_seconds,
    CAST(CASE WHEN s.output_server_name IS NOT NULL THEN 'SqlDatabase' END AS nvarchar(11)) AS output_type,
    CAST(s.output_credential_name AS nvarchar(128)) AS output_credential_name,
    /* uuid */ s.output_subscription_id AS output_subscription_id,
    CAST(s.output_resource_group_name AS nvarchar(128)) AS output_resource_group_name,
    CAST(s.output_server_name AS nvarchar(256)) AS output_server_name,
    CAST(s.output_database_name AS nvarchar(128)) AS output_database_name,
    CAST(s.output_schema_name AS nvarchar(max)) AS output_schema_name,
    CAST(s.output_table_name AS nvarchar(max)) AS output_table_name,
    s.max_parallelism AS max_parallelism
FROM jobs_internal.jobs AS j
JOIN jobs_internal.job_steps AS s ON s.job_id = j.id
WHERE j.delete_time IS NULL

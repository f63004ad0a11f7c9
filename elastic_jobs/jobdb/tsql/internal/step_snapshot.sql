-- What the audit trail keeps of a step, as JSON. The versions of the job keep the text of its script.
CREATE FUNCTION jobs_internal.step_snapshot (@job_id uniqueidentifier, @job_version int, @step_id int)
RETURNS nvarchar(max)
AS
BEGIN
    RETURN (
        SELECT CONCAT(
            N'{"job_id": "', LOWER(CONVERT(nvarchar(36), s.job_id)), N'", "job_version": ', s.job_version,
            N', "step_id": ', s.step_id, N', "uid": "', LOWER(CONVERT(nvarchar(36), s.step_uid)),
            N'", "target_group_id": "', LOWER(CONVERT(nvarchar(36), s.target_group_id)),
            N'", "definition": {"name": ', jobs_internal.json_text(s.name),
            N', "command": {"characters": ', LEN(s.command + N'.') - 1,
            N'}, "target_group_name": ', jobs_internal.json_text(s.target_group_name),
            N', "credential_name": ', jobs_internal.json_text(s.credential_name),
            N', "retry": {"attempts": ', s.retry_attempts,
            N', "initial_interval_seconds": ', s.initial_retry_interval_seconds,
            N', "maximum_interval_seconds": ', s.maximum_retry_interval_seconds,
            N', "backoff_multiplier": ', s.retry_interval_backoff_multiplier,
            N'}, "timeout_seconds": ', s.step_timeout_seconds,
            N', "output": ', CASE WHEN s.output_server_name IS NULL THEN N'null' ELSE CONCAT(
                N'{"server_name": ', jobs_internal.json_text(s.output_server_name),
                N', "database_name": ', jobs_internal.json_text(s.output_database_name),
                N', "table_name": ', jobs_internal.json_text(s.output_table_name),
                N', "schema_name": ', jobs_internal.json_text(s.output_schema_name),
                N', "credential_name": ', jobs_internal.json_text(s.output_credential_name),
                N', "subscription_id": ', jobs_internal.json_text(LOWER(CONVERT(nvarchar(36), s.output_subscription_id))),
                N', "resource_group_name": ', jobs_internal.json_text(s.output_resource_group_name), N'}') END,
            N', "max_parallelism": ', COALESCE(CONVERT(nvarchar(11), s.max_parallelism), N'null'), N'}}'
        )
        FROM jobs_internal.job_steps AS s
        WHERE s.job_id = @job_id AND s.job_version = @job_version AND s.step_id = @step_id
    );
END

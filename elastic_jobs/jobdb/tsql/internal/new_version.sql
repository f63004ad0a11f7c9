-- Begins the next version of a job: copies its steps, without one of them, and leaves a place free for another.
-- The steps of a version are never changed.
CREATE PROCEDURE jobs_internal.new_version
    @job_id uniqueidentifier,
    @without uniqueidentifier, -- step_uid of the step to leave out, or NULL
    @place int,                -- the step id that stays free, or NULL
    @version int OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @old int;
    DECLARE @steps int;
    DECLARE @others int;
    SELECT @old = j.version FROM jobs_internal.jobs AS j WHERE j.id = @job_id;
    SELECT @steps = COUNT(*), @others = COUNT(CASE WHEN @without IS NULL OR s.step_uid <> @without THEN 1 END)
    FROM jobs_internal.job_steps AS s
    WHERE s.job_id = @job_id AND s.job_version = @old;
    IF (@steps = 0 AND @place IS NOT NULL) OR (@steps > 0 AND @others = 0 AND @place IS NULL)
        EXEC jobs_internal.keep_schedule @job_id = @job_id;
    SET @version = @old + 1;
    INSERT INTO jobs_internal.job_versions (job_id, version, create_time) VALUES (@job_id, @version, SYSUTCDATETIME());
    INSERT INTO jobs_internal.job_steps (
        job_id, job_version, step_id, step_uid, name, command, credential_name, target_group_id, target_group_name,
        initial_retry_interval_seconds, maximum_retry_interval_seconds, retry_interval_backoff_multiplier,
        retry_attempts, step_timeout_seconds, output_server_name, output_database_name, output_schema_name,
        output_table_name, output_credential_name, output_subscription_id, output_resource_group_name, max_parallelism
    )
    SELECT
        o.job_id, @version, o.place + CASE WHEN o.place >= @place THEN 1 ELSE 0 END, o.step_uid, o.name, o.command,
        o.credential_name, o.target_group_id, o.target_group_name, o.initial_retry_interval_seconds,
        o.maximum_retry_interval_seconds, o.retry_interval_backoff_multiplier, o.retry_attempts,
        o.step_timeout_seconds, o.output_server_name, o.output_database_name, o.output_schema_name,
        o.output_table_name, o.output_credential_name, o.output_subscription_id, o.output_resource_group_name,
        o.max_parallelism
    FROM (
        SELECT s.*, ROW_NUMBER() OVER (ORDER BY s.step_id) AS place
        FROM jobs_internal.job_steps AS s
        WHERE s.job_id = @job_id AND s.job_version = @old AND (@without IS NULL OR s.step_uid <> @without)
    ) AS o;
    UPDATE jobs_internal.jobs SET version = @version WHERE id = @job_id;
END

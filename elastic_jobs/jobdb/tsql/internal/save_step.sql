-- Checks a whole step and writes it as part of a new version of its job; sp_add_jobstep and sp_update_jobstep end here.
CREATE PROCEDURE jobs_internal.save_step
    @job_id uniqueidentifier,
    @uid uniqueidentifier, -- of the step that is changed; NULL for a new one
    @place int,            -- its step id in the new version; NULL: the last
    @name nvarchar(128),
    @command nvarchar(max),
    @credential_name nvarchar(128),
    @target_group_name nvarchar(128),
    @initial_retry_interval_seconds int,
    @maximum_retry_interval_seconds int,
    @retry_interval_backoff_multiplier float,
    @retry_attempts int,
    @step_timeout_seconds int,
    @has_output bit,
    @output_credential_name nvarchar(128),
    @output_subscription_id uniqueidentifier,
    @output_resource_group_name nvarchar(128),
    @output_server_name nvarchar(256),
    @output_database_name nvarchar(128),
    @output_schema_name nvarchar(128),
    @output_table_name nvarchar(128),
    @max_parallelism int,
    @version int OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @error nvarchar(2048);
    DECLARE @job_name nvarchar(128);
    DECLARE @old_version int;
    DECLARE @taken nvarchar(128);
    DECLARE @group_id uniqueidentifier;
    DECLARE @others int;
    DECLARE @before nvarchar(max);
    DECLARE @action nvarchar(64);
    DECLARE @resource nvarchar(512);
    DECLARE @after nvarchar(max);
    SELECT @job_name = j.name, @old_version = j.version FROM jobs_internal.jobs AS j WHERE j.id = @job_id;
    SELECT @group_id = g.id, @target_group_name = g.name
    FROM jobs_internal.target_groups AS g
    WHERE g.name = @target_group_name;
    SET @error = jobs_internal.step_error(
        @name, @command, @initial_retry_interval_seconds, @maximum_retry_interval_seconds,
        @retry_interval_backoff_multiplier, @retry_attempts, @step_timeout_seconds, @max_parallelism);
    IF @error IS NULL AND @group_id IS NULL
        SET @error = CONCAT(N'Cannot reference the target group ''', @target_group_name, N''', because it does not exist.');
    IF @error IS NULL
        SET @error = jobs_internal.credential_error(@credential_name, CONCAT(N'step ''', @name, N''''));
    -- What a shard map leads to is known at run time only.
    IF @error IS NULL
        SELECT TOP (1) @error = f.error
        FROM (
            SELECT
                m.position AS position,
                jobs_internal.scope_error(@credential_name, m.server_name, CONCAT(N'step ''', @name, N'''')) AS error
            FROM jobs_internal.target_group_members AS m
            WHERE m.target_group_id = @group_id AND m.membership_type = N'Include'
        ) AS f
        WHERE f.error IS NOT NULL
        ORDER BY f.position;
    IF @error IS NULL AND @has_output = 1
        SET @error = jobs_internal.output_error(
            @name, @output_server_name, @output_database_name, @output_schema_name, @output_table_name,
            @output_credential_name, @output_resource_group_name);
    IF @error IS NULL
        SET @error = jobs_internal.name_error(N'step', @name);
    SELECT @taken = s.name
    FROM jobs_internal.job_steps AS s
    WHERE s.job_id = @job_id AND s.job_version = @old_version AND s.name = @name AND (@uid IS NULL OR s.step_uid <> @uid);
    IF @error IS NULL AND @taken IS NOT NULL
        SET @error = CONCAT(N'The job ''', @job_name, N''' has a step ''', @taken, N''' already; choose another name.');
    SELECT @others = COUNT(*)
    FROM jobs_internal.job_steps AS s
    WHERE s.job_id = @job_id AND s.job_version = @old_version AND (@uid IS NULL OR s.step_uid <> @uid);
    SET @place = COALESCE(@place, @others + 1);
    IF @error IS NULL AND NOT (@place BETWEEN 1 AND @others + 1)
        SET @error = CONCAT(N'The step id ', @place, N' is not from 1 to ', @others + 1, N'; the job''s steps have no gaps.');
    IF @error IS NOT NULL
        THROW 50000, @error, 1;

    SELECT @credential_name = c.name FROM jobs_internal.credentials AS c WHERE c.name = @credential_name;
    SELECT @output_credential_name = c.name FROM jobs_internal.credentials AS c WHERE c.name = @output_credential_name;
    SELECT @before = jobs_internal.step_snapshot(s.job_id, s.job_version, s.step_id)
    FROM jobs_internal.job_steps AS s
    WHERE s.job_id = @job_id AND s.job_version = @old_version AND s.step_uid = @uid;
    SET @action = CASE WHEN @uid IS NULL THEN N'create step' ELSE N'update step' END;
    EXEC jobs_internal.new_version @job_id = @job_id, @without = @uid, @place = @place, @version = @version OUTPUT;
    INSERT INTO jobs_internal.job_steps (
        job_id, job_version, step_id, step_uid, name, command, credential_name, target_group_id, target_group_name,
        initial_retry_interval_seconds, maximum_retry_interval_seconds, retry_interval_backoff_multiplier,
        retry_attempts, step_timeout_seconds, output_server_name, output_database_name, output_schema_name,
        output_table_name, output_credential_name, output_subscription_id, output_resource_group_name, max_parallelism
    )
    SELECT
        @job_id, @version, @place, COALESCE(@uid, NEWID()), @name, @command, @credential_name, @group_id,
        @target_group_name, @initial_retry_interval_seconds, @maximum_retry_interval_seconds,
        @retry_interval_backoff_multiplier, @retry_attempts, @step_timeout_seconds,
        CASE WHEN @has_output = 1 THEN @output_server_name END,
        CASE WHEN @has_output = 1 THEN @output_database_name END,
        CASE WHEN @has_output = 1 THEN @output_schema_name END,
        CASE WHEN @has_output = 1 THEN @output_table_name END,
        CASE WHEN @has_output = 1 THEN @output_credential_name END,
        CASE WHEN @has_output = 1 THEN @output_subscription_id END,
        CASE WHEN @has_output = 1 THEN @output_resource_group_name END,
        @max_parallelism;
    SET @resource = CONCAT(N'jobs/', @job_name, N'/steps/', @name);
    SET @after = jobs_internal.step_snapshot(@job_id, @version, @place);
    EXEC jobs_internal.record_audit @action = @action, @resource = @resource, @before = @before, @after = @after;
END

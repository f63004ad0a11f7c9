-- Changes a step; the job gets a new version. What is NULL stays as it is. Clear with an empty text what can be cleared
-- (the credential and each part of the output; @output_type clears all of the output), and max_parallelism with -1.
-- Without @step_id and @step_name it is the job's only step.
CREATE PROCEDURE jobs.sp_update_jobstep
    @job_name nvarchar(128),
    @step_id int = NULL,
    @step_name nvarchar(128) = NULL,
    @new_id int = NULL,
    @new_name nvarchar(128) = NULL,
    @command_type nvarchar(50) = NULL,
    @command_source nvarchar(50) = NULL,
    @command nvarchar(max) = NULL,
    @credential_name nvarchar(128) = NULL,
    @target_group_name nvarchar(128) = NULL,
    @initial_retry_interval_seconds int = NULL,
    @maximum_retry_interval_seconds int = NULL,
    @retry_interval_backoff_multiplier real = NULL,
    @retry_attempts int = NULL,
    @step_timeout_seconds int = NULL,
    @output_type nvarchar(50) = NULL,
    @output_credential_name nvarchar(128) = NULL,
    @output_server_name nvarchar(256) = NULL,
    @output_database_name nvarchar(128) = NULL,
    @output_schema_name nvarchar(128) = NULL,
    @output_table_name nvarchar(128) = NULL,
    @job_version int = NULL OUTPUT,
    @max_parallelism int = NULL
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @own bit = CASE WHEN @@TRANCOUNT = 0 THEN 1 ELSE 0 END;
    -- Within the caller's transaction an error takes back what this call did, and no more.
    IF @own = 1 SET XACT_ABORT ON; ELSE SET XACT_ABORT OFF;
    DECLARE @error nvarchar(2048);
    DECLARE @job_id uniqueidentifier;
    DECLARE @name nvarchar(128);
    DECLARE @version int;
    DECLARE @uid uniqueidentifier;
    DECLARE @place int;
    DECLARE @final_name nvarchar(128);
    DECLARE @multiplier float;
    DECLARE @has_output bit;
    DECLARE @subscription_id uniqueidentifier;
    DECLARE @resource_group_name nvarchar(128);
    BEGIN TRY
        IF @own = 1 BEGIN TRANSACTION; ELSE SAVE TRANSACTION elastic_jobs;
        EXEC jobs_internal.lock_agent;
        EXEC jobs_internal.get_job
            @job_name = @job_name, @job_id = @job_id OUTPUT, @name = @name OUTPUT, @version = @version OUTPUT;
        EXEC jobs_internal.get_step @job_id = @job_id, @step_id = @step_id, @step_name = @step_name, @uid = @uid OUTPUT;
        SET @error = CASE
            WHEN LOWER(@command_type) <> N'tsql' THEN
                CONCAT(N'''', @command_type, N''' is no command type; use TSql.')
            WHEN LOWER(@command_source) <> N'inline' THEN
                CONCAT(N'''', @command_source, N''' is no command source; use Inline.')
            WHEN LOWER(@output_type) NOT IN (N'sqldatabase', N'') THEN
                CONCAT(N'''', @output_type, N''' is no output type; use SqlDatabase.')
        END;
        IF @error IS NOT NULL
            THROW 50000, @error, 1;
        SELECT
            @place = COALESCE(@new_id, s.step_id),
            @final_name = COALESCE(@new_name, s.name),
            @command = COALESCE(@command, s.command),
            @credential_name = NULLIF(COALESCE(@credential_name, s.credential_name), N''),
            @target_group_name = COALESCE(@target_group_name, s.target_group_name),
            @initial_retry_interval_seconds = COALESCE(@initial_retry_interval_seconds, s.initial_retry_interval_seconds),
            @maximum_retry_interval_seconds = COALESCE(@maximum_retry_interval_seconds, s.maximum_retry_interval_seconds),
            @multiplier = COALESCE(
                CONVERT(float, CONVERT(nvarchar(32), @retry_interval_backoff_multiplier)), s.retry_interval_backoff_multiplier),
            @retry_attempts = COALESCE(@retry_attempts, s.retry_attempts),
            @step_timeout_seconds = COALESCE(@step_timeout_seconds, s.step_timeout_seconds),
            @has_output = CASE
                WHEN @output_type = N'' THEN 0
                WHEN @output_type IS NOT NULL OR s.output_server_name IS NOT NULL THEN 1
                ELSE 0
            END,
            @output_credential_name = NULLIF(COALESCE(@output_credential_name, s.output_credential_name), N''),
            @output_server_name = NULLIF(COALESCE(@output_server_name, s.output_server_name), N''),
            @output_database_name = NULLIF(COALESCE(@output_database_name, s.output_database_name), N''),
            @output_schema_name = COALESCE(NULLIF(COALESCE(@output_schema_name, s.output_schema_name), N''), N'dbo'),
            @output_table_name = NULLIF(COALESCE(@output_table_name, s.output_table_name), N''),
            @subscription_id = s.output_subscription_id,
            @resource_group_name = s.output_resource_group_name,
            @max_parallelism = NULLIF(COALESCE(@max_parallelism, s.max_parallelism), -1)
        FROM jobs_internal.job_steps AS s
        WHERE s.job_id = @job_id AND s.job_version = @version AND s.step_uid = @uid;
        -- All three parts that an output must have were cleared one by one: there is none any more.
        IF @output_type IS NULL AND @output_server_name IS NULL AND @output_database_name IS NULL AND @output_table_name IS NULL
            SET @has_output = 0;
        IF @has_output = 0 AND COALESCE(@output_type, N'SqlDatabase') <> N''
            AND COALESCE(@output_server_name, @output_database_name, @output_table_name) IS NOT NULL
        BEGIN
            SET @error = CONCAT(N'The step ''', @final_name, N''' says where its result goes but not how; give @output_type'
                + N' = ''SqlDatabase''.');
            THROW 50000, @error, 1;
        END;
        EXEC jobs_internal.save_step
            @job_id = @job_id, @uid = @uid, @place = @place, @name = @final_name, @command = @command,
            @credential_name = @credential_name, @target_group_name = @target_group_name,
            @initial_retry_interval_seconds = @initial_retry_interval_seconds,
            @maximum_retry_interval_seconds = @maximum_retry_interval_seconds,
            @retry_interval_backoff_multiplier = @multiplier, @retry_attempts = @retry_attempts,
            @step_timeout_seconds = @step_timeout_seconds, @has_output = @has_output,
            @output_credential_name = @output_credential_name, @output_subscription_id = @subscription_id,
            @output_resource_group_name = @resource_group_name, @output_server_name = @output_server_name,
            @output_database_name = @output_database_name, @output_schema_name = @output_schema_name,
            @output_table_name = @output_table_name, @max_parallelism = @max_parallelism, @version = @version OUTPUT;
        SET @job_version = @version;
        IF @own = 1 COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF @own = 1 AND XACT_STATE() <> 0 ROLLBACK TRANSACTION;
        IF @own = 0 AND XACT_STATE() = 1 ROLLBACK TRANSACTION elastic_jobs;
        THROW;
    END CATCH;
    RETURN 0;
END

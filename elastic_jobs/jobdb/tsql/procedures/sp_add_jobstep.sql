-- Adds a step to a job, at the end or at a place of its own; the job gets a new version. Running executions keep theirs.
CREATE PROCEDURE jobs.sp_add_jobstep
    @job_name nvarchar(128),
    @step_id int = NULL,
    @step_name nvarchar(128) = NULL,
    @command_type nvarchar(50) = N'TSql',
    @command_source nvarchar(50) = N'Inline',
    @command nvarchar(max) = NULL,
    @credential_name nvarchar(128) = NULL,
    @target_group_name nvarchar(128),
    @initial_retry_interval_seconds int = 1,
    @maximum_retry_interval_seconds int = 120,
    @retry_interval_backoff_multiplier real = 2.0,
    @retry_attempts int = 10,
    @step_timeout_seconds int = 43200,
    @output_type nvarchar(50) = NULL,
    @output_credential_name nvarchar(128) = NULL,
    @output_subscription_id uniqueidentifier = NULL,
    @output_resource_group_name nvarchar(128) = NULL,
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
    DECLARE @has_steps bit = 0;
    DECLARE @has_output bit = CASE WHEN @output_type IS NULL THEN 0 ELSE 1 END;
    DECLARE @multiplier float;
    BEGIN TRY
        IF @own = 1 BEGIN TRANSACTION; ELSE SAVE TRANSACTION elastic_jobs;
        EXEC jobs_internal.lock_agent;
        EXEC jobs_internal.get_job
            @job_name = @job_name, @job_id = @job_id OUTPUT, @name = @name OUTPUT, @version = @version OUTPUT;
        IF EXISTS (SELECT s.step_id FROM jobs_internal.job_steps AS s WHERE s.job_id = @job_id AND s.job_version = @version)
            SET @has_steps = 1;
        SELECT
            @step_name = CASE WHEN @step_name IS NULL AND @has_steps = 0 THEN N'JobStep' ELSE @step_name END,
            @credential_name = NULLIF(@credential_name, N''),
            @initial_retry_interval_seconds = COALESCE(@initial_retry_interval_seconds, 1),
            @maximum_retry_interval_seconds = COALESCE(@maximum_retry_interval_seconds, 120),
            -- By way of text: 1.1 is to be 1.1 in a wider number too.
            @multiplier = CONVERT(float, CONVERT(nvarchar(32), COALESCE(@retry_interval_backoff_multiplier, 2.0))),
            @retry_attempts = COALESCE(@retry_attempts, 10),
            @step_timeout_seconds = COALESCE(@step_timeout_seconds, 43200),
            @output_credential_name = NULLIF(@output_credential_name, N''),
            @output_schema_name = COALESCE(@output_schema_name, N'dbo');
        SET @error = CASE
            WHEN @step_name IS NULL THEN
                CONCAT(N'The job ''', @name, N''' has a step already; give the next one a name with @step_name.')
            WHEN LOWER(COALESCE(@command_type, N'TSql')) <> N'tsql' THEN
                CONCAT(N'''', @command_type, N''' is no command type; use TSql.')
            WHEN LOWER(COALESCE(@command_source, N'Inline')) <> N'inline' THEN
                CONCAT(N'''', @command_source, N''' is no command source; use Inline.')
            WHEN LOWER(@output_type) <> N'sqldatabase' THEN
                CONCAT(N'''', @output_type, N''' is no output type; use SqlDatabase.')
            WHEN @has_output = 0
                AND COALESCE(@output_server_name, @output_database_name, @output_table_name, @output_credential_name) IS NOT NULL
            THEN CONCAT(N'The step ''', @step_name, N''' says where its result goes but not how; give @output_type'
                + N' = ''SqlDatabase''.')
        END;
        IF @error IS NOT NULL
            THROW 50000, @error, 1;
        EXEC jobs_internal.save_step
            @job_id = @job_id, @uid = NULL, @place = @step_id, @name = @step_name, @command = @command,
            @credential_name = @credential_name, @target_group_name = @target_group_name,
            @initial_retry_interval_seconds = @initial_retry_interval_seconds,
            @maximum_retry_interval_seconds = @maximum_retry_interval_seconds,
            @retry_interval_backoff_multiplier = @multiplier, @retry_attempts = @retry_attempts,
            @step_timeout_seconds = @step_timeout_seconds, @has_output = @has_output,
            @output_credential_name = @output_credential_name, @output_subscription_id = @output_subscription_id,
            @output_resource_group_name = @output_resource_group_name, @output_server_name = @output_server_name,
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

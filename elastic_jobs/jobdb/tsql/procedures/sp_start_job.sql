-- Starts the current version of a job; disabled jobs can be started too. The call only writes the run down: the agent's
-- tick finds its first step unsent and begins it. @job_execution_id always comes back as the id of the new run.
CREATE PROCEDURE jobs.sp_start_job
    @job_name nvarchar(128),
    @job_execution_id uniqueidentifier = NULL OUTPUT
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
    DECLARE @step_id int;
    DECLARE @step_name nvarchar(128);
    DECLARE @rows int;
    DECLARE @now datetime2(7) = SYSUTCDATETIME();
    DECLARE @resource nvarchar(512);
    BEGIN TRY
        IF @own = 1 BEGIN TRANSACTION; ELSE SAVE TRANSACTION elastic_jobs;
        EXEC jobs_internal.get_job
            @job_name = @job_name, @job_id = @job_id OUTPUT, @name = @name OUTPUT, @version = @version OUTPUT;
        -- Keeps the job from being deleted until the run is committed.
        UPDATE jobs_internal.jobs SET version = version WHERE id = @job_id AND delete_time IS NULL;
        SET @rows = @@ROWCOUNT;
        IF @rows = 0
            SET @error = CONCAT(N'There is no job ''', @job_name, N'''.');
        SELECT TOP (1) @version = s.job_version, @step_id = s.step_id, @step_name = s.name
        FROM jobs_internal.jobs AS j
        JOIN jobs_internal.job_steps AS s ON s.job_id = j.id AND s.job_version = j.version
        WHERE j.id = @job_id
        ORDER BY s.step_id;
        IF @error IS NULL AND @step_id IS NULL
            SET @error = CONCAT(N'The job ''', @name, N''' has no steps; add a step before starting it.');
        IF @error IS NOT NULL
            THROW 50000, @error, 1;
        SET @job_execution_id = NEWID();
        INSERT INTO jobs_internal.job_executions (
            id, job_id, job_name, job_version, lifecycle, is_active, create_time, last_message
        )
        VALUES (
            @job_execution_id, @job_id, @name, @version, N'Created', 1, @now, N'Job execution created.'
        );
        -- Without a dispatch time: nobody has sent a message for it yet.
        INSERT INTO jobs_internal.step_executions (
            id, job_execution_id, job_id, job_version, step_id, step_name, lifecycle, is_active, create_time, last_message,
            dispatch_time, sent_messages, cancel_requested, current_attempts, failed_attempts, lost_attempts
        )
        VALUES (
            NEWID(), @job_execution_id, @job_id, @version, @step_id, @step_name, N'Created', 1, @now,
            N'Step execution created.', NULL, 0, 0, 0, 0, 0
        );
        SET @resource = CONCAT(N'jobs/', @job_name, N'/executions/', LOWER(CONVERT(nvarchar(36), @job_execution_id)));
        EXEC jobs_internal.record_audit @action = N'start job', @resource = @resource;
        IF @own = 1 COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF @own = 1 AND XACT_STATE() <> 0 ROLLBACK TRANSACTION;
        IF @own = 0 AND XACT_STATE() = 1 ROLLBACK TRANSACTION elastic_jobs;
        THROW;
    END CATCH;
    EXEC jobs_internal.wake;
    RETURN 0;
END

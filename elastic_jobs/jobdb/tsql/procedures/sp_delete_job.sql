-- Deletes a job with its history. Its name is free at once; the agent cancels what still runs (only with @force = 1)
-- and then removes the rows.
CREATE PROCEDURE jobs.sp_delete_job
    @job_name nvarchar(128) = NULL,
    @force bit = 0
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
    DECLARE @before nvarchar(max);
    DECLARE @resource nvarchar(512);
    BEGIN TRY
        IF @own = 1 BEGIN TRANSACTION; ELSE SAVE TRANSACTION elastic_jobs;
        EXEC jobs_internal.lock_agent;
        EXEC jobs_internal.get_job
            @job_name = @job_name, @job_id = @job_id OUTPUT, @name = @name OUTPUT, @version = @version OUTPUT;
        -- As a lock: a run that is being started now is either seen below, or finds the job deleted.
        UPDATE jobs_internal.jobs SET version = version WHERE id = @job_id;
        IF COALESCE(@force, 0) = 0 AND EXISTS (
            SELECT e.id FROM jobs_internal.job_executions AS e WHERE e.job_id = @job_id AND e.is_active = 1
        )
        BEGIN
            SET @error = CONCAT(N'The job ''', @name, N''' has active executions; wait for their end, cancel them, or delete it'
                + N' by force.');
            THROW 50000, @error, 1;
        END;
        SET @before = jobs_internal.job_snapshot(@job_id);
        UPDATE jobs_internal.jobs
        SET delete_time = SYSUTCDATETIME(), next_run_time = NULL, schedule_anchor = NULL
        WHERE id = @job_id;
        SET @resource = CONCAT(N'jobs/', @name);
        EXEC jobs_internal.record_audit @action = N'delete job', @resource = @resource, @before = @before;
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

-- Deletes a step; the later ones move down, and the job gets a new version. A job may lose its last step.
CREATE PROCEDURE jobs.sp_delete_jobstep
    @job_name nvarchar(128),
    @step_id int = NULL,
    @step_name nvarchar(128) = NULL,
    @job_version int = NULL OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @own bit = CASE WHEN @@TRANCOUNT = 0 THEN 1 ELSE 0 END;
    -- Within the caller's transaction an error takes back what this call did, and no more.
    IF @own = 1 SET XACT_ABORT ON; ELSE SET XACT_ABORT OFF;
    DECLARE @job_id uniqueidentifier;
    DECLARE @name nvarchar(128);
    DECLARE @version int;
    DECLARE @uid uniqueidentifier;
    DECLARE @before nvarchar(max);
    DECLARE @resource nvarchar(512);
    BEGIN TRY
        IF @own = 1 BEGIN TRANSACTION; ELSE SAVE TRANSACTION elastic_jobs;
        IF @step_id IS NULL AND @step_name IS NULL
            THROW 50000, N'Name the step to delete with @step_id or @step_name.', 1;
        EXEC jobs_internal.lock_agent;
        EXEC jobs_internal.get_job
            @job_name = @job_name, @job_id = @job_id OUTPUT, @name = @name OUTPUT, @version = @version OUTPUT;
        EXEC jobs_internal.get_step @job_id = @job_id, @step_id = @step_id, @step_name = @step_name, @uid = @uid OUTPUT;
        SELECT
            @before = jobs_internal.step_snapshot(s.job_id, s.job_version, s.step_id),
            @resource = CONCAT(N'jobs/', @name, N'/steps/', s.name)
        FROM jobs_internal.job_steps AS s
        WHERE s.job_id = @job_id AND s.job_version = @version AND s.step_uid = @uid;
        EXEC jobs_internal.new_version @job_id = @job_id, @without = @uid, @place = NULL, @version = @version OUTPUT;
        EXEC jobs_internal.record_audit @action = N'delete step', @resource = @resource, @before = @before;
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

-- Adds a job. It has no steps yet, and so no version but 0; its schedule waits for the first step.
CREATE PROCEDURE jobs.sp_add_job
    @job_name nvarchar(128),
    @description nvarchar(512) = NULL,
    @enabled bit = 0,
    @schedule_interval_type nvarchar(50) = N'Once',
    @schedule_interval_count int = 1,
    @schedule_start_time datetime2 = '0001-01-01 00:00:00.0000000',
    @schedule_end_time datetime2 = '9999-12-31 11:59:59.0000000',
    @job_id uniqueidentifier = NULL OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @own bit = CASE WHEN @@TRANCOUNT = 0 THEN 1 ELSE 0 END;
    -- Within the caller's transaction an error takes back what this call did, and no more.
    IF @own = 1 SET XACT_ABORT ON; ELSE SET XACT_ABORT OFF;
    DECLARE @error nvarchar(2048);
    DECLARE @other nvarchar(128);
    DECLARE @resource nvarchar(512);
    DECLARE @after nvarchar(max);
    BEGIN TRY
        IF @own = 1 BEGIN TRANSACTION; ELSE SAVE TRANSACTION elastic_jobs;
        EXEC jobs_internal.lock_agent;
        SELECT
            @schedule_interval_type = COALESCE(@schedule_interval_type, N'Once'),
            @schedule_interval_count = COALESCE(@schedule_interval_count, 1),
            @schedule_start_time = COALESCE(@schedule_start_time, '0001-01-01 00:00:00.0000000'),
            @schedule_end_time = COALESCE(@schedule_end_time, '9999-12-31 11:59:59.0000000');
        SET @error = jobs_internal.schedule_error(
            @schedule_interval_type, @schedule_interval_count, @schedule_start_time, @schedule_end_time);
        IF @error IS NULL
            SET @error = jobs_internal.name_error(N'job', @job_name);
        SELECT @other = j.name FROM jobs_internal.jobs AS j WHERE j.name = @job_name AND j.delete_time IS NULL;
        IF @error IS NULL AND @other IS NOT NULL
            SET @error = CONCAT(N'There is a job ''', @other, N''' already; choose another name.');
        IF @error IS NOT NULL
            THROW 50000, @error, 1;
        SET @schedule_interval_type = jobs_internal.interval_type(@schedule_interval_type);
        SET @job_id = NEWID();
        INSERT INTO jobs_internal.jobs (
            id, name, description, version, enabled, schedule_interval_type, schedule_interval_count,
            schedule_start_time, schedule_end_time, create_time
        )
        VALUES (
            @job_id, @job_name, COALESCE(@description, N''), 0, COALESCE(@enabled, 0), @schedule_interval_type,
            CASE WHEN @schedule_interval_type = N'Once' THEN 1 ELSE @schedule_interval_count END,
            CASE WHEN YEAR(@schedule_start_time) > 1 THEN @schedule_start_time ELSE '0001-01-01 00:00:00.0000000' END,
            @schedule_end_time, SYSUTCDATETIME()
        );
        INSERT INTO jobs_internal.job_versions (job_id, version, create_time) VALUES (@job_id, 0, SYSUTCDATETIME());
        SET @resource = CONCAT(N'jobs/', @job_name);
        SET @after = jobs_internal.job_snapshot(@job_id);
        EXEC jobs_internal.record_audit @action = N'create job', @resource = @resource, @after = @after;
        IF @own = 1 COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF @own = 1 AND XACT_STATE() <> 0 ROLLBACK TRANSACTION;
        IF @own = 0 AND XACT_STATE() = 1 ROLLBACK TRANSACTION elastic_jobs;
        THROW;
    END CATCH;
    RETURN 0;
END

-- Changes a job or its schedule; what is NULL stays as it is. No new version comes of it.
-- An Azure page repeats the defaults of sp_add_job for the arguments: they would undo a schedule with each rename.
CREATE PROCEDURE jobs.sp_update_job
    @job_name nvarchar(128),
    @new_name nvarchar(128) = NULL,
    @description nvarchar(512) = NULL,
    @enabled bit = NULL,
    @schedule_interval_type nvarchar(50) = NULL,
    @schedule_interval_count int = NULL,
    @schedule_start_time datetime2 = NULL,
    @schedule_end_time datetime2 = NULL
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
    DECLARE @other nvarchar(128);
    DECLARE @before nvarchar(max);
    DECLARE @resource nvarchar(512);
    DECLARE @after nvarchar(max);
    BEGIN TRY
        IF @own = 1 BEGIN TRANSACTION; ELSE SAVE TRANSACTION elastic_jobs;
        EXEC jobs_internal.lock_agent;
        EXEC jobs_internal.get_job
            @job_name = @job_name, @job_id = @job_id OUTPUT, @name = @name OUTPUT, @version = @version OUTPUT;
        SELECT
            @description = COALESCE(@description, j.description),
            @enabled = COALESCE(@enabled, j.enabled),
            @schedule_interval_type = COALESCE(@schedule_interval_type, j.schedule_interval_type),
            @schedule_interval_count = COALESCE(@schedule_interval_count, j.schedule_interval_count),
            @schedule_start_time = COALESCE(@schedule_start_time, j.schedule_start_time),
            @schedule_end_time = COALESCE(@schedule_end_time, j.schedule_end_time)
        FROM jobs_internal.jobs AS j
        WHERE j.id = @job_id;
        SET @error = jobs_internal.schedule_error(
            @schedule_interval_type, @schedule_interval_count, @schedule_start_time, @schedule_end_time);
        IF @error IS NULL AND @new_name IS NOT NULL
            SET @error = jobs_internal.name_error(N'job', @new_name);
        SELECT @other = j.name
        FROM jobs_internal.jobs AS j
        WHERE j.name = @new_name AND j.id <> @job_id AND j.delete_time IS NULL;
        IF @error IS NULL AND @other IS NOT NULL
            SET @error = CONCAT(N'There is a job ''', @other, N''' already; choose another name.');
        IF @error IS NOT NULL
            THROW 50000, @error, 1;
        SET @schedule_interval_type = jobs_internal.interval_type(@schedule_interval_type);
        IF @schedule_interval_type = N'Once'
            SET @schedule_interval_count = 1;
        IF YEAR(@schedule_start_time) = 1
            SET @schedule_start_time = '0001-01-01 00:00:00.0000000';
        SET @before = jobs_internal.job_snapshot(@job_id);
        IF NOT EXISTS (
            SELECT j.id
            FROM jobs_internal.jobs AS j
            WHERE j.id = @job_id AND j.enabled = @enabled AND j.schedule_interval_type = @schedule_interval_type
                AND j.schedule_interval_count = @schedule_interval_count AND j.schedule_start_time = @schedule_start_time
                AND j.schedule_end_time = @schedule_end_time
        )
            EXEC jobs_internal.keep_schedule @job_id = @job_id;
        UPDATE jobs_internal.jobs
        SET
            name = COALESCE(@new_name, name),
            description = @description,
            enabled = @enabled,
            schedule_interval_type = @schedule_interval_type,
            schedule_interval_count = @schedule_interval_count,
            schedule_start_time = @schedule_start_time,
            schedule_end_time = @schedule_end_time
        WHERE id = @job_id;
        SET @resource = CONCAT(N'jobs/', @name);
        SET @after = jobs_internal.job_snapshot(@job_id);
        EXEC jobs_internal.record_audit @action = N'update job', @resource = @resource, @before = @before, @after = @after;
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

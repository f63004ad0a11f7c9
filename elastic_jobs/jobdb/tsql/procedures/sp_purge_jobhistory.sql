-- Removes history of a job: runs that ended, all of them or those that ended before @oldest_date. Never active ones.
-- Each transaction removes few rows, so that others do not wait; within the caller's transaction all is one.
CREATE PROCEDURE jobs.sp_purge_jobhistory
    @job_name nvarchar(128) = NULL,
    @job_id uniqueidentifier = NULL,
    @oldest_date datetime2 = NULL
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @own bit = CASE WHEN @@TRANCOUNT = 0 THEN 1 ELSE 0 END;
    -- Within the caller's transaction an error takes back what this call did, and no more.
    IF @own = 1 SET XACT_ABORT ON; ELSE SET XACT_ABORT OFF;
    DECLARE @error nvarchar(2048);
    DECLARE @id uniqueidentifier;
    DECLARE @name nvarchar(128);
    DECLARE @run uniqueidentifier;
    DECLARE @rows int;
    DECLARE @resource nvarchar(512);
    DECLARE @targets TABLE (id uniqueidentifier PRIMARY KEY);
    BEGIN TRY
        IF @own = 1 BEGIN TRANSACTION; ELSE SAVE TRANSACTION elastic_jobs;
        IF (@job_name IS NULL AND @job_id IS NULL) OR (@job_name IS NOT NULL AND @job_id IS NOT NULL)
            THROW 50000, N'Name the job whose history is to go either with @job_name or with @job_id.', 1;
        SELECT @id = j.id, @name = j.name
        FROM jobs_internal.jobs AS j
        WHERE (j.name = @job_name OR j.id = @job_id) AND j.delete_time IS NULL;
        IF @id IS NULL
        BEGIN
            SET @error = CONCAT(
                N'There is no job ''', @job_name, LOWER(CONVERT(nvarchar(36), @job_id)), N'''.');
            THROW 50000, @error, 1;
        END;
        SET @resource = CONCAT(N'jobs/', @name, N'/executions');
        EXEC jobs_internal.record_audit @action = N'purge history', @resource = @resource;
        IF @own = 1 COMMIT TRANSACTION;
        WHILE 1 = 1
        BEGIN
            IF @own = 1 BEGIN TRANSACTION;
            SET @run = NULL;
            SELECT TOP (1) @run = e.id
            FROM jobs_internal.job_executions AS e
            WHERE e.job_id = @id AND e.is_active = 0 AND (@oldest_date IS NULL OR e.end_time < @oldest_date)
            ORDER BY e.end_time;
            DELETE FROM @targets;
            INSERT INTO @targets (id)
            SELECT TOP (500) t.id FROM jobs_internal.target_executions AS t WHERE t.job_execution_id = @run;
            SET @rows = @@ROWCOUNT;
            DELETE FROM jobs_internal.target_messages
            WHERE target_execution_id IN (SELECT f.id FROM @targets AS f);
            DELETE FROM jobs_internal.target_executions WHERE id IN (SELECT f.id FROM @targets AS f);
            IF @rows = 0
            BEGIN
                DELETE FROM jobs_internal.step_executions WHERE job_execution_id = @run;
                DELETE FROM jobs_internal.job_executions WHERE id = @run;
            END;
            IF @own = 1 COMMIT TRANSACTION;
            IF @run IS NULL
                BREAK;
        END;
    END TRY
    BEGIN CATCH
        IF @own = 1 AND XACT_STATE() <> 0 ROLLBACK TRANSACTION;
        IF @own = 0 AND XACT_STATE() = 1 ROLLBACK TRANSACTION elastic_jobs;
        THROW;
    END CATCH;
    RETURN 0;
END

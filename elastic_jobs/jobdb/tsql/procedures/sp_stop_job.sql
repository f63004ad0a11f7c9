-- Asks for the cancellation of a run: what waits ends at once, what runs is stopped by its worker, and the agent's tick
-- moves the run on. May be repeated; of a finished run nothing happens.
CREATE PROCEDURE jobs.sp_stop_job
    @job_execution_id uniqueidentifier = NULL
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @own bit = CASE WHEN @@TRANCOUNT = 0 THEN 1 ELSE 0 END;
    -- Within the caller's transaction an error takes back what this call did, and no more.
    IF @own = 1 SET XACT_ABORT ON; ELSE SET XACT_ABORT OFF;
    DECLARE @error nvarchar(2048);
    DECLARE @rows int;
    DECLARE @now datetime2(7) = SYSUTCDATETIME();
    DECLARE @resource nvarchar(512);
    BEGIN TRY
        IF @own = 1 BEGIN TRANSACTION; ELSE SAVE TRANSACTION elastic_jobs;
        UPDATE jobs_internal.job_executions
        SET cancel_request_time = COALESCE(cancel_request_time, @now), last_message = N'Cancellation was requested.'
        WHERE id = @job_execution_id AND is_active = 1;
        SET @rows = @@ROWCOUNT;
        IF @rows = 0 AND NOT EXISTS (SELECT e.id FROM jobs_internal.job_executions AS e WHERE e.id = @job_execution_id)
        BEGIN
            SET @error = CONCAT(N'There is no execution ''', LOWER(CONVERT(nvarchar(36), @job_execution_id)), N'''.');
            THROW 50000, @error, 1;
        END;
        IF @rows > 0
        BEGIN
            -- Run, steps, targets: everybody locks them in this order. All that is active is flagged before what waits is
            -- ended: a claim or a plan that comes in between then finds the flag.
            UPDATE jobs_internal.step_executions SET cancel_requested = 1
            WHERE job_execution_id = @job_execution_id AND is_active = 1;
            UPDATE jobs_internal.step_executions
            SET lifecycle = N'Canceled', is_active = 0, end_time = @now, dispatch_time = NULL,
                next_attempt_start_time = NULL, last_message = N'Canceled before it began.'
            WHERE job_execution_id = @job_execution_id AND is_active = 1 AND lifecycle IN (N'Created', N'WaitingForRetry');
            UPDATE jobs_internal.target_executions SET cancel_requested = 1
            WHERE job_execution_id = @job_execution_id AND is_active = 1;
            UPDATE jobs_internal.target_executions
            SET lifecycle = N'Canceled', is_active = 0, end_time = @now, dispatch_time = NULL,
                next_attempt_start_time = NULL, last_message = N'Canceled before it began.'
            WHERE job_execution_id = @job_execution_id AND is_active = 1 AND lifecycle IN (N'Created', N'WaitingForRetry');
        END;
        SET @resource = CONCAT(N'executions/', LOWER(CONVERT(nvarchar(36), @job_execution_id)));
        EXEC jobs_internal.record_audit @action = N'cancel execution', @resource = @resource;
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

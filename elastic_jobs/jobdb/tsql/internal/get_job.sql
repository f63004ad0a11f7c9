-- Looks a job up by its name. A deleted job has no name any more.
CREATE PROCEDURE jobs_internal.get_job
    @job_name nvarchar(128),
    @job_id uniqueidentifier OUTPUT,
    @name nvarchar(128) OUTPUT,
    @version int OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @error nvarchar(2048);
    SELECT @job_id = NULL, @name = NULL, @version = NULL;
    SELECT @job_id = j.id, @name = j.name, @version = j.version
    FROM jobs_internal.jobs AS j
    WHERE j.name = @job_name AND j.delete_time IS NULL;
    IF @job_id IS NULL
    BEGIN
        SET @error = CONCAT(N'There is no job ''', @job_name, N'''.');
        THROW 50000, @error, 1;
    END;
END

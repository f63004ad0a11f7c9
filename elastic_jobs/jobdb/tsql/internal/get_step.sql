-- Looks a step of a job's current version up, by its id or its name; without either, the job's only step.
CREATE PROCEDURE jobs_internal.get_step
    @job_id uniqueidentifier,
    @step_id int,
    @step_name nvarchar(128),
    @uid uniqueidentifier OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @error nvarchar(2048);
    DECLARE @job_name nvarchar(128);
    DECLARE @steps int;
    SET @uid = NULL;
    SELECT @job_name = j.name FROM jobs_internal.jobs AS j WHERE j.id = @job_id;
    SELECT @steps = COUNT(*)
    FROM jobs_internal.jobs AS j
    JOIN jobs_internal.job_steps AS s ON s.job_id = j.id AND s.job_version = j.version
    WHERE j.id = @job_id;
    SELECT @uid = s.step_uid
    FROM jobs_internal.jobs AS j
    JOIN jobs_internal.job_steps AS s ON s.job_id = j.id AND s.job_version = j.version
    WHERE j.id = @job_id AND (@step_id IS NULL OR s.step_id = @step_id) AND (@step_name IS NULL OR s.name = @step_name)
        AND (@step_id IS NOT NULL OR @step_name IS NOT NULL OR @steps = 1);
    IF @uid IS NOT NULL
        RETURN 0;
    SET @error = CASE
        WHEN @step_id IS NULL AND @step_name IS NULL THEN
            CONCAT(N'The job ''', @job_name, N''' has ', @steps, N' steps; say which one with @step_id or @step_name.')
        WHEN @step_name IS NULL THEN CONCAT(N'The job ''', @job_name, N''' has no step with the id ', @step_id, N'.')
        WHEN @step_id IS NULL THEN CONCAT(N'There is no step ''', @step_name, N'''.')
        ELSE CONCAT(N'The job ''', @job_name, N''' has no step ''', @step_name, N''' with the id ', @step_id, N'.')
    END;
    THROW 50000, @error, 1;
END

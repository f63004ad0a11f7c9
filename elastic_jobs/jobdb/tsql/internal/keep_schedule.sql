-- To be called before a job's schedule changes, or before it gets its first step or loses its last one. T-SQL cannot
-- compute the next run: the agent's tick does, from what is written down here. Until then the job has no next run.
CREATE PROCEDURE jobs_internal.keep_schedule
    @job_id uniqueidentifier
AS
BEGIN
    SET NOCOUNT ON;
    INSERT INTO jobs_internal.schedule_edits (
        job_id, time, had_steps, enabled, schedule_interval_type, schedule_interval_count, schedule_start_time,
        schedule_end_time, next_run_time, schedule_anchor
    )
    SELECT
        j.id, SYSUTCDATETIME(),
        CASE WHEN EXISTS (
            SELECT s.step_id FROM jobs_internal.job_steps AS s WHERE s.job_id = j.id AND s.job_version = j.version
        ) THEN 1 ELSE 0 END,
        j.enabled, j.schedule_interval_type, j.schedule_interval_count, j.schedule_start_time, j.schedule_end_time,
        j.next_run_time, j.schedule_anchor
    FROM jobs_internal.jobs AS j
    WHERE j.id = @job_id;
    UPDATE jobs_internal.jobs SET next_run_time = NULL, schedule_anchor = NULL WHERE id = @job_id;
END

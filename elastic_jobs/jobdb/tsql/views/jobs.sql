-- Jobs with their schedules.
CREATE VIEW jobs.jobs
AS
SELECT
    CAST(j.name AS nvarchar(128)) AS job_name,
    /* uuid */ j.id AS job_id,
    j.version AS job_version,
    CAST(j.description AS nvarchar(512)) AS description,
    j.enabled AS enabled,
    CAST(j.schedule_interval_type AS nvarchar(50)) AS schedule_interval_type,
    j.schedule_interval_count AS schedule_interval_count,
    j.schedule_start_time AS schedule_start_time,
    j.schedule_end_time AS schedule_end_time
FROM jobs_internal.jobs AS j
WHERE j.delete_time IS NULL

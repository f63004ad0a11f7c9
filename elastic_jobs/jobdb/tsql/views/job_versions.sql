-- All versions of the jobs, beginning with 0, which has no steps.
CREATE VIEW jobs.job_versions
AS
SELECT
    CAST(j.name AS nvarchar(128)) AS job_name,
    /* uuid */ j.id AS job_id,
    v.version AS job_version
FROM jobs_internal.jobs AS j
JOIN jobs_internal.job_versions AS v ON v.job_id = j.id
WHERE j.delete_time IS NULL

-- What the audit trail keeps of a job, as JSON.
CREATE FUNCTION jobs_internal.job_snapshot (@job_id uniqueidentifier)
RETURNS nvarchar(max)
AS
BEGIN
    RETURN (
        SELECT CONCAT(
            N'{"id": "', LOWER(CONVERT(nvarchar(36), j.id)), N'", "name": ', jobs_internal.json_text(j.name),
            N', "description": ', jobs_internal.json_text(j.description), N', "version": ', j.version,
            N', "schedule": {"interval_type": "', j.schedule_interval_type,
            N'", "interval_count": ', j.schedule_interval_count,
            N', "start_time": ', jobs_internal.json_text(jobs_internal.json_time(j.schedule_start_time)),
            N', "end_time": ', jobs_internal.json_text(jobs_internal.json_time(j.schedule_end_time)),
            N', "enabled": ', CASE WHEN j.enabled = 1 THEN N'true' ELSE N'false' END,
            N'}, "next_run_time": ', jobs_internal.json_text(jobs_internal.json_time(j.next_run_time)), N'}'
        )
        FROM jobs_internal.jobs AS j
        WHERE j.id = @job_id
    );
END

-- What runs and ran: a row per run (no step_id), per step of a run (its target is the target group), and per target
-- database of a step. job_execution_id is that of the run on all of them. target_id of a database's row is the id of its
-- execution: the internal_execution_id of the output tables.
-- What is active stands apart from what has ended, each with a constant: a query for is_active = 1 then reads the indexes
-- of what is active, and leaves the history alone.
CREATE VIEW jobs.job_executions
AS
SELECT
    /* uuid */ e.id AS job_execution_id,
    CAST(j.name AS nvarchar(128)) AS job_name,
    /* uuid */ e.job_id AS job_id,
    e.job_version AS job_version,
    CAST(NULL AS int) AS step_id,
    CAST(1 AS bit) AS is_active,
    CAST(e.lifecycle AS nvarchar(50)) AS lifecycle,
    e.create_time AS create_time,
    e.start_time AS start_time,
    e.end_time AS end_time,
    CAST(0 AS int) AS current_attempts,
    CAST(NULL AS datetime2(7)) AS current_attempt_start_time,
    CAST(NULL AS datetime2(7)) AS next_attempt_start_time,
    e.last_message AS last_message,
    CAST(NULL AS nvarchar(128)) AS target_type,
    CAST(NULL AS uniqueidentifier) AS target_id,
    CAST(NULL AS nvarchar(128)) AS target_group_name,
    CAST(NULL AS nvarchar(256)) AS target_server_name,
    CAST(NULL AS nvarchar(128)) AS target_database_name,
    CAST(NULL AS nvarchar(128)) AS step_name,
    CAST(NULL AS nvarchar(128)) AS target_resource_group_name,
    CAST(NULL AS nvarchar(128)) AS target_elastic_pool_name
FROM jobs_internal.job_executions AS e
JOIN jobs_internal.jobs AS j ON j.id = e.job_id
WHERE e.is_active = 1 AND j.delete_time IS NULL
UNION ALL
SELECT
    /* uuid */ e.id,
    CAST(j.name AS nvarchar(128)),
    /* uuid */ e.job_id,
    e.job_version,
    CAST(NULL AS int),
    CAST(0 AS bit),
    CAST(e.lifecycle AS nvarchar(50)),
    e.create_time,
    e.start_time,
    e.end_time,
    CAST(0 AS int),
    CAST(NULL AS datetime2(7)),
    CAST(NULL AS datetime2(7)),
    e.last_message,
    CAST(NULL AS nvarchar(128)),
    CAST(NULL AS uniqueidentifier),
    CAST(NULL AS nvarchar(128)),
    CAST(NULL AS nvarchar(256)),
    CAST(NULL AS nvarchar(128)),
    CAST(NULL AS nvarchar(128)),
    CAST(NULL AS nvarchar(128)),
    CAST(NULL AS nvarchar(128))
FROM jobs_internal.job_executions AS e
JOIN jobs_internal.jobs AS j ON j.id = e.job_id
WHERE e.is_active = 0 AND j.delete_time IS NULL
UNION ALL
SELECT
    /* uuid */ s.job_execution_id,
    CAST(j.name AS nvarchar(128)),
    /* uuid */ s.job_id,
    s.job_version,
    s.step_id,
    CAST(1 AS bit),
    CAST(s.lifecycle AS nvarchar(50)),
    s.create_time,
    s.start_time,
    s.end_time,
    s.current_attempts,
    s.current_attempt_start_time,
    s.next_attempt_start_time,
    s.last_message,
    CAST('TargetGroup' AS nvarchar(128)),
    /* uuid */ d.target_group_id,
    CAST(d.target_group_name AS nvarchar(128)),
    CAST(NULL AS nvarchar(256)),
    CAST(NULL AS nvarchar(128)),
    CAST(s.step_name AS nvarchar(128)),
    CAST(NULL AS nvarchar(128)),
    CAST(NULL AS nvarchar(128))
FROM jobs_internal.step_executions AS s
JOIN jobs_internal.jobs AS j ON j.id = s.job_id
LEFT JOIN jobs_internal.job_steps AS d ON d.job_id = s.job_id AND d.job_version = s.job_version AND d.step_id = s.step_id
WHERE s.is_active = 1 AND j.delete_time IS NULL
UNION ALL
SELECT
    /* uuid */ s.job_execution_id,
    CAST(j.name AS nvarchar(128)),
    /* uuid */ s.job_id,
    s.job_version,
    s.step_id,
    CAST(0 AS bit),
    CAST(s.lifecycle AS nvarchar(50)),
    s.create_time,
    s.start_time,
    s.end_time,
    s.current_attempts,
    s.current_attempt_start_time,
    s.next_attempt_start_time,
    s.last_message,
    CAST('TargetGroup' AS nvarchar(128)),
    /* uuid */ d.target_group_id,
    CAST(d.target_group_name AS nvarchar(128)),
    CAST(NULL AS nvarchar(256)),
    CAST(NULL AS nvarchar(128)),
    CAST(s.step_name AS nvarchar(128)),
    CAST(NULL AS nvarchar(128)),
    CAST(NULL AS nvarchar(128))
FROM jobs_internal.step_executions AS s
JOIN jobs_internal.jobs AS j ON j.id = s.job_id
LEFT JOIN jobs_internal.job_steps AS d ON d.job_id = s.job_id AND d.job_version = s.job_version AND d.step_id = s.step_id
WHERE s.is_active = 0 AND j.delete_time IS NULL
UNION ALL
SELECT
    /* uuid */ t.job_execution_id,
    CAST(j.name AS nvarchar(128)),
    /* uuid */ t.job_id,
    s.job_version,
    s.step_id,
    CAST(1 AS bit),
    CAST(t.lifecycle AS nvarchar(50)),
    t.create_time,
    t.start_time,
    t.end_time,
    t.current_attempts,
    t.current_attempt_start_time,
    t.next_attempt_start_time,
    t.last_message,
    CAST('SqlDatabase' AS nvarchar(128)),
    /* uuid */ t.id,
    CAST(d.target_group_name AS nvarchar(128)),
    CAST(t.server_name AS nvarchar(256)),
    CAST(t.database_name AS nvarchar(128)),
    CAST(s.step_name AS nvarchar(128)),
    CAST(NULL AS nvarchar(128)),
    CAST(t.elastic_pool_name AS nvarchar(128))
FROM jobs_internal.target_executions AS t
JOIN jobs_internal.step_executions AS s ON s.id = t.step_execution_id
JOIN jobs_internal.jobs AS j ON j.id = t.job_id
LEFT JOIN jobs_internal.job_steps AS d ON d.job_id = s.job_id AND d.job_version = s.job_version AND d.step_id = s.step_id
WHERE t.is_active = 1 AND j.delete_time IS NULL
UNION ALL
SELECT
    /* uuid */ t.job_execution_id,
    CAST(j.name AS nvarchar(128)),
    /* uuid */ t.job_id,
    s.job_version,
    s.step_id,
    CAST(0 AS bit),
    CAST(t.lifecycle AS nvarchar(50)),
    t.create_time,
    t.start_time,
    t.end_time,
    t.current_attempts,
    t.current_attempt_start_time,
    t.next_attempt_start_time,
    t.last_message,
    CAST('SqlDatabase' AS nvarchar(128)),
    /* uuid */ t.id,
    CAST(d.target_group_name AS nvarchar(128)),
    CAST(t.server_name AS nvarchar(256)),
    CAST(t.database_name AS nvarchar(128)),
    CAST(s.step_name AS nvarchar(128)),
    CAST(NULL AS nvarchar(128)),
    CAST(t.elastic_pool_name AS nvarchar(128))
FROM jobs_internal.target_executions AS t
JOIN jobs_internal.step_executions AS s ON s.id = t.step_execution_id
JOIN jobs_internal.jobs AS j ON j.id = t.job_id
LEFT JOIN jobs_internal.job_steps AS d ON d.job_id = s.job_id AND d.job_version = s.job_version AND d.step_id = s.step_id
WHERE t.is_active = 0 AND j.delete_time IS NULL

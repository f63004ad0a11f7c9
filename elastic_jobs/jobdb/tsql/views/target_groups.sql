-- Target groups.
CREATE VIEW jobs.target_groups
AS
SELECT
    CAST(g.name AS nvarchar(128)) AS target_group_name,
    /* uuid */ g.id AS target_group_id
FROM jobs_internal.target_groups AS g

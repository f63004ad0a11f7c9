-- Members of target groups. No procedure sets a subscription or a resource group: these columns are NULL.
CREATE VIEW jobs.target_group_members
AS
SELECT
    CAST(g.name AS nvarchar(128)) AS target_group_name,
    /* uuid */ g.id AS target_group_id,
    CAST(m.membership_type AS nvarchar(50)) AS membership_type,
    CAST(m.target_type AS nvarchar(128)) AS target_type,
    /* uuid */ m.id AS target_id,
    CAST(m.refresh_credential_name AS nvarchar(128)) AS refresh_credential_name,
    CAST(NULL AS uniqueidentifier) AS subscription_id,
    CAST(NULL AS nvarchar(128)) AS resource_group_name,
    CAST(m.server_name AS nvarchar(128)) AS server_name,
    CAST(m.database_name AS nvarchar(128)) AS database_name,
    CAST(m.elastic_pool_name AS nvarchar(128)) AS elastic_pool_name,
    CAST(m.shard_map_name AS nvarchar(128)) AS shard_map_name
FROM jobs_internal.target_groups AS g
JOIN jobs_internal.target_group_members AS m ON m.target_group_id = g.id

-- What the audit trail keeps of a member of a target group, as JSON.
CREATE FUNCTION jobs_internal.member_snapshot (@target_id uniqueidentifier)
RETURNS nvarchar(max)
AS
BEGIN
    RETURN (
        SELECT CONCAT(
            N'{"id": "', LOWER(CONVERT(nvarchar(36), m.id)),
            N'", "target_type": "', m.target_type, N'", "server_name": ', jobs_internal.json_text(m.server_name),
            N', "membership_type": "', m.membership_type,
            N'", "database_name": ', jobs_internal.json_text(m.database_name),
            N', "elastic_pool_name": ', jobs_internal.json_text(m.elastic_pool_name),
            N', "shard_map_name": ', jobs_internal.json_text(m.shard_map_name),
            N', "refresh_credential_name": ', jobs_internal.json_text(m.refresh_credential_name), N'}'
        )
        FROM jobs_internal.target_group_members AS m
        WHERE m.id = @target_id
    );
END

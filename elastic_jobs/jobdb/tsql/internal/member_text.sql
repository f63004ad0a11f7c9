-- How a member of a target group is named in sentences: SqlDatabase 'server1/database1'.
CREATE FUNCTION jobs_internal.member_text (
    @target_type nvarchar(50),
    @server_name nvarchar(256),
    @database_name nvarchar(128),
    @elastic_pool_name nvarchar(128),
    @shard_map_name nvarchar(128)
)
RETURNS nvarchar(1000)
AS
BEGIN
    RETURN CONCAT(@target_type, N' ''', @server_name, N'/' + NULLIF(@database_name, N''),
        N'/' + NULLIF(@elastic_pool_name, N''), N'/' + NULLIF(@shard_map_name, N''), N'''');
END

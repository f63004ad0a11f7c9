-- Adds a server, pool, database or shard map to a target group, to be included or excluded.
CREATE PROCEDURE jobs.sp_add_target_group_member
    @target_group_name nvarchar(128),
    @membership_type nvarchar(128) = N'Include',
    @target_type nvarchar(128),
    @refresh_credential_name nvarchar(128) = NULL,
    @server_name nvarchar(128) = NULL,
    @database_name nvarchar(128) = NULL,
    @elastic_pool_name nvarchar(128) = NULL,
    @shard_map_name nvarchar(128) = NULL,
    @target_id uniqueidentifier = NULL OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @own bit = CASE WHEN @@TRANCOUNT = 0 THEN 1 ELSE 0 END;
    -- Within the caller's transaction an error takes back what this call did, and no more.
    IF @own = 1 SET XACT_ABORT ON; ELSE SET XACT_ABORT OFF;
    DECLARE @error nvarchar(2048);
    DECLARE @group_id uniqueidentifier;
    DECLARE @name nvarchar(128);
    DECLARE @membership nvarchar(50);
    DECLARE @type nvarchar(50);
    DECLARE @member nvarchar(1000);
    DECLARE @needed_for nvarchar(1000);
    DECLARE @position int;
    DECLARE @resource nvarchar(512);
    DECLARE @after nvarchar(max);
    BEGIN TRY
        IF @own = 1 BEGIN TRANSACTION; ELSE SAVE TRANSACTION elastic_jobs;
        EXEC jobs_internal.lock_agent;
        EXEC jobs_internal.get_group
            @target_group_name = @target_group_name, @group_id = @group_id OUTPUT, @name = @name OUTPUT;
        SET @membership = CASE LOWER(COALESCE(@membership_type, N'Include'))
            WHEN N'include' THEN N'Include' WHEN N'exclude' THEN N'Exclude' END;
        SET @type = CASE LOWER(@target_type)
            WHEN N'sqlserver' THEN N'SqlServer' WHEN N'sqlelasticpool' THEN N'SqlElasticPool'
            WHEN N'sqldatabase' THEN N'SqlDatabase' WHEN N'sqlshardmap' THEN N'SqlShardMap' END;
        SET @member = jobs_internal.member_text(@type, @server_name, @database_name, @elastic_pool_name, @shard_map_name);
        SET @refresh_credential_name = NULLIF(@refresh_credential_name, N'');
        IF @membership = N'Include' AND @type <> N'SqlDatabase'
            SET @needed_for = CONCAT(N'member ', @member);
        SET @error = CASE
            WHEN @membership IS NULL THEN
                CONCAT(N'''', @membership_type, N''' is no membership type; use Include or Exclude.')
            WHEN LOWER(@target_type) = N'targetgroup' THEN
                N'A member of type TargetGroup cannot be added; no property could name the other group.'
            WHEN @type IS NULL THEN
                CONCAT(N'''', @target_type, N''' is no target type; use SqlServer, SqlElasticPool, SqlDatabase or SqlShardMap.')
        END;
        IF @error IS NULL
            SET @error = COALESCE(
                jobs_internal.text_error(N'server name of a member', @server_name),
                jobs_internal.member_name_error(N'database name', @database_name,
                    CASE WHEN @type IN (N'SqlDatabase', N'SqlShardMap') THEN 1 ELSE 0 END, @type, @member),
                jobs_internal.member_name_error(N'elastic pool name', @elastic_pool_name,
                    CASE WHEN @type = N'SqlElasticPool' THEN 1 ELSE 0 END, @type, @member),
                jobs_internal.member_name_error(N'shard map name', @shard_map_name,
                    CASE WHEN @type = N'SqlShardMap' THEN 1 ELSE 0 END, @type, @member));
        -- What is only excluded is never connected to.
        IF @error IS NULL AND @membership = N'Include'
            SET @error = jobs_internal.server_error(@server_name);
        IF @error IS NULL
            SET @error = jobs_internal.credential_error(@refresh_credential_name, @needed_for);
        IF @error IS NULL AND @membership = N'Include'
            SET @error = jobs_internal.scope_error(@refresh_credential_name, @server_name, CONCAT(N'member ', @member));
        IF @error IS NULL AND EXISTS (
            SELECT m.id
            FROM jobs_internal.target_group_members AS m
            WHERE m.target_group_id = @group_id AND m.membership_type = @membership AND m.target_type = @type
                AND jobs_internal.canonical_server(m.server_name) = jobs_internal.canonical_server(@server_name)
                AND LOWER(COALESCE(m.database_name, N'')) = LOWER(COALESCE(@database_name, N''))
                AND LOWER(COALESCE(m.elastic_pool_name, N'')) = LOWER(COALESCE(@elastic_pool_name, N''))
                AND LOWER(COALESCE(m.shard_map_name, N'')) = LOWER(COALESCE(@shard_map_name, N''))
        )
            SET @error = CONCAT(N'The target group ''', @name, N''' has the member ', @member, N' (', @membership,
                N') twice; leave one out.');
        -- The steps that run on the group will send their credentials there, too.
        IF @error IS NULL AND @membership = N'Include'
            SELECT TOP (1) @error = u.error
            FROM (
                SELECT
                    j.name AS job_name, s.step_id AS step_id,
                    jobs_internal.scope_error(s.credential_name, @server_name,
                        CONCAT(N'step ''', s.name, N''' of job ''', j.name, N'''')) AS error
                FROM jobs_internal.jobs AS j
                JOIN jobs_internal.job_steps AS s ON s.job_id = j.id AND s.job_version = j.version
                WHERE s.target_group_id = @group_id AND j.delete_time IS NULL
            ) AS u
            WHERE u.error IS NOT NULL
            ORDER BY u.job_name, u.step_id;
        IF @error IS NOT NULL
            THROW 50000, @error, 1;
        SELECT @refresh_credential_name = c.name FROM jobs_internal.credentials AS c WHERE c.name = @refresh_credential_name;
        SELECT @position = COUNT(*) + 1 FROM jobs_internal.target_group_members AS m WHERE m.target_group_id = @group_id;
        SET @target_id = NEWID();
        INSERT INTO jobs_internal.target_group_members (
            id, target_group_id, position, membership_type, target_type, server_name, database_name, elastic_pool_name,
            shard_map_name, refresh_credential_name
        )
        VALUES (
            @target_id, @group_id, @position, @membership, @type, @server_name, @database_name, @elastic_pool_name,
            @shard_map_name, @refresh_credential_name
        );
        SET @resource = CONCAT(N'targetGroups/', @name);
        SET @after = CONCAT(N'{"added": ', jobs_internal.member_snapshot(@target_id), N'}');
        EXEC jobs_internal.record_audit @action = N'update target group', @resource = @resource, @after = @after;
        IF @own = 1 COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF @own = 1 AND XACT_STATE() <> 0 ROLLBACK TRANSACTION;
        IF @own = 0 AND XACT_STATE() = 1 ROLLBACK TRANSACTION elastic_jobs;
        THROW;
    END CATCH;
    RETURN 0;
END

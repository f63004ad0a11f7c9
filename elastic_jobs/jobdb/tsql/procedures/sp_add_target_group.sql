-- Adds a target group without members.
CREATE PROCEDURE jobs.sp_add_target_group
    @target_group_name nvarchar(128),
    @target_group_id uniqueidentifier = NULL OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @own bit = CASE WHEN @@TRANCOUNT = 0 THEN 1 ELSE 0 END;
    -- Within the caller's transaction an error takes back what this call did, and no more.
    IF @own = 1 SET XACT_ABORT ON; ELSE SET XACT_ABORT OFF;
    DECLARE @error nvarchar(2048);
    DECLARE @other nvarchar(128);
    DECLARE @resource nvarchar(512);
    DECLARE @after nvarchar(max);
    BEGIN TRY
        IF @own = 1 BEGIN TRANSACTION; ELSE SAVE TRANSACTION elastic_jobs;
        EXEC jobs_internal.lock_agent;
        SET @error = jobs_internal.name_error(N'target group', @target_group_name);
        SELECT @other = g.name FROM jobs_internal.target_groups AS g WHERE g.name = @target_group_name;
        IF @error IS NULL AND @other IS NOT NULL
            SET @error = CONCAT(N'There is a target group ''', @other, N''' already; choose another name.');
        IF @error IS NOT NULL
            THROW 50000, @error, 1;
        SET @target_group_id = NEWID();
        INSERT INTO jobs_internal.target_groups (id, name, create_time)
        VALUES (@target_group_id, @target_group_name, SYSUTCDATETIME());
        SET @resource = CONCAT(N'targetGroups/', @target_group_name);
        SET @after = CONCAT(
            N'{"id": "', LOWER(CONVERT(nvarchar(36), @target_group_id)), N'", "name": ',
            jobs_internal.json_text(@target_group_name), N', "members": []}');
        EXEC jobs_internal.record_audit @action = N'create target group', @resource = @resource, @after = @after;
        IF @own = 1 COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF @own = 1 AND XACT_STATE() <> 0 ROLLBACK TRANSACTION;
        IF @own = 0 AND XACT_STATE() = 1 ROLLBACK TRANSACTION elastic_jobs;
        THROW;
    END CATCH;
    RETURN 0;
END

-- Removes a member, by the id that jobs.target_group_members shows. Refused when it is the last one that is included and a
-- step runs on the group: the step would succeed without having done anything.
CREATE PROCEDURE jobs.sp_delete_target_group_member
    @target_group_name nvarchar(128),
    @target_id uniqueidentifier = NULL
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @own bit = CASE WHEN @@TRANCOUNT = 0 THEN 1 ELSE 0 END;
    -- Within the caller's transaction an error takes back what this call did, and no more.
    IF @own = 1 SET XACT_ABORT ON; ELSE SET XACT_ABORT OFF;
    DECLARE @error nvarchar(2048);
    DECLARE @group_id uniqueidentifier;
    DECLARE @name nvarchar(128);
    DECLARE @position int;
    DECLARE @membership nvarchar(50);
    DECLARE @steps nvarchar(2048);
    DECLARE @resource nvarchar(512);
    DECLARE @before nvarchar(max);
    BEGIN TRY
        IF @own = 1 BEGIN TRANSACTION; ELSE SAVE TRANSACTION elastic_jobs;
        EXEC jobs_internal.lock_agent;
        EXEC jobs_internal.get_group
            @target_group_name = @target_group_name, @group_id = @group_id OUTPUT, @name = @name OUTPUT;
        SELECT @position = m.position, @membership = m.membership_type
        FROM jobs_internal.target_group_members AS m
        WHERE m.target_group_id = @group_id AND m.id = @target_id;
        IF @target_id IS NULL
            SET @error = N'Name the member to remove with @target_id; jobs.target_group_members shows the ids.';
        ELSE IF @position IS NULL
            SET @error = CONCAT(N'The target group ''', @name, N''' has no member with the id ',
                LOWER(CONVERT(nvarchar(36), @target_id)), N'.');
        ELSE IF @membership = N'Include' AND NOT EXISTS (
            SELECT m.id
            FROM jobs_internal.target_group_members AS m
            WHERE m.target_group_id = @group_id AND m.membership_type = N'Include' AND m.id <> @target_id
        )
        BEGIN
            SET @steps = jobs_internal.steps_using_group(@group_id);
            IF @steps IS NOT NULL
                SET @error = CONCAT(N'The target group ''', @name, N''' would be left without an included member, but ', @steps,
                    N' runs on it; keep a member, or give the step another target group first.');
        END;
        IF @error IS NOT NULL
            THROW 50000, @error, 1;
        SET @before = CONCAT(N'{"removed": ', jobs_internal.member_snapshot(@target_id), N'}');
        DELETE FROM jobs_internal.target_group_members WHERE id = @target_id;
        UPDATE jobs_internal.target_group_members SET position = position - 1
        WHERE target_group_id = @group_id AND position > @position;
        SET @resource = CONCAT(N'targetGroups/', @name);
        EXEC jobs_internal.record_audit @action = N'update target group', @resource = @resource, @before = @before;
        IF @own = 1 COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF @own = 1 AND XACT_STATE() <> 0 ROLLBACK TRANSACTION;
        IF @own = 0 AND XACT_STATE() = 1 ROLLBACK TRANSACTION elastic_jobs;
        THROW;
    END CATCH;
    RETURN 0;
END

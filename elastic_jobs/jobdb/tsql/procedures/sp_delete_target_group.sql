-- Deletes a target group with its members; refused while a step of a current version runs on it.
CREATE PROCEDURE jobs.sp_delete_target_group
    @target_group_name nvarchar(128)
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @own bit = CASE WHEN @@TRANCOUNT = 0 THEN 1 ELSE 0 END;
    -- Within the caller's transaction an error takes back what this call did, and no more.
    IF @own = 1 SET XACT_ABORT ON; ELSE SET XACT_ABORT OFF;
    DECLARE @error nvarchar(2048);
    DECLARE @group_id uniqueidentifier;
    DECLARE @name nvarchar(128);
    DECLARE @steps nvarchar(2048);
    DECLARE @resource nvarchar(512);
    DECLARE @before nvarchar(max);
    BEGIN TRY
        IF @own = 1 BEGIN TRANSACTION; ELSE SAVE TRANSACTION elastic_jobs;
        EXEC jobs_internal.lock_agent;
        EXEC jobs_internal.get_group
            @target_group_name = @target_group_name, @group_id = @group_id OUTPUT, @name = @name OUTPUT;
        SET @steps = jobs_internal.steps_using_group(@group_id);
        IF @steps IS NOT NULL
        BEGIN
            SET @error = CONCAT(N'The target group ''', @name, N''' is used by ', @steps,
                N'; give these another target group or delete them first.');
            THROW 50000, @error, 1;
        END;
        DELETE FROM jobs_internal.target_groups WHERE id = @group_id;
        SET @resource = CONCAT(N'targetGroups/', @name);
        SET @before = CONCAT(
            N'{"id": "', LOWER(CONVERT(nvarchar(36), @group_id)), N'", "name": ', jobs_internal.json_text(@name), N'}');
        EXEC jobs_internal.record_audit @action = N'delete target group', @resource = @resource, @before = @before;
        IF @own = 1 COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF @own = 1 AND XACT_STATE() <> 0 ROLLBACK TRANSACTION;
        IF @own = 0 AND XACT_STATE() = 1 ROLLBACK TRANSACTION elastic_jobs;
        THROW;
    END CATCH;
    RETURN 0;
END

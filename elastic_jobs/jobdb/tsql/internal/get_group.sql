-- Looks a target group up by its name.
CREATE PROCEDURE jobs_internal.get_group
    @target_group_name nvarchar(128),
    @group_id uniqueidentifier OUTPUT,
    @name nvarchar(128) OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @error nvarchar(2048);
    SELECT @group_id = NULL, @name = NULL;
    SELECT @group_id = g.id, @name = g.name FROM jobs_internal.target_groups AS g WHERE g.name = @target_group_name;
    IF @group_id IS NULL
    BEGIN
        SET @error = CONCAT(N'There is no target group ''', @target_group_name, N'''.');
        THROW 50000, @error, 1;
    END;
END

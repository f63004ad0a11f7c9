-- Wakes the agent at once, when jobs_internal.wake_endpoint says how; otherwise its next tick finds what was done.
-- A failure changes nothing but timing, so it is not told. Within the caller's transaction there is nothing to see yet.
CREATE PROCEDURE jobs_internal.wake
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @url nvarchar(4000);
    DECLARE @credential sysname;
    IF @@TRANCOUNT > 0
        RETURN 0;
    SELECT @url = w.url, @credential = w.credential_name FROM jobs_internal.wake_endpoint AS w WHERE w.id = 1;
    IF @url IS NULL
        RETURN 0;
    BEGIN TRY
        -- As text: SQL Server 2019 and 2022 do not have the procedure.
        EXEC sp_executesql
            N'DECLARE @answer nvarchar(max);
              EXEC sp_invoke_external_rest_endpoint @url = @url, @method = N''POST'', @credential = @credential,
                  @timeout = 5, @response = @answer OUTPUT;',
            N'@url nvarchar(4000), @credential sysname',
            @url = @url, @credential = @credential;
    END TRY
    BEGIN CATCH
        IF XACT_STATE() <> 0 AND @@TRANCOUNT > 0
            ROLLBACK TRANSACTION;
    END CATCH;
    RETURN 0;
END

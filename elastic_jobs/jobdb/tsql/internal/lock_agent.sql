-- Changes of definitions come one by one: an UPDATE that changes nothing locks the agent's row on every engine.
CREATE PROCEDURE jobs_internal.lock_agent
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @rows int;
    UPDATE jobs_internal.agent SET name = name;
    SET @rows = @@ROWCOUNT;
    IF @rows = 0
        THROW 50000, N'There is no agent ''''. Create the job agent first.', 1;
END

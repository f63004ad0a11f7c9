-- An instant as the audit trail and the sentences write it.
CREATE FUNCTION jobs_internal.json_time (@time datetime2(7))
RETURNS nvarchar(40)
AS
BEGIN
    RETURN REPLACE(CONVERT(nvarchar(19), @time, 120), N' ', N'T') + N'+00:00';
END

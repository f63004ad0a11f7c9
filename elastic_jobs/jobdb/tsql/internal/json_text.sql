-- A text as a JSON value, for the audit trail.
CREATE FUNCTION jobs_internal.json_text (@text nvarchar(max))
RETURNS nvarchar(max)
AS
BEGIN
    RETURN COALESCE(N'"' + STRING_ESCAPE(@text, 'json') + N'"', N'null');
END

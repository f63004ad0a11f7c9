-- The canonical spelling of a schedule's interval type, or NULL.
CREATE FUNCTION jobs_internal.interval_type (@type nvarchar(50))
RETURNS nvarchar(50)
AS
BEGIN
    RETURN CASE LOWER(@type)
        WHEN N'once' THEN N'Once'
        WHEN N'minutes' THEN N'Minutes'
        WHEN N'hours' THEN N'Hours'
        WHEN N'days' THEN N'Days'
        WHEN N'weeks' THEN N'Weeks'
        WHEN N'months' THEN N'Months'
    END;
END

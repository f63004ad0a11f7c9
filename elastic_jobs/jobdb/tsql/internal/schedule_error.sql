-- The sentence against a schedule; NULL: there is none. @type is as the caller wrote it.
CREATE FUNCTION jobs_internal.schedule_error (@type nvarchar(50), @count int, @start datetime2(7), @end datetime2(7))
RETURNS nvarchar(2048)
AS
BEGIN
    DECLARE @canonical nvarchar(50) = jobs_internal.interval_type(@type);
    IF @canonical IS NULL
        RETURN CONCAT(N'''', @type, N''' is no interval type; use Once, Minutes, Hours, Days, Weeks or Months.');
    -- Days of one interval; at most a hundred years of them.
    DECLARE @days float = CASE @canonical
        WHEN N'Minutes' THEN 1.0 / 1440 WHEN N'Hours' THEN 1.0 / 24 WHEN N'Days' THEN 1.0
        WHEN N'Weeks' THEN 7.0 WHEN N'Months' THEN 365.25 / 12 ELSE 0.0
    END;
    IF @canonical <> N'Once' AND (@count < 1 OR @days * @count > 36525)
        RETURN CONCAT(N'The schedule repeats every ', @count, N' ', LOWER(@canonical),
            N'; the interval must be at least 1 minute and at most 100 years.');
    IF @end < @start
        RETURN CONCAT(N'The schedule ends at ', jobs_internal.json_time(@end), N', before it starts at ',
            jobs_internal.json_time(@start), N'.');
    RETURN NULL;
END

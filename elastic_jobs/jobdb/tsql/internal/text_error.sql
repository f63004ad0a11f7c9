-- The sentence against a short text that is empty, has control characters or half characters; NULL: there is none.
-- The length needs no check: the parameters of the procedures are as long as the columns.
CREATE FUNCTION jobs_internal.text_error (@what nvarchar(200), @text nvarchar(512))
RETURNS nvarchar(2048)
AS
BEGIN
    IF jobs_internal.is_blank(@text) = 1
        RETURN CONCAT(N'The ', @what, N' is empty.');
    DECLARE @at int = 1;
    DECLARE @previous int = 0;
    DECLARE @code int;
    DECLARE @length int = LEN(@text + N'.') - 1; -- LEN leaves spaces at the end out
    DECLARE @bad bit = 0;
    -- Where the collation counts in UTF-16 units, a pair comes as a high and a low surrogate; else as one code.
    WHILE @at <= @length
    BEGIN
        SET @code = UNICODE(SUBSTRING(@text, @at, 1));
        IF @code BETWEEN 0 AND 31 OR @code BETWEEN 127 AND 159
            SET @bad = 1;
        IF @code BETWEEN 56320 AND 57343 AND @previous NOT BETWEEN 55296 AND 56319
            SET @bad = 1;
        IF @previous BETWEEN 55296 AND 56319 AND @code NOT BETWEEN 56320 AND 57343
            SET @bad = 1;
        SET @previous = @code;
        SET @at = @at + 1;
    END;
    IF @bad = 1 OR @previous BETWEEN 55296 AND 56319
        RETURN CONCAT(N'The ', @what, N' contains control characters; remove them.');
    RETURN NULL;
END

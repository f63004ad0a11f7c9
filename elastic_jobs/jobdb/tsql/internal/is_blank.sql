-- Whether a text is NULL, empty or nothing but white space.
CREATE FUNCTION jobs_internal.is_blank (@text nvarchar(max))
RETURNS bit
AS
BEGIN
    DECLARE @at int = 1;
    DECLARE @length int = LEN(@text + N'.') - 1; -- LEN leaves spaces at the end out
    WHILE @at <= @length
    BEGIN
        IF jobs_internal.is_space(UNICODE(SUBSTRING(@text, @at, 1))) = 0
            RETURN 0;
        SET @at = @at + 1;
    END;
    RETURN 1;
END

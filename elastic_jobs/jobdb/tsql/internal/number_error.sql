-- The sentence against a whole number that is too small; NULL: there is none.
CREATE FUNCTION jobs_internal.number_error (@what nvarchar(100), @value int, @least int)
RETURNS nvarchar(2048)
AS
BEGIN
    IF @value < @least
        RETURN CONCAT(N'The ', @what, N' is ', @value, N'; it must be a whole number from ', @least, N' to 2147483647.');
    RETURN NULL;
END

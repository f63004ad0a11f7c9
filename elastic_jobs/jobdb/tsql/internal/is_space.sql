-- Whether a character, told by its code, is white space: what Python's str.strip() takes away.
CREATE FUNCTION jobs_internal.is_space (@code int)
RETURNS bit
AS
BEGIN
    RETURN CASE
        WHEN @code BETWEEN 9 AND 13 OR @code BETWEEN 28 AND 32 OR @code IN (133, 160, 5760)
            OR @code BETWEEN 8192 AND 8202 OR @code IN (8232, 8233, 8239, 8287, 12288) THEN 1
        ELSE 0
    END;
END

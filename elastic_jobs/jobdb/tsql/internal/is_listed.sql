-- Whether a server, by its canonical name, is on a list of names and *.parents that stand between two commas each.
CREATE FUNCTION jobs_internal.is_listed (@host nvarchar(512), @list nvarchar(max))
RETURNS bit
AS
BEGIN
    RETURN CASE
        WHEN CHARINDEX(CONCAT(N',', @host, N','), @list) > 0 THEN 1
        WHEN CHARINDEX(CONCAT(N',*', SUBSTRING(@host, CHARINDEX(N'.', @host), 512), N','), @list) > 0 THEN 1
        ELSE 0
    END;
END

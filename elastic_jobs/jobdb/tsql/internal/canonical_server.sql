-- A server's name written in one way: lower-case, with the deployment's suffix, without tcp: and port.
CREATE FUNCTION jobs_internal.canonical_server (@name nvarchar(256))
RETURNS nvarchar(512)
AS
BEGIN
    DECLARE @host nvarchar(512) = LTRIM(RTRIM(LOWER(@name)));
    IF LEFT(@host, 4) = N'tcp:'
        SET @host = SUBSTRING(@host, 5, 512);
    IF CHARINDEX(N',', @host) > 0
        SET @host = LEFT(@host, CHARINDEX(N',', @host) - 1);
    SET @host = LTRIM(RTRIM(@host));
    WHILE RIGHT(@host, 1) = N'.'
        SET @host = LEFT(@host, LEN(@host) - 1);
    IF @host <> N'' AND CHARINDEX(N'.', @host) = 0
        SET @host = CONCAT(
            @host,
            COALESCE((SELECT d.server_suffix FROM jobs_internal.deployment AS d WHERE d.id = 1), N'.database.windows.net')
        );
    RETURN @host;
END

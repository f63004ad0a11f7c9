-- The sentence against a server that no credential may be sent to; NULL: it may. As long as the app has not written
-- its list of allowed servers down, only the form of the name is checked: the app checks the list whenever it connects.
CREATE FUNCTION jobs_internal.server_error (@name nvarchar(256))
RETURNS nvarchar(2048)
AS
BEGIN
    DECLARE @host nvarchar(512) = jobs_internal.canonical_server(@name);
    DECLARE @comma int = CHARINDEX(N',', @name);
    IF @comma > 0 AND LTRIM(RTRIM(SUBSTRING(@name, @comma + 1, 256))) NOT IN (N'', N'1433')
        RETURN CONCAT(N'Server ''', @host, N''' is named with a port other than 1433; name it without one, and put a'
            + N' different address into the setting TARGET_SERVER_ADDRESSES.');
    DECLARE @bad bit = CASE WHEN LEN(@host) BETWEEN 1 AND 253 THEN 0 ELSE 1 END;
    DECLARE @at int = 1;
    DECLARE @label int = 0;
    DECLARE @digits int = 0;
    DECLARE @previous int = 46;
    DECLARE @code int;
    -- Labels of 1 to 63 letters, digits and hyphens, with no hyphen at either end; one more dot ends the last of them.
    WHILE @bad = 0 AND @at <= LEN(@host) + 1
    BEGIN
        SET @code = UNICODE(SUBSTRING(@host + N'.', @at, 1));
        IF @code = 46
        BEGIN
            IF @previous IN (45, 46) OR @label > 63
                SET @bad = 1;
            -- A last label of digits makes an IPv4 address, which names no certificate and no logical server.
            IF @at = LEN(@host) + 1 AND @digits = @label
                SET @bad = 1;
            SELECT @label = 0, @digits = 0;
        END
        ELSE
        BEGIN
            IF NOT (@code BETWEEN 97 AND 122 OR @code BETWEEN 48 AND 57 OR (@code = 45 AND @previous <> 46))
                SET @bad = 1;
            SET @label = @label + 1;
            IF @code BETWEEN 48 AND 57
                SET @digits = @digits + 1;
        END;
        SET @previous = @code;
        SET @at = @at + 1;
    END;
    DECLARE @suffix nvarchar(256);
    DECLARE @allowed nvarchar(max);
    SELECT @suffix = d.server_suffix, @allowed = d.allowed_servers FROM jobs_internal.deployment AS d WHERE d.id = 1;
    IF @bad = 1
        RETURN CONCAT(N'''', LEFT(@name, 253), N''' is no server name; write the name of the logical server, for'
            + N' example server1', COALESCE(@suffix, N'.database.windows.net'), N'.');
    IF @allowed IS NOT NULL AND jobs_internal.is_listed(@host, @allowed) = 0
        RETURN CONCAT(N'Server ''', @host, N''' is not on the list of allowed target servers, so no credential is sent'
            + N' to it. Add it to the setting ALLOWED_TARGET_SERVERS.');
    RETURN NULL;
END

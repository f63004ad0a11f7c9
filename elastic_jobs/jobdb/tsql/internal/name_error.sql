-- The sentence against a name that the job database, a URL or this interface could not carry; NULL: there is none.
CREATE FUNCTION jobs_internal.name_error (@kind nvarchar(50), @name nvarchar(128))
RETURNS nvarchar(2048)
AS
BEGIN
    DECLARE @error nvarchar(2048) = jobs_internal.text_error(CONCAT(N'name of the ', @kind), @name);
    IF @error IS NOT NULL
        RETURN @error;
    IF jobs_internal.is_space(UNICODE(LEFT(@name, 1))) = 1 OR jobs_internal.is_space(UNICODE(RIGHT(@name, 1))) = 1
        RETURN CONCAT(N'The name of the ', @kind, N' ''', @name, N''' begins or ends with a space; remove it.');
    IF @name IN (N'.', N'..')
        RETURN CONCAT(N'''', @name, N''' cannot be the name of a ', @kind, N'; choose another.');
    IF @kind = N'job' AND CHARINDEX(N'%', @name) > 0
        RETURN CONCAT(N'The name of the job ''', @name, N''' contains ''%'', which is not allowed; remove it.');
    RETURN NULL;
END

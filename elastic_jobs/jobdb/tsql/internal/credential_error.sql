-- The sentence against naming this credential, or none (NULL), in a definition; NULL: it is right.
-- @needed_for: what cannot do without a credential unless the agent has an identity; NULL: it is optional there.
CREATE FUNCTION jobs_internal.credential_error (@name nvarchar(128), @needed_for nvarchar(1000))
RETURNS nvarchar(2048)
AS
BEGIN
    DECLARE @agent nvarchar(128);
    DECLARE @identity nvarchar(512);
    SELECT @agent = a.name, @identity = a.identity_id FROM jobs_internal.agent AS a;
    IF @name IS NULL
    BEGIN
        IF @needed_for IS NOT NULL AND @identity IS NULL
            RETURN CONCAT(N'The ', @needed_for, N' needs a credential, because the job agent ''', @agent,
                N''' has no identity; name one, or give the agent a user-assigned identity.');
        RETURN NULL;
    END;
    IF @identity IS NOT NULL
        RETURN CONCAT(N'The credential ''', @name, N''' cannot be used: the job agent ''', @agent,
            N''' reaches its targets with its user-assigned identity; leave the credential out.');
    IF NOT EXISTS (SELECT c.id FROM jobs_internal.credentials AS c WHERE c.name = @name)
        RETURN CONCAT(N'Cannot reference the credential ''', @name,
            N''', because it does not exist or you do not have permission.',
            N' Add it to the job agent (PUT /agent/credentials/', @name,
            N' with username and password): the secret of a database scoped credential cannot be read from outside.');
    RETURN NULL;
END

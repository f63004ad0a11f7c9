-- The sentence against a definition that would send a credential, or the agent's identity, to a server outside the list
-- that it has of its own; NULL: there is none. @used_by: for the sentence, e.g. step 'x'.
CREATE FUNCTION jobs_internal.scope_error (
    @credential_name nvarchar(128), @server_name nvarchar(256), @used_by nvarchar(1000)
)
RETURNS nvarchar(2048)
AS
BEGIN
    DECLARE @host nvarchar(512) = jobs_internal.canonical_server(@server_name);
    DECLARE @who nvarchar(200) = N'identity of the job agent';
    DECLARE @identity nvarchar(512);
    DECLARE @allowed nvarchar(max);
    SELECT @identity = a.identity_id, @allowed = a.identity_allowed_servers FROM jobs_internal.agent AS a;
    IF @identity IS NULL
    BEGIN
        SET @allowed = NULL;
        SELECT @who = CONCAT(N'credential ''', c.name, N''''), @allowed = c.allowed_servers
        FROM jobs_internal.credentials AS c
        WHERE c.name = @credential_name;
    END;
    -- Without a list of its own it goes wherever the deployment lets it go.
    IF @allowed IS NULL OR jobs_internal.is_listed(@host, @allowed) = 1
        RETURN NULL;
    RETURN CONCAT(N'The ', @used_by, N' would send the ', @who, N' to server ''', @host,
        N''', which is not among its allowed servers; add the server there, or use another one.');
END

-- The sentence against the place where a step's result goes; NULL: there is none, or nothing is kept.
CREATE FUNCTION jobs_internal.output_error (
    @step_name nvarchar(128),
    @output_server_name nvarchar(256),
    @output_database_name nvarchar(128),
    @output_schema_name nvarchar(128),
    @output_table_name nvarchar(128),
    @output_credential_name nvarchar(128),
    @output_resource_group_name nvarchar(128)
)
RETURNS nvarchar(2048)
AS
BEGIN
    DECLARE @missing nvarchar(100) = CASE
        WHEN @output_server_name IS NULL THEN N'server' WHEN @output_database_name IS NULL THEN N'database'
        WHEN @output_table_name IS NULL THEN N'table' END;
    IF @missing IS NOT NULL
        RETURN CONCAT(N'The output of the step ''', @step_name, N''' has no ', @missing, N' name; give @output_', @missing,
            N'_name, or no output at all.');
    RETURN COALESCE(
        jobs_internal.text_error(N'server name of the output', @output_server_name),
        jobs_internal.text_error(N'database name of the output', @output_database_name),
        jobs_internal.text_error(N'schema name of the output', @output_schema_name),
        jobs_internal.text_error(N'table name of the output', @output_table_name),
        CASE WHEN @output_resource_group_name IS NOT NULL
            THEN jobs_internal.text_error(N'resource group name of the output', @output_resource_group_name) END,
        jobs_internal.server_error(@output_server_name),
        jobs_internal.credential_error(@output_credential_name, CONCAT(N'output of the step ''', @step_name, N'''')),
        jobs_internal.scope_error(
            @output_credential_name, @output_server_name, CONCAT(N'output of the step ''', @step_name, N''''))
    );
END

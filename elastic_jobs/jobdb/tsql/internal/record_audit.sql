-- Writes an entry of the audit trail, in the transaction of the change itself.
CREATE PROCEDURE jobs_internal.record_audit
    @action nvarchar(64),
    @resource nvarchar(512),
    @before nvarchar(max) = NULL,
    @after nvarchar(max) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    INSERT INTO jobs_internal.audit_entries (time, caller, action, resource, [before], [after])
    VALUES (
        SYSUTCDATETIME(), COALESCE(ORIGINAL_LOGIN(), USER_NAME(), N''), @action, @resource,
        COALESCE(@before, N'null'), COALESCE(@after, N'null')
    );
END

-- The sentence against a name that a member has but must not, or must have but has not; NULL: there is none.
CREATE FUNCTION jobs_internal.member_name_error (
    @what nvarchar(50), @name nvarchar(128), @needed bit, @target_type nvarchar(50), @member nvarchar(1000)
)
RETURNS nvarchar(2048)
AS
BEGIN
    IF @name IS NULL
        RETURN CASE WHEN @needed = 1
            THEN CONCAT(N'The member ', @member, N' has no ', @what, N'; a ', @target_type, N' needs one.') END;
    DECLARE @error nvarchar(2048) = jobs_internal.text_error(CONCAT(@what, N' of a member'), @name);
    IF @error IS NULL AND @needed = 0
        SET @error = CONCAT(N'The member ', @member, N' has a ', @what, N'; leave it out of a ', @target_type, N'.');
    RETURN @error;
END

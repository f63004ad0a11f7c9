-- The sentence against the script or the options of a step; NULL: there is none.
CREATE FUNCTION jobs_internal.step_error (
    @step_name nvarchar(128),
    @command nvarchar(max),
    @initial_retry_interval_seconds int,
    @maximum_retry_interval_seconds int,
    @retry_interval_backoff_multiplier float,
    @retry_attempts int,
    @step_timeout_seconds int,
    @max_parallelism int
)
RETURNS nvarchar(2048)
AS
BEGIN
    IF jobs_internal.is_blank(@command) = 1
        RETURN CONCAT(N'The script of the step ''', @step_name, N''' is empty.');
    DECLARE @error nvarchar(2048) = COALESCE(
        jobs_internal.number_error(N'number of retry attempts', @retry_attempts, 0),
        jobs_internal.number_error(N'initial retry interval in seconds', @initial_retry_interval_seconds, 0),
        jobs_internal.number_error(N'maximum retry interval in seconds', @maximum_retry_interval_seconds, 0)
    );
    IF @error IS NULL AND @maximum_retry_interval_seconds < @initial_retry_interval_seconds
        SET @error = CONCAT(N'The maximum retry interval (', @maximum_retry_interval_seconds,
            N' s) is shorter than the initial one (', @initial_retry_interval_seconds,
            N' s); raise it or lower the initial one.');
    IF @error IS NULL AND NOT (@retry_interval_backoff_multiplier BETWEEN 1 AND 1000000)
        SET @error = CONCAT(N'The retry interval backoff multiplier is ', @retry_interval_backoff_multiplier,
            N'; it must be at least 1.');
    RETURN COALESCE(
        @error,
        jobs_internal.number_error(N'step timeout in seconds', @step_timeout_seconds, 1),
        jobs_internal.number_error(N'maximum parallelism', @max_parallelism, 1)
    );
END

-- The steps of current versions that run on a target group: "step 'a' of job 'b' and 4 more"; NULL: there are none.
CREATE FUNCTION jobs_internal.steps_using_group (@target_group_id uniqueidentifier)
RETURNS nvarchar(2048)
AS
BEGIN
    DECLARE @count int = 0;
    DECLARE @one nvarchar(400);
    DECLARE @two nvarchar(400);
    DECLARE @three nvarchar(400);
    SELECT
        @count = COUNT(*),
        @one = MAX(CASE WHEN u.place = 1 THEN u.named END),
        @two = MAX(CASE WHEN u.place = 2 THEN u.named END),
        @three = MAX(CASE WHEN u.place = 3 THEN u.named END)
    FROM (
        SELECT
            CONCAT(N'step ''', s.name, N''' of job ''', j.name, N'''') AS named,
            ROW_NUMBER() OVER (ORDER BY j.name, s.step_id) AS place
        FROM jobs_internal.jobs AS j
        JOIN jobs_internal.job_steps AS s ON s.job_id = j.id AND s.job_version = j.version
        WHERE s.target_group_id = @target_group_id AND j.delete_time IS NULL
    ) AS u;
    IF @count = 0
        RETURN NULL;
    RETURN CONCAT(@one, N', ' + @two, N', ' + @three, CASE WHEN @count > 3 THEN CONCAT(N' and ', @count - 3, N' more') END);
END

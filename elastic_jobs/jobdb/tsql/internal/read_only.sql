-- The views of the schema jobs are for reading. {view}: the view's name.
CREATE TRIGGER jobs.{view}_read_only ON jobs.{view} INSTEAD OF INSERT, UPDATE, DELETE
AS
BEGIN
    THROW 50000, N'The view jobs.{view} is for reading only; use the procedures of the schema jobs.', 1;
END

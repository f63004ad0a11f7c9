"""The T-SQL face of the job database: the procedures and views of schema ``jobs``, one ``.sql`` file each."""

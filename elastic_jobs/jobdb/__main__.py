"""``python -m elastic_jobs.jobdb upgrade``: bring the job database at JOB_DATABASE_URL to this version's schema."""

from __future__ import annotations

import os
import sys

from elastic_jobs.errors import ElasticJobsError
from elastic_jobs.jobdb import schema
from elastic_jobs.jobdb.database import JobDatabase


def main(arguments: list[str]) -> int:
    """Exit code 0 when done, 1 when it failed, 2 when it was called wrongly."""
    url = os.environ.get("JOB_DATABASE_URL", "")
    if arguments != ["upgrade"] or not url:
        sys.stderr.write("Usage: JOB_DATABASE_URL=... python -m elastic_jobs.jobdb upgrade\n")
        return 2
    try:
        schema.upgrade(JobDatabase(url))
    except ElasticJobsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"The job database is at schema revision {schema.head()}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

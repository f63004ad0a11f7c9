"""``python -m elastic_jobs.credentials reseal``: keep every password where and as the settings say now.

For a change of CREDENTIAL_KEY (the old one stands in CREDENTIAL_KEY_PREVIOUS meanwhile) and of CREDENTIAL_STORE.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from elastic_jobs.credentials.reseal import reseal
from elastic_jobs.credentials.safes import make_safe
from elastic_jobs.domain.ports import SystemClock, new_id
from elastic_jobs.domain.targets import ServerNames
from elastic_jobs.errors import ElasticJobsError
from elastic_jobs.jobdb import schema
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions.checks import Edit
from elastic_jobs.settings import Settings


def main(arguments: list[str], say: Callable[[str], object]) -> int:
    """0: all passwords are as they should be; 1: some could not be moved; 2: nothing could be begun."""
    if arguments != ["reseal"]:
        say("Usage: python -m elastic_jobs.credentials reseal")
        return 2
    try:
        settings = Settings.from_env(os.environ)
        clock = SystemClock()
        database = JobDatabase(settings.job_database_url)
        schema.check(database)
        edit = Edit(
            caller="reseal command",
            now=clock.now(),
            new_id=new_id,
            names=ServerNames(settings.sql_server_suffix),
            check_server=lambda _: None,
        )
        result = reseal(database, edit, make_safe(settings, clock))
    except ElasticJobsError as error:
        say(str(error))
        return 2
    say(f"{result.resealed} sealed anew, {result.unchanged} were right already, {len(result.failures)} failed.")
    for failure in result.failures:
        say(failure)
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], lambda line: sys.stdout.write(f"{line}\n")))

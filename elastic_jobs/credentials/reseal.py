"""Keeps every password where and as it would be kept today: after a change of the key or of the store."""

from __future__ import annotations

from dataclasses import dataclass

from elastic_jobs.credentials.safes import PasswordSafe
from elastic_jobs.errors import CredentialError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions.checks import Edit
from elastic_jobs.jobdb.definitions.credentials import list_stored, replace_sealed


@dataclass(frozen=True, kw_only=True)
class Resealed:
    """What became of the credentials. ``failures``: a sentence for each that stays as it is."""

    resealed: int
    unchanged: int
    failures: tuple[str, ...]


def reseal(database: JobDatabase, edit: Edit, safe: PasswordSafe) -> Resealed:
    """Open each password that is not kept as it would be today, and keep it anew. Can be repeated at any time.

    A credential that is saved by somebody else at the same moment is left to them. The agent goes on working: either
    form opens. A secret in a vault stays there when its password moves into the job database.

    Raises:
        JobDatabaseUnavailableError: the job database does not answer; what was done so far stays.
    """
    with database.read() as connection:
        credentials = list_stored(connection)
    resealed, unchanged, failures = 0, 0, []
    for stored in credentials:
        try:
            if safe.is_current(stored.name, stored.sealed):
                unchanged += 1
                continue
            sealed = safe.seal(stored.name, safe.open(stored.name, stored.sealed))
        except CredentialError as error:
            failures.append(str(error))
            continue
        with database.write() as connection:
            resealed += replace_sealed(connection, edit, stored, sealed)
    return Resealed(resealed=resealed, unchanged=unchanged, failures=tuple(failures))

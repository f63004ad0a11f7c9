"""What an error of the job database's driver means: whether it passes, and how people are told."""

from __future__ import annotations

import re
import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from elastic_jobs.domain.outcome import ErrorClass
from elastic_jobs.domain.sql_errors import ERROR_CLASSES
from elastic_jobs.errors import JobDatabaseUnavailableError

TRANSIENT_NUMBERS = frozenset(
    {number for number, kind in ERROR_CLASSES.items() if kind in {ErrorClass.TRANSIENT, ErrorClass.THROTTLED}}
    | {4060, 51222, 233, 10053, 10054, 10060}
)
"""Errors of SQL Server that pass. Beside those that pass everywhere: 4060, because the job database was there a moment
ago and a failover takes it away for a while; 51222, our own for an application lock that was not granted in time; and
the numbers of sockets."""

MOVED_NUMBERS = frozenset({3906, 37396, 40197, 40613})
"""Errors after which the connection itself is of no use: the database is elsewhere, or the token is over."""

FULL_NUMBERS = frozenset({1101, 1105, 9002, 40544})
"""The disk, a filegroup, the transaction log or the quota of Azure SQL has no room left. An outcome that must be
recorded is worth waiting for the one who makes room."""

_CODE = re.compile(r"\((-?\d+)\) \(SQL\w+")
_PASSING_STATES = ("08", "HYT", "40001")


def number_of(error: DBAPIError) -> int | None:
    """SQL Server's number of an error, or None when the driver itself complains."""
    _, text = _parts(error)
    found = _CODE.search(text)
    return None if found is None else int(found.group(1))


def unavailable(error: DBAPIError, *, committing: bool) -> JobDatabaseUnavailableError | None:
    """The sentence for a job database that cannot be reached or used now; None when waiting would not help.

    committing: COMMIT was sent. Without an answer to it nobody knows whether the change was saved.
    """
    if isinstance(error.orig, sqlite3.DatabaseError) and "not a database" in str(error.orig):
        return JobDatabaseUnavailableError(
            "The file of the job database is not a SQLite database; move it away or restore it from a backup."
        )
    if _is_full(error):
        return JobDatabaseUnavailableError(
            f"The job database is full and takes nothing until somebody makes room: {error.orig}.", full=True
        )
    if not _passes(error):
        return None
    doubt = " Whether the change was saved is unknown." if committing else ""
    return JobDatabaseUnavailableError(
        f"The job database does not answer: {error.orig}.{doubt}",
        # SQLite has waited long enough itself, and a file that cannot be opened will not be there in a second.
        nothing_changed=not committing and not isinstance(error.orig, sqlite3.Error),
    )


def _is_full(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return number_of(error) in FULL_NUMBERS


def _passes(error: DBAPIError) -> bool:
    """Whether the same statement may work a while later, on a new connection."""
    if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.Error) or error.orig is None:
        return False
    state, _ = _parts(error)
    return state.startswith(_PASSING_STATES) or number_of(error) in TRANSIENT_NUMBERS


def _parts(error: DBAPIError) -> tuple[str, str]:
    """SQLSTATE and text as pyodbc puts them."""
    arguments = error.orig.args if error.orig is not None else ()
    state, text = (*(str(part) for part in arguments), "", "")[:2]
    return state, text

"""The application lock that makes the target itself refuse a second attempt of the same job step."""

from __future__ import annotations

import pyodbc

from elastic_jobs.domain.outcome import ErrorClass
from elastic_jobs.targets.capture import MessageLog
from elastic_jobs.targets.errors import TargetError, read

_NOT_AVAILABLE = frozenset({229, 2812})
"""EXECUTE on sp_getapplock is denied; there is no such procedure."""
_MAXIMUM_RESOURCE = 255
_MAXIMUM_TIMEOUT_MILLISECONDS = 5000


class Busy(Exception):  # noqa: N818  # no failure: another attempt still runs
    """An earlier attempt of the same job step still holds the lock on this target."""


def take_lock(
    cursor: pyodbc.Cursor, resource: str, timeout_milliseconds: int, server: str, database: str, log: MessageLog
) -> None:
    """Take the lock for as long as the session lives.

    Where the target does not let this user take application locks, the script goes on without, and a note says so.

    Raises:
        Busy: another session holds it.
        TargetError: it was refused for another reason, or the connection was lost.
    """
    timeout = max(0, min(timeout_milliseconds, _MAXIMUM_TIMEOUT_MILLISECONDS))
    literal = resource[:_MAXIMUM_RESOURCE].replace("'", "''")
    try:
        row = cursor.execute(
            f"DECLARE @result int; EXEC @result = sp_getapplock @Resource = N'{literal}', @LockMode = N'Exclusive',"
            f" @LockOwner = N'Session', @LockTimeout = {timeout}; SELECT @result;"
        ).fetchone()
    except pyodbc.Error as error:
        failure = read(error)
        if failure.number not in _NOT_AVAILABLE:
            raise TargetError(
                f"The script had not begun: taking the job step's application lock on database '{database}' on server"
                f" '{server}' failed: {failure.labelled}",
                # Whatever it was, it left nothing behind that is not known.
                error_class=ErrorClass.TRANSIENT if failure.lost_connection else failure.error_class,
                number=failure.number,
            ) from None
        log.note(
            "The script runs without the application lock that keeps two attempts apart, because the target does not"
            f" allow it: {failure.labelled}"
        )
        return
    result = int(row[0]) if row else -999
    if result == -1:
        raise Busy(
            f"An earlier attempt of this job step still runs on database '{database}' on server '{server}'; the target"
            " refused a second one."
        )
    if result < 0:
        raise TargetError(
            f"Database '{database}' on server '{server}' refused the application lock of the job step"
            f" (sp_getapplock returned {result}).",
            error_class=ErrorClass.TRANSIENT,
        )

"""Asks a server's ``master`` which databases it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import pyodbc

from elastic_jobs.domain.targets import Listing
from elastic_jobs.targets.authentication import Login
from elastic_jobs.targets.connect import Connector
from elastic_jobs.targets.errors import ServerError, TargetError, patience_helps, read, redact
from elastic_jobs.targets.stop import StopSignal

# Only what is ONLINE can run a script; a paused serverless database is ONLINE and wakes up when it is connected to.
_WITH_POOLS = """
SELECT d.name, o.elastic_pool_name, o.database_id
FROM sys.databases AS d
LEFT JOIN sys.database_service_objectives AS o ON o.database_id = d.database_id
WHERE d.state_desc = 'ONLINE' AND d.name NOT IN ('master', 'tempdb', 'model', 'msdb')
"""
_WITHOUT_POOLS = """
SELECT d.name
FROM sys.databases AS d
WHERE d.state_desc = 'ONLINE' AND d.name NOT IN ('master', 'tempdb', 'model', 'msdb')
"""

NO_SUCH_OBJECT = 208
QUERY_TIMEOUT_SECONDS = 60
"""Longest silence of a server while it lists its databases; near 5,000 databases that takes some seconds."""

ENUMERATION_RETRY_SECONDS = (1.0, 5.0, 10.0)
"""Waits before the question is asked again on a new connection; connecting has a patience of its own."""

_T = TypeVar("_T")


def list_databases(
    connector: Connector,
    server_name: str,
    login: Login,
    *,
    stop: StopSignal | None = None,
    retry_seconds: Sequence[float] = ENUMERATION_RETRY_SECONDS,
) -> Listing:
    """The ONLINE user databases of a server, each with its elastic pool or None.

    Raises:
        ServerNotAllowedError: the server may not be reached; nothing was sent.
        CredentialError: no token could be had for the login.
        TargetError: it could not be connected or asked; a sentence without secrets.
        Stopped: ``stop`` was given.
    """

    def failed(error: ServerError) -> str:
        return (
            f"The databases of server '{server_name}' cannot be listed: {error.labelled} Check that {login} has a user"
            " in database 'master' there and may read sys.databases and sys.database_service_objectives."
        )

    return ask(
        connector, server_name, "master", login, _listing, stop=stop or StopSignal(), retry=retry_seconds, failed=failed
    )


def ask(
    connector: Connector,
    server_name: str,
    database_name: str,
    login: Login,
    question: Callable[[pyodbc.Cursor], _T],
    *,
    stop: StopSignal,
    retry: Sequence[float],
    failed: Callable[[ServerError], str],
) -> _T:
    """Connect and ask, again on a new connection after an error that passes.

    failed: makes the sentence of an error that stays.

    Raises: as ``list_databases``.
    """
    waits = iter(retry)
    while True:
        connection = connector.connect(server_name, database_name, login, stop=stop)
        # A server that has gone silent must not hold the caller for ever; counts for the cursors made from here on.
        connection.timeout = QUERY_TIMEOUT_SECONDS
        try:
            return question(connection.cursor())
        except pyodbc.Error as error:
            failure = read(error)
        finally:
            connection.close()
        wait = next(waits, None)
        if wait is None or not patience_helps(failure):
            raise TargetError(
                redact(failed(failure), login.secrets()), error_class=failure.error_class, number=failure.number
            ) from None
        stop.wait(wait)


def _listing(cursor: pyodbc.Cursor) -> Listing:
    try:
        rows = cursor.execute(_WITH_POOLS).fetchall()
    except pyodbc.Error as error:
        # A SQL Server that is no logical server of Azure has no pools and no such view.
        if read(error).number != NO_SUCH_OBJECT:
            raise
        return Listing({str(name): None for (name,) in cursor.execute(_WITHOUT_POOLS).fetchall()})
    # Every database of Azure SQL has a service objective; a login that is shown none may not see them.
    return Listing(
        {str(name): None if pool is None else str(pool) for name, pool, _ in rows},
        pools_known=not rows or any(database_id is not None for _, _, database_id in rows),
    )

"""Asks a server's ``master`` which databases it holds."""

from __future__ import annotations

import pyodbc

from elastic_jobs.domain.targets import Listing
from elastic_jobs.targets.authentication import Login
from elastic_jobs.targets.connect import Connector
from elastic_jobs.targets.errors import TargetError, read, redact
from elastic_jobs.targets.stop import StopSignal

# Only what is ONLINE can run a script; a paused serverless database is ONLINE and wakes up when it is connected to.
_WITH_POOLS = """
SELECT d.name, o.elastic_pool_name
FROM sys.databases AS d
LEFT JOIN sys.database_service_objectives AS o ON o.database_id = d.database_id
WHERE d.state_desc = 'ONLINE' AND d.name NOT IN ('master', 'tempdb', 'model', 'msdb')
"""
_WITHOUT_POOLS = """
SELECT d.name, NULL
FROM sys.databases AS d
WHERE d.state_desc = 'ONLINE' AND d.name NOT IN ('master', 'tempdb', 'model', 'msdb')
"""

_NO_SUCH_OBJECT = 208
QUERY_TIMEOUT_SECONDS = 60
"""Longest silence of a server while it lists its databases; near 5,000 databases that takes some seconds."""


def list_databases(connector: Connector, server_name: str, login: Login, *, stop: StopSignal | None = None) -> Listing:
    """The ONLINE user databases of a server, each with its elastic pool or None.

    Raises:
        ServerNotAllowedError: the server may not be reached; nothing was sent.
        CredentialError: no token could be had for the login.
        TargetError: it could not be connected or asked; a sentence without secrets.
        Stopped: ``stop`` was given.
    """
    connection = connector.connect(server_name, "master", login, stop=stop)
    # A server that has gone silent must not hold the caller for ever; counts for the cursors made from here on.
    connection.timeout = QUERY_TIMEOUT_SECONDS
    try:
        pool_of = _pool_of(connection)
    except pyodbc.Error as error:
        failure = read(error)
        raise TargetError(
            redact(f"The databases of server '{server_name}' cannot be listed: {failure.labelled}", login.secrets()),
            error_class=failure.error_class,
            number=failure.number,
        ) from None
    finally:
        connection.close()
    return Listing(pool_of)


def _pool_of(connection: pyodbc.Connection) -> dict[str, str | None]:
    cursor = connection.cursor()
    try:
        rows = cursor.execute(_WITH_POOLS).fetchall()
    except pyodbc.Error as error:
        # A SQL Server that is no logical server of Azure has no pools and no such view.
        if read(error).number != _NO_SUCH_OBJECT:
            raise
        rows = cursor.execute(_WITHOUT_POOLS).fetchall()
    return {str(name): None if pool is None else str(pool) for name, pool in rows}

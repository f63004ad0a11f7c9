"""Asks a shard map manager which databases are the shards of a shard map.

The manager is a database with schema ``__ShardManagement``, made by the Elastic Database tools: a row of
``ShardMapsGlobal`` per shard map, and of ``ShardsGlobal`` per shard with its server and database. A shard that is being
added or removed is not ``Readable``.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyodbc

from elastic_jobs.domain.outcome import ErrorClass
from elastic_jobs.domain.targets import Member, ServerNames, TargetDatabase
from elastic_jobs.targets.authentication import Login
from elastic_jobs.targets.connect import Connector
from elastic_jobs.targets.enumeration import ENUMERATION_RETRY_SECONDS, NO_SUCH_OBJECT, ask
from elastic_jobs.targets.errors import ServerError, TargetError
from elastic_jobs.targets.stop import StopSignal

_SHARDS = """
SELECT s.ServerName, s.Port, s.DatabaseName
FROM __ShardManagement.ShardMapsGlobal AS m
LEFT JOIN __ShardManagement.ShardsGlobal AS s ON s.ShardMapId = m.ShardMapId AND s.Readable = 1
WHERE m.Name = ?
"""
_DEFAULT_PORTS = ("0", "1433")
"""0 stands for "not given"."""


def list_shards(
    connector: Connector,
    member: Member,
    login: Login,
    *,
    stop: StopSignal | None = None,
    retry_seconds: Sequence[float] = ENUMERATION_RETRY_SECONDS,
) -> list[TargetDatabase]:
    """The databases of the shard map that a member names. Whether their servers may be reached is not judged here.

    A shard with a port of its own keeps it in its server's name (``name,port``): no such server is ever allowed.

    Raises:
        ServerNotAllowedError: the manager's server may not be reached; nothing was sent.
        CredentialError: no token could be had for the login.
        TargetError: the manager could not be connected or asked, or has no such shard map; a sentence without secrets.
        Stopped: ``stop`` was given.
    """
    shard_map, database = member.shard_map_name or "", member.database_name or ""
    where = f"shard map '{shard_map}' in database '{database}' on server '{member.server_name}'"

    def question(cursor: pyodbc.Cursor) -> list[tuple[str | None, int, str]]:
        return [(name, port, shard) for name, port, shard in cursor.execute(_SHARDS, shard_map).fetchall()]

    def failed(error: ServerError) -> str:
        if error.number == NO_SUCH_OBJECT:
            way_out = "The database is no shard map manager of the Elastic Database tools; name the one that is."
        else:
            way_out = f"Check that {login} may SELECT from schema __ShardManagement there."
        return f"The shards of {where} cannot be listed: {error.labelled} {way_out}"

    rows = ask(
        connector,
        member.server_name,
        database,
        login,
        question,
        stop=stop or StopSignal(),
        retry=retry_seconds,
        failed=failed,
    )
    if not rows:
        raise TargetError(f"There is no {where}; check the names.", error_class=ErrorClass.SCRIPT)
    names = connector.servers.names
    return [_shard(names, server, port, shard) for server, port, shard in rows if server is not None]


def _shard(names: ServerNames, server: str, port: int, database: str) -> TargetDatabase:
    given, _, named_port = (part.strip() for part in server.partition(","))
    wanted = named_port or str(port)
    canonical = names.canonical(given)
    if wanted not in _DEFAULT_PORTS:
        canonical = f"{canonical},{wanted}"
    return TargetDatabase(server_name=canonical, database_name=database)

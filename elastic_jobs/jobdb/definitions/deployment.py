"""What the T-SQL procedures have to know of the app's settings: which servers credentials may be sent to."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import insert, select, update

from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.tsql_tables import deployment


def publish(database: JobDatabase, *, server_suffix: str, allowed_servers: Iterable[str]) -> bool:
    """Write the list down where the procedures look, when it is not what stands there; whether it was changed.

    allowed_servers: canonical names, or ``*.`` and a canonical parent.
    """
    listed = ",".join(["", *sorted(allowed_servers), ""])
    wanted = {"server_suffix": server_suffix, "allowed_servers": listed}
    columns = (deployment.c.server_suffix, deployment.c.allowed_servers)
    with database.read() as connection:
        found = connection.execute(select(*columns)).mappings().one_or_none()
    if found is not None and dict(found) == wanted:
        return False
    with database.write() as connection:
        database.lock(connection, "deployment")
        if not connection.execute(update(deployment).values(**wanted)).rowcount:
            connection.execute(insert(deployment).values(id=1, **wanted))
    return True

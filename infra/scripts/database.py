"""The database work of a deployment: the job database's schema and the database users of the two identities.

    python infra/scripts/database.py job
        with JOB_DATABASE_HOST, JOB_DATABASE_NAME, APP_IDENTITY_NAME, APP_IDENTITY_CLIENT_ID in the environment:
        brings the job database to this version's schema and makes the user of the app's identity
    python infra/scripts/database.py target SERVER DATABASE --role db_ddladmin --role db_datawriter
        with AGENT_IDENTITY_NAME, AGENT_IDENTITY_CLIENT_ID: makes the user of the jobs' identity in a target database

Runs as whoever is signed in (azd or az), who must be the server's Entra administrator. The last line of the output is
JSON: ``{}`` when done, or why the server did not let this machine in.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

ROOT = Path(__file__).resolve().parents[2]
_SQL_COPT_SS_ACCESS_TOKEN = 1256
_SCOPE = "https://database.windows.net/.default"
_NUMBER = re.compile(r"\((\d+)\) \(SQL\w+")
_ADDRESS = re.compile(r"IP address '([0-9.]+)'")

JOB_DATABASE_GRANTS = (
    "GRANT SELECT, INSERT, UPDATE, DELETE, EXECUTE ON SCHEMA::jobs_internal",
    "GRANT SELECT, EXECUTE ON SCHEMA::jobs",
)
"""What the app needs in the job database: rows, not tables. The schema is changed by who deploys."""


def quote(name: str) -> str:
    """A name as an identifier of T-SQL."""
    return "[" + name.replace("]", "]]") + "]"


def literal(value: str) -> str:
    """A text as a literal of T-SQL."""
    return "N'" + value.replace("'", "''") + "'"


def user_statements(name: str, client_id: UUID) -> list[str]:
    """Statements that leave exactly this identity as the user ``name``, however often they run.

    The user is made from its client id, so that neither the server nor who deploys has to read the directory. One that
    is left of a deleted identity of the same name has another id and is replaced.
    """
    sid = "0x" + client_id.bytes_le.hex().upper()
    of_name = f"SELECT 1 FROM sys.database_principals WHERE name = {literal(name)}"  # noqa: S608 - a quoted literal
    return [
        f"IF EXISTS ({of_name} AND sid <> {sid}) DROP USER {quote(name)};",
        f"IF NOT EXISTS ({of_name}) CREATE USER {quote(name)} WITH SID = {sid}, TYPE = E;",
    ]


def job_database_statements(name: str, client_id: UUID) -> list[str]:
    """The app's user in the job database, with its rights."""
    return [*user_statements(name, client_id), *(f"{grant} TO {quote(name)};" for grant in JOB_DATABASE_GRANTS)]


def target_statements(name: str, client_id: UUID, roles: Sequence[str]) -> list[str]:
    """The jobs' user in a target database, as a member of some database roles."""
    members = [f"ALTER ROLE {quote(role)} ADD MEMBER {quote(name)};" for role in roles]
    return [*user_statements(name, client_id), *members]


def refusal(text: str) -> dict[str, object]:
    """What a driver's error text says of why the server did not let this machine in."""
    number, address = _NUMBER.search(text), _ADDRESS.search(text)
    return {
        "number": int(number.group(1)) if number else 0,
        "address": address.group(1) if address else "",
        "text": text,
    }


def main(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Exit code 0 when done or refused (the output tells which), 1 when the work failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("job")
    target = kinds.add_parser("target")
    target.add_argument("server")
    target.add_argument("database")
    target.add_argument("--role", action="append", default=[])
    given = parser.parse_args(arguments)
    if given.kind == "job":
        server, database = env["JOB_DATABASE_HOST"], env["JOB_DATABASE_NAME"]
        statements = job_database_statements(env["APP_IDENTITY_NAME"], UUID(env["APP_IDENTITY_CLIENT_ID"]))
    else:
        server, database = given.server, given.database
        user = env["AGENT_IDENTITY_NAME"], UUID(env["AGENT_IDENTITY_CLIENT_ID"])
        statements = target_statements(*user, given.role)
    return _run(server, database, statements, with_schema=given.kind == "job")


def _run(server: str, database: str, statements: Sequence[str], *, with_schema: bool) -> int:
    # Imported here: the statements above are of use without a driver.
    import pyodbc
    from azure.identity import DefaultAzureCredential

    sys.path.insert(0, str(ROOT))
    from elastic_jobs.jobdb import schema
    from elastic_jobs.jobdb.database import JobDatabase
    from elastic_jobs.targets.connect import find_driver

    token = DefaultAzureCredential().get_token(_SCOPE).token.encode("utf-16-le")
    where = f"Driver={find_driver()};Server=tcp:{server},1433;Database={database};Encrypt=yes;TrustServerCertificate=no"
    attributes = {_SQL_COPT_SS_ACCESS_TOKEN: struct.pack(f"<I{len(token)}s", len(token), token)}
    try:
        connection = pyodbc.connect(where, attrs_before=attributes, autocommit=True, timeout=30)
    except pyodbc.Error as error:
        sys.stdout.write(json.dumps(refusal(str(error))) + "\n")
        return 0
    if with_schema:
        schema.upgrade(JobDatabase(f"mssql+pyodbc://{server}/{database}"))
    for statement in statements:
        connection.execute(statement)
    connection.close()
    sys.stdout.write("{}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

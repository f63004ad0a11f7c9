"""The work of one target, as a user of pyodbc writes it: connect, execute, read everything, close."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from functools import cache
from pathlib import Path

import pyodbc

from bench.arena import Estate
from elastic_jobs.targets.connect import APPLICATION_NAME, LOGIN_TIMEOUT_SECONDS, find_driver, quote
from local.stack import write_private

pyodbc.pooling = False
VARIABLE = "BENCH_ESTATE"
"""Environment variable that names the file in which a peer's process finds the databases."""


def save(estate: Estate, statement: str, file: Path) -> dict[str, str]:
    """Write down what a peer's process needs; the environment for it."""
    write_private(file, json.dumps({**asdict(estate), "statement": statement}, default=str))
    return {**os.environ, VARIABLE: str(file), **estate.trust()}


@cache
def _given() -> tuple[dict[str, str], str]:
    """The connection string of each database, and the statement."""
    given = json.loads(Path(os.environ[VARIABLE]).read_text(encoding="utf-8"))
    same = (
        f"Driver={find_driver()};Encrypt=yes;TrustServerCertificate=no;APP={APPLICATION_NAME};ConnectRetryCount=0;"
        f"UID={quote(given['user'])};PWD={quote(given['password'])};"
    )
    texts = {
        database: f"{same}Server={quote('tcp:' + given['addresses'][server])};HostNameInCertificate={quote(server)};"
        f"Database={quote(database)};"
        for database, server in given["server_of"].items()
    }
    return texts, given["statement"]


def run(database: str, other: str | None = None) -> None:
    """Run the statement, or another one, on one database and read all its results, so that no error is overlooked.

    Raises:
        pyodbc.Error: anything went wrong.
    """
    texts, statement = _given()
    connection = pyodbc.connect(texts[database], autocommit=True, timeout=LOGIN_TIMEOUT_SECONDS)
    try:
        cursor = connection.execute(other or statement)
        while True:
            if cursor.description:
                cursor.fetchall()
            if not cursor.nextset():
                return
    finally:
        connection.close()

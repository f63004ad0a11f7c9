"""Connections to the target server as its administrator, past the product: to prepare targets and to look at them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyodbc

from elastic_jobs.targets.connect import find_driver


def connect(sql: Mapping[str, Any], database: str) -> pyodbc.Connection:
    """A connection in autocommit to a database of the ``sql`` part of an endpoint file."""
    password = str(sql["password"]).replace("}", "}}")
    return pyodbc.connect(
        f"Driver={find_driver()};Server=tcp:{sql['host']},{sql['port']};Database={database};UID={sql['user']};"
        f"PWD={{{password}}};Encrypt=yes;TrustServerCertificate=yes",
        autocommit=True,
        timeout=15,
    )
